//! Executing a block: each entry in order, each against the state that the one before it left.
//!
//! ```text
//!  entry ─> admissible? ─no─> the block is invalid
//!            envelope, id, first signer, quota
//!              │ yes
//!              ▼
//!           decide ─> changes ─> outcome ─> the chart's log
//!              │ refused
//!              └───────────────> outcome ─> the chart's log
//!
//!  a transaction: all parts admissible? ─no─> the block is invalid
//!                   │ yes
//!                   ├─> decide each on what the one before it left ─> outcomes
//!                   └─> one is refused ─> undo them ─> each is refused
//! ```
//!
//! # Invariants
//!
//! * An entry takes effect whole or not at all: everything that it reads is read before anything is
//!   written, so an entry that lacks a key can be tried again. So does a transaction, whose writes are
//!   undone if one of its parts is refused.
//! * A refusal changes nothing but what every command changes: replay slot, quota, log of the chart. A
//!   chart that the refused transaction would have opened has no log.
//! * The parts of a transaction stand next to each other, all of them, in the order of their places, by one
//!   first signer. Anything else is a block that no leader may make: it cannot cut one up or add to it.
//! * Whether the parts may stand there is found before any of them is decided, on the state before all of them.
//! * A transaction costs as much as its parts would on their own, however many keys it lacks at first.
//! * Whether a block is valid depends on what its proposer could see, never on what is decided.
//! * A command stands in a block only if its first signer signed it, may act, and has quota left. So no
//!   leader can put acts into a chart's log that nobody did, and nobody can fill it without end.
//! * Each outcome that names an existing chart is a leaf of that chart's log, refusals included.
//!
//! Not here: signatures ([`Verified`] is the witness), the limits of a block, its times and its roots
//! in the header, which are compared by `keepwell-engine`.

use alloc::vec::Vec;
use core::slice;

use keepwell_crypto::command::{Verified, genesis_digest};
use keepwell_merkle::{
    block::{history_leaf, outcome_root},
    range::{Peaks, nodes_len},
};
use keepwell_types::{
    access::{RecordName, Target},
    command::{COMMAND_VERSION, Command, Part, Payload},
    genesis::Genesis,
    grant::Grantee,
    id::{
        ChainId, ChartId, CommandDigest, CommandId, Digest, Height, Location, LogPosition,
        OrganisationId, TransactionId,
    },
    limits::REPLAY_IDS_PER_SLOT_MAX,
    member::Party,
    outcome::{Outcome, Rejection, Verdict},
    time::BlockTime,
    validators::ValidatorSet,
};
use thiserror::Error;

use crate::{
    decide::{BlockContext, Changes, Halt, decide, decide_genesis},
    signer::accountable,
    state::{ChartLog, Key, LogLine, Quota, RecordEntry, ReplaySlot, SpentId, Validators, Value},
    validators::handed_over,
    view::{Lacks, Mark, View},
};

/// Milliseconds of a minute, the span of a quota.
const MINUTE_MS: u64 = 60 * 1_000;

/// Why an entry cannot stand in a block. A block that has one is invalid, so a proposer leaves it out.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum Inadmissible {
    /// Made by other rules.
    #[error("commands of version {given} are not known, only of {known}: update the client")]
    UnknownVersion {
        /// The command's.
        given: u8,
        /// Ours.
        known: u8,
    },
    /// Made for another consortium.
    #[error(
        "the command is for consortium {given}, this is {ours}: check the client's genesis file"
    )]
    WrongChain {
        /// The command's.
        given: ChainId,
        /// Ours.
        ours: ChainId,
    },
    /// The window is too long.
    #[error("the window of {len_ms} ms is longer than {max_ms} ms: sign again with a shorter one")]
    WindowTooLong {
        /// The command's.
        len_ms: u64,
        /// The limit.
        max_ms: u64,
    },
    /// The window has not begun.
    #[error("the window begins at {from} and it is {now}: send the command again then")]
    NotYet {
        /// Its beginning.
        from: BlockTime,
        /// Block time.
        now: BlockTime,
    },
    /// The window is over, or contains nothing.
    #[error("the window ended at {until} and it is {now}: sign again with a new id and window")]
    Expired {
        /// Its end.
        until: BlockTime,
        /// Block time.
        now: BlockTime,
    },
    /// An earlier block has the id.
    #[error("command {0} was decided already: ask for its outcome, or sign again with a new id")]
    Replayed(CommandId),
    /// Too many recent ids share a slot with this one.
    #[error("too many recent commands share a slot with {0}: sign again with a new random id")]
    SlotFull(CommandId),
    /// A genesis entry elsewhere than in block 1, or anything else in it.
    #[error("block 1 has the entries of the genesis file and no other block has any: this is {0}")]
    Misplaced(Height),
    /// Its first signer did not sign it, or may not act.
    #[error("{0}")]
    Signer(Rejection),
    /// The quota for this minute is used up.
    #[error(
        "organisation {organisation} has used its {per_minute} commands of this minute: send the command again in the next"
    )]
    QuotaExceeded {
        /// The organisation.
        organisation: OrganisationId,
        /// The quota.
        per_minute: u32,
    },
    /// A part of a transaction without the others, or not where it belongs.
    #[error(
        "part {place} of the {parts} parts of transaction {transaction}, counted from 0, is not in its place: send all parts together, signed first by the same signer"
    )]
    OutOfPlace {
        /// The transaction.
        transaction: TransactionId,
        /// The first place where something else stands, or nothing.
        place: u16,
        /// How many parts belong together.
        parts: u16,
    },
}

impl Inadmissible {
    /// Whether the same command may be admissible in a later block.
    pub const fn may_pass(&self) -> bool {
        match self {
            Self::NotYet { .. }
            | Self::SlotFull(_)
            | Self::QuotaExceeded { .. }
            | Self::OutOfPlace { .. } => true,
            Self::UnknownVersion { .. }
            | Self::WrongChain { .. }
            | Self::WindowTooLong { .. }
            | Self::Expired { .. }
            | Self::Replayed(_)
            | Self::Misplaced(_)
            | Self::Signer(_) => false,
        }
    }
}

/// Why an entry, or a transaction, was not executed.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum ApplyError {
    /// This key must be loaded first; nothing has happened, unless the same is applied again.
    #[error("{0:?} is not loaded: load it and apply the same again")]
    Lacks(Key),
    /// It cannot stand in this block; nothing has happened.
    #[error(transparent)]
    Inadmissible(#[from] Inadmissible),
}

impl From<Lacks> for ApplyError {
    fn from(Lacks(key): Lacks) -> Self {
        Self::Lacks(key)
    }
}

/// Whether `command` can stand in the block at this point of it; the key of the quota that it uses.
pub fn admissible(
    view: &View,
    block: &BlockContext,
    command: &Verified,
) -> Result<Key, ApplyError> {
    check_envelope(block, command.command())?;
    check_id(view, block, command.command())?;
    let (organisation, account) =
        accountable(view, block.time, command).map_err(|halt| match halt {
            Halt::Lacks(lacks) => lacks.into(),
            Halt::Rejected(why) => ApplyError::from(Inadmissible::Signer(why)),
        })?;
    let (minute, per_minute) = (minute(block), block.parameters.commands_per_minute_max);
    let quota = view.quota(organisation, account)?.filter(|quota| quota.minute == minute);
    if quota.map_or(0, |quota| quota.used) >= per_minute {
        return Err(Inadmissible::QuotaExceeded { organisation, per_minute }.into());
    }
    Ok(Key::Quota(organisation, account))
}

/// Minutes since 1970.
const fn minute(block: &BlockContext) -> u64 {
    block.time.0 / MINUTE_MS
}

fn check_id(view: &View, block: &BlockContext, command: &Command) -> Result<(), ApplyError> {
    let slot = view.replay_slot(Key::replay_slot_of(&command.id))?;
    let spent = slot.map_or(&[][..], |slot| &slot.spent);
    let live = || spent.iter().filter(|spent| block.time < spent.until);
    if live().any(|spent| spent.id == command.id) {
        return Err(Inadmissible::Replayed(command.id).into());
    }
    if live().count() >= REPLAY_IDS_PER_SLOT_MAX {
        return Err(Inadmissible::SlotFull(command.id).into());
    }
    Ok(())
}

fn check_envelope(block: &BlockContext, command: &Command) -> Result<(), Inadmissible> {
    if block.height == Height(1) {
        return Err(Inadmissible::Misplaced(block.height));
    }
    if command.version != COMMAND_VERSION {
        let (given, known) = (command.version, COMMAND_VERSION);
        return Err(Inadmissible::UnknownVersion { given, known });
    }
    if command.chain != block.chain {
        return Err(Inadmissible::WrongChain { given: command.chain, ours: block.chain });
    }
    let (window, now) = (command.window, block.time);
    let (len_ms, max_ms) = (window.len_ms(), command.payload.window_ms_max());
    if len_ms > max_ms {
        return Err(Inadmissible::WindowTooLong { len_ms, max_ms });
    }
    if now < window.from {
        return Err(Inadmissible::NotYet { from: window.from, now });
    }
    if !window.contains(now) {
        return Err(Inadmissible::Expired { until: window.until, now });
    }
    Ok(())
}

/// An entry of which everything is checked that needs no state.
#[expect(
    clippy::large_enum_variant,
    reason = "entries of the genesis file are few, and in block 1 only"
)]
#[derive(Clone, Debug)]
pub enum CheckedEntry {
    /// An entry of the genesis file.
    Genesis {
        /// What it says.
        payload: Payload,
        /// Its digest.
        digest: CommandDigest,
    },
    /// A command whose signatures are good.
    Signed(Verified),
}

impl CheckedEntry {
    /// The entry at place `index` of the genesis file, counted from 0.
    pub fn genesis(payload: Payload, index: u32) -> Self {
        Self::Genesis { digest: genesis_digest(&payload, index), payload }
    }

    /// What is asked.
    pub fn payload(&self) -> &Payload {
        match self {
            Self::Genesis { payload, .. } => payload,
            Self::Signed(command) => &command.command().payload,
        }
    }

    /// The digest that its outcome carries.
    pub fn digest(&self) -> CommandDigest {
        match self {
            Self::Genesis { digest, .. } => *digest,
            Self::Signed(command) => command.digest(),
        }
    }

    const fn signed(&self) -> Option<&Verified> {
        match self {
            Self::Genesis { .. } => None,
            Self::Signed(command) => Some(command),
        }
    }

    /// Of which transaction it is a part.
    pub fn part(&self) -> Option<Part> {
        self.signed()?.command().part
    }

    /// The id that makes it single-use; genesis entries have none.
    pub fn id(&self) -> Option<CommandId> {
        match self {
            Self::Genesis { .. } => None,
            Self::Signed(command) => Some(command.command().id),
        }
    }
}

/// What of `entries`, which are a block's, is executed together: single entries, and transactions. Whether a
/// transaction is one is found when it is executed.
pub fn units(entries: &[CheckedEntry]) -> impl Iterator<Item = &[CheckedEntry]> {
    let mut rest = entries;
    core::iter::from_fn(move || {
        let parts = match rest.first()?.part() {
            Some(part) if part.place() == 0 => usize::from(part.parts()),
            Some(_) | None => 1,
        };
        let (unit, after) = rest.split_at(parts.min(rest.len()));
        rest = after;
        Some(unit)
    })
}

/// Checks that `unit` is a transaction, whole and in order; `first` is its first entry's part.
fn check_parts(first: Part, unit: &[CheckedEntry]) -> Result<(), Inadmissible> {
    let (transaction, parts) = (first.transaction(), first.parts());
    let signer = |entry: &CheckedEntry| entry.signed()?.command().signers.first().copied();
    for place in 0..parts {
        let belongs = |entry: &CheckedEntry| {
            entry.part() == Part::new(transaction, place, parts).ok()
                && signer(entry) == signer(&unit[0])
        };
        if !unit.get(usize::from(place)).is_some_and(belongs) {
            return Err(Inadmissible::OutOfPlace { transaction, place, parts });
        }
    }
    Ok(())
}

/// The keys that deciding an entry reads whatever the state is. There may be more: those the execution
/// asks for.
pub fn keys_of(entry: &CheckedEntry) -> Vec<Key> {
    let mut keys = Vec::new();
    if let CheckedEntry::Signed(command) = entry {
        keys.push(Key::replay_slot_of(&command.command().id));
        keys.extend(command.command().signers.iter().map(signer_key));
    }
    if let Some(chart) = entry.payload().chart() {
        keys.extend([Key::Chart(chart), Key::ChartLog(chart)]);
    }
    keys.extend(payload_keys(entry.payload()));
    keys
}

const fn signer_key(party: &Party) -> Key {
    match *party {
        Party::Member(id) => Key::Member(id),
        Party::Controller(id) | Party::Claimant(id) => Key::Chart(id),
        Party::Administrator(id) | Party::Custodian(id) => Key::Organisation(id),
        Party::Validator(_) => Key::Validators,
        Party::Proxy(chart, _) => Key::Proxies(chart),
        Party::Guardian(chart) => Key::Guardians(chart),
        Party::Successor(chart) => Key::Recoveries(chart),
    }
}

fn payload_keys(payload: &Payload) -> Vec<Key> {
    match payload {
        Payload::OrganisationAdmit(it) => {
            [Key::Organisations, Key::Organisation(it.organisation)].into()
        }
        Payload::OrganisationSuspend(it)
        | Payload::OrganisationReinstate(it)
        | Payload::OrganisationExpel(it) => {
            [Key::Organisations, Key::Organisation(it.organisation)].into()
        }
        Payload::OrganisationRotate(it) => {
            [Key::Organisations, Key::Organisation(it.organisation)].into()
        }
        Payload::MotionOpen(it) => [Key::Motion(it.motion), Key::Organisations].into(),
        Payload::MotionApprove(it) => [Key::Motion(it.motion), Key::Organisations].into(),
        Payload::MotionWithdraw(it) => [Key::Motion(it.motion)].into(),
        Payload::ReshareReady(_)
        | Payload::ReshareDeal(_)
        | Payload::ReshareCheck(_)
        | Payload::ReshareOpen(_)
        | Payload::ReshareConfirm(_) => [Key::Validators, Key::Changing].into(),
        Payload::MemberEnrol(it) => {
            [Key::Member(it.member), Key::Organisation(it.organisation)].into()
        }
        Payload::MemberRotate(it) => [Key::Member(it.member)].into(),
        Payload::MemberAssign(it) => [Key::Member(it.member)].into(),
        Payload::MemberSuspend(it) | Payload::MemberReinstate(it) => {
            [Key::Member(it.member)].into()
        }
        Payload::ChartOpen(it) => {
            it.custodians.iter().chain(&it.contributors).map(|id| Key::Organisation(*id)).collect()
        }
        Payload::ChartArrange(it) => {
            it.custodians.iter().chain(&it.contributors).map(|id| Key::Organisation(*id)).collect()
        }
        Payload::CompartmentRotate(_)
        | Payload::ChartPrepare(_)
        | Payload::ChartClose(_)
        | Payload::AnchorAdd(_)
        | Payload::MatchEvaluate(_) => Vec::new(),
        Payload::ChartClaim(it) => [Key::Proxies(it.chart)].into(),
        Payload::GuardianSet(it) => [Key::Guardians(it.chart)].into(),
        Payload::RecoveryStart(it) => recovery_keys(it.chart).into(),
        Payload::RecoveryApprove(it) => recovery_keys(it.chart).into(),
        Payload::RecoveryWithdraw(it) | Payload::RecoveryVeto(it) => recovery_keys(it.chart).into(),
        Payload::RecoveryFinish(it) => recovery_keys(it.chart).into(),
        Payload::ProxyAdd(it) => [Key::Proxies(it.chart)].into(),
        Payload::ProxyEnd(it) => [Key::Proxies(it.chart)].into(),
        Payload::ChartMinor(it) => [Key::Proxies(it.chart)].into(),
        Payload::LinkPropose(it) => [Key::Link(it.link), Key::Organisation(it.with)].into(),
        Payload::LinkConfirm(it) => [Key::Link(it.link)].into(),
        Payload::LinkReverse(it) => [Key::Link(it.link)].into(),
        Payload::BreakGlass(it) => [Key::Emergencies(it.chart)].into(),
        Payload::EmergencySecond(it) => [Key::Emergencies(it.chart)].into(),
        Payload::EmergencyReview(it) => [Key::Emergencies(it.chart)].into(),
        Payload::EmergencyClose(it) => [Key::Emergencies(it.chart)].into(),
        Payload::CredentialIssue(it) => [Key::Credentials(it.member)].into(),
        Payload::CredentialSuspend(it)
        | Payload::CredentialReinstate(it)
        | Payload::CredentialRevoke(it) => [Key::Credentials(it.member)].into(),
        Payload::CaseOpen(it) => [Key::Case(it.chart, it.case)].into(),
        Payload::CaseDecide(it) => [Key::Case(it.chart, it.case)].into(),
        Payload::CaseExtend(it) => [Key::Case(it.chart, it.case)].into(),
        Payload::CaseState(it) => [Key::Case(it.chart, it.case)].into(),
        Payload::CaseAcknowledge(it) => [Key::Case(it.chart, it.case)].into(),
        Payload::RecordAdd(it) => {
            let custodians = it.custody.iter().map(|by| Key::Organisation(by.custodian));
            let last = it.amends.map(|amended| Key::Record(it.chart, amended.record.position));
            custodians.chain(last).collect()
        }
        Payload::RecordRestrict(it) | Payload::RecordLift(it) => {
            record_keys(it.chart, &it.record).into()
        }
        Payload::RecordRedact(it) => record_keys(it.chart, &it.record).into(),
        Payload::RecordKeep(it) => record_keys(it.chart, &it.record).into(),
        Payload::RecordErased(it) => record_keys(it.chart, &it.record).into(),
        Payload::RecordApprove(it) => proposal_keys(it.chart, &it.record),
        Payload::RecordRetract(it) => proposal_keys(it.chart, &it.record),
        Payload::RecordWithdraw(it) => proposal_keys(it.chart, &it.record),
        Payload::GroupForm(it) => [Key::Group(it.group), Key::Organisation(it.organisation)].into(),
        Payload::GrantGive(it) => {
            [Key::Grant(it.chart, it.grant), Key::Subject(it.chart, it.terms.grantee)].into()
        }
        Payload::GrantLimit(it) => [Key::Grant(it.chart, it.grant)].into(),
        Payload::GrantRevoke(it) => [Key::Grant(it.chart, it.grant)].into(),
        Payload::GrantRevokeOrganisation(it) => [Key::Organisation(it.organisation)].into(),
        Payload::GrantPass(it) => [
            Key::Grant(it.chart, it.from),
            Key::Grant(it.chart, it.grant),
            Key::Subject(it.chart, it.terms.grantee),
            Key::Teams(it.chart),
        ]
        .into(),
        Payload::GrantRequest(it) => [Key::Request(it.chart, it.request)].into(),
        Payload::GrantAnswer(it) => [Key::Request(it.chart, it.request)].into(),
        Payload::GrantWithdraw(it) => [Key::Request(it.chart, it.request)].into(),
        Payload::TeamArrange(it) => {
            let members = it.members.iter().map(|id| Key::Member(*id));
            members.chain([Key::Teams(it.chart)]).collect()
        }
        Payload::AccessOpen(it) => {
            let mut keys =
                Vec::from([Key::Subject(it.chart, Grantee::Everyone), Key::Teams(it.chart)]);
            if let Target::Records(names) = &it.target {
                keys.extend(names.iter().flat_map(|name| record_keys(it.chart, name)));
            }
            keys
        }
    }
}

fn proposal_keys(chart: ChartId, name: &RecordName) -> Vec<Key> {
    let mut keys = Vec::from(record_keys(chart, name));
    keys.push(Key::Proposal(chart, name.record));
    keys
}

const fn recovery_keys(chart: ChartId) -> [Key; 2] {
    [Key::Guardians(chart), Key::Recoveries(chart)]
}

const fn record_keys(chart: ChartId, name: &RecordName) -> [Key; 2] {
    [Key::Record(chart, name.position), Key::RecordState(chart, name.record)]
}

/// One outcome in the log of a chart.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Leaf {
    /// The chart.
    pub chart: ChartId,
    /// The outcome's place in the chart's log.
    pub position: LogPosition,
    /// What is kept of it.
    pub line: LogLine,
}

/// What executing a block brought.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Executed {
    /// Keys of the state with their new values, or with nothing, in the order of the keys.
    pub changes: Vec<(Key, Option<Value>)>,
    /// What was decided on each entry, in order.
    pub outcomes: Vec<Outcome>,
    /// What was appended to logs of charts, in order.
    pub leaves: Vec<Leaf>,
    /// `Header::outcomes` of the block.
    pub outcome_root: Digest,
    /// `Header::history` of the block.
    pub history_root: Digest,
    /// Nodes that the parent's id brought to the range of block ids, with their positions.
    pub history_nodes: Vec<(u64, Digest)>,
    /// Who validates from the next block on, if others do than so far: `Header::next` is the digest of it.
    pub next: Option<ValidatorSet>,
}

/// A block in execution.
#[derive(Clone, Debug)]
pub struct Execution {
    block: BlockContext,
    view: View,
    outcomes: Vec<Outcome>,
    leaves: Vec<Leaf>,
    under_way: Option<UnderWay>,
}

/// A transaction that lacked a key, up to which it is executed.
#[derive(Clone, Debug)]
struct UnderWay {
    /// Its first part.
    first: CommandDigest,
    /// Of its parts, so many may stand here; their ids are spent and their quota is used.
    admitted: usize,
    /// What had been written by then.
    admission: Mark,
    /// Outcomes and leaves of the block before it.
    outcomes: usize,
    leaves: usize,
    /// The first part that was refused, and why. What the parts had done is undone.
    refused: Option<(u16, Rejection)>,
}

impl Execution {
    /// Begins a block, with nothing loaded.
    pub const fn new(block: BlockContext) -> Self {
        Self { block, view: View::new(), outcomes: Vec::new(), leaves: Vec::new(), under_way: None }
    }

    /// Begins block 1, which puts those on record who validate first.
    pub fn founding(block: BlockContext, genesis: &Genesis) -> Self {
        let mut execution = Self::new(block);
        let validators = Validators::founding(genesis);
        execution.view.write(Key::Validators, Some(validators.into()));
        execution
    }

    /// Takes in what the state before the block has under `key`. What the block has changed since
    /// stays changed.
    pub fn load(&mut self, key: Key, value: Option<Value>) {
        self.view.load(key, value);
    }

    /// The state as the entries so far have left it, as far as it is loaded: the first parts of a transaction that lacks
    /// a key included.
    pub const fn view(&self) -> &View {
        &self.view
    }

    /// Executes the next entry, which is a part of nothing, and returns what was decided.
    pub fn apply(&mut self, entry: &CheckedEntry) -> Result<&Outcome, ApplyError> {
        let outcomes = self.apply_unit(slice::from_ref(entry))?;
        Ok(outcomes.first().expect("an entry has an outcome"))
    }

    /// Executes the next unit (see [`units`]), an entry or a transaction, and returns what was decided on each of it.
    ///
    /// A transaction that lacks a key goes on from there when it is applied again, or has not happened when anything
    /// else is.
    pub fn apply_unit(&mut self, unit: &[CheckedEntry]) -> Result<&[Outcome], ApplyError> {
        let Some(entry) = unit.first() else { return Ok(&[]) };
        self.give_up_unless(entry.digest());
        let before = match (entry.part(), unit) {
            (Some(part), unit) => self.apply_transaction(part, unit)?,
            (None, [entry]) => self.apply_single(entry)?,
            (None, _) => panic!("entries that are no parts are executed one by one"),
        };
        Ok(&self.outcomes[before..])
    }

    /// Executes an entry; how many outcomes there were before.
    fn apply_single(&mut self, entry: &CheckedEntry) -> Result<usize, ApplyError> {
        let (before, location) = (self.outcomes.len(), self.location());
        let (decision, quota) = match entry {
            CheckedEntry::Genesis { payload, .. } => {
                (self.decide_genesis(location.index, payload)?, None)
            }
            CheckedEntry::Signed(command) => {
                let quota = admissible(&self.view, &self.block, command)?;
                let decision = decided(decide(&self.view, &self.block, location.index, command))?;
                (decision, Some((quota, command.command())))
            }
        };
        let log = self.log_to_extend(entry.payload().chart(), &decision)?;
        // Everything is read: from here on nothing can fail.
        if let Some((quota, command)) = quota {
            self.spend_id(command);
            self.use_quota(quota);
        }
        self.note(entry.digest(), log, decision);
        Ok(before)
    }

    /// Executes a transaction; how many outcomes there were before.
    fn apply_transaction(
        &mut self,
        first: Part,
        unit: &[CheckedEntry],
    ) -> Result<usize, ApplyError> {
        let mut it = match self.under_way.take() {
            Some(it) => it,
            None => {
                check_parts(first, unit)?;
                self.begin(unit[0].digest())
            }
        };
        let before = it.outcomes;
        match self.carry_on(&mut it, unit) {
            Ok(()) => self.view.end_journal(),
            Err(error) => {
                match error {
                    ApplyError::Lacks(_) => self.under_way = Some(it),
                    ApplyError::Inadmissible(_) => self.give_up(&it),
                }
                return Err(error);
            }
        }
        Ok(before)
    }

    fn begin(&mut self, first: CommandDigest) -> UnderWay {
        self.view.begin_journal();
        let (outcomes, leaves) = (self.outcomes.len(), self.leaves.len());
        UnderWay { first, admitted: 0, admission: Mark::BEGINNING, outcomes, leaves, refused: None }
    }

    /// Executes what is left of a transaction, up to the first key that is not loaded.
    fn carry_on(&mut self, it: &mut UnderWay, unit: &[CheckedEntry]) -> Result<(), ApplyError> {
        while let Some(part) = unit.get(it.admitted).and_then(CheckedEntry::signed) {
            let quota = admissible(&self.view, &self.block, part)?;
            self.spend_id(part.command());
            self.use_quota(quota);
            it.admitted += 1;
            it.admission = self.view.mark();
        }
        while let place = self.outcomes.len() - it.outcomes
            && let Some(part) = unit.get(place).and_then(CheckedEntry::signed)
        {
            let decision = match &it.refused {
                None => decided(decide(&self.view, &self.block, self.location().index, part))?,
                Some((first, why)) if place == usize::from(*first) => Err(why.clone()),
                Some((first, _)) => Err(Rejection::Transaction { place: *first }),
            };
            match decision {
                Err(why) if it.refused.is_none() => self.refuse(it, why),
                decision => self.decide_part(part, decision)?,
            }
        }
        Ok(())
    }

    fn decide_part(
        &mut self,
        part: &Verified,
        decision: Result<Changes, Rejection>,
    ) -> Result<(), Lacks> {
        let log = self.log_to_extend(part.command().payload.chart(), &decision)?;
        self.note(part.digest(), log, decision);
        Ok(())
    }

    /// Undoes what the parts so far have done, since the next one is refused.
    fn refuse(&mut self, it: &mut UnderWay, why: Rejection) {
        let place = u16::try_from(self.outcomes.len() - it.outcomes);
        it.refused = Some((place.expect("there are as many parts as a part says"), why));
        self.view.undo(it.admission);
        self.outcomes.truncate(it.outcomes);
        self.leaves.truncate(it.leaves);
    }

    /// Undoes what is done of a transaction, as if nobody had begun it.
    fn give_up(&mut self, it: &UnderWay) {
        self.view.undo(Mark::BEGINNING);
        self.view.end_journal();
        self.outcomes.truncate(it.outcomes);
        self.leaves.truncate(it.leaves);
    }

    /// Gives up the transaction that is under way, unless `next` is its first part.
    fn give_up_unless(&mut self, next: CommandDigest) {
        if let Some(it) = self.under_way.take_if(|it| it.first != next) {
            self.give_up(&it);
        }
    }

    /// Where the next entry stands.
    fn location(&self) -> Location {
        let index = u32::try_from(self.outcomes.len()).expect("a block has far less than 2^32");
        Location { height: self.block.height, index }
    }

    /// Carries a decision out, and keeps its outcome.
    fn note(
        &mut self,
        command: CommandDigest,
        log: Option<(ChartId, ChartLog)>,
        decision: Result<Changes, Rejection>,
    ) {
        let location = self.location();
        let (verdict, record) = self.settle(decision);
        let outcome = Outcome { command, location, time: self.block.time, verdict };
        if let Some((chart, log)) = log {
            self.append(chart, log, &outcome, record);
        }
        self.outcomes.push(outcome);
    }

    /// Ends the block, or names the key that must be loaded first and hands the block back.
    #[expect(clippy::result_large_err, reason = "the block itself comes back, to be tried again")]
    pub fn finish(mut self) -> Result<Executed, (Self, Key)> {
        if let Some(it) = self.under_way.take() {
            self.give_up(&it);
        }
        let mut history = match self.view.history() {
            Ok(history) => history.cloned().unwrap_or_default(),
            Err(Lacks(key)) => return Err((self, key)),
        };
        let handed_over = match handed_over(&self.view, &self.block) {
            Ok(handed_over) => handed_over,
            Err(Lacks(key)) => return Err((self, key)),
        };
        let history_nodes = self.extend_history(&mut history);
        let history_root = history.root();
        let mut view = self.view;
        let next = handed_over.map(|(next, changes)| {
            for (key, value) in changes.writes {
                view.write(key, value);
            }
            next
        });
        view.write(Key::History, Some(history.into()));
        let changes =
            view.into_written().filter(|(key, _)| !matches!(key, Key::Record(..))).collect();
        Ok(Executed {
            changes,
            outcome_root: outcome_root(&self.outcomes),
            outcomes: self.outcomes,
            leaves: self.leaves,
            history_root,
            history_nodes,
            next,
        })
    }

    fn decide_genesis(
        &self,
        index: u32,
        payload: &Payload,
    ) -> Result<Result<Changes, Rejection>, ApplyError> {
        if self.block.height != Height(1) {
            return Err(Inadmissible::Misplaced(self.block.height).into());
        }
        Ok(decided(decide_genesis(&self.view, &self.block, index, payload))?)
    }

    /// The log that the outcome extends: that of the chart it names, if there is one by then.
    fn log_to_extend(
        &self,
        chart: Option<ChartId>,
        decision: &Result<Changes, Rejection>,
    ) -> Result<Option<(ChartId, ChartLog)>, Lacks> {
        let Some(id) = chart else { return Ok(None) };
        if self.view.chart(id)?.is_some() {
            let log = self.view.chart_log(id)?.expect("a chart has a log");
            return Ok(Some((id, *log)));
        }
        let opens =
            |changes: &Changes| changes.writes.iter().any(|(key, _)| *key == Key::Chart(id));
        Ok(decision.as_ref().is_ok_and(opens).then_some((id, ChartLog::EMPTY)))
    }

    fn spend_id(&mut self, command: &Command) {
        let now = self.block.time;
        let slot: &mut ReplaySlot = self.view.write_in_place(Key::replay_slot_of(&command.id));
        slot.spent.retain(|spent| now < spent.until);
        let spent = SpentId { id: command.id, until: command.window.until };
        slot.spent.push(spent).expect("an admissible command finds room in its slot");
    }

    fn use_quota(&mut self, key: Key) {
        let minute = minute(&self.block);
        let quota: &mut Quota = self.view.write_in_place(key);
        if quota.minute != minute {
            *quota = Quota { minute, used: 0 };
        }
        quota.used = quota.used.saturating_add(1);
    }

    /// Carries the changes of an accepted command out.
    fn settle(&mut self, decision: Result<Changes, Rejection>) -> (Verdict, Option<RecordEntry>) {
        match decision {
            Ok(Changes { writes, record }) => {
                for (key, value) in writes {
                    self.view.write(key, value);
                }
                (Verdict::Accepted, record)
            }
            Err(why) => (Verdict::Rejected(why), None),
        }
    }

    fn append(
        &mut self,
        chart: ChartId,
        log: ChartLog,
        outcome: &Outcome,
        record: Option<RecordEntry>,
    ) {
        let position = log.count;
        let line = LogLine { location: outcome.location, record };
        self.view.write(Key::ChartLog(chart), Some(log.extended(outcome, &line).into()));
        // Later entries of this block may name the record.
        self.view.write(Key::Record(chart, position), line.record.clone().map(Value::Record));
        self.leaves.push(Leaf { chart, position, line });
    }

    fn extend_history(&self, history: &mut Peaks) -> Vec<(u64, Digest)> {
        let first = nodes_len(history.count());
        let nodes = history.push(history_leaf(&self.block.parent));
        assert_eq!(
            history.count(),
            self.block.height.0,
            "the history of a block has each block before it, and no other"
        );
        (first..).zip(nodes).collect()
    }
}

fn decided(result: Result<Changes, Halt>) -> Result<Result<Changes, Rejection>, Lacks> {
    match result {
        Ok(changes) => Ok(Ok(changes)),
        Err(Halt::Rejected(why)) => Ok(Err(why)),
        Err(Halt::Lacks(lacks)) => Err(lacks),
    }
}
