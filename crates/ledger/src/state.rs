//! The state: keys, and the typed entries under them.
//!
//! ```text
//! key in the database = H("keepwell/ledger/key/v1", key)       key: canonical bytes
//! value               = [kind, [entry]]                        canonical bytes
//! ```
//!
//! # Invariants
//!
//! * The state holds what can still change and nothing else. Records, outcomes and entries stand in
//!   the logs of charts, of which it holds heads.
//! * Each key has one kind of entry ([`Key::holds`]), and no entry outgrows
//!   [`STATE_VALUE_BYTES_MAX`].
//! * A chart and its log come into being together. A subject lists the grants that were given to it
//!   and not revoked, each of which exists.
//!
//! Not here: who may change what (the families), and how a database proves it (`keepwell-engine`).

use alloc::vec::Vec;
use core::iter;

use keepwell_crypto::hash;
use keepwell_merkle::{chart_log, range::Peaks};
use keepwell_types::{
    DecodeError,
    access::{EmergencyReason, Finding, RecordName},
    case::{CaseDecision, CaseKind},
    chart::{ChartKeys, ClaimTicket, KeysAhead},
    credential::CredentialKind,
    decode, encode,
    encoding::{List, Text},
    grant::{Effect, GrantTerms, Grantee, RefusalReason},
    guardian::{GuardianPlace, GuardianPolicy, RecoveryGround},
    id::{
        CaseId, ChartId, CommandId, Commitment, Compartment, CredentialId, Digest, Epoch, GrantId,
        GroupId, Height, LinkId, Location, LogPosition, MemberId, MotionId, OrganisationId,
        Protocol, ProxyId, PublicKey, RecordId, RequestId, TeamId, UniquenessTag, Version,
    },
    limits::{
        APPROVERS_MAX, CASE_STATEMENTS_MAX, CASE_TOLD_MAX, COMPARTMENTS, CONTRIBUTORS_MAX,
        COUNTED_ACCESSES_MAX, CREDENTIAL_SCOPE_BYTES_MAX, CREDENTIALS_MAX, CUSTODIANS_MAX,
        EMERGENCIES_MAX, EMERGENCIES_WAITING_MAX, EMERGENCY_MEMBERS_MAX, GRANTS_PER_SUBJECT_MAX,
        GUARDIANS_MAX, IN_STANDING_MAX, MEMBER_GROUPS_MAX, MOTION_APPROVALS_MAX, MOTIONS_MAX,
        NAME_BYTES_MAX, OPEN_REQUESTS_MAX, ORGANISATIONS_MAX, PROXIES_MAX, RECORD_CASES_MAX,
        RECORD_CUSTODIANS_MAX, REPLAY_IDS_PER_SLOT_MAX, REPLAY_SLOTS, SIGNERS_MAX,
        STATE_VALUE_BYTES_MAX, TEAM_MEMBERS_MAX, TEAMS_MAX,
    },
    link::LinkReversal,
    member::{Administrators, OrganisationKind, Party},
    motion::Act,
    outcome::Outcome,
    proxy::ProxyTerms,
    record::{RecordKind, RedactionGround},
    set::{CompartmentSet, PurposeSet, RestrictionSet, RoleSet},
    signoff::ApprovalRule,
    time::{BlockTime, Window},
};
use minicbor::{Decode, Encode};
use serde::Serialize;

use crate::consent::Object;

mod changing;

pub use changing::{
    Barred, Changing, Dealt, DealtKey, Duty, Ended, Opened, Places, Receiver, Stage, Validators,
};

/// Separates keys of the state from every other digest.
const KEY_DOMAIN: &str = "keepwell/ledger/key/v1";

/// Where an entry stands in the state.
#[derive(Clone, Copy, Debug, Encode, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Key {
    /// The ids of all earlier blocks.
    #[n(0)]
    History,
    /// Recent commands, by their ids; below [`REPLAY_SLOTS`].
    #[n(1)]
    ReplaySlot(#[n(0)] u32),
    /// What an organisation has used of one of its quotas.
    #[n(2)]
    Quota(#[n(0)] OrganisationId, #[n(1)] Account),
    /// The list of organisations.
    #[n(3)]
    Organisations,
    /// An organisation.
    #[n(4)]
    Organisation(#[n(0)] OrganisationId),
    /// A member.
    #[n(5)]
    Member(#[n(0)] MemberId),
    /// A chart.
    #[n(6)]
    Chart(#[n(0)] ChartId),
    /// The head of a chart's log.
    #[n(7)]
    ChartLog(#[n(0)] ChartId),
    /// A grant.
    #[n(8)]
    Grant(#[n(0)] ChartId, #[n(1)] GrantId),
    /// The grants that someone has in a chart.
    #[n(9)]
    Subject(#[n(0)] ChartId, #[n(1)] Grantee),
    /// The sign-off of a record with an approval rule.
    #[n(10)]
    Proposal(#[n(0)] ChartId, #[n(1)] RecordId),
    /// Who has a uniqueness tag.
    #[n(11)]
    Tag(#[n(0)] OrganisationId, #[n(1)] UniquenessTag),
    /// The record that the outcome at a position of a chart's log added. Answered from the outcomes
    /// of earlier blocks and never written to the state.
    #[n(12)]
    Record(#[n(0)] ChartId, #[n(1)] LogPosition),
    /// Up to where grants in a chart do not reach the readers of an organisation.
    #[n(13)]
    Cutoff(#[n(0)] ChartId, #[n(1)] OrganisationId),
    /// The care teams of a chart.
    #[n(14)]
    Teams(#[n(0)] ChartId),
    /// A group of members.
    #[n(15)]
    Group(#[n(0)] GroupId),
    /// A request for a grant.
    #[n(16)]
    Request(#[n(0)] ChartId, #[n(1)] RequestId),
    /// The requests of an organisation in a chart that wait.
    #[n(17)]
    OpenRequests(#[n(0)] ChartId, #[n(1)] OrganisationId),
    /// What has happened to a record since it was added, by the id of its first version.
    #[n(18)]
    RecordState(#[n(0)] ChartId, #[n(1)] RecordId),
    /// The credentials of a member.
    #[n(19)]
    Credentials(#[n(0)] MemberId),
    /// The emergencies of a chart.
    #[n(20)]
    Emergencies(#[n(0)] ChartId),
    /// A case.
    #[n(21)]
    Case(#[n(0)] ChartId, #[n(1)] CaseId),
    /// Who guards a chart.
    #[n(22)]
    Guardians(#[n(0)] ChartId),
    /// The recoveries of a chart.
    #[n(23)]
    Recoveries(#[n(0)] ChartId),
    /// Who acts for the patient of a chart.
    #[n(24)]
    Proxies(#[n(0)] ChartId),
    /// How an organisation's members used emergencies.
    #[n(25)]
    EmergencyUse(#[n(0)] OrganisationId),
    /// What an organisation has had evaluated for matching.
    #[n(26)]
    MatchQuota(#[n(0)] OrganisationId),
    /// A link between charts of two organisations.
    #[n(27)]
    Link(#[n(0)] LinkId),
    /// A motion that waits.
    #[n(28)]
    Motion(#[n(0)] MotionId),
    /// The motions that an organisation's administrators have made and that wait.
    #[n(29)]
    OpenMotions(#[n(0)] OrganisationId),
    /// Who validates.
    #[n(30)]
    Validators,
    /// The change of validators that is under way, or that failed last.
    #[n(31)]
    Changing,
    /// To which key the one with this index in the new set is dealt.
    #[n(32)]
    Receiver(#[n(0)] u16),
    /// What the one with this index in the old set dealt.
    #[n(33)]
    Dealt(#[n(0)] u16),
    /// Which version of the protocol is in force; nothing before the first upgrade is planned.
    #[n(34)]
    Protocol,
}

impl Key {
    /// The slot that remembers the command `id`.
    pub const fn replay_slot_of(id: &CommandId) -> Self {
        let [a, b, c, d, ..] = id.0;
        Self::ReplaySlot(u32::from_le_bytes([a, b, c, d]) % REPLAY_SLOTS)
    }

    /// The key as the database has it.
    pub fn to_bytes(&self) -> [u8; 32] {
        hash::digest(KEY_DOMAIN, &[&encode(self)]).0
    }

    /// Whether `value` is of the kind that stands under this key.
    pub const fn holds(&self, value: &Value) -> bool {
        matches!(
            (self, value),
            (Self::History, Value::History(_))
                | (Self::ReplaySlot(_), Value::ReplaySlot(_))
                | (Self::Quota(..), Value::Quota(_))
                | (Self::Organisations, Value::Organisations(_))
                | (Self::Organisation(_), Value::Organisation(_))
                | (Self::Member(_), Value::Member(_))
                | (Self::Chart(_), Value::Chart(_))
                | (Self::ChartLog(_), Value::ChartLog(_))
                | (Self::Grant(..), Value::Grant(_))
                | (Self::Subject(..), Value::Subject(_))
                | (Self::Proposal(..), Value::Proposal(_))
                | (Self::Tag(..), Value::Tag(_))
                | (Self::Record(..), Value::Record(_))
                | (Self::Cutoff(..), Value::Cutoff(_))
                | (Self::Teams(_), Value::Teams(_))
                | (Self::Group(_), Value::Group(_))
                | (Self::Request(..), Value::Request(_))
                | (Self::OpenRequests(..), Value::OpenRequests(_))
                | (Self::RecordState(..), Value::RecordState(_))
                | (Self::Credentials(_), Value::Credentials(_))
                | (Self::Emergencies(_), Value::Emergencies(_))
                | (Self::Case(..), Value::Case(_))
                | (Self::Guardians(_), Value::Guardians(_))
                | (Self::Recoveries(_), Value::Recoveries(_))
                | (Self::Proxies(_), Value::Proxies(_))
                | (Self::EmergencyUse(_), Value::EmergencyUse(_))
                | (Self::MatchQuota(_), Value::MatchQuota(_))
                | (Self::Link(_), Value::Link(_))
                | (Self::Motion(_), Value::Motion(_))
                | (Self::OpenMotions(_), Value::OpenMotions(_))
                | (Self::Validators, Value::Validators(_))
                | (Self::Changing, Value::Changing(_))
                | (Self::Receiver(_), Value::Receiver(_))
                | (Self::Dealt(_), Value::Dealt(_))
                | (Self::Protocol, Value::Protocol(_))
        )
    }
}

/// An entry of the state, of the kind that its key tells.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub enum Value {
    /// Under [`Key::History`]: leaves are block ids.
    #[n(0)]
    History(#[n(0)] Peaks),
    /// Under [`Key::ReplaySlot`].
    #[n(1)]
    ReplaySlot(#[n(0)] ReplaySlot),
    /// Under [`Key::Quota`].
    #[n(2)]
    Quota(#[n(0)] Quota),
    /// Under [`Key::Organisations`].
    #[n(3)]
    Organisations(#[n(0)] Organisations),
    /// Under [`Key::Organisation`].
    #[n(4)]
    Organisation(#[n(0)] Organisation),
    /// Under [`Key::Member`].
    #[n(5)]
    Member(#[n(0)] Member),
    /// Under [`Key::Chart`].
    #[n(6)]
    Chart(#[n(0)] Chart),
    /// Under [`Key::ChartLog`].
    #[n(7)]
    ChartLog(#[n(0)] ChartLog),
    /// Under [`Key::Grant`].
    #[n(8)]
    Grant(#[n(0)] Grant),
    /// Under [`Key::Subject`].
    #[n(9)]
    Subject(#[n(0)] Subject),
    /// Under [`Key::Proposal`].
    #[n(10)]
    Proposal(#[n(0)] Proposal),
    /// Under [`Key::Tag`].
    #[n(11)]
    Tag(#[n(0)] TagOwner),
    /// Under [`Key::Record`].
    #[n(12)]
    Record(#[n(0)] RecordEntry),
    /// Under [`Key::Cutoff`].
    #[n(13)]
    Cutoff(#[n(0)] Cutoff),
    /// Under [`Key::Teams`].
    #[n(14)]
    Teams(#[n(0)] Teams),
    /// Under [`Key::Group`].
    #[n(15)]
    Group(#[n(0)] Group),
    /// Under [`Key::Request`].
    #[n(16)]
    Request(#[n(0)] Request),
    /// Under [`Key::OpenRequests`].
    #[n(17)]
    OpenRequests(#[n(0)] OpenRequests),
    /// Under [`Key::RecordState`].
    #[n(18)]
    RecordState(#[n(0)] RecordState),
    /// Under [`Key::Credentials`].
    #[n(19)]
    Credentials(#[n(0)] Credentials),
    /// Under [`Key::Emergencies`].
    #[n(20)]
    Emergencies(#[n(0)] Emergencies),
    /// Under [`Key::Case`].
    #[n(21)]
    Case(#[n(0)] Case),
    /// Under [`Key::Guardians`].
    #[n(22)]
    Guardians(#[n(0)] Guardians),
    /// Under [`Key::Recoveries`].
    #[n(23)]
    Recoveries(#[n(0)] Recoveries),
    /// Under [`Key::Proxies`].
    #[n(24)]
    Proxies(#[n(0)] Proxies),
    /// Under [`Key::EmergencyUse`].
    #[n(25)]
    EmergencyUse(#[n(0)] EmergencyUse),
    /// Under [`Key::MatchQuota`].
    #[n(26)]
    MatchQuota(#[n(0)] MatchQuota),
    /// Under [`Key::Link`].
    #[n(27)]
    Link(#[n(0)] Link),
    /// Under [`Key::Motion`].
    #[n(28)]
    Motion(#[n(0)] Motion),
    /// Under [`Key::OpenMotions`].
    #[n(29)]
    OpenMotions(#[n(0)] OpenMotions),
    /// Under [`Key::Validators`].
    #[n(30)]
    Validators(#[n(0)] Validators),
    /// Under [`Key::Changing`].
    #[n(31)]
    Changing(#[n(0)] Changing),
    /// Under [`Key::Receiver`].
    #[n(32)]
    Receiver(#[n(0)] Receiver),
    /// Under [`Key::Dealt`].
    #[n(33)]
    Dealt(#[n(0)] Dealt),
    /// Under [`Key::Protocol`].
    #[n(34)]
    Protocol(#[n(0)] ProtocolPlan),
}

impl Value {
    /// Decodes canonical bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        decode(bytes, STATE_VALUE_BYTES_MAX)
    }

    /// Its canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }
}

/// A kind of entry: how a view tells it from the others.
pub(crate) trait Stored: Into<Value> {
    /// The entry, if `value` is of this kind.
    fn of(value: &Value) -> Option<&Self>;
    /// The entry, if `value` is of this kind.
    fn of_mut(value: &mut Value) -> Option<&mut Self>;
}

macro_rules! stored {
    ($($kind:ident($entry:ty))+) => {$(
        impl From<$entry> for Value {
            fn from(entry: $entry) -> Self {
                Self::$kind(entry)
            }
        }

        impl Stored for $entry {
            fn of(value: &Value) -> Option<&Self> {
                if let Value::$kind(entry) = value { Some(entry) } else { None }
            }

            fn of_mut(value: &mut Value) -> Option<&mut Self> {
                if let Value::$kind(entry) = value { Some(entry) } else { None }
            }
        }
    )+};
}

stored! {
    History(Peaks)
    ReplaySlot(ReplaySlot)
    Quota(Quota)
    Organisations(Organisations)
    Organisation(Organisation)
    Member(Member)
    Chart(Chart)
    ChartLog(ChartLog)
    Grant(Grant)
    Subject(Subject)
    Proposal(Proposal)
    Tag(TagOwner)
    Record(RecordEntry)
    Cutoff(Cutoff)
    Teams(Teams)
    Group(Group)
    Request(Request)
    OpenRequests(OpenRequests)
    RecordState(RecordState)
    Credentials(Credentials)
    Emergencies(Emergencies)
    Case(Case)
    Guardians(Guardians)
    Recoveries(Recoveries)
    Proxies(Proxies)
    EmergencyUse(EmergencyUse)
    MatchQuota(MatchQuota)
    Link(Link)
    Motion(Motion)
    OpenMotions(OpenMotions)
    Validators(Validators)
    Changing(Changing)
    Receiver(Receiver)
    Dealt(Dealt)
    Protocol(ProtocolPlan)
}

/// Which version of the protocol is in force, and from which block on the next one is to be.
///
/// Nothing is written when an upgrade begins: which version is in force follows from the height.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq)]
pub struct ProtocolPlan {
    /// In force when this was written.
    #[n(0)]
    pub protocol: Protocol,
    /// First block of the version after it.
    #[n(1)]
    pub next_from: Option<Height>,
}

impl ProtocolPlan {
    /// What holds where nothing is written.
    pub const FIRST: Self = Self { protocol: Protocol::FIRST, next_from: None };

    /// The version in force in the block at `height`.
    pub fn at(&self, height: Height) -> Protocol {
        match self.next_from {
            Some(from) if from <= height => self.protocol.next(),
            _ => self.protocol,
        }
    }

    /// The upgrade that is planned as seen from the block at `height`, where it has not begun.
    pub fn planned(&self, height: Height) -> Option<(Protocol, Height)> {
        let from = self.next_from.filter(|from| height < *from)?;
        Some((self.protocol.next(), from))
    }
}

/// The ids of recent commands that share a slot, in the order in which they came.
#[derive(Clone, Debug, Decode, Default, Encode, Eq, PartialEq, Serialize)]
pub struct ReplaySlot {
    /// Those whose windows were open when the slot was written last.
    #[n(0)]
    pub spent: List<SpentId, REPLAY_IDS_PER_SLOT_MAX>,
}

/// The id of a command that a block has.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq, Serialize)]
pub struct SpentId {
    /// The id.
    #[n(0)]
    pub id: CommandId,
    /// The end of the command's window, from which on the window refuses it.
    #[n(1)]
    pub until: BlockTime,
}

/// For whom of an organisation a quota is: whoever floods the ledger with a stolen key uses up none but
/// their own kind's.
#[derive(Clone, Copy, Debug, Encode, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cbor(index_only)]
pub enum Account {
    /// Its members.
    #[n(0)]
    Members,
    /// Whoever controls or claims one of its charts.
    #[n(1)]
    Charts,
    /// Its administrator.
    #[n(2)]
    Administrator,
    /// What keeps sealed objects for it.
    #[n(3)]
    Custodian,
    /// Whoever guards one of its charts or is to have new keys of it: they keep no patient from a veto.
    #[n(4)]
    Guardians,
    /// Its validators, and those that are to be.
    #[n(5)]
    Validators,
}

/// What of a quota was used in the latest minute in which any was.
#[derive(Clone, Copy, Debug, Decode, Default, Encode, Eq, PartialEq, Serialize)]
pub struct Quota {
    /// Whole minutes of block time since 1970.
    #[n(0)]
    pub minute: u64,
    /// Commands, refused ones included.
    #[n(1)]
    pub used: u32,
}

/// All organisations, in the order in which they were admitted.
#[derive(Clone, Debug, Decode, Default, Encode, Eq, PartialEq, Serialize)]
pub struct Organisations {
    /// Their ids.
    #[n(0)]
    pub all: List<OrganisationId, ORGANISATIONS_MAX>,
    /// How many of them are suspended.
    #[n(1)]
    pub suspended: u32,
}

impl Organisations {
    /// Those that are not suspended.
    pub fn in_standing(&self) -> u32 {
        let all = u32::try_from(self.all.len()).expect("the list is limited far below 2^32");
        all.saturating_sub(self.suspended)
    }

    /// How many administrators are more than two thirds of those of [`Self::in_standing`].
    pub fn administrators_min(&self) -> u32 {
        administrators_min(self.in_standing())
    }
}

const fn administrators_min(in_standing: u32) -> u32 {
    in_standing * 2 / 3 + 1
}

const _: () = assert!(
    administrators_min(IN_STANDING_MAX) as usize <= SIGNERS_MAX,
    "as many administrators as must can sign one command"
);

/// A legal body.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq, Serialize)]
pub struct Organisation {
    /// What it is.
    #[n(0)]
    pub kind: OrganisationKind,
    /// Its public name.
    #[n(1)]
    pub name: Text<NAME_BYTES_MAX>,
    /// Verify its administrators.
    #[n(2)]
    pub administrators: Administrators,
    /// Verifies its acknowledgements of custody, if it is a custodian.
    #[n(3)]
    pub custodian: Option<PublicKey>,
    /// Whether it and its members are barred from acting.
    #[n(4)]
    pub suspended: bool,
    /// When it was expelled, if it was; then it is suspended, for good.
    #[n(5)]
    pub expelled_at: Option<BlockTime>,
    /// The keys before its present ones, while they still count.
    #[n(6)]
    pub former: Option<FormerKeys>,
}

/// Keys of an organisation that count beside its present ones.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq, Serialize)]
pub struct FormerKeys {
    /// Of its administrators.
    #[n(0)]
    pub administrators: Administrators,
    /// For custody.
    #[n(1)]
    pub custodian: Option<PublicKey>,
    /// First instant at which they count no more.
    #[n(2)]
    pub until: BlockTime,
}

impl Organisation {
    /// Whether `key` is one of its administrators' at `now`.
    pub fn has_administrator(&self, key: &PublicKey, now: BlockTime) -> bool {
        let former = self.former_at(now).map(|it| &it.administrators);
        self.administrators.keys.contains(key) || former.is_some_and(|it| it.keys.contains(key))
    }

    /// Whether `keys`, each given once, are enough to speak for it at `now`: of its present keys, or of those
    /// before them while they count. The one kind does not make up for what the other lacks.
    pub fn is_spoken_for(&self, keys: &[PublicKey], now: BlockTime) -> bool {
        self.is_presently_spoken_for(keys)
            || self.former_at(now).is_some_and(|it| are_enough(&it.administrators, keys))
    }

    /// Whether `keys`, each given once, are enough of its present ones.
    pub fn is_presently_spoken_for(&self, keys: &[PublicKey]) -> bool {
        are_enough(&self.administrators, keys)
    }

    /// Whether `key` verifies its acknowledgements of custody at `now`.
    pub fn has_custodian(&self, key: &PublicKey, now: BlockTime) -> bool {
        let former = self.former_at(now).and_then(|it| it.custodian);
        self.custodian.as_ref() == Some(key) || former.as_ref() == Some(key)
    }

    fn former_at(&self, now: BlockTime) -> Option<&FormerKeys> {
        self.former.as_ref().filter(|it| now < it.until)
    }
}

fn are_enough(administrators: &Administrators, keys: &[PublicKey]) -> bool {
    let of_them = keys.iter().filter(|key| administrators.keys.contains(key));
    of_them.count() >= administrators.needed as usize
}

/// What the consortium's administrators are to decide.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq, Serialize)]
pub struct Motion {
    /// Whose administrator made it.
    #[n(0)]
    pub organisation: OrganisationId,
    /// What is moved.
    #[n(1)]
    pub act: Act,
    /// First instant at which it waits no more.
    #[n(2)]
    pub until: BlockTime,
    /// Who approved it, in that order; no key twice.
    #[n(3)]
    pub approvals: List<MotionApproval, MOTION_APPROVALS_MAX>,
}

/// One administrator's approval of a motion.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq, Serialize)]
pub struct MotionApproval {
    /// Whose administrator.
    #[n(0)]
    pub organisation: OrganisationId,
    /// With this key. It counts while it is one.
    #[n(1)]
    pub key: PublicKey,
}

/// The motions of one organisation's administrators that wait.
#[derive(Clone, Debug, Decode, Default, Encode, Eq, PartialEq, Serialize)]
pub struct OpenMotions {
    /// In the order in which they were made.
    #[n(0)]
    pub open: List<MotionId, MOTIONS_MAX>,
}

/// A person or device that acts for an organisation.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq, Serialize)]
pub struct Member {
    /// Whose member it is.
    #[n(0)]
    pub organisation: OrganisationId,
    /// Verifies its commands.
    #[n(1)]
    pub signing: PublicKey,
    /// Digest of the X-Wing key to which things for it are sealed.
    #[n(2)]
    pub sealing: Digest,
    /// What it does.
    #[n(3)]
    pub roles: RoleSet,
    /// Whether it is barred from acting.
    #[n(4)]
    pub suspended: bool,
    /// The groups of its organisation that it is in.
    #[n(5)]
    pub groups: List<GroupId, MEMBER_GROUPS_MAX>,
    /// The signing key before its present one, while it still counts.
    #[n(6)]
    pub former: Option<FormerKey>,
}

/// A member's signing key that counts beside its present one.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq, Serialize)]
pub struct FormerKey {
    /// Verifies its commands.
    #[n(0)]
    pub signing: PublicKey,
    /// First instant at which it counts no more.
    #[n(1)]
    pub until: BlockTime,
}

impl Member {
    /// Whether `key` verifies its commands at `now`.
    pub fn signs_with(&self, key: &PublicKey, now: BlockTime) -> bool {
        self.keys_at(now).any(|it| it == key)
    }

    /// The keys that verify its commands at `now`, the present one first.
    pub fn keys_at(&self, now: BlockTime) -> impl Iterator<Item = &PublicKey> {
        let former = self.former.as_ref().filter(move |it| now < it.until);
        iter::once(&self.signing).chain(former.map(|it| &it.signing))
    }
}

/// A group of members of one organisation.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq, Serialize)]
pub struct Group {
    /// Whose group it is.
    #[n(0)]
    pub organisation: OrganisationId,
    /// The purposes that it reads for.
    #[n(1)]
    pub purposes: PurposeSet,
}

/// One patient's care relationship with one organisation.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq, Serialize)]
pub struct Chart {
    /// The organisation.
    #[n(0)]
    pub organisation: OrganisationId,
    /// Keys of its controller.
    #[n(1)]
    pub keys: ChartKeys,
    /// The current generation of each compartment's key.
    #[n(2)]
    pub epochs: [Epoch; COMPARTMENTS],
    /// The compartments that no ordinary grant opens; fixed when the chart is opened.
    #[n(3)]
    pub separate_consent: CompartmentSet,
    /// Who stores its sealed objects.
    #[n(4)]
    pub custodians: List<OrganisationId, CUSTODIANS_MAX>,
    /// Who may author in it beside its organisation.
    #[n(5)]
    pub contributors: List<OrganisationId, CONTRIBUTORS_MAX>,
    /// How the patient may claim it. While this is here the organisation controls the chart.
    #[n(6)]
    pub claim: Option<ClaimTicket>,
    /// Whether the patient has claimed it.
    #[n(7)]
    pub claimed: bool,
    /// The compartments that may be opened in an emergency.
    #[n(8)]
    pub emergency: CompartmentSet,
    /// Digest of their keys, shared out among the trustees.
    #[n(9)]
    pub escrow: Option<Digest>,
    /// Digest of the table of seeds that the latest rotation sealed to the remaining grantees.
    #[n(10)]
    pub seeds: Option<Digest>,
    /// Since when nothing is added any more.
    #[n(11)]
    pub closed_at: Option<BlockTime>,
    /// Keys of epochs to come, by which compartments move on after an emergency.
    #[n(12)]
    pub ahead: Option<KeysAhead>,
    /// Since when its present keys control it, if it was not opened with them.
    #[n(13)]
    pub taken: Option<Taken>,
}

/// When a chart came to its present keys: by a claim or a recovery.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq, Serialize)]
pub struct Taken {
    /// By this command.
    #[n(0)]
    pub location: Location,
    /// Then.
    #[n(1)]
    pub at: BlockTime,
}

impl Chart {
    /// The current generation of a compartment's key.
    pub const fn epoch(&self, compartment: Compartment) -> Epoch {
        self.epochs[compartment.index() as usize]
    }

    /// Whether a key of the compartment's next epoch was published ahead.
    pub fn has_key_ahead(&self, compartment: Compartment) -> bool {
        let until = self.ahead.map(|ahead| ahead.until[usize::from(compartment.index())]);
        until.is_some_and(|until| self.epoch(compartment).0.saturating_add(1) < until.0)
    }
}

/// The append-only log of every outcome that touched a chart: see `keepwell_merkle::chart_log`.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq, Serialize)]
pub struct ChartLog {
    /// How many outcomes it has, which is where the next one will stand.
    #[n(0)]
    pub count: LogPosition,
    /// Its head.
    #[n(1)]
    pub head: Digest,
    /// The head of the chain of its lines.
    #[n(2)]
    pub lines: Digest,
}

impl ChartLog {
    /// The log of a chart that nothing has touched.
    pub const EMPTY: Self =
        Self { count: LogPosition(0), head: chart_log::EMPTY, lines: chart_log::EMPTY };

    /// The log with one more outcome, and what is kept to find it.
    pub fn extended(&self, outcome: &Outcome, line: &LogLine) -> Self {
        let position = self.count;
        let next = position.0.checked_add(1).expect("a log stays far below 2^64");
        Self {
            count: LogPosition(next),
            head: chart_log::extend(self.head, position, outcome),
            lines: line.extend(self.lines, position),
        }
    }
}

/// What a node keeps of an outcome in a chart's log: where it stands, and what it added.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq, Serialize)]
pub struct LogLine {
    /// The entry.
    #[n(0)]
    pub location: Location,
    /// The record that it added.
    #[n(1)]
    pub record: Option<RecordEntry>,
}

impl LogLine {
    /// The head of a chain of lines to which this one is appended at `position`.
    pub fn extend(&self, head: Digest, position: LogPosition) -> Digest {
        chart_log::extend_lines(head, position, &keepwell_types::encode(self))
    }
}

/// A patient's permission or prohibition.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq, Serialize)]
pub struct Grant {
    /// Its terms, as they were given or limited last.
    #[n(0)]
    pub terms: GrantTerms,
    /// Digest of the epoch seeds sealed to the grantee.
    #[n(1)]
    pub seeds: Digest,
    /// When it was given.
    #[n(2)]
    pub given_at: BlockTime,
    /// When it was revoked.
    #[n(3)]
    pub revoked_at: Option<BlockTime>,
    /// Accesses counted for it; none are where the terms set no number.
    #[n(4)]
    pub accesses_used: u32,
    /// Where the latest of those stand in the chart's log, the newest last.
    #[n(5)]
    pub counted: List<LogPosition, COUNTED_ACCESSES_MAX>,
    /// What it was about when it was given, by which it ranks among the others for good.
    #[n(6)]
    pub object: Object,
    /// Where it was given in the chart's log.
    #[n(7)]
    pub position: LogPosition,
    /// Where it comes from, if a grantee passed it on.
    #[n(8)]
    pub passed: Option<Passed>,
    /// How often it was passed on itself.
    #[n(9)]
    pub passed_on: u8,
}

impl Grant {
    /// Whether it was given before all that an organisation had was revoked. A prohibition is nothing that
    /// an organisation has.
    pub fn is_ended_by(&self, cutoff: Option<&Cutoff>) -> bool {
        let before = cutoff.is_some_and(|cutoff| self.position < cutoff.before);
        before && self.terms.effect == Effect::Allow
    }
}

/// How a grant was passed on.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq, Serialize)]
pub struct Passed {
    /// The grant that it comes from.
    #[n(0)]
    pub from: GrantId,
    /// Who passed it on.
    #[n(1)]
    pub by: MemberId,
}

/// Where everything that an organisation was granted in a chart ended.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq, Serialize)]
pub struct Cutoff {
    /// Permissions that stand before this in the chart's log reach none of its readers.
    #[n(0)]
    pub before: LogPosition,
}

/// The care teams of a chart.
#[derive(Clone, Debug, Decode, Default, Encode, Eq, PartialEq, Serialize)]
pub struct Teams {
    /// In the order in which they were formed.
    #[n(0)]
    pub teams: List<Team, TEAMS_MAX>,
}

impl Teams {
    /// The teams that a member is in.
    pub fn of(&self, member: MemberId) -> impl Iterator<Item = TeamId> {
        let in_team = move |team: &&Team| team.members.contains(&member);
        self.teams.iter().filter(in_team).map(|team| team.team)
    }
}

/// A care team.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq, Serialize)]
pub struct Team {
    /// Its id.
    #[n(0)]
    pub team: TeamId,
    /// Who is in it.
    #[n(1)]
    pub members: List<MemberId, TEAM_MEMBERS_MAX>,
}

/// A request for a grant.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq, Serialize)]
pub struct Request {
    /// Who asks.
    #[n(0)]
    pub member: MemberId,
    /// For which organisation.
    #[n(1)]
    pub organisation: OrganisationId,
    /// For what.
    #[n(2)]
    pub terms: GrantTerms,
    /// First instant at which it cannot be answered any more.
    #[n(3)]
    pub until: BlockTime,
    /// What became of it; nothing yet while it waits.
    #[n(4)]
    pub end: Option<RequestEnd>,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestEnd {
    /// This grant was given.
    #[n(0)]
    Given(#[n(0)] GrantId),
    /// It was refused.
    #[n(1)]
    Refused(#[n(0)] RefusalReason),
    /// Whoever asked asks no longer.
    #[n(2)]
    Withdrawn,
}

/// The requests of one organisation in one chart that had no end when this was written.
#[derive(Clone, Debug, Decode, Default, Encode, Eq, PartialEq, Serialize)]
pub struct OpenRequests {
    /// In the order in which they were made.
    #[n(0)]
    pub open: List<OpenRequest, OPEN_REQUESTS_MAX>,
}

/// A request that waits.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq, Serialize)]
pub struct OpenRequest {
    /// Its id.
    #[n(0)]
    pub request: RequestId,
    /// First instant at which it waits no more.
    #[n(1)]
    pub until: BlockTime,
}

/// The grants of one subject in one chart that are not revoked, in the order in which they were given.
#[derive(Clone, Debug, Decode, Default, Encode, Eq, PartialEq, Serialize)]
pub struct Subject {
    /// Their ids.
    #[n(0)]
    pub grants: List<GrantId, GRANTS_PER_SUBJECT_MAX>,
}

/// The sign-off of a record that entered under an approval rule.
///
/// It stays when nothing about it can change any more: it is what every party's copy is proven with.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq, Serialize)]
pub struct Proposal {
    /// Whose approvals it needs.
    #[n(0)]
    pub rule: ApprovalRule,
    /// Those that count, in the order in which they were given.
    #[n(1)]
    pub approvals: List<Approval, APPROVERS_MAX>,
    /// What is to be approved.
    #[n(2)]
    pub commitment: Commitment,
    /// First instant at which nobody approves it any more.
    #[n(3)]
    pub until: Option<BlockTime>,
    /// When all had approved who must.
    #[n(4)]
    pub final_at: Option<BlockTime>,
    /// When its author withdrew it.
    #[n(5)]
    pub withdrawn_at: Option<BlockTime>,
    /// The organisation that the record is from.
    #[n(6)]
    pub organisation: OrganisationId,
}

impl Proposal {
    /// Whether enough parties have approved for the record to be final.
    pub const fn is_final(&self) -> bool {
        self.final_at.is_some()
    }

    /// How many have signed at a seat.
    pub fn taken(&self, seat: u8) -> usize {
        self.approvals.iter().filter(|approval| approval.seat == seat).count()
    }

    /// How many steps are met.
    pub fn steps_met(&self) -> usize {
        self.rule.steps_met(|seat| self.taken(seat))
    }

    /// The step of an approval.
    pub fn step_of(&self, approval: &Approval) -> Option<usize> {
        self.rule.seat(approval.seat).map(|place| place.step)
    }
}

/// One party's approval: who signed, when, and at which seat, which says what the signature means.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq, Serialize)]
pub struct Approval {
    /// Who approved.
    #[n(0)]
    pub party: Party,
    /// Where the command stands.
    #[n(1)]
    pub location: Location,
    /// The number of the seat.
    #[n(2)]
    pub seat: u8,
    /// The time of its block.
    #[n(3)]
    pub time: BlockTime,
}

/// The live record that has a uniqueness tag.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq, Serialize)]
pub struct TagOwner {
    /// Its chart.
    #[n(0)]
    pub chart: ChartId,
    /// The record.
    #[n(1)]
    pub record: RecordName,
}

/// What the ledger knows of one record.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq, Serialize)]
pub struct RecordEntry {
    /// The record.
    #[n(0)]
    pub record: RecordId,
    /// Its version.
    #[n(1)]
    pub version: Version,
    /// The compartment it is sealed to.
    #[n(2)]
    pub compartment: Compartment,
    /// The generation of that compartment's key.
    #[n(3)]
    pub epoch: Epoch,
    /// Its coarse class.
    #[n(4)]
    pub kind: RecordKind,
    /// The salted digest of its capsule.
    #[n(5)]
    pub commitment: Commitment,
    /// Bytes of its body as stored.
    #[n(6)]
    pub sealed_bytes: u64,
    /// Who added it.
    #[n(7)]
    pub author: Party,
    /// For which organisation: the author's, or the chart's where its controller added it.
    #[n(8)]
    pub organisation: OrganisationId,
    /// Whether it entered under an approval rule.
    #[n(9)]
    pub proposed: bool,
    /// Where its `record.add` stands in the chain.
    #[n(10)]
    pub location: Location,
    /// Who has stored it.
    #[n(11)]
    pub custodians: List<OrganisationId, CUSTODIANS_MAX>,
    /// What its organisation wants to be unique, while the record is live.
    #[n(12)]
    pub uniqueness: Option<UniquenessTag>,
    /// Its first version: itself, unless it amends another.
    #[n(13)]
    pub original: RecordId,
}

/// What has happened to a record, in all its versions, since it was added; nothing, of most.
#[derive(Clone, Debug, Decode, Default, Encode, Eq, PartialEq, Serialize)]
pub struct RecordState {
    /// Its newest version, if it was amended.
    #[n(0)]
    pub newest: Option<Newest>,
    /// What keeps it from being read or from being redacted.
    #[n(1)]
    pub restrictions: RestrictionSet,
    /// Whether it is to be redacted, or is.
    #[n(2)]
    pub redaction: Option<Redaction>,
    /// The custodians of all its versions, if it was amended.
    #[n(3)]
    pub custodians: List<OrganisationId, RECORD_CUSTODIANS_MAX>,
    /// What its organisation wanted to be unique, if it was amended.
    #[n(4)]
    pub uniqueness: Option<UniquenessTag>,
    /// The cases about it, which are attached to what is disclosed.
    #[n(5)]
    pub cases: List<CaseId, RECORD_CASES_MAX>,
}

impl RecordState {
    /// Whether nothing is released of it any more.
    pub fn is_redacted(&self) -> bool {
        self.redaction.as_ref().is_some_and(|redaction| redaction.bound.is_some())
    }
}

/// The newest version of a record.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq, Serialize)]
pub struct Newest {
    /// Where it stands in the chart's log.
    #[n(0)]
    pub position: LogPosition,
    /// Its number.
    #[n(1)]
    pub version: Version,
}

/// A redaction, from its first approval on.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq, Serialize)]
pub struct Redaction {
    /// Why.
    #[n(0)]
    pub ground: RedactionGround,
    /// Who has approved: the controller, the chart's organisation, and the author's.
    #[n(1)]
    pub approvals: List<RedactionApproval, 3>,
    /// When all of them had, and until when custodians erase.
    #[n(2)]
    pub bound: Option<Bound>,
    /// The custodians who have not said yet that they erased it.
    #[n(3)]
    pub outstanding: List<OrganisationId, RECORD_CUSTODIANS_MAX>,
}

/// One required party's approval of a redaction.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq, Serialize)]
pub struct RedactionApproval {
    /// For whom: an organisation, or the chart's controller.
    #[n(0)]
    pub organisation: Option<OrganisationId>,
    /// Who signed.
    #[n(1)]
    pub party: Party,
    /// Where.
    #[n(2)]
    pub location: Location,
}

/// A redaction that binds.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq, Serialize)]
pub struct Bound {
    /// Since when.
    #[n(0)]
    pub at: BlockTime,
    /// First instant at which a custodian that has not erased is late.
    #[n(1)]
    pub erase_until: BlockTime,
}

/// The credentials of a member, ended ones included, in the order in which they were issued.
#[derive(Clone, Debug, Decode, Default, Encode, Eq, PartialEq, Serialize)]
pub struct Credentials {
    /// All of them.
    #[n(0)]
    pub all: List<Credential, CREDENTIALS_MAX>,
}

impl Credentials {
    /// Whether one of this kind holds at `time`.
    pub fn hold(&self, kind: CredentialKind, time: BlockTime) -> bool {
        self.all.iter().any(|credential| credential.kind == kind && credential.holds(time))
    }
}

/// What a licensing board says that a member may do.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq, Serialize)]
pub struct Credential {
    /// Its id.
    #[n(0)]
    pub credential: CredentialId,
    /// The board.
    #[n(1)]
    pub issuer: OrganisationId,
    /// What it is about.
    #[n(2)]
    pub kind: CredentialKind,
    /// Where or for what it holds.
    #[n(3)]
    pub scope: Text<CREDENTIAL_SCOPE_BYTES_MAX>,
    /// When it holds.
    #[n(4)]
    pub window: Window,
    /// Digest of the credential as its holder has it.
    #[n(5)]
    pub evidence: Digest,
    /// Whether it is suspended.
    #[n(6)]
    pub suspended: bool,
    /// When it was revoked.
    #[n(7)]
    pub revoked_at: Option<BlockTime>,
}

impl Credential {
    /// Whether it holds at `time`, as far as is known by now.
    pub fn holds(&self, time: BlockTime) -> bool {
        self.window.contains(time) && !self.suspended && self.revoked_at.is_none()
    }
}

/// The emergencies of a chart that are open or wait for review, and the latest others.
#[derive(Clone, Debug, Decode, Default, Encode, Eq, PartialEq, Serialize)]
pub struct Emergencies {
    /// In the order in which the glass was broken.
    #[n(0)]
    pub all: List<Emergency, EMERGENCIES_MAX>,
}

/// One emergency access.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq, Serialize)]
pub struct Emergency {
    /// Where the glass was broken in the chart's log, which names it.
    #[n(0)]
    pub position: LogPosition,
    /// Who broke it.
    #[n(1)]
    pub member: MemberId,
    /// For which organisation.
    #[n(2)]
    pub organisation: OrganisationId,
    /// Who agreed.
    #[n(3)]
    pub second: Option<MemberId>,
    /// Which compartments.
    #[n(4)]
    pub compartments: CompartmentSet,
    /// Why.
    #[n(5)]
    pub reason: EmergencyReason,
    /// When it may be read: once another clinician agrees, or after the delay.
    #[n(6)]
    pub open: Window,
    /// First instant at which its review is late.
    #[n(7)]
    pub review_until: BlockTime,
    /// What a review found.
    #[n(8)]
    pub review: Option<Finding>,
    /// Where the command that broke it stands in the chain.
    #[n(9)]
    pub location: Option<Location>,
    /// When it was closed, which moved what it opened on.
    #[n(10)]
    pub closed: Option<BlockTime>,
}

/// How the members of one organisation used emergencies, and what waits for review. Entries are named by
/// their places in the chain: no two charts stand side by side.
#[derive(Clone, Debug, Decode, Default, Encode, Eq, PartialEq, Serialize)]
pub struct EmergencyUse {
    /// By member; whoever took part last stands last.
    #[n(0)]
    pub members: List<MemberUse, EMERGENCY_MEMBERS_MAX>,
    /// Of members who had to make room.
    #[n(1)]
    pub others: Tally,
    /// What nobody has reviewed, in the order in which the glass was broken.
    #[n(2)]
    pub waiting: List<Waiting, EMERGENCIES_WAITING_MAX>,
}

impl EmergencyUse {
    /// Of the whole organisation.
    pub fn total(&self) -> Tally {
        self.members.iter().fold(self.others, |sum, member| sum.plus(&member.tally))
    }
}

/// How one member used emergencies.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq, Serialize)]
pub struct MemberUse {
    /// Who.
    #[n(0)]
    pub member: MemberId,
    /// How often.
    #[n(1)]
    pub tally: Tally,
}

/// Counts of emergencies.
#[derive(Clone, Copy, Debug, Decode, Default, Encode, Eq, PartialEq, Serialize)]
pub struct Tally {
    /// The glass was broken so often.
    #[n(0)]
    pub broken: u32,
    /// Of others' emergencies, so many were agreed to.
    #[n(1)]
    pub seconded: u32,
    /// Of those broken, so many were found to be emergencies.
    #[n(2)]
    pub justified: u32,
    /// And so many were not.
    #[n(3)]
    pub unjustified: u32,
}

impl Tally {
    /// Those that nobody has reviewed.
    pub const fn unreviewed(&self) -> u32 {
        self.broken.saturating_sub(self.justified).saturating_sub(self.unjustified)
    }

    pub(crate) const fn plus(self, other: &Self) -> Self {
        Self {
            broken: self.broken.saturating_add(other.broken),
            seconded: self.seconded.saturating_add(other.seconded),
            justified: self.justified.saturating_add(other.justified),
            unjustified: self.unjustified.saturating_add(other.unjustified),
        }
    }
}

/// An emergency that waits for its review.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq, Serialize)]
pub struct Waiting {
    /// Who broke the glass.
    #[n(0)]
    pub member: MemberId,
    /// Where the command stands in the chain.
    #[n(1)]
    pub location: Location,
    /// First instant at which the review is late.
    #[n(2)]
    pub review_until: BlockTime,
}

/// Who guards a chart.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq, Serialize)]
pub struct Guardians {
    /// Whose approvals let the chart come to new keys.
    #[n(0)]
    pub policy: GuardianPolicy,
    /// Digest of what opens the chart's compartments, shared out among them.
    #[n(1)]
    pub escrow: Digest,
}

/// The recoveries of a chart that wait for approvals, for time to pass, or to be finished.
#[derive(Clone, Debug, Decode, Default, Encode, Eq, PartialEq, Serialize)]
pub struct Recoveries {
    /// In the order in which they were started.
    #[n(0)]
    pub open: List<Recovery, GUARDIANS_MAX>,
}

/// A chart's way to new keys.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq, Serialize)]
pub struct Recovery {
    /// Where it was started in the chart's log, which names it.
    #[n(0)]
    pub position: LogPosition,
    /// Why.
    #[n(1)]
    pub ground: RecoveryGround,
    /// The new signing key.
    #[n(2)]
    pub successor: PublicKey,
    /// Digest of the X-Wing key to which the shares are sealed.
    #[n(3)]
    pub sealing: Digest,
    /// Who vouches, whoever started it first.
    #[n(4)]
    pub approvals: List<RecoveryApproval, GUARDIANS_MAX>,
    /// First instant at which it can be finished; nothing yet while too few approve.
    #[n(5)]
    pub ready_at: Option<BlockTime>,
    /// First instant at which nothing happens to it any more.
    #[n(6)]
    pub until: BlockTime,
}

/// One guardian's approval of a recovery.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq, Serialize)]
pub struct RecoveryApproval {
    /// Where the guardian stands in the policy.
    #[n(0)]
    pub by: GuardianPlace,
    /// Digest of its share, sealed to the successor.
    #[n(1)]
    pub share: Digest,
}

/// Who acts for the patient of a chart.
#[derive(Clone, Debug, Decode, Default, Encode, Eq, PartialEq, Serialize)]
pub struct Proxies {
    /// In the order in which they were named. One that is over is listed until another is named.
    #[n(0)]
    pub all: List<Proxy, PROXIES_MAX>,
    /// First instant at which the patient is of age, of one who was a minor when the chart was opened.
    #[n(1)]
    pub of_age_at: Option<BlockTime>,
}

/// One who acts for a chart's patient.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq, Serialize)]
pub struct Proxy {
    /// Its id.
    #[n(0)]
    pub proxy: ProxyId,
    /// Verifies its commands.
    #[n(1)]
    pub signing: PublicKey,
    /// Digest of the X-Wing key to which things for it are sealed.
    #[n(2)]
    pub sealing: Digest,
    /// How far it may act, and when.
    #[n(3)]
    pub terms: ProxyTerms,
}

/// What a patient asks of the chart's organisation by right.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq, Serialize)]
pub struct Case {
    /// What is asked for.
    #[n(0)]
    pub kind: CaseKind,
    /// Of which record.
    #[n(1)]
    pub record: Option<RecordId>,
    /// Since when.
    #[n(2)]
    pub opened_at: BlockTime,
    /// First instant at which the answer is late.
    #[n(3)]
    pub due: BlockTime,
    /// Whether the time was extended.
    #[n(4)]
    pub extended: bool,
    /// The answer, and when it was given.
    #[n(5)]
    pub decided: Option<Decided>,
    /// What was said after a denial, in order.
    #[n(6)]
    pub statements: List<Statement, CASE_STATEMENTS_MAX>,
    /// Earlier recipients who say that they were told.
    #[n(7)]
    pub told: List<OrganisationId, CASE_TOLD_MAX>,
    /// Digest of what was said when it was opened.
    #[n(8)]
    pub asked: Option<Digest>,
    /// Digest of why its time was extended.
    #[n(9)]
    pub put_off: Option<Digest>,
}

impl Case {
    /// The digests of all words of the case, in the order in which they were said.
    pub fn words(&self) -> impl Iterator<Item = Digest> {
        let reason = self.decided.and_then(|decided| match decided.decision {
            CaseDecision::Accept => None,
            CaseDecision::Deny { statement, .. } => Some(statement),
        });
        let said = self.statements.iter().map(|said| said.statement);
        self.asked.into_iter().chain(self.put_off).chain(reason).chain(said)
    }

    /// Whether the answer was due before `now` and is not there.
    pub fn is_late(&self, now: BlockTime) -> bool {
        self.decided.is_none() && self.due <= now
    }
}

/// The answer to a case.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq, Serialize)]
pub struct Decided {
    /// The answer.
    #[n(0)]
    pub decision: CaseDecision,
    /// When it was given.
    #[n(1)]
    pub at: BlockTime,
}

/// What was said after a denial.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq, Serialize)]
pub struct Statement {
    /// Who says it: the patient disagrees, or the organisation answers that.
    #[n(0)]
    pub party: Party,
    /// Its digest.
    #[n(1)]
    pub statement: Digest,
}

/// What an organisation has had evaluated for matching, in the latest period in which it had anything.
#[derive(Clone, Copy, Debug, Decode, Default, Encode, Eq, PartialEq, Serialize)]
pub struct MatchQuota {
    /// Whole periods of block time since 1970.
    #[n(0)]
    pub period: u64,
    /// Points in it.
    #[n(1)]
    pub used: u32,
    /// Points ever: whoever sums up the organisation's commands and finds fewer lacks one.
    #[n(2)]
    pub total: u64,
}

/// A link: which two organisations, and who has said what of it. It names no chart.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq, Serialize)]
pub struct Link {
    /// The side that proposed it.
    #[n(0)]
    pub proposed: LinkSide,
    /// The other organisation.
    #[n(1)]
    pub with: OrganisationId,
    /// Its side, once it has confirmed.
    #[n(2)]
    pub confirmed: Option<LinkSide>,
    /// The privacy officer's or the patient's word.
    #[n(3)]
    pub approved: Option<LinkApproval>,
    /// First instant at which it cannot be confirmed any more.
    #[n(4)]
    pub until: BlockTime,
    /// Since when both sides and the third word are there.
    #[n(5)]
    pub since: Option<BlockTime>,
    /// Whether, and why, it was reversed.
    #[n(6)]
    pub reversed: Option<LinkReversed>,
}

impl Link {
    /// Where it stands at `now`.
    pub fn status(&self, now: BlockTime) -> LinkStatus {
        match (self.reversed, self.since) {
            (Some(_), _) => LinkStatus::Reversed,
            (None, Some(_)) => LinkStatus::Confirmed,
            (None, None) if now < self.until => LinkStatus::Proposed,
            (None, None) => LinkStatus::Lapsed,
        }
    }

    /// Whether it is one of this organisation's.
    pub fn is_of(&self, organisation: OrganisationId) -> bool {
        [self.proposed.organisation, self.with].contains(&organisation)
    }

    /// What this organisation's side commits to.
    pub fn commitment(&self, organisation: OrganisationId) -> Option<Commitment> {
        let sides = [Some(&self.proposed), self.confirmed.as_ref()];
        let side = sides.into_iter().flatten().find(|side| side.organisation == organisation);
        side.map(|side| side.commitment)
    }
}

/// Where a link stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkStatus {
    /// It waits for confirmations.
    Proposed,
    /// It holds.
    Confirmed,
    /// It was not confirmed in time.
    Lapsed,
    /// It was reversed.
    Reversed,
}

/// One organisation's side of a link.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq, Serialize)]
pub struct LinkSide {
    /// The organisation.
    #[n(0)]
    pub organisation: OrganisationId,
    /// Who confirmed it.
    #[n(1)]
    pub member: MemberId,
    /// The salted digest of the link and the chart.
    #[n(2)]
    pub commitment: Commitment,
    /// When.
    #[n(3)]
    pub at: BlockTime,
}

/// That a privacy officer or the patient finds a link in order.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq, Serialize)]
pub struct LinkApproval {
    /// The privacy officer, or who keeps the patient's consent.
    #[n(0)]
    pub member: MemberId,
    /// The salted digest of that consent, if it is the patient's.
    #[n(1)]
    pub consent: Option<Digest>,
    /// When.
    #[n(2)]
    pub at: BlockTime,
}

/// The end of a link.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq, Serialize)]
pub struct LinkReversed {
    /// For whom it was reversed.
    #[n(0)]
    pub organisation: OrganisationId,
    /// By whom.
    #[n(1)]
    pub member: MemberId,
    /// Why.
    #[n(2)]
    pub reason: LinkReversal,
    /// The salted digest of the patient's withdrawal.
    #[n(3)]
    pub withdrawal: Option<Digest>,
    /// When.
    #[n(4)]
    pub at: BlockTime,
}
