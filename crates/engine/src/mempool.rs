//! Commands that wait for a block.
//!
//! Every command in here has good signatures. A leader takes from the payers in turn, so that
//! one that floods delays itself and nobody else.
//!
//! # Invariants
//!
//! * At most [`PAYER_COMMANDS_MAX`] commands of one payer and [`POOL_BYTES_MAX`] bytes
//!   in all wait; more are refused as [`Busy`], before they cost anything else.
//! * A command leaves when a final block has it or when its window has passed; taking candidates
//!   leaves them here, since the block that has them may never become final, and so does leaving one
//!   out of a block, since only final blocks say for sure what can be in the next.
//!
//! Not here: whether a command is allowed, which the ledger decides in the block.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
};

use keepwell_crypto::command::Verified;
use keepwell_ledger::state::Account;
use keepwell_types::{
    id::{CommandId, Digest, OrganisationId},
    limits::{BLOCK_BYTES_MAX, BLOCK_COMMANDS_MAX},
    time::{BlockTime, Window},
};
use thiserror::Error;
use tokio::sync::Notify;

use crate::block::RawEntry;

/// Commands of one payer that may wait.
pub const PAYER_COMMANDS_MAX: usize = 16_384;
/// Bytes of all commands that may wait.
pub const POOL_BYTES_MAX: usize = 64 * 1024 * 1024;

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
}

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
}

#[derive(Default)]
struct Queues {
    by_payer: BTreeMap<Payer, VecDeque<Arc<Pending>>>,
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

    /// Takes `pending` in, and wakes a leader that waits.
    pub fn insert(&self, pending: Pending) -> Result<Inserted, Busy> {
        let mut queues = self.queues();
        if let Some(known) = queues.by_id.get(&pending.id()) {
            let same = known.raw.leaf() == pending.raw.leaf();
            return Ok(if same { Inserted::Known } else { Inserted::IdTaken });
        }
        let size = pending.raw.bytes().len();
        if queues.bytes + size > POOL_BYTES_MAX {
            return Err(Busy::Pool { max: POOL_BYTES_MAX });
        }
        let queue = queues.by_payer.entry(pending.payer).or_default();
        if queue.len() >= PAYER_COMMANDS_MAX {
            return Err(Busy::Payer { max: PAYER_COMMANDS_MAX });
        }
        let pending = Arc::new(pending);
        queue.push_back(pending.clone());
        queues.bytes += size;
        queues.by_end.insert((pending.until, pending.id()));
        queues.by_leaf.insert(pending.raw.leaf(), pending.clone());
        queues.by_id.insert(pending.id(), pending);
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
        queues.by_id.values().any(|it| queues.fits(it, skip, now))
    }

    /// Commands for a block at `now`, the payers in turn, without those in `skip`.
    pub fn candidates(&self, skip: &BTreeSet<CommandId>, now: BlockTime) -> Vec<Arc<Pending>> {
        let mut queues = self.queues();
        let mut room = BLOCK_BYTES_MAX;
        let mut taken = Vec::new();
        let start = queues.next.unwrap_or((OrganisationId([0; 16]), Account::Members));
        let mut turns: VecDeque<_> = queues
            .by_payer
            .range(start..)
            .chain(queues.by_payer.range(..start))
            .map(|(payer, queue)| (*payer, queue.iter().filter(|it| queues.fits(it, skip, now))))
            .collect();
        let mut last = None;
        while let Some((payer, mut queue)) = turns.pop_front() {
            let Some(pending) = queue.next() else { continue };
            let size = pending.raw.bytes().len();
            if taken.len() == BLOCK_COMMANDS_MAX || size > room {
                break;
            }
            room -= size;
            last = Some(payer);
            taken.push(pending.clone());
            turns.push_back((payer, queue));
        }
        let next = last.and_then(|last| queues.by_payer.keys().find(|it| **it > last).copied());
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
            touched.extend(queues.forget(&id));
            expired.push(id);
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
    fn fits(&self, pending: &Pending, skip: &BTreeSet<CommandId>, now: BlockTime) -> bool {
        let id = pending.id();
        pending.window().contains(now)
            && !skip.contains(&id)
            && self.postponed.get(&id).is_none_or(|until| *until <= now)
    }

    /// Removes a command from the indexes; [`Self::sweep`] then removes it from its queue.
    fn forget(&mut self, id: &CommandId) -> Option<Payer> {
        let pending = self.by_id.remove(id)?;
        self.by_leaf.remove(&pending.raw.leaf());
        self.postponed.remove(id);
        self.by_end.remove(&(pending.until, *id));
        self.bytes -= pending.raw.bytes().len();
        Some(pending.payer)
    }

    fn sweep(&mut self, payers: &BTreeSet<Payer>) {
        for payer in payers {
            let Some(queue) = self.by_payer.get_mut(payer) else { continue };
            queue.retain(|pending| self.by_id.contains_key(&pending.id()));
            if queue.is_empty() {
                self.by_payer.remove(payer);
            }
        }
    }
}
