//! Outcomes: what the ledger decided.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    case::{CaseKind, DenialGround},
    credential::CredentialKind,
    id::{
        CaseId, ChartId, CommandDigest, Compartment, CredentialId, Epoch, GrantId, GroupId, Height,
        LinkId, Location, LogPosition, MemberId, MotionId, OrganisationId, Protocol, ProxyId,
        PublicKey, RecordId, RequestId, TeamId, UniquenessTag, Version,
    },
    member::{Party, Role},
    record::{RecordKind, RedactionGround},
    set::CompartmentSet,
    signoff::Meaning,
    time::BlockTime,
};

/// The decision on one entry of a block; a leaf of the block's outcome tree.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct Outcome {
    /// Digest of the command, or of the genesis entry.
    #[n(0)]
    pub command: CommandDigest,
    /// Where it stands.
    #[n(1)]
    pub location: Location,
    /// Time of its block.
    #[n(2)]
    pub time: BlockTime,
    /// What was decided.
    #[n(3)]
    pub verdict: Verdict,
}

/// Accepted, or why not.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Done.
    #[n(0)]
    Accepted,
    /// Not done; kept all the same.
    #[n(1)]
    Rejected(#[n(0)] Rejection),
}

impl Verdict {
    /// Whether it was done.
    pub const fn is_accepted(&self) -> bool {
        matches!(self, Self::Accepted)
    }
}

/// Why a command was refused.
///
/// A refusal is committed like any other outcome, so every validator must compute the same one.
/// Variants carry values, never prose; the text is for people and may change.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, Error, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rejection {
    /// No organisation has this id.
    #[n(0)]
    #[error("organisation {0} is not of this consortium")]
    UnknownOrganisation(#[n(0)] OrganisationId),
    /// The id is taken.
    #[n(1)]
    #[error("organisation {0} exists already")]
    OrganisationExists(#[n(0)] OrganisationId),
    /// The organisation is suspended.
    #[n(2)]
    #[error("organisation {0} is suspended; its administrator knows why")]
    OrganisationSuspended(#[n(0)] OrganisationId),
    /// No member has this id.
    #[n(3)]
    #[error("member {0} is not enrolled; ask the organisation's administrator to enrol it")]
    UnknownMember(#[n(0)] MemberId),
    /// The id is taken.
    #[n(4)]
    #[error("member {0} exists already")]
    MemberExists(#[n(0)] MemberId),
    /// The member is suspended.
    #[n(5)]
    #[error("member {0} is suspended; ask the organisation's administrator")]
    MemberSuspended(#[n(0)] MemberId),
    /// The key that signed is not the signer's.
    #[n(6)]
    #[error("the key that signed does not belong to this signer (any more): {0:?}")]
    KeyNotOfSigner(#[n(0)] Party),
    /// The command must be signed by someone else, or by more parties.
    #[n(7)]
    #[error("the command must be signed by others: see its documentation for whom")]
    WrongSigners,
    /// Too few administrators signed.
    #[n(8)]
    #[error("{signed} administrators signed and {needed} must")]
    TooFewAdministrators {
        /// Who signed.
        #[n(0)]
        signed: u32,
        /// Who must.
        #[n(1)]
        needed: u32,
    },
    /// The signer lacks a role.
    #[n(9)]
    #[error("the signer does not have the role {0}")]
    RoleMissing(#[n(0)] Role),

    /// No chart has this id.
    #[n(10)]
    #[error("chart {0} does not exist")]
    UnknownChart(#[n(0)] ChartId),
    /// The id is taken.
    #[n(11)]
    #[error("chart {0} exists already; draw another random id")]
    ChartExists(#[n(0)] ChartId),
    /// The signer does not control the chart.
    #[n(12)]
    #[error("the signer does not control chart {0}")]
    NotController(#[n(0)] ChartId),
    /// The chart cannot be claimed, or was claimed already.
    #[n(13)]
    #[error("chart {0} cannot be claimed")]
    NotClaimable(#[n(0)] ChartId),
    /// The code is void.
    #[n(14)]
    #[error("the code was void from {until}; ask the organisation for a new one")]
    ClaimExpired {
        /// When it ended.
        #[n(0)]
        until: BlockTime,
    },
    /// A chart always has as many separate-consent compartments.
    #[n(15)]
    #[error("{given} compartments are flagged separate-consent; it must be {needed}")]
    SeparateConsentCount {
        /// Flagged.
        #[n(0)]
        given: u32,
        /// Required.
        #[n(1)]
        needed: u32,
    },
    /// An organisation that stores nothing was named as custodian, or one was named twice.
    #[n(16)]
    #[error("organisation {0} cannot be named here as custodian")]
    NotCustodian(#[n(0)] OrganisationId),
    /// Too few custodians.
    #[n(17)]
    #[error("{given} custodians are named and {needed} must be")]
    TooFewCustodians {
        /// Named.
        #[n(0)]
        given: u32,
        /// Required.
        #[n(1)]
        needed: u32,
    },

    /// An organisation stands in a list twice.
    #[n(18)]
    #[error("organisation {0} is named twice")]
    NamedTwice(#[n(0)] OrganisationId),
    /// Without it, no organisation would be left to reinstate another.
    #[n(19)]
    #[error("organisation {0} is the last that is not suspended")]
    LastOrganisation(#[n(0)] OrganisationId),

    /// The organisation of the signer may not author in the chart.
    #[n(20)]
    #[error("organisation {0} may not author in this chart; the patient can name it a contributor")]
    NotContributor(#[n(0)] OrganisationId),
    /// Sealed to a generation of the compartment's key that is not current.
    #[n(21)]
    #[error("compartment {} is at epoch {current}, not {given}; fetch the key sheet and seal again", .compartment.index())]
    WrongEpoch {
        /// The compartment.
        #[n(0)]
        compartment: Compartment,
        /// The command's.
        #[n(1)]
        given: Epoch,
        /// The ledger's.
        #[n(2)]
        current: Epoch,
    },
    /// A custodian's key is not the one on the ledger.
    #[n(22)]
    #[error("the acknowledgement of custodian {0} was signed with a key that is not its own")]
    CustodianKey(#[n(0)] OrganisationId),
    /// Larger than a record may be, or empty.
    #[n(23)]
    #[error("a sealed object of {sealed_bytes} bytes is outside the limits")]
    RecordSize {
        /// Bytes.
        #[n(0)]
        sealed_bytes: u64,
    },
    /// A live record of the organisation has this tag.
    #[n(24)]
    #[error("a live record of the organisation has this uniqueness tag already")]
    TagTaken(#[n(0)] UniquenessTag),
    /// The rule could never be met, or names a party twice.
    #[n(25)]
    #[error("the approval rule names a party twice or can never be met")]
    ApprovalRule,
    /// No such record stands at that position of the chart's log.
    #[n(26)]
    #[error("record {0} does not stand at that position of this chart's log")]
    UnknownRecord(#[n(0)] RecordId),
    /// The record does not wait for approvals.
    #[n(27)]
    #[error("record {0} does not wait for approval")]
    NotProposed(#[n(0)] RecordId),
    /// The signer is not asked to approve.
    #[n(28)]
    #[error("the signer is not one of the parties that approve record {0}")]
    NotApprover(#[n(0)] RecordId),
    /// The signer has approved already.
    #[n(29)]
    #[error("the signer has approved record {0} already")]
    AlreadyApproved(#[n(0)] RecordId),
    /// The approval is of something else than the record.
    #[n(30)]
    #[error("what was approved is not what record {0} commits to")]
    CommitmentMismatch(#[n(0)] RecordId),
    /// A custodian's promise to keep the object has ended.
    #[n(31)]
    #[error(
        "custodian {custodian} kept the object until {until} only; send it again under a new command"
    )]
    CustodyEnded {
        /// The custodian.
        #[n(0)]
        custodian: OrganisationId,
        /// When it ended.
        #[n(1)]
        until: BlockTime,
    },
    /// The letter is not of the keys and epochs that the chart has.
    #[n(32)]
    #[error(
        "the letter is not of the keys that chart {0} has now; ask the organisation for a new letter"
    )]
    LetterOutOfDate(#[n(0)] ChartId),
    /// With one more in standing, more administrators would have to sign together than can.
    #[n(33)]
    #[error(
        "{max} organisations are in standing, and the administrators of more could not sign one command together; suspend one first"
    )]
    TooManyOrganisations {
        /// The limit.
        #[n(0)]
        max: u32,
    },

    /// Another version of the record is the newest.
    #[n(34)]
    #[error("record {record} is at version {newest} by now: read that one and amend it")]
    NotNewest {
        /// The record.
        #[n(0)]
        record: RecordId,
        /// Its newest version.
        #[n(1)]
        newest: Version,
    },
    /// An amendment is of the same author's organisation and of the same kind.
    #[n(35)]
    #[error(
        "record {0} is amended by whom it is from, and stays of its kind; ask its author to amend it"
    )]
    NotAmendable(#[n(0)] RecordId),
    /// The record is redacted.
    #[n(36)]
    #[error("record {0} was redacted: nobody can read it any more")]
    Redacted(#[n(0)] RecordId),
    /// The record is not redacted, or not by approvals of the signer.
    #[n(37)]
    #[error("record {0} is not redacted, or its redaction is not approved by the signer")]
    NotRedacted(#[n(0)] RecordId),
    /// The record must be kept.
    #[n(38)]
    #[error(
        "record {0} is under a legal hold; the privacy officer of the chart's organisation knows why"
    )]
    LegalHold(#[n(0)] RecordId),
    /// The signer may not restrict, lift or redact.
    #[n(39)]
    #[error("the signer is not one of those who may do this with record {0}")]
    NotForRecord(#[n(0)] RecordId),

    /// The id is taken in this chart.
    #[n(40)]
    #[error("grant {0} exists already; draw another random id")]
    GrantExists(#[n(0)] GrantId),
    /// No grant has this id in this chart.
    #[n(41)]
    #[error("grant {0} does not exist in this chart")]
    UnknownGrant(#[n(0)] GrantId),
    /// The grant was revoked.
    #[n(42)]
    #[error("grant {0} has ended")]
    GrantEnded(#[n(0)] GrantId),
    /// The subject has as many grants as there may be.
    #[n(43)]
    #[error("this grantee has {max} grants in this chart; revoke one first")]
    TooManyGrants {
        /// The limit.
        #[n(0)]
        max: u32,
    },
    /// The terms permit or forbid nothing.
    #[n(44)]
    #[error("the terms name no compartment, kind, purpose, time or access: they would do nothing")]
    EmptyTerms,
    /// The window is over before it begins.
    #[n(45)]
    #[error("the window ends at {until}, which is not after block time {now}")]
    WindowPassed {
        /// Its end.
        #[n(0)]
        until: BlockTime,
        /// Block time.
        #[n(1)]
        now: BlockTime,
    },
    /// A limit would give more than the grant has.
    #[n(46)]
    #[error("grant {0} would get more than it has; give another grant instead")]
    NotNarrower(#[n(0)] GrantId),
    /// Separate consent was mixed with ordinary consent, or is missing.
    #[n(47)]
    #[error("compartments that need separate consent need a grant that names nothing else")]
    SeparateConsent(#[n(0)] CompartmentSet),

    /// The grant may not be passed on, or not like this.
    #[n(48)]
    #[error(
        "grant {0} may not be passed on like this: it must say so, be without a number of accesses and reach the signer, and what is passed on goes to one member and no further"
    )]
    NotOnward(#[n(0)] GrantId),
    /// The grant was passed on as often as one may be.
    #[n(49)]
    #[error("grant {0} was passed on as often as one may be; ask the patient")]
    PassedOnTooOften(#[n(0)] GrantId),
    /// The id is taken in this chart.
    #[n(50)]
    #[error("request {0} exists already; draw another random id")]
    RequestExists(#[n(0)] RequestId),
    /// No request has this id in this chart.
    #[n(51)]
    #[error("request {0} does not exist in this chart")]
    UnknownRequest(#[n(0)] RequestId),
    /// The request was answered, was withdrawn, or has waited too long.
    #[n(52)]
    #[error("request {0} cannot be answered any more")]
    RequestClosed(#[n(0)] RequestId),
    /// A request is for a permission, for whoever asks.
    #[n(53)]
    #[error("one asks for a permission, for oneself or for what one is in at one's organisation")]
    NotForAsker,
    /// The organisation has as many open requests in this chart as there may be.
    #[n(54)]
    #[error(
        "organisation {organisation} has {max} open requests in this chart; withdraw one first"
    )]
    TooManyRequests {
        /// The organisation.
        #[n(0)]
        organisation: OrganisationId,
        /// The limit.
        #[n(1)]
        max: u32,
    },
    /// The request would wait longer than one may.
    #[n(55)]
    #[error("a request waits at most {max_ms} ms: let it end earlier")]
    RequestWaitsTooLong {
        /// The limit.
        #[n(0)]
        max_ms: u64,
    },
    /// The answer gives more than was asked for, or to someone else.
    #[n(56)]
    #[error("the answer gives more than request {0} asked for; give a grant of its own instead")]
    MoreThanAsked(#[n(0)] RequestId),
    /// No team of the chart has this id.
    #[n(57)]
    #[error("team {0} is not one of this chart's")]
    UnknownTeam(#[n(0)] TeamId),
    /// The chart has as many teams as there may be.
    #[n(58)]
    #[error("the chart has {max} care teams; end one first")]
    TooManyTeams {
        /// The limit.
        #[n(0)]
        max: u32,
    },
    /// A member stands in a list twice.
    #[n(59)]
    #[error("member {0} is named twice")]
    MemberTwice(#[n(0)] MemberId),

    /// Nothing allows this access.
    #[n(60)]
    #[error("no grant allows this; ask the patient for one")]
    NotGranted,
    /// The patient forbids it.
    #[n(61)]
    #[error("the patient has forbidden this")]
    Denied,
    /// Grants exist, and none for this purpose.
    #[n(62)]
    #[error("no grant allows this for this purpose of use")]
    PurposeNotGranted,
    /// Grants exist, and none at this time.
    #[n(63)]
    #[error("the grant is not in force at this time")]
    OutsideWindow,
    /// The grant's accesses are used up.
    #[n(64)]
    #[error("the grant's accesses are used up")]
    AccessesUsedUp,
    /// The access names no record, or asks beyond the end of the chart's log.
    #[n(65)]
    #[error("the access names nothing that stands in the chart's log")]
    EmptyTarget,
    /// The redisclosure notice that was signed is not the current one.
    #[n(66)]
    #[error("the reader signed redisclosure notice {given}; the current one is {current}")]
    WrongNotice {
        /// Signed.
        #[n(0)]
        given: u8,
        /// Current.
        #[n(1)]
        current: u8,
    },
    /// The record waits for approvals.
    #[n(67)]
    #[error(
        "record {0} is proposed, not final; only its own organisation and its approvers may open it"
    )]
    NotFinal(#[n(0)] RecordId),
    /// The patient restricts its processing.
    #[n(68)]
    #[error("the patient has restricted record {0}: only legal claims are a reason to read it")]
    Restricted(#[n(0)] RecordId),
    /// The patient paid for it.
    #[n(69)]
    #[error("record {0} was paid for by the patient, and is hidden from insurers")]
    HiddenFromInsurers(#[n(0)] RecordId),
    /// The signer lacks a credential that holds.
    #[n(70)]
    #[error("member {member} has no {kind} that holds now; its licensing board knows why")]
    Unlicensed {
        /// The member.
        #[n(0)]
        member: MemberId,
        /// What is missing.
        #[n(1)]
        kind: CredentialKind,
    },
    /// The patient has not left these compartments to emergencies.
    #[n(71)]
    #[error("these compartments are not left to emergencies")]
    NotForEmergencies(#[n(0)] CompartmentSet),
    /// Longer than an emergency may last.
    #[n(72)]
    #[error("an emergency lasts at most {max_ms} ms; break the glass again if it goes on")]
    EmergencyTooLong {
        /// The limit.
        #[n(0)]
        max_ms: u64,
    },
    /// So many emergencies are open in this chart.
    #[n(73)]
    #[error("{max} emergencies are open in this chart")]
    TooManyEmergencies {
        /// The limit.
        #[n(0)]
        max: u32,
    },
    /// No emergency stands there, or it is over, was seconded or was reviewed already.
    #[n(74)]
    #[error("no emergency at {0} waits for this")]
    NoSuchEmergency(#[n(0)] LogPosition),
    /// Whoever broke the glass cannot second or review it.
    #[n(75)]
    #[error(
        "another clinician seconds an emergency, and a privacy officer of its organisation reviews it"
    )]
    NotForEmergency,

    /// An anchor of nothing, or of more than fits.
    #[n(80)]
    #[error("an anchor of {documents} documents is outside the limits")]
    AnchorSize {
        /// Documents.
        #[n(0)]
        documents: u64,
    },
    /// No group has this id, or not in this organisation.
    #[n(81)]
    #[error("group {0} is not one of this organisation's")]
    UnknownGroup(#[n(0)] GroupId),
    /// The id is taken.
    #[n(82)]
    #[error("group {0} exists already; draw another random id")]
    GroupExists(#[n(0)] GroupId),
    /// A grant to a group names a purpose that the group is not bound to.
    #[n(83)]
    #[error("group {0} is not for all of these purposes of use")]
    NotOfGroup(#[n(0)] GroupId),
    /// The signer's organisation is no licensing board, or not the one that issued it.
    #[n(84)]
    #[error("organisation {0} is not the licensing board of this credential")]
    NotBoard(#[n(0)] OrganisationId),
    /// The id is taken for this holder.
    #[n(85)]
    #[error("credential {0} exists already; draw another random id")]
    CredentialExists(#[n(0)] CredentialId),
    /// The holder has no such credential, or it was revoked.
    #[n(86)]
    #[error("credential {0} does not exist, or was revoked for good")]
    NoSuchCredential(#[n(0)] CredentialId),
    /// The holder has as many credentials as there may be.
    #[n(87)]
    #[error("the member has {max} credentials, ended ones included")]
    TooManyCredentials {
        /// The limit.
        #[n(0)]
        max: u32,
    },
    /// The id is taken in this chart.
    #[n(88)]
    #[error("case {0} exists already; draw another random id")]
    CaseExists(#[n(0)] CaseId),
    /// The chart has no such case.
    #[n(89)]
    #[error("case {0} does not exist in this chart")]
    UnknownCase(#[n(0)] CaseId),
    /// The case does not wait for this: it is decided, or not yet, or was extended already.
    #[n(90)]
    #[error("case {0} does not wait for this now")]
    CaseNotWaiting(#[n(0)] CaseId),
    /// A value would outgrow its limit.
    #[n(91)]
    #[error("the ledger's entry would outgrow its limit")]
    TooLarge,
    /// The law has other grounds for a case of this kind.
    #[n(92)]
    #[error("a case of {kind} cannot be denied because of {ground}")]
    WrongGround {
        /// The case's.
        #[n(0)]
        kind: CaseKind,
        /// The denial's.
        #[n(1)]
        ground: DenialGround,
    },
    /// An amendment is of one record; access and accounting are of the whole chart.
    #[n(93)]
    #[error("a case of {0} names a record that it may not name, or lacks one that it must")]
    CaseSubject(#[n(0)] CaseKind),
    /// Another party approved the redaction for another reason.
    #[n(95)]
    #[error(
        "the redaction of record {record} was approved because of {ground}: approve it for the same reason, or have it taken back first"
    )]
    OtherGround {
        /// The record.
        #[n(0)]
        record: RecordId,
        /// What was approved.
        #[n(1)]
        ground: RedactionGround,
    },
    /// The record has as many cases as there may be.
    #[n(94)]
    #[error("record {record} has {max} cases already: add to one of them")]
    TooManyCases {
        /// The record.
        #[n(0)]
        record: RecordId,
        /// The limit.
        #[n(1)]
        max: u32,
    },

    /// The signer is no guardian of the chart, or no more.
    #[n(96)]
    #[error("the signer is no guardian of chart {0}; its patient can name it one")]
    NotGuardian(#[n(0)] ChartId),
    /// The policy could never be met, or names someone twice.
    #[n(97)]
    #[error("the guardians can never approve together, are too many, or one is named twice")]
    GuardianPolicy,
    /// Only a patient's wallet names guardians.
    #[n(98)]
    #[error("chart {0} was not claimed: the patient claims it first, then names guardians")]
    NotClaimed(#[n(0)] ChartId),
    /// The guardian has started another recovery of this chart.
    #[n(99)]
    #[error("the guardian has started the recovery at {0} already; withdraw that one first")]
    RecoveryStarted(#[n(0)] LogPosition),
    /// No recovery was started there, or it ended: withdrawn, vetoed, finished, over, or by new guardians.
    #[n(100)]
    #[error("no recovery that was started at {0} waits for this")]
    NoSuchRecovery(#[n(0)] LogPosition),
    /// Each guardian has one say in a recovery.
    #[n(101)]
    #[error("the guardian has approved the recovery at {0} already")]
    RecoveryApproved(#[n(0)] LogPosition),
    /// The approval is for another key.
    #[n(102)]
    #[error(
        "the recovery at {0} is for another key than the one that was approved; look at it again"
    )]
    OtherSuccessor(#[n(0)] LogPosition),
    /// Too few guardians approve.
    #[n(103)]
    #[error("too few guardians in standing approve the recovery at {0}")]
    RecoveryNotApproved(#[n(0)] LogPosition),
    /// The patient can still veto.
    #[n(104)]
    #[error("the recovery can be finished from {ready_at} on, unless the patient vetoes it")]
    RecoveryTooSoon {
        /// The first instant at which it can.
        #[n(0)]
        ready_at: BlockTime,
    },
    /// The new key is the chart's own, or not that of the executor whom the patient has named.
    #[n(105)]
    #[error(
        "chart {0} cannot come to this key: it has it, or the patient has named another executor"
    )]
    NotSuccessor(#[n(0)] ChartId),
    /// The id is taken in this chart.
    #[n(106)]
    #[error("proxy {0} exists already; draw another random id")]
    ProxyExists(#[n(0)] ProxyId),
    /// The chart has no such proxy, or no more.
    #[n(107)]
    #[error("proxy {0} is none of this chart's, or was ended")]
    UnknownProxy(#[n(0)] ProxyId),
    /// The proxy is not in force at this time.
    #[n(108)]
    #[error("proxy {0} is not in force at this time")]
    ProxyNotInForce(#[n(0)] ProxyId),
    /// The proxy may not do this, or not in these compartments, or not for so long.
    #[n(109)]
    #[error(
        "proxy {0} may not do this, or not in these compartments, or not for longer than it may act itself; ask the patient"
    )]
    OutsideProxy(#[n(0)] ProxyId),
    /// The chart has as many proxies as there may be.
    #[n(110)]
    #[error("the chart has {max} proxies; end one first")]
    TooManyProxies {
        /// The limit.
        #[n(0)]
        max: u32,
    },
    /// Nobody acts for a patient who was a minor from then on.
    #[n(111)]
    #[error("the patient is of age from {at} on: no proxy of a minor lasts longer")]
    OfAge {
        /// Majority.
        #[n(0)]
        at: BlockTime,
    },
    /// A window or time further away than there may be.
    #[n(112)]
    #[error("it lasts at most {max_ms} ms; name an earlier end")]
    TooLong {
        /// The limit.
        #[n(0)]
        max_ms: u64,
    },
    /// The chart is closed.
    #[n(113)]
    #[error("chart {0} is closed: it can be read, and nothing is added")]
    ChartClosed(#[n(0)] ChartId),
    /// Keys of epochs to come that are not of the compartments left to emergencies, or are too many.
    #[n(114)]
    #[error(
        "keys published ahead are for each compartment left to emergencies, for 1 to {max} epochs after its present one"
    )]
    KeysAhead {
        /// The limit.
        #[n(0)]
        max: u32,
    },
    /// The organisation's key agent controls the chart, and moves compartments on itself.
    #[n(115)]
    #[error(
        "keys are published ahead by patients; chart {0} is not claimed, so its organisation's key agent moves compartments on by itself"
    )]
    AheadOfClaim(#[n(0)] ChartId),
    /// Somebody else ends the emergency.
    #[n(116)]
    #[error(
        "an emergency is ended by whoever broke the glass, a privacy officer of that organisation, or whoever controls the chart; once its time is over, by any member of either organisation or a custodian of the chart"
    )]
    NotToClose,
    /// The signer takes a seat whose step is not open.
    #[n(117)]
    #[error(
        "step {step} of the sign-off of record {record} opens once those before it are met; approve then"
    )]
    StepNotOpen {
        /// The record.
        #[n(0)]
        record: RecordId,
        /// The step, counted from 1.
        #[n(1)]
        step: u32,
    },
    /// The signature says something else than its step asks for.
    #[n(118)]
    #[error(
        "a signature there says {needed}, not {given}; sign with that meaning, or at another seat"
    )]
    WrongMeaning {
        /// The command's.
        #[n(0)]
        given: Meaning,
        /// The rule's.
        #[n(1)]
        needed: Meaning,
    },
    /// The time in which the record could be approved is over.
    #[n(119)]
    #[error("record {record} could be approved until {until} only; its author can add it again")]
    ApprovalExpired {
        /// The record.
        #[n(0)]
        record: RecordId,
        /// First instant at which it could not.
        #[n(1)]
        until: BlockTime,
    },
    /// Its author proposes it no longer.
    #[n(120)]
    #[error("the author of record {0} has withdrawn it; nothing can be approved or taken back")]
    ProposalWithdrawn(#[n(0)] RecordId),
    /// All who must have approved it.
    #[n(121)]
    #[error("record {0} is final: nothing of it is withdrawn; amend it, or have it redacted")]
    AlreadyFinal(#[n(0)] RecordId),
    /// The command asks for less than the consortium, or than the version before it.
    #[n(122)]
    #[error(
        "a {0} needs every step that the consortium, or the version it amends, asks for, and no more time; repeat those steps and add your own"
    )]
    WeakerRule(#[n(0)] RecordKind),
    /// Whoever signed a later step relied on this approval.
    #[n(123)]
    #[error(
        "a later step of the sign-off of record {0} is signed already; who signed there takes it back first"
    )]
    ReliedOn(#[n(0)] RecordId),
    /// The chart's organisation still holds the chart's key, and is not the patient.
    #[n(124)]
    #[error("chart {0} is not in its patient's hands yet; the patient claims it and signs then")]
    NotPatient(#[n(0)] ChartId),
    /// Only who added it withdraws it.
    #[n(125)]
    #[error("only the author of record {0} withdraws it")]
    NotAuthor(#[n(0)] RecordId),
    /// No approval of the signer counts.
    #[n(126)]
    #[error("no approval of record {0} by the signer counts")]
    NotApproved(#[n(0)] RecordId),
    /// The rule has no such seat.
    #[n(127)]
    #[error("the sign-off of record {record} has no seat {seat}; see `keepwell record signatures`")]
    NoSuchSeat {
        /// The record.
        #[n(0)]
        record: RecordId,
        /// Named.
        #[n(1)]
        seat: u8,
    },
    /// The consortium has dealt no key for matching.
    #[n(128)]
    #[error("this consortium has no matching: its genesis file names no committee for it")]
    NoMatching,
    /// No points, or one twice.
    #[n(129)]
    #[error("an evaluation names at least one point, and none twice")]
    MatchPoints,
    /// The organisation has fewer evaluations left in this period.
    #[n(130)]
    #[error(
        "organisation {organisation} may have {left} more of the {max} points of this period evaluated: ask for fewer, or in the next"
    )]
    MatchQuota {
        /// The organisation.
        #[n(0)]
        organisation: OrganisationId,
        /// The quota.
        #[n(1)]
        max: u32,
        /// What is left of it.
        #[n(2)]
        left: u32,
    },
    /// The id is taken.
    #[n(131)]
    #[error("link {0} exists already; draw another random id")]
    LinkExists(#[n(0)] LinkId),
    /// No link has this id.
    #[n(132)]
    #[error("link {0} does not exist")]
    UnknownLink(#[n(0)] LinkId),
    /// The link does not wait for this any more: it is confirmed, or has waited too long.
    #[n(133)]
    #[error("link {0} does not wait for this any more; propose another one if it is needed")]
    LinkClosed(#[n(0)] LinkId),
    /// The signer's organisation is not the one that does this.
    #[n(134)]
    #[error("the signer's organisation is not the one of link {0} that does this")]
    NotOfLink(#[n(0)] LinkId),
    /// This was confirmed already.
    #[n(135)]
    #[error("this was confirmed of link {0} already")]
    LinkConfirmedAlready(#[n(0)] LinkId),
    /// The link was reversed.
    #[n(136)]
    #[error("link {0} was reversed, for good; propose another one if that was wrong")]
    LinkReversed(#[n(0)] LinkId),
    /// The link would wait longer than one may.
    #[n(137)]
    #[error("a link waits at most {max_ms} ms to be confirmed: let it end earlier")]
    LinkWaitsTooLong {
        /// The limit.
        #[n(0)]
        max_ms: u64,
    },
    /// A link is between two organisations.
    #[n(138)]
    #[error("a link is between two organisations, and {0} is the signer's own")]
    LinkWithin(#[n(0)] OrganisationId),
    /// Whoever confirmed a side cannot be the privacy officer too.
    #[n(139)]
    #[error("a privacy officer who confirmed neither side of link {0} must find it in order")]
    LinkSameMember(#[n(0)] LinkId),
    /// A withdrawal is there if, and only if, the consent was withdrawn.
    #[n(140)]
    #[error(
        "a link is reversed with what the patient signed if, and only if, consent was withdrawn"
    )]
    LinkWithdrawal,
    /// Nobody could speak for the organisation, or one could for two.
    #[n(141)]
    #[error(
        "an organisation has one to {max} administrators' keys, none twice, of which at least one and at most all must sign"
    )]
    UnsoundAdministrators {
        /// The limit.
        #[n(0)]
        max: u32,
    },
    /// Former keys would count for longer than they may.
    #[n(142)]
    #[error("former keys count for at most {max_ms} ms beside the new ones: let that end earlier")]
    OverlapTooLong {
        /// The limit.
        #[n(0)]
        max_ms: u64,
    },
    /// The organisation was expelled.
    #[n(143)]
    #[error("organisation {0} was expelled, for good; it can be admitted again under another id")]
    OrganisationExpelled(#[n(0)] OrganisationId),
    /// The id is taken.
    #[n(144)]
    #[error("motion {0} exists already; draw another random id")]
    MotionExists(#[n(0)] MotionId),
    /// No motion waits under this id.
    #[n(145)]
    #[error(
        "no motion {0} waits: it was carried out or withdrawn, or has waited too long; `keepwell organisation motions` lists those that wait"
    )]
    NoSuchMotion(#[n(0)] MotionId),
    /// The signer approves something else.
    #[n(146)]
    #[error("motion {0} is about something else than what was signed; look at it again")]
    OtherMotion(#[n(0)] MotionId),
    /// The key has approved it.
    #[n(147)]
    #[error("motion {0} is approved with this key already; it waits for other administrators")]
    MotionApproved(#[n(0)] MotionId),
    /// The motion would wait longer than one may.
    #[n(148)]
    #[error("a motion waits at most {max_ms} ms: let it end earlier")]
    MotionWaitsTooLong {
        /// The limit.
        #[n(0)]
        max_ms: u64,
    },
    /// Too many motions of the organisation wait.
    #[n(149)]
    #[error("organisation {organisation} has {max} motions that wait; withdraw one of them")]
    TooManyMotions {
        /// The organisation.
        #[n(0)]
        organisation: OrganisationId,
        /// The limit.
        #[n(1)]
        max: u32,
    },
    /// Another change of validators is under way.
    #[n(150)]
    #[error(
        "the change of validators that began at block {began} is under way; wait until it has begun to hold or has failed"
    )]
    ChangeUnderWay {
        /// The block.
        #[n(0)]
        began: Height,
    },
    /// None that began there, or it is over.
    #[n(151)]
    #[error("no change of validators that began at block {began} is under way")]
    NoSuchChange {
        /// The block.
        #[n(0)]
        began: Height,
    },
    /// The change has not come so far, or is further.
    #[n(152)]
    #[error(
        "the change of validators does not wait for this now; `keepwell validator show` says for what"
    )]
    NotAtThisStage,
    /// The signer has another part in the change, or none.
    #[n(153)]
    #[error("the signer's validator does not have this part in the change")]
    NotInChange,
    /// The signer has said this already.
    #[n(154)]
    #[error("this was said of the change already, with this key")]
    SaidAlready,
    /// Nobody validates with this key.
    #[n(155)]
    #[error("no validator has the consensus key {0}")]
    UnknownValidator(#[n(0)] PublicKey),
    /// A validator has the key, or one that joins, or a trustee.
    #[n(156)]
    #[error("key {0} is another one's already; let the validator that joins make new ones")]
    ValidatorKeyTaken(#[n(0)] PublicKey),
    /// The card is not signed by the keys in it, or says no address.
    #[n(157)]
    #[error(
        "the card of organisation {0} says no address or is not signed by the keys in it for this consortium; get it from the organisation again"
    )]
    ValidatorCard(#[n(0)] OrganisationId),
    /// It would have two validators, or holds shares of what patients leave to emergencies.
    #[n(158)]
    #[error(
        "organisation {0} cannot have this validator: it has one that stays, or is an emergency trustee"
    )]
    NotToValidate(#[n(0)] OrganisationId),
    /// Nobody would validate, or more than can.
    #[n(159)]
    #[error("{given} validators would remain; there are 1 to {max}")]
    ValidatorCount {
        /// After the change.
        #[n(0)]
        given: u32,
        /// The limit.
        #[n(1)]
        max: u32,
    },
    /// Not a dealing of the signer's share to those who are ready.
    #[n(160)]
    #[error("this is no dealing of the signer's share for this change")]
    WrongDealing,
    /// Complains about who did not deal, or twice.
    #[n(161)]
    #[error("complaints are about those who dealt, in ascending order")]
    WrongComplaint,
    /// Not the share that was dealt, or nobody complained about it.
    #[n(162)]
    #[error("the share for receiver {receiver} is not the one that was dealt and complained about")]
    WrongShare {
        /// Whose.
        #[n(0)]
        receiver: u16,
    },
    /// The signer does not have the shares that follow from the dealings.
    #[n(163)]
    #[error("the signer does not show that it has its shares")]
    NoShare,
    /// Nothing can be sealed to it.
    #[n(165)]
    #[error("the receiving key is no X-Wing key")]
    ReceivingKey,
    /// There are no validators on record: block 1 did not write them.
    #[n(164)]
    #[error("this consortium has no validators on record, and cannot change them")]
    NoValidators,
    /// Versions of the protocol follow each other.
    #[n(166)]
    #[error(
        "the rules of protocol {now} hold, and can be followed by those of the next version alone, not of {given}"
    )]
    OtherProtocol {
        /// The one that was moved.
        #[n(0)]
        given: Protocol,
        /// In force.
        #[n(1)]
        now: Protocol,
    },
    /// Not everyone would hear of it in time.
    #[n(167)]
    #[error(
        "an upgrade that is approved now can begin with block {earliest} at the earliest, so that every validator hears of it: move it for a later block than {from}"
    )]
    UpgradeTooSoon {
        /// The one that was moved.
        #[n(0)]
        from: Height,
        /// An epoch from now.
        #[n(1)]
        earliest: Height,
    },
    /// Nothing can be called off.
    #[n(168)]
    #[error("no upgrade to protocol {0} is planned")]
    NoUpgrade(#[n(0)] Protocol),
    /// Another part of its transaction was refused, for a reason of its own.
    #[n(169)]
    #[error(
        "part {place} of the transaction, counted from 0, was refused, so none of it took effect: see that part's reason"
    )]
    Transaction {
        /// The first one that was refused.
        #[n(0)]
        place: u16,
    },
}
