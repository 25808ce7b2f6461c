//! Asking nodes, and checking what they answer.
//!
//! A question goes to the first node; to the next one if that cannot answer now or is late. An answer
//! that does not hold ends the matter with an error that names the node: whoever lies is not asked
//! around.
//!
//! # Invariants
//!
//! * What is returned was proven, in this consortium, and is not older than what was returned before.
//! * Who validates is known from the genesis file and from hand-overs that lead on from it; what was followed is never
//!   gone back from.
//! * A command goes to one node after the other until one has its receipt. Sent twice it is decided once.
//!
//! Not here: what to ask for. The modules of [`crate::author`], [`crate::open`] and the others do that.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use getrandom::SysRng;
use keepwell_crypto::command::{command_digest, sign};
use keepwell_ledger::state::{Chart, Grant, Key, Member, Organisation, Value};
use keepwell_merkle::{
    handover::Handover,
    receipt::{Receipt, VerifiedHeader, VerifiedReceipt},
};
use keepwell_types::{
    command::{COMMAND_VERSION, Command, Entry, Part, Payload, SignedCommand},
    encoding::{List, encode},
    id::{
        ChartId, CommandDigest, CommandId, GrantId, Location, LogPosition, MemberId,
        OrganisationId, TransactionId,
    },
    limits::{
        COMMAND_BYTES_MAX, HANDOVER_BYTES_MAX, HANDOVERS_PAGE_MAX, RECEIPT_BYTES_MAX,
        STATE_VALUE_BYTES_MAX, TRANSACTION_BYTES_MAX,
    },
    outcome::{Outcome, Rejection, Verdict},
    time::{BlockTime, Window},
    validators::epoch_of,
    wire::{
        LOG_PAGE_MAX, LogEntry, LogPage, OPENED_PAGE_MAX, ORGANISATION_UPLOADS_MAX, OpenedPage,
        PlacedReceipt, StateProof, TRANSACTION_RECEIPTS_BYTES_MAX, TransactionParts,
        TransactionReceipts,
    },
};
use minicbor::{Decode, Encode};
use rand_core::{Rng as _, UnwrapErr};
use reqwest::Method;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::sleep,
};

use crate::{
    Consortium,
    emergency::TrusteeEndpoint,
    error::{ClientError, LedgerError, UsageError},
    identity::{Actor, FileError, FileProblem, read_handovers, save_handovers},
    node::{Ask, Endpoint, Nodes},
    verify::{
        Checker, LogFault, LogLine, LogMark, LogWalk, ProofFault, Proven, TipSeen, VerifiedLog,
    },
};

/// How far back an ordinary command's window begins: clocks differ.
const WINDOW_BACK_MS: u64 = 60_000;
/// How long an ordinary command may wait for a block.
const WINDOW_AHEAD_MS: u64 = 120_000;
/// How long a node may take until a command is final.
const DECISION: Duration = Duration::from_secs(60);
/// How often late nodes are asked again.
const ROUNDS: usize = 6;
/// How long between.
const PAUSE: Duration = Duration::from_millis(400);
/// Entries in which a command that was just decided is looked for first.
const POSITION_LINES: u64 = 32;
/// Single positions at which a reader from elsewhere looks for its own entry.
const POSITIONS_TRIED: usize = 64;
/// Bytes of one page of hand-overs.
const HANDOVER_PAGE_BYTES_MAX: usize = HANDOVERS_PAGE_MAX * HANDOVER_BYTES_MAX + 64;
/// Bytes of a proof of the state.
const STATE_PROOF_BYTES_MAX: usize = RECEIPT_BYTES_MAX + 3 * STATE_VALUE_BYTES_MAX + 64;
/// Bytes of one entry of a log, with its outcome.
pub(crate) const LOG_ENTRY_BYTES_MAX: usize = COMMAND_BYTES_MAX + 1_024;
/// Bytes of one page of a log.
const LOG_PAGE_BYTES_MAX: usize = STATE_PROOF_BYTES_MAX + LOG_PAGE_MAX * LOG_ENTRY_BYTES_MAX;
/// Bytes of one page of the records that an access asks for.
const OPENED_PAGE_BYTES_MAX: usize = OPENED_PAGE_MAX * (RECEIPT_BYTES_MAX + 16) + 64;

/// The clock of this computer.
pub(crate) fn now() -> BlockTime {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    BlockTime(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
}

/// The system's generator. It panics if the system has no randomness, for which there is no remedy.
pub(crate) const fn rng() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

/// A random identifier.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rng().fill_bytes(&mut bytes);
    bytes
}

/// A command's id and window, before its payload is known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Draft {
    /// Random.
    pub id: CommandId,
    /// When it may be decided.
    pub window: Window,
}

impl Draft {
    /// For a command that is sent at once.
    pub fn now() -> Self {
        let now = now();
        let from = BlockTime(now.0.saturating_sub(WINDOW_BACK_MS));
        let window = Window { from, until: now.plus_ms(WINDOW_AHEAD_MS) };
        Self { id: CommandId(random()), window }
    }
}

/// A command that was decided, and the proof of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Decided {
    receipt: Receipt,
    verified: VerifiedReceipt,
}

impl Decided {
    /// The receipt: a file that proves it to anyone.
    pub const fn receipt(&self) -> &Receipt {
        &self.receipt
    }

    /// The proven entry and outcome.
    pub const fn verified(&self) -> &VerifiedReceipt {
        &self.verified
    }

    /// What was decided.
    pub const fn outcome(&self) -> &Outcome {
        self.verified.outcome()
    }

    /// The command's digest.
    pub const fn command(&self) -> CommandDigest {
        self.outcome().command
    }

    /// Itself if it was accepted, else why not.
    pub fn accepted(self) -> Result<Self, LedgerError> {
        let Outcome { location: at, verdict, .. } = self.outcome();
        match verdict {
            Verdict::Accepted => Ok(self),
            Verdict::Rejected(rejection) => {
                Err(LedgerError::Rejected { rejection: rejection.clone(), at: *at })
            }
        }
    }
}

/// A transaction that was decided, and the proof of it: see [`Client::submit_transaction`].
#[derive(Clone, Debug)]
pub struct DecidedTransaction {
    first: Decided,
    /// The part for whose sake all were refused, where that is another one.
    refused: Option<(usize, Decided)>,
    parts: Vec<CommandDigest>,
}

impl DecidedTransaction {
    /// The first part, whose receipt proves what became of all of them.
    pub const fn first(&self) -> &Decided {
        &self.first
    }

    /// The digests of all parts, in order.
    pub fn parts(&self) -> &[CommandDigest] {
        &self.parts
    }

    /// Where the part at `place` stands: the parts stand next to each other. [`Client::receipt`] brings its receipt.
    pub fn location(&self, place: usize) -> Location {
        let Location { height, index } = self.first.outcome().location;
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        Location { height, index: index.saturating_add(place) }
    }

    /// Which part was refused first, and its decision; nothing, if all were accepted.
    pub fn refused(&self) -> Option<(usize, &Decided)> {
        match &self.refused {
            Some((place, decided)) => Some((*place, decided)),
            None if self.first.outcome().verdict.is_accepted() => None,
            None => Some((0, &self.first)),
        }
    }

    /// Itself if all parts were accepted, else why the one was not that was refused first.
    pub fn accepted(self) -> Result<Self, LedgerError> {
        let Some((place, decided)) = self.refused() else { return Ok(self) };
        let Outcome { location: at, verdict, .. } = decided.outcome();
        match verdict {
            Verdict::Accepted => Ok(self),
            Verdict::Rejected(rejection) => {
                Err(LedgerError::RejectedPart { place, rejection: rejection.clone(), at: *at })
            }
        }
    }
}

/// Asks the nodes of one consortium.
#[derive(Debug)]
pub struct Client {
    consortium: Arc<Consortium>,
    in_force: Mutex<Arc<Consortium>>,
    /// Where the hand-overs that were followed are kept.
    followed: Option<PathBuf>,
    /// The epoch up to which hand-overs were asked for.
    asked_epoch: AtomicU64,
    nodes: Nodes,
    trustees: Vec<TrusteeEndpoint>,
    seen: Mutex<Option<TipSeen>>,
    /// So many of the uploads of everyone who shares this client run at one time, and others wait.
    uploads: Semaphore,
}

impl Client {
    /// A client that has seen the ledger up to `seen`, as a wallet remembers it.
    pub fn new(
        consortium: Arc<Consortium>,
        endpoints: Vec<Endpoint>,
        seen: Option<TipSeen>,
    ) -> Result<Self, UsageError> {
        let nodes = Nodes::new(consortium.chain(), endpoints)?;
        if let Some(seen) = seen {
            nodes.note_seen(seen.height);
        }
        let in_force = Mutex::new(consortium.clone());
        let (asked_epoch, seen) = (AtomicU64::new(0), Mutex::new(seen));
        let (followed, trustees) = (None, Vec::new());
        let uploads = Semaphore::new(ORGANISATION_UPLOADS_MAX);
        Ok(Self { consortium, in_force, followed, asked_epoch, nodes, trustees, seen, uploads })
    }

    /// The same client, which goes on from the hand-overs in this file, and keeps there those that it follows.
    pub fn remembering(mut self, file: PathBuf) -> Result<Self, ClientError> {
        let handovers = read_handovers(&file)?;
        let damaged = |_| FileError { path: file.clone(), problem: FileProblem::Damaged };
        let followed = self.in_force().followed(&handovers).map_err(damaged)?;
        self.in_force = Mutex::new(Arc::new(followed));
        self.followed = Some(file);
        Ok(self)
    }

    /// The same client, which finds trustees here.
    pub fn with_trustees(mut self, trustees: Vec<TrusteeEndpoint>) -> Result<Self, UsageError> {
        trustees.iter().try_for_each(|it| self.nodes.link_to(&it.url))?;
        self.trustees = trustees;
        Ok(self)
    }

    /// Where trustees are reached.
    pub fn trustees(&self) -> &[TrusteeEndpoint] {
        &self.trustees
    }

    /// The consortium, as it was when this client began: what never changes, and whom it knew to validate then.
    pub fn consortium(&self) -> &Consortium {
        &self.consortium
    }

    /// The consortium, with those who validate now as far as this client has followed.
    pub fn in_force(&self) -> Arc<Consortium> {
        self.in_force.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A place for an upload, as soon as a custodian would take one more from this organisation.
    pub(crate) async fn upload_place(&self) -> SemaphorePermit<'_> {
        self.uploads.acquire().await.expect("the semaphore is never closed")
    }

    /// The nodes.
    pub const fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    /// The newest block that was seen: what a wallet remembers.
    pub fn seen(&self) -> Option<TipSeen> {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn note(&self, header: &VerifiedHeader) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = Some(TipSeen::of(header).later(*seen));
        self.nodes.note_seen(header.header().height);
    }

    pub(crate) fn checker<'a>(&self, consortium: &'a Consortium) -> Checker<'a> {
        Checker { validators: consortium.validators(), seen: self.seen(), now: now() }
    }

    /// The newest block.
    pub async fn tip(&self) -> Result<VerifiedHeader, ClientError> {
        let ask = Ask::get("/v1/tip".to_owned(), None, RECEIPT_BYTES_MAX);
        let header = self.ask(&ask, |bytes| self.checker(&self.in_force()).tip(bytes)).await?;
        self.note(&header);
        Ok(header)
    }

    /// A value of the newest state, as a node proves it at `target`.
    pub(crate) async fn state(
        &self,
        actor: &Actor,
        key: Key,
        target: String,
    ) -> Result<Proven, ClientError> {
        Ok(self.state_proof(actor, key, target).await?.1)
    }

    /// [`Self::state`], with the proof itself: for whoever has to be convinced too.
    pub(crate) async fn state_proof(
        &self,
        actor: &Actor,
        key: Key,
        target: String,
    ) -> Result<(StateProof, Proven), ClientError> {
        let ask = Ask::get(target, Some(actor), STATE_PROOF_BYTES_MAX);
        let check = |bytes: &[u8]| {
            let proof: StateProof = decode(bytes, STATE_PROOF_BYTES_MAX)?;
            let proven = self.checker(&self.in_force()).state(&key, &proof)?;
            Ok((proof, proven))
        };
        let (proof, proven) = self.ask(&ask, check).await?;
        self.note(proven.header());
        Ok((proof, proven))
    }

    /// A chart.
    pub async fn chart(&self, actor: &Actor, chart: ChartId) -> Result<Chart, ClientError> {
        let target = format!("/v1/charts/{chart}");
        let proven = self.state(actor, Key::Chart(chart), target).await?;
        match proven.into_value() {
            Some(Value::Chart(entry)) => Ok(entry),
            _ => Err(UsageError::NoSuchChart(chart).into()),
        }
    }

    /// A member.
    pub async fn member(&self, actor: &Actor, member: MemberId) -> Result<Member, ClientError> {
        let target = format!("/v1/members/{member}");
        let proven = self.state(actor, Key::Member(member), target).await?;
        match proven.into_value() {
            Some(Value::Member(entry)) => Ok(entry),
            _ => Err(UsageError::NoSuchMember(member).into()),
        }
    }

    /// An organisation.
    pub async fn organisation(
        &self,
        actor: &Actor,
        organisation: OrganisationId,
    ) -> Result<Organisation, ClientError> {
        let target = format!("/v1/organisations/{organisation}");
        let proven = self.state(actor, Key::Organisation(organisation), target).await?;
        match proven.into_value() {
            Some(Value::Organisation(entry)) => Ok(entry),
            _ => Err(UsageError::NoSuchOrganisation(organisation).into()),
        }
    }

    /// A grant as it stands now.
    pub async fn grant(
        &self,
        actor: &Actor,
        chart: ChartId,
        grant: GrantId,
    ) -> Result<Grant, ClientError> {
        let target = format!("/v1/charts/{chart}/grants/{grant}");
        let proven = self.state(actor, Key::Grant(chart, grant), target).await?;
        match proven.into_value() {
            Some(Value::Grant(entry)) => Ok(entry),
            _ => Err(UsageError::NoSuchGrant(grant).into()),
        }
    }

    /// Signs a command, sends it and waits until it is decided, one way or the other.
    pub async fn submit(
        &self,
        signers: &[&Actor],
        draft: Draft,
        payload: Payload,
    ) -> Result<Decided, ClientError> {
        let signed = self.sign(signers, draft, payload, None)?;
        let body = signed.encode();
        let mut ask =
            Ask::with_body(Method::POST, "/v1/commands".to_owned(), None, body, RECEIPT_BYTES_MAX);
        ask.patience = DECISION;
        let decided = self.ask(&ask, |bytes| self.decided(bytes, &signed)).await?;
        self.note(decided.verified.header());
        Ok(decided)
    }

    fn sign(
        &self,
        signers: &[&Actor],
        draft: Draft,
        payload: Payload,
        part: Option<Part>,
    ) -> Result<SignedCommand, UsageError> {
        let parties = signers.iter().map(|actor| actor.party()).collect();
        let command = Command {
            version: COMMAND_VERSION,
            chain: self.consortium.chain(),
            id: draft.id,
            window: draft.window,
            signers: List::from_vec(parties).map_err(|_| UsageError::TooManySigners)?,
            payload,
            part,
        };
        let keys: Vec<_> = signers.iter().map(|actor| actor.key()).collect();
        Ok(sign(command, &keys))
    }

    /// A receipt, if it is of this very command.
    fn decided(&self, bytes: &[u8], signed: &SignedCommand) -> Result<Decided, ProofFault> {
        let receipt = Receipt::decode(bytes)?;
        let verified = receipt.clone().verify_by(self.in_force().validators())?;
        let is_it = matches!(verified.entry(), Entry::Signed(it) if it == signed);
        if !is_it || verified.outcome().command != command_digest(&signed.command) {
            return Err(ProofFault::OtherCommand);
        }
        Ok(Decided { receipt, verified })
    }

    /// Signs commands as one transaction, sends it and waits until it is decided: all of them took effect, or none.
    ///
    /// # What proves it
    ///
    /// The receipt of the first part proves that that command was accepted. The command says of how many parts it is the
    /// first, and by the rules of the ledger, which whoever certified the block has followed, a block has all parts of a
    /// transaction, by the same first signer, and none is accepted unless all are. Which commands those are nobody but
    /// the signer could say, and `actor` signs one for each place of a new random transaction. So the one receipt is as
    /// good as all of them.
    ///
    /// A command alone is sent as such, and is all of it.
    pub async fn submit_transaction(
        &self,
        actor: &Actor,
        commands: Vec<(Draft, Payload)>,
    ) -> Result<DecidedTransaction, ClientError> {
        let commands = match <[_; 1]>::try_from(commands) {
            Ok([(draft, payload)]) => {
                let first = self.submit(&[actor], draft, payload).await?;
                return Ok(DecidedTransaction {
                    parts: vec![first.command()],
                    first,
                    refused: None,
                });
            }
            Err(commands) => commands,
        };
        let signed = self.sign_parts(actor, commands)?;
        let target = "/v1/transactions".to_owned();
        let (body, max) = (encode(&signed), TRANSACTION_RECEIPTS_BYTES_MAX);
        let mut ask = Ask::with_body(Method::POST, target, Some(actor), body, max);
        ask.patience = DECISION;
        let decided = self.ask(&ask, |bytes| self.decided_transaction(bytes, &signed)).await?;
        self.note(decided.first.verified.header());
        Ok(decided)
    }

    /// Signs commands as the parts of a new transaction.
    fn sign_parts(
        &self,
        actor: &Actor,
        commands: Vec<(Draft, Payload)>,
    ) -> Result<TransactionParts, UsageError> {
        let (transaction, given) = (TransactionId(random()), commands.len());
        let wrong_count = || UsageError::TransactionCommands { given };
        if commands.is_empty() {
            return Err(wrong_count());
        }
        let parts = u16::try_from(given).map_err(|_| wrong_count())?;
        let mut signed = Vec::with_capacity(given);
        for ((draft, payload), place) in commands.into_iter().zip(0..) {
            let part = Part::new(transaction, place, parts).map_err(|_| wrong_count())?;
            signed.push(self.sign(&[actor], draft, payload, Some(part))?);
        }
        // A block carries an entry for each, which says beside the command that it is one.
        let entries = signed.iter().map(|it| encode(&Entry::Signed(it.clone())).len());
        let bytes = entries.sum();
        if bytes > TRANSACTION_BYTES_MAX {
            return Err(UsageError::TransactionBytes { given: bytes });
        }
        List::from_vec(signed).map_err(|_| wrong_count())
    }

    /// What became of a transaction, if these receipts prove it.
    fn decided_transaction(
        &self,
        bytes: &[u8],
        signed: &TransactionParts,
    ) -> Result<DecidedTransaction, ProofFault> {
        let receipts: TransactionReceipts = decode(bytes, TRANSACTION_RECEIPTS_BYTES_MAX)?;
        let at = |place: usize| signed.get(place).ok_or(ProofFault::OtherCommand);
        let first = self.decided(&receipts.first, at(0)?)?;
        let refused = match (&first.outcome().verdict, receipts.refused) {
            (Verdict::Rejected(Rejection::Transaction { place }), Some(receipt)) => {
                let place = usize::from(*place);
                let refused = self.decided(&receipt, at(place)?)?;
                match &refused.outcome().verdict {
                    Verdict::Accepted | Verdict::Rejected(Rejection::Transaction { .. }) => {
                        return Err(ProofFault::OtherCommand);
                    }
                    Verdict::Rejected(_) => Some((place, refused)),
                }
            }
            (Verdict::Rejected(Rejection::Transaction { .. }), None) => {
                return Err(ProofFault::OtherCommand);
            }
            (Verdict::Accepted | Verdict::Rejected(_), _) => None,
        };
        let parts = signed.iter().map(|it| command_digest(&it.command)).collect();
        Ok(DecidedTransaction { first, refused, parts })
    }

    /// [`Self::submit`] now, for one signer; refused commands are errors.
    pub async fn command(&self, signer: &Actor, payload: Payload) -> Result<Decided, ClientError> {
        Ok(self.submit(&[signer], Draft::now(), payload).await?.accepted()?)
    }

    /// The receipt of an entry.
    pub async fn receipt(&self, actor: &Actor, at: Location) -> Result<Decided, ClientError> {
        let target = format!("/v1/receipts/{}/{}", at.height, at.index);
        let ask = Ask::get(target, Some(actor), RECEIPT_BYTES_MAX);
        let check = |bytes: &[u8]| {
            let receipt = Receipt::decode(bytes)?;
            let verified = receipt.clone().verify_by(self.in_force().validators())?;
            if verified.outcome().location != at {
                return Err(ProofFault::OtherCommand);
            }
            Ok(Decided { receipt, verified })
        };
        self.ask(&ask, check).await
    }

    /// A receipt with the hand-overs that someone needs who has only the genesis file: as it is given to others.
    #[must_use]
    pub fn portable(&self, receipt: &Receipt) -> Receipt {
        let in_force = self.in_force();
        let epoch = receipt.certified.certificate.epoch;
        let needed = in_force.handovers().iter().take_while(|it| it.set.since <= epoch);
        let needed: Vec<_> = needed.cloned().collect();
        // More than fit are left out: whoever checks it then needs them from elsewhere.
        let handovers = List::from_vec(needed).ok().filter(|it| !it.is_empty());
        Receipt { handovers, ..receipt.clone() }
    }

    /// Every entry of a chart's log after `mark`.
    pub async fn log_after(
        &self,
        actor: &Actor,
        chart: ChartId,
        mark: LogMark,
    ) -> Result<VerifiedLog, ClientError> {
        self.walk(actor, chart, LogWalk::from_mark(chart, mark)).await
    }

    /// Every entry of a chart's log, which must still begin as it was `known`.
    pub async fn log(
        &self,
        actor: &Actor,
        chart: ChartId,
        known: LogMark,
    ) -> Result<VerifiedLog, ClientError> {
        self.walk(actor, chart, LogWalk::whole(chart, known)).await
    }

    /// The last entries of a chart's log: at least `lines`, or all.
    pub async fn log_tail(
        &self,
        actor: &Actor,
        chart: ChartId,
        lines: u64,
    ) -> Result<VerifiedLog, ClientError> {
        let count = self.log_count(actor, chart).await?;
        let from = LogPosition(count.0.saturating_sub(lines));
        self.walk(actor, chart, LogWalk::from_middle(chart, from)).await
    }

    /// How many entries a chart's log has, for those who may read it.
    pub async fn log_count(
        &self,
        actor: &Actor,
        chart: ChartId,
    ) -> Result<LogPosition, ClientError> {
        let ask = page(actor, chart, LogPosition(0), 1);
        let check = |bytes: &[u8]| {
            let page: LogPage = decode(bytes, LOG_PAGE_BYTES_MAX)?;
            match self
                .checker(&self.in_force())
                .state(&Key::ChartLog(chart), &page.head)?
                .into_value()
            {
                Some(Value::ChartLog(log)) => Ok(log.count),
                _ => Err(LogFault::NoChart(chart).into()),
            }
        };
        self.ask(&ask, check).await
    }

    async fn walk(
        &self,
        actor: &Actor,
        chart: ChartId,
        mut walk: LogWalk,
    ) -> Result<VerifiedLog, ClientError> {
        while let Some(from) = walk.next() {
            let ask = page(actor, chart, from, LOG_PAGE_MAX);
            let check = |bytes: &[u8]| {
                walk.take(decode(bytes, LOG_PAGE_BYTES_MAX)?, &self.checker(&self.in_force()))
            };
            self.ask(&ask, check).await?;
        }
        let log = walk.finish().expect("a walk that needs no page has ended");
        self.note(log.header());
        Ok(log)
    }

    /// Every entry of a chart's log, handed to `each` as it comes, so that memory does not grow with it.
    /// What `into` has become is returned only if the log was complete.
    pub async fn fold_log<T>(
        &self,
        actor: &Actor,
        chart: ChartId,
        known: LogMark,
        into: T,
        mut each: impl FnMut(&mut T, LogLine),
    ) -> Result<(T, LogMark, VerifiedHeader), ClientError> {
        let (mut folded, mut walk) = (into, LogWalk::whole(chart, known));
        while let Some(from) = walk.next() {
            let ask = page(actor, chart, from, LOG_PAGE_MAX);
            let check = |bytes: &[u8]| {
                let page = decode(bytes, LOG_PAGE_BYTES_MAX)?;
                walk.take_with(page, &self.checker(&self.in_force()), |line| {
                    each(&mut folded, line)
                })
            };
            self.ask(&ask, check).await?;
        }
        let log = walk.finish().expect("a walk that needs no page has ended");
        self.note(log.header());
        Ok((folded, log.mark(), log.header().clone()))
    }

    /// Where in its chart's log a decided command of `actor` stands.
    ///
    /// A reader from elsewhere may not follow the log, and finds its own entry by looking at single
    /// positions. Which position that is it has from the node alone; the entry there is the proven one.
    pub async fn position(
        &self,
        actor: &Actor,
        chart: ChartId,
        decided: &Decided,
    ) -> Result<LogPosition, ClientError> {
        match self.position_at_home(actor, chart, decided).await {
            Err(ClientError::Node(error)) if error.fault.is_forbidden() => {
                self.position_from_elsewhere(actor, chart, decided).await
            }
            found => found,
        }
    }

    /// Where in the log of a chart entries at these locations stand, of a chart whose log the actor may follow.
    pub async fn positions(
        &self,
        actor: &Actor,
        chart: ChartId,
        locations: &BTreeSet<Location>,
    ) -> Result<BTreeMap<Location, LogPosition>, ClientError> {
        let mut lines = POSITION_LINES.max(locations.len() as u64);
        loop {
            let log = self.log_tail(actor, chart, lines).await?;
            let all = log.lines().iter().map(|line| (line.outcome.location, line.position));
            let found: BTreeMap<_, _> = all.filter(|(at, _)| locations.contains(at)).collect();
            if found.len() == locations.len() {
                return Ok(found);
            }
            if (log.lines().len() as u64) < lines {
                return Err(LedgerError::NoPosition.into());
            }
            lines = lines.saturating_mul(16);
        }
    }

    async fn position_at_home(
        &self,
        actor: &Actor,
        chart: ChartId,
        decided: &Decided,
    ) -> Result<LogPosition, ClientError> {
        let mut lines = POSITION_LINES;
        loop {
            let log = self.log_tail(actor, chart, lines).await?;
            let is_it = |line: &&LogLine| line.outcome == *decided.outcome();
            if let Some(line) = log.lines().iter().find(is_it) {
                return Ok(line.position);
            }
            if (log.lines().len() as u64) < lines {
                return Err(LedgerError::NoPosition.into());
            }
            lines = lines.saturating_mul(16);
        }
    }

    async fn position_from_elsewhere(
        &self,
        actor: &Actor,
        chart: ChartId,
        decided: &Decided,
    ) -> Result<LogPosition, ClientError> {
        let count = self.log_count_by_search(actor, chart).await?;
        for position in (0..count.0).rev().take(POSITIONS_TRIED).map(LogPosition) {
            let is_it = |shown: LogEntry| Ok(shown.outcome == *decided.outcome());
            let found = self.log_entry(actor, (chart, position), is_it).await?;
            if matches!(found, Shown::Entry(true)) {
                return Ok(position);
            }
        }
        Err(LedgerError::NoPosition.into())
    }

    /// How many entries a chart's log has, found by asking for single positions: a node says of each
    /// whether it is there, also to those who may not see it. Not proven: it can only be too small to
    /// the disadvantage of whoever wants to read, and if it is too large the ledger refuses it.
    pub async fn log_count_by_search(
        &self,
        actor: &Actor,
        chart: ChartId,
    ) -> Result<LogPosition, ClientError> {
        let is_there = async |position: u64| {
            let place = (chart, LogPosition(position));
            let found = self.log_entry(actor, place, |_| Ok(())).await?;
            Ok::<_, ClientError>(!matches!(found, Shown::Nothing))
        };
        let mut above = 1;
        while is_there(above - 1).await? {
            above = above.checked_mul(2).ok_or(LedgerError::NoPosition)?;
        }
        // Entries are there up to `below`, and not from `above` on.
        let mut below = above / 2;
        while below + 1 < above {
            let middle = below + (above - below) / 2;
            if is_there(middle - 1).await? { below = middle } else { above = middle }
        }
        Ok(LogPosition(below))
    }

    /// One entry of a chart's log, as a node shows it: not proven to stand there.
    pub(crate) async fn log_entry<T>(
        &self,
        actor: &Actor,
        (chart, position): (ChartId, LogPosition),
        check: impl Fn(LogEntry) -> Result<T, ProofFault>,
    ) -> Result<Shown<T>, ClientError> {
        let target = format!("/v1/charts/{chart}/log/{position}");
        let ask = Ask::get(target, Some(actor), LOG_ENTRY_BYTES_MAX);
        shown(self.ask(&ask, |bytes| check(decode(bytes, LOG_ENTRY_BYTES_MAX)?)).await)
    }

    /// What `take` has of the entry at a position of a chart's log, for those who may see it. The entry is proven; that
    /// it stands at this position is not.
    pub(crate) async fn entry_at<T>(
        &self,
        actor: &Actor,
        (chart, position): (ChartId, LogPosition),
        take: impl Fn(&Receipt, &VerifiedReceipt) -> Option<T>,
    ) -> Result<T, ClientError> {
        let target = format!("/v1/charts/{chart}/log/{position}/receipt");
        let ask = Ask::get(target, Some(actor), RECEIPT_BYTES_MAX);
        let check = |bytes: &[u8]| {
            let receipt = Receipt::decode(bytes)?;
            let proven = receipt.clone().verify_by(self.in_force().validators())?;
            let of_chart = proven.entry().payload().chart() == Some(chart);
            let taken = if of_chart { take(&receipt, &proven) } else { None };
            taken.ok_or(ProofFault::OtherEntry(position))
        };
        self.ask(&ask, check).await
    }

    /// Records that an accepted access of the actor's asks for, from a position on, and where the next page begins.
    /// Each entry is proven; that it stands at its position, and that none was left out, is not.
    pub(crate) async fn opened_page<T>(
        &self,
        actor: &Actor,
        (chart, access): (ChartId, LogPosition),
        from: LogPosition,
        check: impl Fn(LogPosition, &[(LogPosition, VerifiedReceipt)]) -> Result<T, ProofFault>,
    ) -> Result<T, ClientError> {
        let target = format!("/v1/charts/{chart}/log/{access}/records?from={from}");
        let ask = Ask::get(target, Some(actor), OPENED_PAGE_BYTES_MAX);
        let check = |bytes: &[u8]| {
            let page: OpenedPage = decode(bytes, OPENED_PAGE_BYTES_MAX)?;
            let verified = |placed: &PlacedReceipt| {
                let receipt = Receipt::decode(&placed.receipt)?;
                Ok((placed.position, receipt.verify_by(self.in_force().validators())?))
            };
            let records: Vec<_> =
                page.records.iter().map(verified).collect::<Result<_, ProofFault>>()?;
            check(page.next, &records)
        };
        self.ask(&ask, check).await
    }

    /// Asks one node after the other until one answers; late ones again after a pause.
    pub(crate) async fn ask<T>(
        &self,
        ask: &Ask<'_>,
        mut check: impl FnMut(&[u8]) -> Result<T, ProofFault>,
    ) -> Result<T, ClientError> {
        self.follow_epochs().await?;
        let mut passed = Vec::new();
        for round in 0..ROUNDS {
            if round > 0 {
                sleep(PAUSE).await;
            }
            passed.clear();
            for node in self.nodes.endpoints() {
                match self.ask_one(node, ask, &mut check).await {
                    Err(error) if error.may_pass() => passed.push(error),
                    answer @ (Ok(_) | Err(_)) => return answer,
                }
            }
            if !passed.iter().any(is_late) {
                break;
            }
        }
        match passed.pop() {
            Some(only) if passed.is_empty() => Err(only),
            Some(last) => {
                passed.push(last);
                Err(ClientError::NoNode(passed))
            }
            None => Err(UsageError::NoNodes.into()),
        }
    }

    async fn ask_one<T>(
        &self,
        node: &Endpoint,
        ask: &Ask<'_>,
        check: &mut impl FnMut(&[u8]) -> Result<T, ProofFault>,
    ) -> Result<T, ClientError> {
        let bytes = self.nodes.ask(node, ask).await?;
        let mut checked = check(&bytes);
        // By the word of validators who are not known here: perhaps because they took over since.
        if checked.as_ref().err().is_some_and(ProofFault::is_certificate) {
            match self.follow(node).await {
                Ok(true) => checked = check(&bytes),
                Err(error @ (ClientError::Proof(_) | ClientError::File(_))) => return Err(error),
                // What it answered first is what is wrong.
                Ok(false) | Err(_) => {}
            }
        }
        checked.map_err(|fault| fault.of(node).into())
    }

    /// Asks for hand-overs, once for each epoch that was seen: shares may have changed hands where every certificate
    /// still holds.
    async fn follow_epochs(&self) -> Result<(), ClientError> {
        let blocks = self.consortium.genesis().parameters.epoch_blocks();
        let Some(seen) = self.seen() else { return Ok(()) };
        let epoch = epoch_of(seen.height, blocks);
        if self.asked_epoch.fetch_max(epoch, Ordering::Relaxed) >= epoch {
            return Ok(());
        }
        for node in self.nodes.endpoints() {
            match self.follow(node).await {
                Ok(true) => break,
                // One that knows of none may be late, or hide it.
                Ok(false) | Err(ClientError::Node(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether others took over from the set that has validated since this epoch, as far as any node knows. Those that
    /// do not answer are passed by.
    pub(crate) async fn has_others_since(&self, since: u64) -> bool {
        let newer = || self.in_force().validators().newest().since > since;
        for node in self.nodes.endpoints() {
            if newer() || matches!(self.follow(node).await, Ok(true)) {
                break;
            }
        }
        newer()
    }

    /// Follows the hand-overs that a node has; says whether there were any.
    pub async fn follow(&self, node: &Endpoint) -> Result<bool, ClientError> {
        let mut further = false;
        loop {
            let newest = self.in_force().validators().newest().since;
            let target = format!("/v1/handovers?from={}", newest + 1);
            let bytes =
                self.nodes.ask(node, &Ask::get(target, None, HANDOVER_PAGE_BYTES_MAX)).await?;
            let fault = |fault: ProofFault| ClientError::from(fault.of(node));
            let page: List<Handover, HANDOVERS_PAGE_MAX> =
                decode(&bytes, HANDOVER_PAGE_BYTES_MAX).map_err(fault)?;
            if page.is_empty() {
                return Ok(further);
            }
            let mut in_force = self.in_force.lock().unwrap_or_else(PoisonError::into_inner);
            let then = in_force.followed(&page).map_err(|it| fault(it.into()))?;
            if then.validators().newest().since <= newest {
                return Ok(further);
            }
            if let Some(file) = &self.followed {
                save_handovers(file, then.handovers())?;
            }
            *in_force = Arc::new(then);
            further = true;
        }
    }
}

/// What a node shows at one position of a log.
pub(crate) enum Shown<T> {
    /// The entry.
    Entry(T),
    /// That there is one, which the asker may not see.
    Hidden,
    /// That there is none.
    Nothing,
}

fn shown<T>(answer: Result<T, ClientError>) -> Result<Shown<T>, ClientError> {
    match answer {
        Ok(entry) => Ok(Shown::Entry(entry)),
        Err(ClientError::Node(error)) if error.fault.is_forbidden() => Ok(Shown::Hidden),
        Err(ClientError::Node(error)) if error.fault.is_absent() => Ok(Shown::Nothing),
        Err(error) => Err(error),
    }
}

fn page(actor: &Actor, chart: ChartId, from: LogPosition, limit: usize) -> Ask<'_> {
    let target = format!("/v1/charts/{chart}/log?from={from}&limit={limit}");
    Ask::get(target, Some(actor), LOG_PAGE_BYTES_MAX)
}

fn is_late(error: &ClientError) -> bool {
    match error {
        ClientError::Proof(error) => error.fault.is_lateness(),
        ClientError::Node(error) => error.fault.is_busy(),
        ClientError::Usage(_)
        | ClientError::File(_)
        | ClientError::Key(_)
        | ClientError::NoNode(_)
        | ClientError::Ledger(_)
        | ClientError::Custody(_)
        | ClientError::Trustees(_)
        | ClientError::Release(_) => false,
    }
}

/// Decodes a node's answer.
pub(crate) fn decode<'b, T>(bytes: &'b [u8], max: usize) -> Result<T, ProofFault>
where
    T: Decode<'b, ()> + Encode<()>,
{
    Ok(keepwell_types::decode(bytes, max)?)
}
