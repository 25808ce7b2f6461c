//! The way in: commands are decoded, their signatures checked in batches, and the good ones wait for a
//! block here and at every other validator.
//!
//! ```text
//!  client ──> offer ──┐                                   ┌─> mempool ─> a block
//!                     ├─> decode ─> verify (in batches) ──┤
//!  peers  ──> channel ┘                                   └─> peers (clients' commands only)
//! ```
//!
//! A transaction comes from its client whole, and is taken in whole or not at all. To peers its parts go like other
//! commands, in as many messages as they need; each gathers them ([`crate::mempool`]). A part alone is taken from
//! peers only: nobody else would bring the others.
//!
//! Signatures are checked here, off the path of consensus: a block whose commands all came in this way
//! costs no signature check when it arrives.

use std::{collections::BTreeSet, sync::Arc};

use commonware_codec::{Copying, Decode as _, Encode as _, RangeCfg};
use commonware_p2p::{Receiver, Recipients, Sender};
use commonware_runtime::{Clock, Handle, Spawner};
use futures::{FutureExt as _, pin_mut, select_biased};
use keepwell_crypto::command::{SignatureError, Verified, verify_all};
use keepwell_ledger::{Halt, Lacks, View, accountable, state::Key};
use keepwell_types::{
    DecodeError,
    command::SignedCommand,
    id::{ChainId, CommandId, Digest, Height, Location},
    limits::{
        COMMAND_BYTES_MAX, COMMAND_WINDOW_MS_MAX, TRANSACTION_BYTES_MAX, TRANSACTION_COMMANDS_MAX,
    },
    outcome::{Outcome, Rejection},
    time::{BlockTime, Window},
};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tracing::{Instrument as _, Span};

use crate::{
    application::now,
    block::{EngineKey, RawEntry},
    core::{Core, NoOutcome},
    mempool::{Busy, Inserted, Payer, Pending},
    reader::{ReadError, Reader},
};

/// Commands that may wait for their signatures to be checked.
const OFFERS_MAX: usize = 8_192;
/// Transactions that may wait for the same: 24 MiB of them.
const TRANSACTIONS_MAX: usize = 32;
/// Signatures are checked for so many commands at once.
const BATCH_MAX: usize = 256;
/// Bytes of commands in one message to peers.
pub const FORWARD_BYTES_MAX: usize = 256 * 1024;
/// How far a command's window may begin after the newest block, in milliseconds: a client's clock is
/// not the ledger's.
const EARLY_MS_MAX: u64 = 5_000;

/// Why a command was not taken in. Nothing of it is kept; whose fault it is stands in the variant.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum Refused {
    /// The bytes are not a command.
    #[error("not a command: {0}")]
    Malformed(#[from] DecodeError),
    /// A signature is bad.
    #[error("{0}")]
    Signature(#[from] SignatureError),
    /// Made for another consortium.
    #[error(
        "the command is for consortium {given}, this is {ours}; check which genesis file the client uses"
    )]
    WrongChain {
        /// The command's.
        given: ChainId,
        /// This node's.
        ours: ChainId,
    },
    /// The window has passed.
    #[error("the command's window ended at {until} and it is {now}; sign a new command")]
    Expired {
        /// Its end.
        until: BlockTime,
        /// Block time.
        now: BlockTime,
    },
    /// The window has not begun.
    #[error("the command's window begins at {from} and it is {now}; check the client's clock")]
    NotYet {
        /// Its beginning.
        from: BlockTime,
        /// Block time.
        now: BlockTime,
    },
    /// The window is empty or too long.
    #[error("the command's window is {len_ms} ms long; it must be between 1 and {max_ms} ms")]
    Window {
        /// Its length.
        len_ms: u64,
        /// The limit.
        max_ms: u64,
    },
    /// Another command with this id was sent before.
    #[error("another command with this id was sent before; draw a new random id")]
    IdTaken,
    /// Another command has this place in the transaction.
    #[error(
        "another command was signed for the same place of the same transaction; draw a new id for the transaction and sign all of its parts again"
    )]
    PlaceTaken,
    /// A part of a transaction without the others.
    #[error("the command is a part of a transaction; send all parts together")]
    PartAlone,
    /// Commands that are no transaction, or one that no block can have.
    #[error(transparent)]
    Transaction(#[from] NoTransaction),
    /// Of a transaction, this part is refused, and so are the others.
    #[error("part {place} of the transaction, counted from 0: {why}")]
    Part {
        /// Its place.
        place: usize,
        /// Why.
        why: Box<Refused>,
    },
    /// The ledger would refuse it for who signed it.
    #[error("{0}")]
    Signer(Rejection),
    /// Too much waits.
    #[error("{0}")]
    Busy(#[from] Busy),
    /// It waited until its window had passed, or for as long as a command may.
    #[error(
        "no block took the command before its window ended, or in ten minutes; send it again, or sign a new one if the window is over"
    )]
    Missed,
    /// This node cannot answer now.
    #[error("{0}")]
    Unavailable(#[from] ReadError),
    /// The node is stopping.
    #[error("this node is stopping; send the command to another, or again in a minute")]
    Stopping,
}

impl Refused {
    fn at(place: usize, why: impl Into<Self>) -> Self {
        Self::Part { place, why: Box::new(why.into()) }
    }
}

/// Why commands are not one transaction that a block could have.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum NoTransaction {
    /// Too few commands, or too many.
    #[error("a transaction has 2 to {TRANSACTION_COMMANDS_MAX} commands and these are {given}")]
    Count {
        /// How many there are.
        given: usize,
    },
    /// More bytes than fit into a block beside others.
    #[error("the transaction has {given} bytes and may have {max}; make two of it")]
    Bytes {
        /// How many it has.
        given: usize,
        /// The limit.
        max: usize,
    },
    /// More commands than its organisation may have in a minute.
    #[error(
        "the transaction has {given} commands and its organisation may have {per_minute} in a minute; make several of it"
    )]
    Quota {
        /// How many there are.
        given: usize,
        /// The quota.
        per_minute: u32,
    },
    /// A command that is not the part that should be there.
    #[error(
        "command {place}, counted from 0, is not that part of the same transaction, of as many parts as came, signed first by the same signer; send all parts in their order"
    )]
    OutOfPlace {
        /// Where.
        place: usize,
    },
}

/// Checks that `commands` are all parts of one transaction, in their order, and that a block could have them.
fn check_transaction(commands: &[SignedCommand], per_minute: u32) -> Result<(), NoTransaction> {
    let given = commands.len();
    if !(2..=TRANSACTION_COMMANDS_MAX).contains(&given) {
        return Err(NoTransaction::Count { given });
    }
    if given > per_minute as usize {
        return Err(NoTransaction::Quota { given, per_minute });
    }
    let bytes = commands.iter().map(|it| RawEntry::signed(it).bytes().len()).sum();
    if bytes > TRANSACTION_BYTES_MAX {
        return Err(NoTransaction::Bytes { given: bytes, max: TRANSACTION_BYTES_MAX });
    }
    let of = |command: &SignedCommand| {
        let (part, signer) = (command.command.part?, command.command.signers.first()?);
        Some((part.transaction(), *signer))
    };
    let first = of(&commands[0]);
    for (place, command) in commands.iter().enumerate() {
        let part = command.command.part;
        let is_there = part
            .is_some_and(|it| usize::from(it.place()) == place && usize::from(it.parts()) == given);
        if !is_there || of(command) != first {
            return Err(NoTransaction::OutOfPlace { place });
        }
    }
    Ok(())
}

type OutcomeOf = oneshot::Receiver<Result<Outcome, NoOutcome>>;

struct Offer {
    bytes: Vec<u8>,
    /// Whoever waits for an answer; peers want none.
    client: Option<Client<Outcome>>,
}

/// A transaction that is offered.
struct Transaction {
    parts: Vec<Vec<u8>>,
    client: Client<Vec<Outcome>>,
}

/// A client that waits for an answer.
struct Client<T> {
    answer: oneshot::Sender<Result<T, Refused>>,
    /// Its request, for traces.
    request: Span,
    /// Ends when its command is taken in or refused.
    admission: Span,
}

impl<T> Client<T> {
    fn new() -> (Self, oneshot::Receiver<Result<T, Refused>>) {
        let (answer, outcome) = oneshot::channel();
        let (request, admission) = (Span::current(), tracing::info_span!("admission"));
        (Self { answer, request, admission }, outcome)
    }
}

/// Takes commands in. Cheap to clone.
#[derive(Clone)]
pub struct Admission {
    offers: mpsc::Sender<Offer>,
    transactions: mpsc::Sender<Transaction>,
}

impl Admission {
    /// Starts taking commands in, from clients through the value returned and from peers through
    /// `channel`.
    pub fn start<E, S, R>(
        runtime: E,
        core: Arc<Core>,
        reader: Arc<dyn Reader>,
        (sender, receiver): (S, R),
    ) -> (Self, Handle<()>)
    where
        E: Clock + Spawner,
        S: Sender<PublicKey = EngineKey>,
        R: Receiver<PublicKey = EngineKey>,
    {
        let (offers, clients) = mpsc::channel(OFFERS_MAX);
        let (transactions, whole) = mpsc::channel(TRANSACTIONS_MAX);
        let handle = runtime.spawn(move |runtime| {
            Worker { runtime, core, reader, sender }.run(receiver, clients, whole)
        });
        (Self { offers, transactions }, handle)
    }

    /// Offers a command and waits until it is final, or refused.
    pub async fn submit(&self, bytes: Vec<u8>) -> Result<Outcome, Refused> {
        let (client, outcome) = Client::new();
        let offer = Offer { bytes, client: Some(client) };
        self.offers.send(offer).await.map_err(|_| Refused::Stopping)?;
        outcome.await.map_err(|_| Refused::Stopping)?
    }

    /// Offers all parts of a transaction, in their order, and waits until they are final, or refused. There is an
    /// outcome for each.
    pub async fn submit_transaction(&self, parts: Vec<Vec<u8>>) -> Result<Vec<Outcome>, Refused> {
        let (client, outcomes) = Client::new();
        let offer = Transaction { parts, client };
        self.transactions.send(offer).await.map_err(|_| Refused::Stopping)?;
        outcomes.await.map_err(|_| Refused::Stopping)?
    }
}

struct Worker<E, S> {
    runtime: E,
    core: Arc<Core>,
    reader: Arc<dyn Reader>,
    sender: S,
}

impl<E, S> Worker<E, S>
where
    E: Clock + Spawner,
    S: Sender<PublicKey = EngineKey>,
{
    async fn run<R>(
        mut self,
        mut peers: R,
        mut clients: mpsc::Receiver<Offer>,
        mut transactions: mpsc::Receiver<Transaction>,
    ) where
        R: Receiver<PublicKey = EngineKey>,
    {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        loop {
            let mut whole = None;
            let forwarded = {
                let from_peers = peers.recv().fuse();
                let from_clients = clients.recv_many(&mut batch, BATCH_MAX).fuse();
                let transaction = transactions.recv().fuse();
                pin_mut!(from_peers, from_clients, transaction);
                // In this order: `select!` draws lots of its own, and a run would not follow from its seed.
                select_biased! {
                    message = from_peers => match message {
                        Ok((_, message)) => read_forwarded(message.as_ref()),
                        Err(_) => return,
                    },
                    count = from_clients => if count == 0 { return } else { Vec::new() },
                    offered = transaction => {
                        whole = offered;
                        Vec::new()
                    }
                }
            };
            fill(&mut batch, forwarded, &mut clients);
            self.admit(std::mem::take(&mut batch)).await;
            // However much comes of the others, each time one of these does.
            if let Some(it) = whole.or_else(|| transactions.try_recv().ok()) {
                self.admit_transaction(it).await;
            }
        }
    }

    /// Takes a transaction in, or refuses it; answers its client then, or when it is final.
    async fn admit_transaction(&mut self, Transaction { parts, client }: Transaction) {
        match self.place_transaction(&parts).await {
            Ok(PlacedAll::Waits { outcomes }) => {
                self.forward(parts);
                self.answer_when_all_final(outcomes, client);
            }
            Ok(PlacedAll::Final { raw, location }) => {
                let (core, reader) = (self.core.clone(), self.reader.clone());
                self.runtime.child("answer").spawn(move |_| async move {
                    let outcomes = first_outcomes(&core, &*reader, &raw, location).await;
                    reply(Some(client), outcomes);
                });
            }
            Err(refused) => reply(Some(client), Err(refused)),
        }
    }

    async fn place_transaction(&self, parts: &[Vec<u8>]) -> Result<PlacedAll, Refused> {
        if parts.len() > TRANSACTION_COMMANDS_MAX {
            return Err(NoTransaction::Count { given: parts.len() }.into());
        }
        let commands: Vec<_> = parts
            .iter()
            .enumerate()
            .map(|(at, bytes)| SignedCommand::decode(bytes).map_err(|why| Refused::at(at, why)))
            .collect::<Result<_, _>>()?;
        check_transaction(&commands, self.core.genesis.parameters.commands_per_minute_max)?;
        let verified = verify_all(commands);
        let payers = self.payers(&verified).await;
        let verified: Vec<_> = verified
            .into_iter()
            .enumerate()
            .map(|(at, it)| it.map_err(|why| Refused::at(at, why)))
            .collect::<Result<_, _>>()?;
        let ids: Vec<_> = verified.iter().map(|it| it.command().id).collect();
        // Whoever waits is noted first: the outcomes may come before the next line is done.
        let outcomes: Vec<_> = ids.iter().map(|id| self.core.wait_for(*id)).collect();
        let Some(placed) = self.place_all(verified, payers).transpose() else {
            return Ok(PlacedAll::Waits { outcomes });
        };
        drop(outcomes);
        ids.into_iter().for_each(|id| self.core.forget_waiters(id));
        placed.map(|(raw, location)| PlacedAll::Final { raw, location })
    }

    /// Has all parts of a transaction wait, or none; where they are, if they were final already.
    fn place_all(
        &self,
        parts: Vec<Verified>,
        payers: Vec<Result<Payer, Refused>>,
    ) -> Result<Option<(Vec<RawEntry>, Location)>, Refused> {
        let place_of = |part: &Verified| {
            self.core.index.command(part.command().id).map_err(|_| ReadError::Storage)
        };
        // What is final has its outcomes, whoever may act by now.
        if let Some(location) = parts.first().map_or(Ok(None), place_of)? {
            let raw = parts.iter().map(|it| RawEntry::signed(it.signed())).collect();
            return Ok(Some((raw, location)));
        }
        let mut pending = Vec::with_capacity(parts.len());
        for (at, (part, payer)) in parts.into_iter().zip(payers).enumerate() {
            if place_of(&part)?.is_some() {
                return Err(Refused::at(at, Refused::IdTaken));
            }
            pending.push(self.pending(part, payer).map_err(|why| Refused::at(at, why))?);
        }
        match self.core.mempool.insert_transaction(pending)? {
            Inserted::New | Inserted::Known => Ok(None),
            Inserted::IdTaken => Err(Refused::IdTaken),
            Inserted::PlaceTaken => Err(Refused::PlaceTaken),
        }
    }

    /// A command that may wait for a block, as far as can be said without the state.
    fn pending(
        &self,
        verified: Verified,
        payer: Result<Payer, Refused>,
    ) -> Result<Pending, Refused> {
        self.check_chain(&verified)?;
        let (payer, window) = (payer?, verified.command().window);
        self.check_window(window, verified.command().payload.window_ms_max())?;
        let raw = RawEntry::signed(verified.signed());
        Ok(Pending { verified, raw, payer, until: self.until(window) })
    }

    fn answer_when_all_final(&self, outcomes: Vec<OutcomeOf>, client: Client<Vec<Outcome>>) {
        let Client { answer, request, admission } = client;
        drop(admission);
        let waiting = tracing::info_span!(parent: &request, "wait for block");
        self.runtime.child("answer").spawn(move |_| async move {
            let all = async {
                let mut all = Vec::with_capacity(outcomes.len());
                for outcome in outcomes {
                    all.push(known(outcome.await)?);
                }
                Ok(all)
            };
            // A client that hung up needs no answer.
            let _ = answer.send(all.instrument(waiting).await);
        });
    }

    /// Takes a batch in; answers each client when its command is refused or final.
    async fn admit(&mut self, offers: Vec<Offer>) {
        let mut clients = Vec::with_capacity(offers.len());
        let mut commands = Vec::with_capacity(offers.len());
        for offer in offers {
            match SignedCommand::decode(&offer.bytes) {
                Ok(command) => {
                    commands.push(command);
                    clients.push((offer.bytes, offer.client));
                }
                Err(error) => reply(offer.client, Err(error.into())),
            }
        }
        let verified = verify_all(commands);
        let payers = self.payers(&verified).await;
        let mut forward = Vec::new();
        for ((verified, payer), (bytes, client)) in verified.into_iter().zip(payers).zip(clients) {
            let admitted = match verified {
                Ok(verified) => self.place(verified, payer, client.is_some()),
                Err(error) => Err(error.into()),
            };
            match (admitted, client) {
                (Ok(Placed::Waits { outcome }), Some(client)) => {
                    forward.push(bytes);
                    self.answer_when_final(outcome, client);
                }
                (Ok(Placed::Final { raw, location }), Some(client)) => {
                    self.answer_again(raw, location, client);
                }
                // Peers want no answer.
                (Ok(Placed::Waits { .. } | Placed::Final { .. }), None) => {}
                (Err(error), client) => reply(client, Err(error)),
            }
        }
        self.forward(forward);
    }

    /// Who answers for each command, as the state has it now: whoever has not signed
    /// with the signer's key, or may not act, is refused before anything is kept.
    async fn payers(
        &self,
        commands: &[Result<Verified, SignatureError>],
    ) -> Vec<Result<Payer, Refused>> {
        let (mut view, now) = (View::new(), self.core.tip().time());
        loop {
            // Each command asks for its signer first, and then for the signer's organisation.
            let keys: BTreeSet<Key> = commands
                .iter()
                .flatten()
                .filter_map(|command| match accountable(&view, now, command) {
                    Err(Halt::Lacks(Lacks(key))) => Some(key),
                    Err(Halt::Rejected(_)) | Ok(_) => None,
                })
                .collect();
            if keys.is_empty() {
                break;
            }
            let keys: Vec<Key> = keys.into_iter().collect();
            match self.reader.state(&keys).await {
                Ok(values) => {
                    keys.into_iter().zip(values).for_each(|(key, value)| view.load(key, value));
                }
                Err(error) => return vec![Err(error.into()); commands.len()],
            }
        }
        commands
            .iter()
            .map(|command| match command {
                Ok(command) => accountable(&view, now, command).map_err(|halt| match halt {
                    Halt::Rejected(rejection) => Refused::Signer(rejection),
                    Halt::Lacks(_) => Refused::Signer(Rejection::WrongSigners),
                }),
                // Its signature is bad, which is what its sender is told.
                Err(_) => Err(Refused::Signer(Rejection::WrongSigners)),
            })
            .collect()
    }

    /// Nobody is a member before the founding entries are executed, nor of another consortium.
    fn check_chain(&self, verified: &Verified) -> Result<(), Refused> {
        if self.core.tip().height() == Height(0) {
            return Err(ReadError::NotHere.into());
        }
        let (given, ours) = (verified.command().chain, self.core.chain);
        if given != ours {
            return Err(Refused::WrongChain { given, ours });
        }
        Ok(())
    }

    /// A window of hours is for an upload, which is over. Whatever keeps a command out of blocks for as long as any
    /// other one may wait keeps others of its payer out of the pool.
    fn until(&self, window: Window) -> BlockTime {
        window.until.min(self.now().plus_ms(COMMAND_WINDOW_MS_MAX))
    }

    fn place(
        &self,
        verified: Verified,
        payer: Result<Payer, Refused>,
        from_client: bool,
    ) -> Result<Placed, Refused> {
        self.check_chain(&verified)?;
        let payer = payer?;
        let command = verified.command();
        let (id, window) = (command.id, command.window);
        let window_ms_max = command.payload.window_ms_max();
        let alone = from_client && command.part.is_some();
        let raw = RawEntry::signed(verified.signed());
        // Whoever waits is noted first: the outcome may come before the next line is done.
        let outcome = self.core.wait_for(id);
        // A command that was sent before is answered with what became of it, even after its window.
        match self.core.index.command(id) {
            Ok(None) => {}
            Ok(Some(location)) => {
                self.no_wait(id, outcome);
                return Ok(Placed::Final { raw, location });
            }
            Err(_) => {
                self.no_wait(id, outcome);
                return Err(ReadError::Storage.into());
            }
        }
        let pending = Pending { verified, raw, payer, until: self.until(window) };
        let insert = || match self.core.mempool.insert(pending)? {
            Inserted::New | Inserted::Known => Ok(()),
            Inserted::IdTaken => Err(Refused::IdTaken),
            Inserted::PlaceTaken => Err(Refused::PlaceTaken),
        };
        let may_wait = if alone { Err(Refused::PartAlone) } else { Ok(()) };
        let placed = may_wait
            .and_then(|()| self.check_window(window, window_ms_max))
            .and_then(|()| insert());
        match placed {
            Ok(()) => Ok(Placed::Waits { outcome }),
            Err(refused) => {
                self.no_wait(id, outcome);
                Err(refused)
            }
        }
    }

    fn no_wait(&self, id: CommandId, outcome: OutcomeOf) {
        drop(outcome);
        self.core.forget_waiters(id);
    }

    /// The chain's time lags the clock by up to a heartbeat, and after an outage by more.
    fn now(&self) -> BlockTime {
        self.core.tip().time().max(now(&self.runtime))
    }

    fn check_window(&self, window: Window, max_ms: u64) -> Result<(), Refused> {
        let len_ms = window.len_ms();
        if len_ms == 0 || len_ms > max_ms {
            return Err(Refused::Window { len_ms, max_ms });
        }
        let now = self.now();
        if window.until <= now {
            return Err(Refused::Expired { until: window.until, now });
        }
        if window.from > now.plus_ms(EARLY_MS_MAX) {
            return Err(Refused::NotYet { from: window.from, now });
        }
        Ok(())
    }

    fn answer_when_final(&self, outcome: OutcomeOf, client: Client<Outcome>) {
        let Client { answer, request, admission } = client;
        drop(admission);
        let waiting = tracing::info_span!(parent: &request, "wait for block");
        self.runtime.child("answer").spawn(move |_| async move {
            // A client that hung up needs no answer.
            let _ = answer.send(known(outcome.instrument(waiting).await));
        });
    }

    /// Answers with what became of a command that was final already; not on the way of others, since
    /// it reads a block.
    fn answer_again(&self, raw: RawEntry, location: Location, client: Client<Outcome>) {
        let (core, reader) = (self.core.clone(), self.reader.clone());
        self.runtime.child("answer").spawn(move |_| async move {
            reply(Some(client), first_outcome(&core, &*reader, &raw, location).await);
        });
    }

    /// Sends commands to all other validators, as many as fit in each message.
    fn forward(&mut self, commands: Vec<Vec<u8>>) {
        let mut message: Vec<Vec<u8>> = Vec::new();
        let mut size = 0;
        for bytes in commands {
            let full = size + bytes.len() > FORWARD_BYTES_MAX - 4_096;
            if full || message.len() == BATCH_MAX {
                self.send(std::mem::take(&mut message));
                size = 0;
            }
            size += bytes.len() + 8;
            message.push(bytes);
        }
        if !message.is_empty() {
            self.send(message);
        }
    }

    fn send(&mut self, commands: Vec<Vec<u8>>) {
        // A peer that misses it hears of the command when a leader that has it proposes.
        let _ = self.sender.send(Recipients::All, commands.encode(), false);
    }
}

/// Adds what a peer forwarded to a batch, and what clients have offered meanwhile: as many as if no peer had sent
/// anything, however much it sent.
fn fill(batch: &mut Vec<Offer>, forwarded: Vec<Vec<u8>>, clients: &mut mpsc::Receiver<Offer>) {
    let max = BATCH_MAX + forwarded.len();
    batch.extend(forwarded.into_iter().map(|bytes| Offer { bytes, client: None }));
    while batch.len() < max
        && let Ok(offer) = clients.try_recv()
    {
        batch.push(offer);
    }
}

enum Placed {
    /// It waits for a block.
    Waits { outcome: OutcomeOf },
    /// It, or another with its id, was final already.
    Final { raw: RawEntry, location: Location },
}

enum PlacedAll {
    /// All parts wait for a block.
    Waits { outcomes: Vec<OutcomeOf> },
    /// The first one, or another with its id, was final already.
    Final { raw: Vec<RawEntry>, location: Location },
}

/// What whoever waited for an outcome is told.
fn known(
    outcome: Result<Result<Outcome, NoOutcome>, oneshot::error::RecvError>,
) -> Result<Outcome, Refused> {
    match outcome {
        Ok(Ok(outcome)) => Ok(outcome),
        Ok(Err(NoOutcome::Expired)) => Err(Refused::Missed),
        Err(_) => Err(Refused::Stopping),
    }
}

/// What became of the command at `location`, if `raw` is that command.
async fn first_outcome(
    core: &Core,
    reader: &dyn Reader,
    raw: &RawEntry,
    location: Location,
) -> Result<Outcome, Refused> {
    let mut outcomes = first_outcomes(core, reader, std::slice::from_ref(raw), location).await?;
    Ok(outcomes.pop().ok_or(ReadError::Storage)?)
}

/// What became of the commands from `location` on, if `raw` are those.
async fn first_outcomes(
    core: &Core,
    reader: &dyn Reader,
    raw: &[RawEntry],
    location: Location,
) -> Result<Vec<Outcome>, Refused> {
    let from = location.index as usize;
    let block = reader.block(location.height).await?;
    let first = block.entries().get(from..).ok_or(ReadError::Storage)?;
    let leaves = |entries: &[RawEntry]| -> Vec<Digest> {
        entries.iter().take(raw.len()).map(RawEntry::leaf).collect()
    };
    if leaves(first) != leaves(raw) {
        return Err(Refused::IdTaken);
    }
    let line = core.index.block(location.height).map_err(|_| ReadError::Storage)?;
    let outcomes = line.ok_or(ReadError::NotHere)?.outcomes.into_vec();
    Ok(outcomes.into_iter().skip(from).take(raw.len()).collect())
}

fn reply<T>(client: Option<Client<T>>, outcome: Result<T, Refused>) {
    if let Some(client) = client {
        // A client that hung up needs no answer.
        let _ = client.answer.send(outcome);
    }
}

/// The commands in a peer's message; a message that is not one has none.
pub fn read_forwarded(message: &[u8]) -> Vec<Vec<u8>> {
    let config = (RangeCfg::new(0..=BATCH_MAX), (RangeCfg::new(0..=COMMAND_BYTES_MAX), ()));
    Vec::<Vec<u8>>::decode_cfg(Copying(message), &config).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(clients: usize) -> mpsc::Receiver<Offer> {
        let (sender, receiver) = mpsc::channel(OFFERS_MAX);
        for _ in 0..clients {
            let (answer, _) = oneshot::channel();
            let (request, admission) = (Span::none(), Span::none());
            let client = Some(Client { answer, request, admission });
            assert!(sender.try_send(Offer { bytes: vec![], client }).is_ok());
        }
        receiver
    }

    /// A peer that never stops sending full messages takes no client's place.
    #[test]
    fn what_peers_send_keeps_no_client_waiting() {
        for (forwarded, clients) in [(0, 3), (1, 3), (BATCH_MAX, 3), (BATCH_MAX, BATCH_MAX + 1)] {
            let mut batch = Vec::new();
            fill(&mut batch, vec![vec![]; forwarded], &mut offered(clients));
            let taken = batch.iter().filter(|it| it.client.is_some()).count();
            assert_eq!(taken, clients.min(BATCH_MAX), "{forwarded} forwarded, {clients} offered");
        }
    }
}
