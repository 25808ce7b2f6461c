/**
 * The state: keys, and the entries under them.
 *
 * Written by `npm run schema` out of `crates/ledger/src`, where each type is explained. Change that, not this.
 */

import {
  blob, bool, exactly, list, one, option, pair, struct, text, u16, u32, u64, u8, unit, variants, words, type Of,
} from './encoding.js';
import { LIMITS } from './limits.js';
import { Commitments } from './objects.js';
import { Peaks } from './proofs.js';
import {
  Act, Administrators, ApprovalRule, BlockTime, CaseDecision, CaseId, CaseKind, ChartId, ChartKeys, ClaimTicket,
  CommandId, Commitment, CommitteeKeys, Compartment, CompartmentSet, CredentialId, CredentialKind, Digest,
  EmergencyReason, Epoch, Finding, GrantId, GrantTerms, Grantee, GroupId, GuardianPlace, GuardianPolicy, Height,
  KeysAhead, LinkId, LinkReversal, Location, LogPosition, MemberId, MotionId, OrganisationId, OrganisationKind, Party,
  Protocol, ProxyId, ProxyTerms, PublicKey, PurposeSet, RecordId, RecordKind, RecordName, RecoveryGround,
  RedactionGround, RefusalReason, RequestId, RestrictionSet, RoleSet, Seat, TeamId, UniquenessTag, ValidatorSet,
  Version, Window,
} from './types.js';

/** What a rule is about, from the most specific to the least. */
export const RuleObject = words(
  [0, 'records'],
  [1, 'kinds'],
  [2, 'compartments'],
  [3, 'chart'],
);
/** What a rule is about, from the most specific to the least. */
export type RuleObject = Of<typeof RuleObject>;

/**
 * For whom of an organisation a quota is: whoever floods the ledger with a stolen key uses up none but their own
 * kind's.
 */
export const Account = words(
  [0, 'members'],
  [1, 'charts'],
  [2, 'administrator'],
  [3, 'custodian'],
  [4, 'guardians'],
  [5, 'validators'],
);
/**
 * For whom of an organisation a quota is: whoever floods the ledger with a stolen key uses up none but their own
 * kind's.
 */
export type Account = Of<typeof Account>;

/** Where an entry stands in the state. */
export const StateKey = variants(
  /** The ids of all earlier blocks. */
  [0, 'history', unit],
  /** Recent commands, by their ids; below `REPLAY_SLOTS`. */
  [1, 'replay_slot', one(u32)],
  /** What an organisation has used of one of its quotas. */
  [2, 'quota', pair(OrganisationId, Account)],
  /** The list of organisations. */
  [3, 'organisations', unit],
  /** An organisation. */
  [4, 'organisation', one(OrganisationId)],
  /** A member. */
  [5, 'member', one(MemberId)],
  /** A chart. */
  [6, 'chart', one(ChartId)],
  /** The head of a chart's log. */
  [7, 'chart_log', one(ChartId)],
  /** A grant. */
  [8, 'grant', pair(ChartId, GrantId)],
  /** The grants that someone has in a chart. */
  [9, 'subject', pair(ChartId, Grantee)],
  /** The sign-off of a record with an approval rule. */
  [10, 'proposal', pair(ChartId, RecordId)],
  /** Who has a uniqueness tag. */
  [11, 'tag', pair(OrganisationId, UniquenessTag)],
  /**
   * The record that the outcome at a position of a chart's log added. Answered from the outcomes of earlier blocks and
   * never written to the state.
   */
  [12, 'record', pair(ChartId, LogPosition)],
  /** Up to where grants in a chart do not reach the readers of an organisation. */
  [13, 'cutoff', pair(ChartId, OrganisationId)],
  /** The care teams of a chart. */
  [14, 'teams', one(ChartId)],
  /** A group of members. */
  [15, 'group', one(GroupId)],
  /** A request for a grant. */
  [16, 'request', pair(ChartId, RequestId)],
  /** The requests of an organisation in a chart that wait. */
  [17, 'open_requests', pair(ChartId, OrganisationId)],
  /** What has happened to a record since it was added, by the id of its first version. */
  [18, 'record_state', pair(ChartId, RecordId)],
  /** The credentials of a member. */
  [19, 'credentials', one(MemberId)],
  /** The emergencies of a chart. */
  [20, 'emergencies', one(ChartId)],
  /** A case. */
  [21, 'case', pair(ChartId, CaseId)],
  /** Who guards a chart. */
  [22, 'guardians', one(ChartId)],
  /** The recoveries of a chart. */
  [23, 'recoveries', one(ChartId)],
  /** Who acts for the patient of a chart. */
  [24, 'proxies', one(ChartId)],
  /** How an organisation's members used emergencies. */
  [25, 'emergency_use', one(OrganisationId)],
  /** What an organisation has had evaluated for matching. */
  [26, 'match_quota', one(OrganisationId)],
  /** A link between charts of two organisations. */
  [27, 'link', one(LinkId)],
  /** A motion that waits. */
  [28, 'motion', one(MotionId)],
  /** The motions that an organisation's administrators have made and that wait. */
  [29, 'open_motions', one(OrganisationId)],
  /** Who validates. */
  [30, 'validators', unit],
  /** The change of validators that is under way, or that failed last. */
  [31, 'changing', unit],
  /** To which key the one with this index in the new set is dealt. */
  [32, 'receiver', one(u16)],
  /** What the one with this index in the old set dealt. */
  [33, 'dealt', one(u16)],
  /** Which version of the protocol is in force; nothing before the first upgrade is planned. */
  [34, 'protocol', unit],
);
/** Where an entry stands in the state. */
export type StateKey = Of<typeof StateKey>;

/** The id of a command that a block has. */
export const SpentId = struct({
  /** The id. */
  id: CommandId,
  /** The end of the command's window, from which on the window refuses it. */
  until: BlockTime,
});
/** The id of a command that a block has. */
export type SpentId = Of<typeof SpentId>;

/** The ids of recent commands that share a slot, in the order in which they came. */
export const ReplaySlot = struct({
  /** Those whose windows were open when the slot was written last. */
  spent: list(SpentId, LIMITS.REPLAY_IDS_PER_SLOT_MAX),
});
/** The ids of recent commands that share a slot, in the order in which they came. */
export type ReplaySlot = Of<typeof ReplaySlot>;

/** What of a quota was used in the latest minute in which any was. */
export const Quota = struct({
  /** Whole minutes of block time since 1970. */
  minute: u64,
  /** Commands, refused ones included. */
  used: u32,
});
/** What of a quota was used in the latest minute in which any was. */
export type Quota = Of<typeof Quota>;

/** All organisations, in the order in which they were admitted. */
export const Organisations = struct({
  /** Their ids. */
  all: list(OrganisationId, LIMITS.ORGANISATIONS_MAX),
  /** How many of them are suspended. */
  suspended: u32,
});
/** All organisations, in the order in which they were admitted. */
export type Organisations = Of<typeof Organisations>;

/** Keys of an organisation that count beside its present ones. */
export const FormerKeys = struct({
  /** Of its administrators. */
  administrators: Administrators,
  /** For custody. */
  custodian: option(PublicKey),
  /** First instant at which they count no more. */
  until: BlockTime,
});
/** Keys of an organisation that count beside its present ones. */
export type FormerKeys = Of<typeof FormerKeys>;

/** A legal body. */
export const OrganisationEntry = struct({
  /** What it is. */
  kind: OrganisationKind,
  /** Its public name. */
  name: text(LIMITS.NAME_BYTES_MAX),
  /** Verify its administrators. */
  administrators: Administrators,
  /** Verifies its acknowledgements of custody, if it is a custodian. */
  custodian: option(PublicKey),
  /** Whether it and its members are barred from acting. */
  suspended: bool,
  /** When it was expelled, if it was; then it is suspended, for good. */
  expelledAt: option(BlockTime),
  /** The keys before its present ones, while they still count. */
  former: option(FormerKeys),
});
/** A legal body. */
export type OrganisationEntry = Of<typeof OrganisationEntry>;

/** A member's signing key that counts beside its present one. */
export const FormerKey = struct({
  /** Verifies its commands. */
  signing: PublicKey,
  /** First instant at which it counts no more. */
  until: BlockTime,
});
/** A member's signing key that counts beside its present one. */
export type FormerKey = Of<typeof FormerKey>;

/** A person or device that acts for an organisation. */
export const MemberEntry = struct({
  /** Whose member it is. */
  organisation: OrganisationId,
  /** Verifies its commands. */
  signing: PublicKey,
  /** Digest of the X-Wing key to which things for it are sealed. */
  sealing: Digest,
  /** What it does. */
  roles: RoleSet,
  /** Whether it is barred from acting. */
  suspended: bool,
  /** The groups of its organisation that it is in. */
  groups: list(GroupId, LIMITS.MEMBER_GROUPS_MAX),
  /** The signing key before its present one, while it still counts. */
  former: option(FormerKey),
});
/** A person or device that acts for an organisation. */
export type MemberEntry = Of<typeof MemberEntry>;

/** When a chart came to its present keys: by a claim or a recovery. */
export const Taken = struct({
  /** By this command. */
  location: Location,
  /** Then. */
  at: BlockTime,
});
/** When a chart came to its present keys: by a claim or a recovery. */
export type Taken = Of<typeof Taken>;

/** One patient's care relationship with one organisation. */
export const ChartEntry = struct({
  /** The organisation. */
  organisation: OrganisationId,
  /** Keys of its controller. */
  keys: ChartKeys,
  /** The current generation of each compartment's key. */
  epochs: exactly(Epoch, LIMITS.COMPARTMENTS),
  /** The compartments that no ordinary grant opens; fixed when the chart is opened. */
  separateConsent: CompartmentSet,
  /** Who stores its sealed objects. */
  custodians: list(OrganisationId, LIMITS.CUSTODIANS_MAX),
  /** Who may author in it beside its organisation. */
  contributors: list(OrganisationId, LIMITS.CONTRIBUTORS_MAX),
  /** How the patient may claim it. While this is here the organisation controls the chart. */
  claim: option(ClaimTicket),
  /** Whether the patient has claimed it. */
  claimed: bool,
  /** The compartments that may be opened in an emergency. */
  emergency: CompartmentSet,
  /** Digest of their keys, shared out among the trustees. */
  escrow: option(Digest),
  /** Digest of the table of seeds that the latest rotation sealed to the remaining grantees. */
  seeds: option(Digest),
  /** Since when nothing is added any more. */
  closedAt: option(BlockTime),
  /** Keys of epochs to come, by which compartments move on after an emergency. */
  ahead: option(KeysAhead),
  /** Since when its present keys control it, if it was not opened with them. */
  taken: option(Taken),
});
/** One patient's care relationship with one organisation. */
export type ChartEntry = Of<typeof ChartEntry>;

/** The append-only log of every outcome that touched a chart: see `keepwell_merkle::chart_log`. */
export const ChartLog = struct({
  /** How many outcomes it has, which is where the next one will stand. */
  count: LogPosition,
  /** Its head. */
  head: Digest,
  /** The head of the chain of its lines. */
  lines: Digest,
});
/** The append-only log of every outcome that touched a chart: see `keepwell_merkle::chart_log`. */
export type ChartLog = Of<typeof ChartLog>;

/** How a grant was passed on. */
export const Passed = struct({
  /** The grant that it comes from. */
  from: GrantId,
  /** Who passed it on. */
  by: MemberId,
});
/** How a grant was passed on. */
export type Passed = Of<typeof Passed>;

/** A patient's permission or prohibition. */
export const GrantEntry = struct({
  /** Its terms, as they were given or limited last. */
  terms: GrantTerms,
  /** Digest of the epoch seeds sealed to the grantee. */
  seeds: Digest,
  /** When it was given. */
  givenAt: BlockTime,
  /** When it was revoked. */
  revokedAt: option(BlockTime),
  /** Accesses counted for it; none are where the terms set no number. */
  accessesUsed: u32,
  /** Where the latest of those stand in the chart's log, the newest last. */
  counted: list(LogPosition, LIMITS.COUNTED_ACCESSES_MAX),
  /** What it was about when it was given, by which it ranks among the others for good. */
  object: RuleObject,
  /** Where it was given in the chart's log. */
  position: LogPosition,
  /** Where it comes from, if a grantee passed it on. */
  passed: option(Passed),
  /** How often it was passed on itself. */
  passedOn: u8,
});
/** A patient's permission or prohibition. */
export type GrantEntry = Of<typeof GrantEntry>;

/** The grants of one subject in one chart that are not revoked, in the order in which they were given. */
export const SubjectEntry = struct({
  /** Their ids. */
  grants: list(GrantId, LIMITS.GRANTS_PER_SUBJECT_MAX),
});
/** The grants of one subject in one chart that are not revoked, in the order in which they were given. */
export type SubjectEntry = Of<typeof SubjectEntry>;

/** One party's approval: who signed, when, and at which seat, which says what the signature means. */
export const Approval = struct({
  /** Who approved. */
  party: Party,
  /** Where the command stands. */
  location: Location,
  /** The number of the seat. */
  seat: u8,
  /** The time of its block. */
  time: BlockTime,
});
/** One party's approval: who signed, when, and at which seat, which says what the signature means. */
export type Approval = Of<typeof Approval>;

/** The sign-off of a record that entered under an approval rule. */
export const ProposalEntry = struct({
  /** Whose approvals it needs. */
  rule: ApprovalRule,
  /** Those that count, in the order in which they were given. */
  approvals: list(Approval, LIMITS.APPROVERS_MAX),
  /** What is to be approved. */
  commitment: Commitment,
  /** First instant at which nobody approves it any more. */
  until: option(BlockTime),
  /** When all had approved who must. */
  finalAt: option(BlockTime),
  /** When its author withdrew it. */
  withdrawnAt: option(BlockTime),
  /** The organisation that the record is from. */
  organisation: OrganisationId,
});
/** The sign-off of a record that entered under an approval rule. */
export type ProposalEntry = Of<typeof ProposalEntry>;

/** The live record that has a uniqueness tag. */
export const TagOwner = struct({
  /** Its chart. */
  chart: ChartId,
  /** The record. */
  record: RecordName,
});
/** The live record that has a uniqueness tag. */
export type TagOwner = Of<typeof TagOwner>;

/** What the ledger knows of one record. */
export const RecordEntry = struct({
  /** The record. */
  record: RecordId,
  /** Its version. */
  version: Version,
  /** The compartment it is sealed to. */
  compartment: Compartment,
  /** The generation of that compartment's key. */
  epoch: Epoch,
  /** Its coarse class. */
  kind: RecordKind,
  /** The salted digest of its capsule. */
  commitment: Commitment,
  /** Bytes of its body as stored. */
  sealedBytes: u64,
  /** Who added it. */
  author: Party,
  /** For which organisation: the author's, or the chart's where its controller added it. */
  organisation: OrganisationId,
  /** Whether it entered under an approval rule. */
  proposed: bool,
  /** Where its `record.add` stands in the chain. */
  location: Location,
  /** Who has stored it. */
  custodians: list(OrganisationId, LIMITS.CUSTODIANS_MAX),
  /** What its organisation wants to be unique, while the record is live. */
  uniqueness: option(UniquenessTag),
  /** Its first version: itself, unless it amends another. */
  original: RecordId,
});
/** What the ledger knows of one record. */
export type RecordEntry = Of<typeof RecordEntry>;

/** Where everything that an organisation was granted in a chart ended. */
export const Cutoff = struct({
  /** Permissions that stand before this in the chart's log reach none of its readers. */
  before: LogPosition,
});
/** Where everything that an organisation was granted in a chart ended. */
export type Cutoff = Of<typeof Cutoff>;

/** A care team. */
export const Team = struct({
  /** Its id. */
  team: TeamId,
  /** Who is in it. */
  members: list(MemberId, LIMITS.TEAM_MEMBERS_MAX),
});
/** A care team. */
export type Team = Of<typeof Team>;

/** The care teams of a chart. */
export const Teams = struct({
  /** In the order in which they were formed. */
  teams: list(Team, LIMITS.TEAMS_MAX),
});
/** The care teams of a chart. */
export type Teams = Of<typeof Teams>;

/** A group of members of one organisation. */
export const GroupEntry = struct({
  /** Whose group it is. */
  organisation: OrganisationId,
  /** The purposes that it reads for. */
  purposes: PurposeSet,
});
/** A group of members of one organisation. */
export type GroupEntry = Of<typeof GroupEntry>;

/** What became of a request. */
export const RequestEnd = variants(
  /** This grant was given. */
  [0, 'given', one(GrantId)],
  /** It was refused. */
  [1, 'refused', one(RefusalReason)],
  /** Whoever asked asks no longer. */
  [2, 'withdrawn', unit],
);
/** What became of a request. */
export type RequestEnd = Of<typeof RequestEnd>;

/** A request for a grant. */
export const RequestEntry = struct({
  /** Who asks. */
  member: MemberId,
  /** For which organisation. */
  organisation: OrganisationId,
  /** For what. */
  terms: GrantTerms,
  /** First instant at which it cannot be answered any more. */
  until: BlockTime,
  /** What became of it; nothing yet while it waits. */
  end: option(RequestEnd),
});
/** A request for a grant. */
export type RequestEntry = Of<typeof RequestEntry>;

/** A request that waits. */
export const OpenRequest = struct({
  /** Its id. */
  request: RequestId,
  /** First instant at which it waits no more. */
  until: BlockTime,
});
/** A request that waits. */
export type OpenRequest = Of<typeof OpenRequest>;

/** The requests of one organisation in one chart that had no end when this was written. */
export const OpenRequests = struct({
  /** In the order in which they were made. */
  open: list(OpenRequest, LIMITS.OPEN_REQUESTS_MAX),
});
/** The requests of one organisation in one chart that had no end when this was written. */
export type OpenRequests = Of<typeof OpenRequests>;

/** The newest version of a record. */
export const Newest = struct({
  /** Where it stands in the chart's log. */
  position: LogPosition,
  /** Its number. */
  version: Version,
});
/** The newest version of a record. */
export type Newest = Of<typeof Newest>;

/** One required party's approval of a redaction. */
export const RedactionApproval = struct({
  /** For whom: an organisation, or the chart's controller. */
  organisation: option(OrganisationId),
  /** Who signed. */
  party: Party,
  /** Where. */
  location: Location,
});
/** One required party's approval of a redaction. */
export type RedactionApproval = Of<typeof RedactionApproval>;

/** A redaction that binds. */
export const Bound = struct({
  /** Since when. */
  at: BlockTime,
  /** First instant at which a custodian that has not erased is late. */
  eraseUntil: BlockTime,
});
/** A redaction that binds. */
export type Bound = Of<typeof Bound>;

/** A redaction, from its first approval on. */
export const Redaction = struct({
  /** Why. */
  ground: RedactionGround,
  /** Who has approved: the controller, the chart's organisation, and the author's. */
  approvals: list(RedactionApproval, 3),
  /** When all of them had, and until when custodians erase. */
  bound: option(Bound),
  /** The custodians who have not said yet that they erased it. */
  outstanding: list(OrganisationId, LIMITS.RECORD_CUSTODIANS_MAX),
});
/** A redaction, from its first approval on. */
export type Redaction = Of<typeof Redaction>;

/** What has happened to a record, in all its versions, since it was added; nothing, of most. */
export const RecordState = struct({
  /** Its newest version, if it was amended. */
  newest: option(Newest),
  /** What keeps it from being read or from being redacted. */
  restrictions: RestrictionSet,
  /** Whether it is to be redacted, or is. */
  redaction: option(Redaction),
  /** The custodians of all its versions, if it was amended. */
  custodians: list(OrganisationId, LIMITS.RECORD_CUSTODIANS_MAX),
  /** What its organisation wanted to be unique, if it was amended. */
  uniqueness: option(UniquenessTag),
  /** The cases about it, which are attached to what is disclosed. */
  cases: list(CaseId, LIMITS.RECORD_CASES_MAX),
});
/** What has happened to a record, in all its versions, since it was added; nothing, of most. */
export type RecordState = Of<typeof RecordState>;

/** What a licensing board says that a member may do. */
export const CredentialEntry = struct({
  /** Its id. */
  credential: CredentialId,
  /** The board. */
  issuer: OrganisationId,
  /** What it is about. */
  kind: CredentialKind,
  /** Where or for what it holds. */
  scope: text(LIMITS.CREDENTIAL_SCOPE_BYTES_MAX),
  /** When it holds. */
  window: Window,
  /** Digest of the credential as its holder has it. */
  evidence: Digest,
  /** Whether it is suspended. */
  suspended: bool,
  /** When it was revoked. */
  revokedAt: option(BlockTime),
});
/** What a licensing board says that a member may do. */
export type CredentialEntry = Of<typeof CredentialEntry>;

/** The credentials of a member, ended ones included, in the order in which they were issued. */
export const Credentials = struct({
  /** All of them. */
  all: list(CredentialEntry, LIMITS.CREDENTIALS_MAX),
});
/** The credentials of a member, ended ones included, in the order in which they were issued. */
export type Credentials = Of<typeof Credentials>;

/** One emergency access. */
export const EmergencyEntry = struct({
  /** Where the glass was broken in the chart's log, which names it. */
  position: LogPosition,
  /** Who broke it. */
  member: MemberId,
  /** For which organisation. */
  organisation: OrganisationId,
  /** Who agreed. */
  second: option(MemberId),
  /** Which compartments. */
  compartments: CompartmentSet,
  /** Why. */
  reason: EmergencyReason,
  /** When it may be read: once another clinician agrees, or after the delay. */
  open: Window,
  /** First instant at which its review is late. */
  reviewUntil: BlockTime,
  /** What a review found. */
  review: option(Finding),
  /** Where the command that broke it stands in the chain. */
  location: option(Location),
  /** When it was closed, which moved what it opened on. */
  closed: option(BlockTime),
});
/** One emergency access. */
export type EmergencyEntry = Of<typeof EmergencyEntry>;

/** The emergencies of a chart that are open or wait for review, and the latest others. */
export const Emergencies = struct({
  /** In the order in which the glass was broken. */
  all: list(EmergencyEntry, LIMITS.EMERGENCIES_MAX),
});
/** The emergencies of a chart that are open or wait for review, and the latest others. */
export type Emergencies = Of<typeof Emergencies>;

/** The answer to a case. */
export const CaseDecided = struct({
  /** The answer. */
  decision: CaseDecision,
  /** When it was given. */
  at: BlockTime,
});
/** The answer to a case. */
export type CaseDecided = Of<typeof CaseDecided>;

/** What was said after a denial. */
export const Statement = struct({
  /** Who says it: the patient disagrees, or the organisation answers that. */
  party: Party,
  /** Its digest. */
  statement: Digest,
});
/** What was said after a denial. */
export type Statement = Of<typeof Statement>;

/** What a patient asks of the chart's organisation by right. */
export const CaseEntry = struct({
  /** What is asked for. */
  kind: CaseKind,
  /** Of which record. */
  record: option(RecordId),
  /** Since when. */
  openedAt: BlockTime,
  /** First instant at which the answer is late. */
  due: BlockTime,
  /** Whether the time was extended. */
  extended: bool,
  /** The answer, and when it was given. */
  decided: option(CaseDecided),
  /** What was said after a denial, in order. */
  statements: list(Statement, LIMITS.CASE_STATEMENTS_MAX),
  /** Earlier recipients who say that they were told. */
  told: list(OrganisationId, LIMITS.CASE_TOLD_MAX),
  /** Digest of what was said when it was opened. */
  asked: option(Digest),
  /** Digest of why its time was extended. */
  putOff: option(Digest),
});
/** What a patient asks of the chart's organisation by right. */
export type CaseEntry = Of<typeof CaseEntry>;

/** Who guards a chart. */
export const GuardiansEntry = struct({
  /** Whose approvals let the chart come to new keys. */
  policy: GuardianPolicy,
  /** Digest of what opens the chart's compartments, shared out among them. */
  escrow: Digest,
});
/** Who guards a chart. */
export type GuardiansEntry = Of<typeof GuardiansEntry>;

/** One guardian's approval of a recovery. */
export const RecoveryApproval = struct({
  /** Where the guardian stands in the policy. */
  by: GuardianPlace,
  /** Digest of its share, sealed to the successor. */
  share: Digest,
});
/** One guardian's approval of a recovery. */
export type RecoveryApproval = Of<typeof RecoveryApproval>;

/** A chart's way to new keys. */
export const RecoveryEntry = struct({
  /** Where it was started in the chart's log, which names it. */
  position: LogPosition,
  /** Why. */
  ground: RecoveryGround,
  /** The new signing key. */
  successor: PublicKey,
  /** Digest of the X-Wing key to which the shares are sealed. */
  sealing: Digest,
  /** Who vouches, whoever started it first. */
  approvals: list(RecoveryApproval, LIMITS.GUARDIANS_MAX),
  /** First instant at which it can be finished; nothing yet while too few approve. */
  readyAt: option(BlockTime),
  /** First instant at which nothing happens to it any more. */
  until: BlockTime,
});
/** A chart's way to new keys. */
export type RecoveryEntry = Of<typeof RecoveryEntry>;

/** The recoveries of a chart that wait for approvals, for time to pass, or to be finished. */
export const Recoveries = struct({
  /** In the order in which they were started. */
  open: list(RecoveryEntry, LIMITS.GUARDIANS_MAX),
});
/** The recoveries of a chart that wait for approvals, for time to pass, or to be finished. */
export type Recoveries = Of<typeof Recoveries>;

/** One who acts for a chart's patient. */
export const ProxyEntry = struct({
  /** Its id. */
  proxy: ProxyId,
  /** Verifies its commands. */
  signing: PublicKey,
  /** Digest of the X-Wing key to which things for it are sealed. */
  sealing: Digest,
  /** How far it may act, and when. */
  terms: ProxyTerms,
});
/** One who acts for a chart's patient. */
export type ProxyEntry = Of<typeof ProxyEntry>;

/** Who acts for the patient of a chart. */
export const Proxies = struct({
  /** In the order in which they were named. One that is over is listed until another is named. */
  all: list(ProxyEntry, LIMITS.PROXIES_MAX),
  /** First instant at which the patient is of age, of one who was a minor when the chart was opened. */
  ofAgeAt: option(BlockTime),
});
/** Who acts for the patient of a chart. */
export type Proxies = Of<typeof Proxies>;

/** Counts of emergencies. */
export const Tally = struct({
  /** The glass was broken so often. */
  broken: u32,
  /** Of others' emergencies, so many were agreed to. */
  seconded: u32,
  /** Of those broken, so many were found to be emergencies. */
  justified: u32,
  /** And so many were not. */
  unjustified: u32,
});
/** Counts of emergencies. */
export type Tally = Of<typeof Tally>;

/** How one member used emergencies. */
export const MemberUse = struct({
  /** Who. */
  member: MemberId,
  /** How often. */
  tally: Tally,
});
/** How one member used emergencies. */
export type MemberUse = Of<typeof MemberUse>;

/** An emergency that waits for its review. */
export const Waiting = struct({
  /** Who broke the glass. */
  member: MemberId,
  /** Where the command stands in the chain. */
  location: Location,
  /** First instant at which the review is late. */
  reviewUntil: BlockTime,
});
/** An emergency that waits for its review. */
export type Waiting = Of<typeof Waiting>;

/**
 * How the members of one organisation used emergencies, and what waits for review. Entries are named by their places
 * in the chain: no two charts stand side by side.
 */
export const EmergencyUse = struct({
  /** By member; whoever took part last stands last. */
  members: list(MemberUse, LIMITS.EMERGENCY_MEMBERS_MAX),
  /** Of members who had to make room. */
  others: Tally,
  /** What nobody has reviewed, in the order in which the glass was broken. */
  waiting: list(Waiting, LIMITS.EMERGENCIES_WAITING_MAX),
});
/**
 * How the members of one organisation used emergencies, and what waits for review. Entries are named by their places
 * in the chain: no two charts stand side by side.
 */
export type EmergencyUse = Of<typeof EmergencyUse>;

/** What an organisation has had evaluated for matching, in the latest period in which it had anything. */
export const MatchQuota = struct({
  /** Whole periods of block time since 1970. */
  period: u64,
  /** Points in it. */
  used: u32,
  /** Points ever: whoever sums up the organisation's commands and finds fewer lacks one. */
  total: u64,
});
/** What an organisation has had evaluated for matching, in the latest period in which it had anything. */
export type MatchQuota = Of<typeof MatchQuota>;

/** One organisation's side of a link. */
export const LinkSide = struct({
  /** The organisation. */
  organisation: OrganisationId,
  /** Who confirmed it. */
  member: MemberId,
  /** The salted digest of the link and the chart. */
  commitment: Commitment,
  /** When. */
  at: BlockTime,
});
/** One organisation's side of a link. */
export type LinkSide = Of<typeof LinkSide>;

/** That a privacy officer or the patient finds a link in order. */
export const LinkApproval = struct({
  /** The privacy officer, or who keeps the patient's consent. */
  member: MemberId,
  /** The salted digest of that consent, if it is the patient's. */
  consent: option(Digest),
  /** When. */
  at: BlockTime,
});
/** That a privacy officer or the patient finds a link in order. */
export type LinkApproval = Of<typeof LinkApproval>;

/** The end of a link. */
export const LinkReversed = struct({
  /** For whom it was reversed. */
  organisation: OrganisationId,
  /** By whom. */
  member: MemberId,
  /** Why. */
  reason: LinkReversal,
  /** The salted digest of the patient's withdrawal. */
  withdrawal: option(Digest),
  /** When. */
  at: BlockTime,
});
/** The end of a link. */
export type LinkReversed = Of<typeof LinkReversed>;

/** A link: which two organisations, and who has said what of it. It names no chart. */
export const LinkEntry = struct({
  /** The side that proposed it. */
  proposed: LinkSide,
  /** The other organisation. */
  with: OrganisationId,
  /** Its side, once it has confirmed. */
  confirmed: option(LinkSide),
  /** The privacy officer's or the patient's word. */
  approved: option(LinkApproval),
  /** First instant at which it cannot be confirmed any more. */
  until: BlockTime,
  /** Since when both sides and the third word are there. */
  since: option(BlockTime),
  /** Whether, and why, it was reversed. */
  reversed: option(LinkReversed),
});
/** A link: which two organisations, and who has said what of it. It names no chart. */
export type LinkEntry = Of<typeof LinkEntry>;

/** One administrator's approval of a motion. */
export const MotionApproval = struct({
  /** Whose administrator. */
  organisation: OrganisationId,
  /** With this key. It counts while it is one. */
  key: PublicKey,
});
/** One administrator's approval of a motion. */
export type MotionApproval = Of<typeof MotionApproval>;

/** What the consortium's administrators are to decide. */
export const MotionEntry = struct({
  /** Whose administrator made it. */
  organisation: OrganisationId,
  /** What is moved. */
  act: Act,
  /** First instant at which it waits no more. */
  until: BlockTime,
  /** Who approved it, in that order; no key twice. */
  approvals: list(MotionApproval, LIMITS.MOTION_APPROVALS_MAX),
});
/** What the consortium's administrators are to decide. */
export type MotionEntry = Of<typeof MotionEntry>;

/** The motions of one organisation's administrators that wait. */
export const OpenMotions = struct({
  /** In the order in which they were made. */
  open: list(MotionId, LIMITS.MOTIONS_MAX),
});
/** The motions of one organisation's administrators that wait. */
export type OpenMotions = Of<typeof OpenMotions>;

/** A trustee's key, and its organisation where that is one of the consortium's. */
export const Barred = struct({
  /** Verifies its answers. */
  key: PublicKey,
  /** Its organisation. */
  organisation: option(OrganisationId),
});
/** A trustee's key, and its organisation where that is one of the consortium's. */
export type Barred = Of<typeof Barred>;

/** Who validates, and who never does. */
export const ValidatorsEntry = struct({
  /** The present ones. */
  set: ValidatorSet,
  /** The emergency trustees. */
  trustees: list(Barred, LIMITS.TRUSTEES_MAX),
});
/** Who validates, and who never does. */
export type ValidatorsEntry = Of<typeof ValidatorsEntry>;

/** Places in a set of validators, by the indices of their shares: 1 to `VALIDATORS_MAX`. */
export const Places = u64;
/** Places in a set of validators, by the indices of their shares: 1 to `VALIDATORS_MAX`. */
export type Places = Of<typeof Places>;

/** The blocks in which stages ended before their time. */
export const Ended = struct({
  /** All were ready. */
  receive: option(Height),
  /** All had dealt. */
  deal: option(Height),
  /** All had checked. */
  check: option(Height),
  /** All had opened. */
  open: option(Height),
  /** All had confirmed. */
  confirm: option(Height),
});
/** The blocks in which stages ended before their time. */
export type Ended = Of<typeof Ended>;

/** A change of validators. */
export const Changing = struct({
  /** Where it began, which names it. */
  began: Location,
  /** Who is to validate, in ascending order of their consensus keys. */
  seats: list(Seat, LIMITS.VALIDATORS_MAX),
  /** Who of them is ready. */
  ready: Places,
  /** Who of the old set has dealt all keys. */
  dealt: Places,
  /** Who of those that are ready has checked all that was dealt. */
  checked: Places,
  /** Who of the dealers has not opened a share that its receiver complained about. */
  accused: Places,
  /** Who of those that are ready has confirmed its shares. */
  confirmed: Places,
  /** Where all were ready, had dealt, had checked, had opened, had confirmed; nothing where that did not happen. */
  ended: Ended,
  /** The keys that came out, once somebody has confirmed a share of them. */
  committee: option(CommitteeKeys),
  /** The key for matching that came out. */
  matching: option(CommitteeKeys),
});
/** A change of validators. */
export type Changing = Of<typeof Changing>;

/** One that is ready. */
export const Receiver = struct({
  /** X-Wing key to which it is dealt. */
  receiving: blob(1_216),
});
/** One that is ready. */
export type Receiver = Of<typeof Receiver>;

/** A share that its dealer has opened: it is right. */
export const OpenedShares = struct({
  /** For whom. */
  receiver: u16,
  /** The share. */
  share: blob(32),
});
/** A share that its dealer has opened: it is right. */
export type OpenedShares = Of<typeof OpenedShares>;

/** One dealing, of which the sealed shares stand in the block. */
export const DealtKey = struct({
  /** The entry that has it. */
  location: Location,
  /** What it says to all. */
  commitments: Commitments,
  /** The receivers that complained and wait. */
  accusers: Places,
  /** The shares that were opened. */
  opened: list(OpenedShares, LIMITS.VALIDATORS_MAX),
});
/** One dealing, of which the sealed shares stand in the block. */
export type DealtKey = Of<typeof DealtKey>;

/** What one dealer dealt. */
export const Dealt = struct({
  /** Of the key that releases. */
  release: option(DealtKey),
  /** Of the one that evaluates for matching. */
  matching: option(DealtKey),
});
/** What one dealer dealt. */
export type Dealt = Of<typeof Dealt>;

/** Which version of the protocol is in force, and from which block on the next one is to be. */
export const ProtocolPlan = struct({
  /** In force when this was written. */
  protocol: Protocol,
  /** First block of the version after it. */
  nextFrom: option(Height),
});
/** Which version of the protocol is in force, and from which block on the next one is to be. */
export type ProtocolPlan = Of<typeof ProtocolPlan>;

/** An entry of the state, of the kind that its key tells. */
export const StateValue = variants(
  /** Under `Key::History`: leaves are block ids. */
  [0, 'history', one(Peaks)],
  /** Under `Key::ReplaySlot`. */
  [1, 'replay_slot', one(ReplaySlot)],
  /** Under `Key::Quota`. */
  [2, 'quota', one(Quota)],
  /** Under `Key::Organisations`. */
  [3, 'organisations', one(Organisations)],
  /** Under `Key::Organisation`. */
  [4, 'organisation', one(OrganisationEntry)],
  /** Under `Key::Member`. */
  [5, 'member', one(MemberEntry)],
  /** Under `Key::Chart`. */
  [6, 'chart', one(ChartEntry)],
  /** Under `Key::ChartLog`. */
  [7, 'chart_log', one(ChartLog)],
  /** Under `Key::Grant`. */
  [8, 'grant', one(GrantEntry)],
  /** Under `Key::Subject`. */
  [9, 'subject', one(SubjectEntry)],
  /** Under `Key::Proposal`. */
  [10, 'proposal', one(ProposalEntry)],
  /** Under `Key::Tag`. */
  [11, 'tag', one(TagOwner)],
  /** Under `Key::Record`. */
  [12, 'record', one(RecordEntry)],
  /** Under `Key::Cutoff`. */
  [13, 'cutoff', one(Cutoff)],
  /** Under `Key::Teams`. */
  [14, 'teams', one(Teams)],
  /** Under `Key::Group`. */
  [15, 'group', one(GroupEntry)],
  /** Under `Key::Request`. */
  [16, 'request', one(RequestEntry)],
  /** Under `Key::OpenRequests`. */
  [17, 'open_requests', one(OpenRequests)],
  /** Under `Key::RecordState`. */
  [18, 'record_state', one(RecordState)],
  /** Under `Key::Credentials`. */
  [19, 'credentials', one(Credentials)],
  /** Under `Key::Emergencies`. */
  [20, 'emergencies', one(Emergencies)],
  /** Under `Key::Case`. */
  [21, 'case', one(CaseEntry)],
  /** Under `Key::Guardians`. */
  [22, 'guardians', one(GuardiansEntry)],
  /** Under `Key::Recoveries`. */
  [23, 'recoveries', one(Recoveries)],
  /** Under `Key::Proxies`. */
  [24, 'proxies', one(Proxies)],
  /** Under `Key::EmergencyUse`. */
  [25, 'emergency_use', one(EmergencyUse)],
  /** Under `Key::MatchQuota`. */
  [26, 'match_quota', one(MatchQuota)],
  /** Under `Key::Link`. */
  [27, 'link', one(LinkEntry)],
  /** Under `Key::Motion`. */
  [28, 'motion', one(MotionEntry)],
  /** Under `Key::OpenMotions`. */
  [29, 'open_motions', one(OpenMotions)],
  /** Under `Key::Validators`. */
  [30, 'validators', one(ValidatorsEntry)],
  /** Under `Key::Changing`. */
  [31, 'changing', one(Changing)],
  /** Under `Key::Receiver`. */
  [32, 'receiver', one(Receiver)],
  /** Under `Key::Dealt`. */
  [33, 'dealt', one(Dealt)],
  /** Under `Key::Protocol`. */
  [34, 'protocol', one(ProtocolPlan)],
);
/** An entry of the state, of the kind that its key tells. */
export type StateValue = Of<typeof StateValue>;

/** What a node keeps of an outcome in a chart's log: where it stands, and what it added. */
export const LogLineEntry = struct({
  /** The entry. */
  location: Location,
  /** The record that it added. */
  record: option(RecordEntry),
});
/** What a node keeps of an outcome in a chart's log: where it stands, and what it added. */
export type LogLineEntry = Of<typeof LogLineEntry>;
