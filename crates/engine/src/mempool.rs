//! Commands that wait for a block.
//!
//! Every command in here has good signatures. A leader takes from the payers in turn, so that
//! one that floods delays itself and nobody else.
//!
//! ```text
//!  command ───────────────────────> its payer's queue ─┐
//!                                                      ├─> a turn ─> a block
//!  part ─> gathered ─ all are here > its payer's queue ─┘
//! ```
//!
//! # Invariants
//!
//! * At most [`PAYER_COMMANDS_MAX`] commands of one payer and [`POOL_BYTES_MAX`] bytes
//!   in all wait; more are refused as [`Busy`], before they cost anything else. Parts of transactions that
//!   lack others have [`GATHERED_BYTES_MAX`] of them.
//! * A transaction is a candidate when all of its parts are here and each could be in the block, and is taken
//!   whole, in the order of its places, in one turn of its payer. It fits into an empty block, and a payer whose
//!   turn does not fit has the first one of the next block: so it comes through however much else waits.
//! * [`Mempool::has_candidate`] says yes exactly if [`Mempool::candidates`] has any.
//! * A command leaves when a final block has it or when its window has passed; taking candidates
//!   leaves them here, since the block that has them may never become final, and so does leaving one
//!   out of a block, since only final blocks say for sure what can be in the next. With the first part of a
//!   transaction whose window has passed, the others leave: no block can have them any more.
//!
//! Not here: whether a command is allowed, which the ledger decides in the block.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
};

use keepwell_crypto::command::Verified;
use keepwell_ledger::state::Account;
use keepwell_types::{
    command::Part,
    id::{CommandId, Digest, OrganisationId, TransactionId},
    limits::{BLOCK_BYTES_MAX, BLOCK_COMMANDS_MAX, TRANSACTION_BYTES_MAX},
    member::Party,
    time::{BlockTime, Window},
};
use thiserror::Error;
use tokio::sync::Notify;

use crate::block::RawEntry;

/// Commands of one payer that may wait.
pub const PAYER_COMMANDS_MAX: usize = 16_384;
/// Bytes of all commands that may wait.
pub const POOL_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of those of them that are parts of transactions whose other parts are not here: a few messages between
/// validators, and what came of those that were lost.
pub const GATHERED_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A command that waits.
#[derive(Debug)]
pub struct Pending {
    /// The command, with good signatures.
    pub verified: Verified,
    /// Its bytes as a block carries them.
    pub raw: RawEntry,
    /// Whom it counts against.
    pub payer: Payer,
    /// First block time at which it waits no more: the end of its window, or earlier.
    pub until: BlockTime,
}

/// An organisation, and for whom of it: each has places of its own, so that a stolen key does not keep
/// its administrator from suspending it.
pub type Payer = (OrganisationId, Account);

impl Pending {
    fn id(&self) -> CommandId {
        self.verified.command().id
    }

    fn window(&self) -> Window {
        self.verified.command().window
    }

    fn size(&self) -> usize {
        self.raw.bytes().len()
    }

    fn part(&self) -> Option<Part> {
        self.verified.command().part
    }

    /// The transaction that it is a part of.
    fn transaction(&self) -> Option<Transaction> {
        let (part, signer) = (self.part()?, self.verified.command().signers.first()?);
        Some((self.payer, *signer, part.transaction(), part.parts()))
    }
}

/// What parts have in common: who pays for them, their first signer, their transaction, and how many they are.
type Transaction = (Payer, Party, TransactionId, u16);

/// Too much waits already.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Busy {
    /// Whoever pays for it has too many commands waiting.
    #[error(
        "{max} commands like this one, of the same organisation, wait already; send it again in a second"
    )]
    Payer {
        /// The limit.
        max: usize,
    },
    /// Too many parts of transactions have come without the others.
    #[error(
        "{max} bytes of parts of transactions wait for their other parts; send all of them again in a second"
    )]
    Gathered {
        /// The limit.
        max: usize,
    },
    /// The pool is full.
    #[error("{max} bytes of commands wait already; send this one again in a second")]
    Pool {
        /// The limit.
        max: usize,
    },
}

/// What became of a command that was offered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Inserted {
    /// It waits now.
    New,
    /// It waited already, byte for byte.
    Known,
    /// Another command with the same id waits; ids are used once.
    IdTaken,
    /// Another command has the same place in the same transaction, or there is no room for it beside the other parts.
    PlaceTaken,
}

/// What is taken at once.
#[derive(Debug)]
enum Turn {
    Command(Arc<Pending>),
    Transaction(Transaction),
}

/// What waits for one payer.
#[derive(Default)]
struct Queue {
    turns: VecDeque<Turn>,
    /// All commands, those included that are gathered.
    commands: usize,
}

/// The parts of a transaction that are here.
#[derive(Default)]
struct Gathered {
    parts: BTreeMap<u16, Arc<Pending>>,
    bytes: usize,
}

impl Gathered {
    fn is_complete(&self, (.., parts): &Transaction) -> bool {
        self.parts.len() == usize::from(*parts)
    }
}

#[derive(Default)]
struct Queues {
    by_payer: BTreeMap<Payer, Queue>,
    transactions: BTreeMap<Transaction, Gathered>,
    /// Bytes of parts that lack others.
    gathered: usize,
    by_id: BTreeMap<CommandId, Arc<Pending>>,
    by_leaf: BTreeMap<Digest, Arc<Pending>>,
    by_end: BTreeSet<(BlockTime, CommandId)>,
    /// Commands that no block may have before a time.
    postponed: BTreeMap<CommandId, BlockTime>,
    bytes: usize,
    /// Who is served first next time.
    next: Option<Payer>,
}

/// The pool.
#[derive(Default)]
pub struct Mempool {
    queues: Mutex<Queues>,
    arrival: Notify,
}

impl Mempool {
    fn queues(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().expect("nobody panics while holding this lock")
    }

    /// Takes `pending` in, and wakes a leader that waits. A part waits for the others first.
    pub fn insert(&self, pending: Pending) -> Result<Inserted, Busy> {
        let mut queues = self.queues();
        match queues.look(&pending) {
            Inserted::New => {}
            here @ (Inserted::Known | Inserted::IdTaken | Inserted::PlaceTaken) => return Ok(here),
        }
        queues.room_for(pending.payer, 1, pending.size())?;
        let lacks = |it: &Transaction| {
            let here = queues.transactions.get(it).map_or(0, |it| it.parts.len());
            here + 1 < usize::from(it.3)
        };
        if pending.transaction().as_ref().is_some_and(lacks)
            && queues.gathered + pending.size() > GATHERED_BYTES_MAX
        {
            return Err(Busy::Gathered { max: GATHERED_BYTES_MAX });
        }
        queues.take_in(pending);
        drop(queues);
        self.arrival.notify_waiters();
        Ok(Inserted::New)
    }

    /// Takes all `parts` of one transaction in, each of which is another and which one payer pays for, or none of them.
    /// Some may wait already.
    pub fn insert_transaction(&self, parts: Vec<Pending>) -> Result<Inserted, Busy> {
        let mut queues = self.queues();
        let mut new = Vec::with_capacity(parts.len());
        for part in parts {
            match queues.look(&part) {
                Inserted::New => new.push(part),
                Inserted::Known => {}
                taken @ (Inserted::IdTaken | Inserted::PlaceTaken) => return Ok(taken),
            }
        }
        let Some(first) = new.first() else { return Ok(Inserted::Known) };
        let bytes = new.iter().map(Pending::size).sum();
        let here = first.transaction().and_then(|it| queues.transactions.get(&it));
        if here.map_or(0, |it| it.bytes) + bytes > TRANSACTION_BYTES_MAX {
            return Ok(Inserted::PlaceTaken);
        }
        queues.room_for(first.payer, new.len(), bytes)?;
        new.into_iter().for_each(|part| queues.take_in(part));
        drop(queues);
        self.arrival.notify_waiters();
        Ok(Inserted::New)
    }

    /// The command with these exact bytes, so that its signatures need not be checked again.
    pub fn verified(&self, leaf: &Digest) -> Option<Arc<Pending>> {
        self.queues().by_leaf.get(leaf).cloned()
    }

    /// Whether there is a command for a block at `now` that is not in `skip`.
    pub fn has_candidate(&self, skip: &BTreeSet<CommandId>, now: BlockTime) -> bool {
        let queues = self.queues();
        let mut turns = queues.by_payer.values().flat_map(|queue| &queue.turns);
        turns.any(|turn| queues.fits(turn, skip, now))
    }

    /// Commands for a block at `now`, the payers in turn, without those in `skip`.
    pub fn candidates(&self, skip: &BTreeSet<CommandId>, now: BlockTime) -> Vec<Arc<Pending>> {
        let mut queues = self.queues();
        let mut room = BLOCK_BYTES_MAX;
        let mut taken = Vec::new();
        let start = queues.next.unwrap_or((OrganisationId([0; 16]), Account::Members));
        let mut payers: VecDeque<_> = queues
            .by_payer
            .range(start..)
            .chain(queues.by_payer.range(..start))
            .map(|(payer, queue)| {
                (*payer, queue.turns.iter().filter(|turn| queues.fits(turn, skip, now)))
            })
            .collect();
        let (mut last, mut waits) = (None, None);
        while let Some((payer, mut turns)) = payers.pop_front() {
            let Some(turn) = turns.next() else { continue };
            let (count, size) = queues.measure(turn);
            if taken.len() + count > BLOCK_COMMANDS_MAX || size > room {
                // What it has next must not overtake this.
                waits.get_or_insert(payer);
                continue;
            }
            room -= size;
            last = Some(payer);
            taken.extend(queues.commands(turn).cloned());
            payers.push_back((payer, turns));
        }
        let after_last = || queues.by_payer.keys().find(|it| Some(**it) > last).copied();
        let next = waits.or_else(|| last.and_then(|_| after_last()));
        queues.next = next;
        taken
    }

    /// Keeps a command out of candidates until `until`: the block that was being made could not have
    /// it, which says nothing for sure about later ones, or about those of other leaders.
    pub fn postpone(&self, id: CommandId, until: BlockTime) {
        let mut queues = self.queues();
        if queues.by_id.contains_key(&id) {
            queues.postponed.insert(id, until);
        }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.queues().by_id.is_empty()
    }

    /// Forgets commands that a final block has.
    pub fn remove(&self, ids: impl IntoIterator<Item = CommandId>) {
        let mut queues = self.queues();
        let mut touched = BTreeSet::new();
        for id in ids {
            if let Some(payer) = queues.forget(&id) {
                touched.insert(payer);
            }
        }
        queues.sweep(&touched);
    }

    /// Forgets commands that wait no more, and says which.
    pub fn expire(&self, now: BlockTime) -> Vec<CommandId> {
        let mut queues = self.queues();
        let (mut expired, mut touched) = (Vec::new(), BTreeSet::new());
        while let Some((until, id)) = queues.by_end.first().copied() {
            if now < until {
                break;
            }
            for id in queues.with_other_parts(id) {
                touched.extend(queues.forget(&id));
                expired.push(id);
            }
        }
        queues.sweep(&touched);
        expired
    }

    /// How many commands wait, and how many bytes they have.
    pub fn load(&self) -> (usize, usize) {
        let queues = self.queues();
        (queues.by_id.len(), queues.bytes)
    }

    /// Resolves when a command has arrived after the call; create it before looking for candidates.
    pub fn arrival(&self) -> tokio::sync::futures::Notified<'_> {
        self.arrival.notified()
    }
}

impl Queues {
    /// Whether `pending` is here already, or something else is in its stead.
    fn look(&self, pending: &Pending) -> Inserted {
        if let Some(known) = self.by_id.get(&pending.id()) {
            let same = known.raw.leaf() == pending.raw.leaf();
            return if same { Inserted::Known } else { Inserted::IdTaken };
        }
        let gathered = pending.transaction().and_then(|it| self.transactions.get(&it));
        let fits = |it: &Gathered, part: Part| {
            !it.parts.contains_key(&part.place())
                && it.bytes + pending.size() <= TRANSACTION_BYTES_MAX
        };
        match (gathered, pending.part()) {
            (Some(gathered), Some(part)) if !fits(gathered, part) => Inserted::PlaceTaken,
            (Some(_) | None, _) => Inserted::New,
        }
    }

    fn room_for(&self, payer: Payer, commands: usize, bytes: usize) -> Result<(), Busy> {
        if self.bytes + bytes > POOL_BYTES_MAX {
            return Err(Busy::Pool { max: POOL_BYTES_MAX });
        }
        let waiting = self.by_payer.get(&payer).map_or(0, |queue| queue.commands);
        if waiting + commands > PAYER_COMMANDS_MAX {
            return Err(Busy::Payer { max: PAYER_COMMANDS_MAX });
        }
        Ok(())
    }

    /// Has `pending` wait, for which there is room.
    fn take_in(&mut self, pending: Pending) {
        let pending = Arc::new(pending);
        let payer = pending.payer;
        let turn = match (pending.transaction(), pending.part()) {
            (Some(transaction), Some(part)) => self.gather(transaction, part, pending.clone()),
            (None, _) | (_, None) => Some(Turn::Command(pending.clone())),
        };
        let queue = self.by_payer.entry(payer).or_default();
        queue.turns.extend(turn);
        queue.commands += 1;
        self.bytes += pending.size();
        self.by_end.insert((pending.until, pending.id()));
        self.by_leaf.insert(pending.raw.leaf(), pending.clone());
        self.by_id.insert(pending.id(), pending);
    }

    /// Adds a part to those that are here; the last one makes a turn of them.
    fn gather(&mut self, it: Transaction, part: Part, pending: Arc<Pending>) -> Option<Turn> {
        let size = pending.size();
        let gathered = self.transactions.entry(it).or_default();
        gathered.parts.insert(part.place(), pending);
        gathered.bytes += size;
        self.gathered += size;
        if !gathered.is_complete(&it) {
            return None;
        }
        self.gathered -= gathered.bytes;
        Some(Turn::Transaction(it))
    }

    /// The commands of a turn, in their order.
    fn commands<'a>(&'a self, turn: &'a Turn) -> impl Iterator<Item = &'a Arc<Pending>> {
        let (single, transaction) = match turn {
            Turn::Command(pending) => (Some(pending), None),
            Turn::Transaction(it) => (None, self.transactions.get(it)),
        };
        single.into_iter().chain(transaction.into_iter().flat_map(|it| it.parts.values()))
    }

    /// How many commands a turn has, and how many bytes.
    fn measure(&self, turn: &Turn) -> (usize, usize) {
        match turn {
            Turn::Command(pending) => (1, pending.size()),
            Turn::Transaction(it) => {
                self.transactions.get(it).map_or((0, 0), |it| (it.parts.len(), it.bytes))
            }
        }
    }

    /// Whether a block at `now` could have all of a turn.
    fn fits(&self, turn: &Turn, skip: &BTreeSet<CommandId>, now: BlockTime) -> bool {
        self.commands(turn).all(|pending| {
            let id = pending.id();
            pending.window().contains(now)
                && !skip.contains(&id)
                && self.postponed.get(&id).is_none_or(|until| *until <= now)
        })
    }

    /// A command, or all parts that are here of the transaction that it is a part of.
    fn with_other_parts(&self, id: CommandId) -> Vec<CommandId> {
        let transaction = self.by_id.get(&id).and_then(|it| it.transaction());
        let gathered = transaction.and_then(|it| self.transactions.get(&it));
        gathered.map_or_else(|| vec![id], |it| it.parts.values().map(|it| it.id()).collect())
    }

    /// Removes a command from the indexes; [`Self::sweep`] then removes it from its queue.
    fn forget(&mut self, id: &CommandId) -> Option<Payer> {
        let pending = self.by_id.remove(id)?;
        self.by_leaf.remove(&pending.raw.leaf());
        self.postponed.remove(id);
        self.by_end.remove(&(pending.until, *id));
        self.bytes -= pending.size();
        if let (Some(transaction), Some(part)) = (pending.transaction(), pending.part()) {
            self.scatter(transaction, part);
        }
        if let Some(queue) = self.by_payer.get_mut(&pending.payer) {
            queue.commands -= 1;
        }
        Some(pending.payer)
    }

    /// Takes a part from the others, which wait for it from then on.
    fn scatter(&mut self, it: Transaction, part: Part) {
        let Some(gathered) = self.transactions.get_mut(&it) else { return };
        if gathered.is_complete(&it) {
            self.gathered += gathered.bytes;
        }
        if let Some(pending) = gathered.parts.remove(&part.place()) {
            gathered.bytes -= pending.size();
            self.gathered -= pending.size();
        }
        if gathered.parts.is_empty() {
            self.transactions.remove(&it);
        }
    }

    fn sweep(&mut self, payers: &BTreeSet<Payer>) {
        for payer in payers {
            let Some(queue) = self.by_payer.get_mut(payer) else { continue };
            queue.turns.retain(|turn| match turn {
                Turn::Command(pending) => self.by_id.contains_key(&pending.id()),
                Turn::Transaction(it) => {
                    self.transactions.get(it).is_some_and(|gathered| gathered.is_complete(it))
                }
            });
            if queue.commands == 0 {
                self.by_payer.remove(payer);
            }
        }
    }
}
