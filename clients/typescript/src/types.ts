/**
 * Values of the ledger: commands, outcomes, blocks, and what clients and nodes say to each other.
 *
 * Written by `npm run schema` out of `crates/types/src`, where each type is explained. Change that, not this.
 */

import {
  below, blob, bool, checked, exactly, fixed, list, one, option, pair, setOf, struct, text, u16, u32, u64, u8, unit,
  variants, words, type Of,
} from './encoding.js';
import { LIMITS } from './limits.js';

/** A SHA-256 digest. */
export const Digest = fixed('Digest', 32);
/** A SHA-256 digest. */
export type Digest = Of<typeof Digest>;

/** The consortium: the digest of its canonical genesis file. */
export const ChainId = fixed('ChainId', 32);
/** The consortium: the digest of its canonical genesis file. */
export type ChainId = Of<typeof ChainId>;

/** A block: the digest of its header. */
export const BlockId = fixed('BlockId', 32);
/** A block: the digest of its header. */
export type BlockId = Of<typeof BlockId>;

/** A random id that makes a command single-use within its window. */
export const CommandId = fixed('CommandId', 16);
/** A random id that makes a command single-use within its window. */
export type CommandId = Of<typeof CommandId>;

/**
 * A transaction, chosen at random by its first signer, whom others cannot take it from: it means something beside that
 * signer only.
 */
export const TransactionId = fixed('TransactionId', 16);
/**
 * A transaction, chosen at random by its first signer, whom others cannot take it from: it means something beside that
 * signer only.
 */
export type TransactionId = Of<typeof TransactionId>;

/** The digest of a command's canonical bytes, without signatures. */
export const CommandDigest = fixed('CommandDigest', 32);
/** The digest of a command's canonical bytes, without signatures. */
export type CommandDigest = Of<typeof CommandDigest>;

/** An organisation. */
export const OrganisationId = fixed('OrganisationId', 16);
/** An organisation. */
export type OrganisationId = Of<typeof OrganisationId>;

/** A person or device that acts for an organisation. */
export const MemberId = fixed('MemberId', 16);
/** A person or device that acts for an organisation. */
export type MemberId = Of<typeof MemberId>;

/** One patient's care relationship with one organisation. Random; links to nothing. */
export const ChartId = fixed('ChartId', 32);
/** One patient's care relationship with one organisation. Random; links to nothing. */
export type ChartId = Of<typeof ChartId>;

/** One document or resource in a chart; derived from the command that adds it. */
export const RecordId = fixed('RecordId', 32);
/** One document or resource in a chart; derived from the command that adds it. */
export type RecordId = Of<typeof RecordId>;

/** A grant, chosen at random by whoever gives it; unique within its chart. */
export const GrantId = fixed('GrantId', 16);
/** A grant, chosen at random by whoever gives it; unique within its chart. */
export type GrantId = Of<typeof GrantId>;

/** A clinician's request for a grant, chosen at random; unique within its chart. */
export const RequestId = fixed('RequestId', 16);
/** A clinician's request for a grant, chosen at random; unique within its chart. */
export type RequestId = Of<typeof RequestId>;

/** A patient's case with an organisation, chosen at random; unique within its chart. */
export const CaseId = fixed('CaseId', 16);
/** A patient's case with an organisation, chosen at random; unique within its chart. */
export type CaseId = Of<typeof CaseId>;

/** A credential, chosen at random by the board that issues it; unique for its holder. */
export const CredentialId = fixed('CredentialId', 16);
/** A credential, chosen at random by the board that issues it; unique for its holder. */
export type CredentialId = Of<typeof CredentialId>;

/** A link between a chart of one organisation and one of another, chosen at random; names no chart. */
export const LinkId = fixed('LinkId', 16);
/** A link between a chart of one organisation and one of another, chosen at random; names no chart. */
export type LinkId = Of<typeof LinkId>;

/** A person in a sheet of tokens that is shown to another organisation: random, and good for that sheet. */
export const MatchSubject = fixed('MatchSubject', 16);
/** A person in a sheet of tokens that is shown to another organisation: random, and good for that sheet. */
export type MatchSubject = Of<typeof MatchSubject>;

/**
 * What matching makes of one key of one person: equal where the key is, and says nothing else. Kept and exchanged off
 * the ledger, sealed.
 */
export const MatchToken = fixed('MatchToken', 32);
/**
 * What matching makes of one key of one person: equal where the key is, and says nothing else. Kept and exchanged off
 * the ledger, sealed.
 */
export type MatchToken = Of<typeof MatchToken>;

/** A care team of one chart, chosen at random by whoever controls it. */
export const TeamId = fixed('TeamId', 16);
/** A care team of one chart, chosen at random by whoever controls it. */
export type TeamId = Of<typeof TeamId>;

/** A proxy, chosen at random by whoever names it; unique among those of its chart. */
export const ProxyId = fixed('ProxyId', 16);
/** A proxy, chosen at random by whoever names it; unique among those of its chart. */
export type ProxyId = Of<typeof ProxyId>;

/** A motion of the consortium's administrators, chosen at random by whoever makes it. */
export const MotionId = fixed('MotionId', 16);
/** A motion of the consortium's administrators, chosen at random by whoever makes it. */
export type MotionId = Of<typeof MotionId>;

/** A group of members of one organisation, bound to purposes of use. */
export const GroupId = fixed('GroupId', 16);
/** A group of members of one organisation, bound to purposes of use. */
export type GroupId = Of<typeof GroupId>;

/** The salted digest of a capsule: says nothing once the salt is gone. */
export const Commitment = fixed('Commitment', 32);
/** The salted digest of a capsule: says nothing once the salt is gone. */
export type Commitment = Of<typeof Commitment>;

/** Random bytes that keep what is digested with them from being guessed. */
export const Salt = fixed('Salt', 32);
/** Random bytes that keep what is digested with them from being guessed. */
export type Salt = Of<typeof Salt>;

/** A record's identifier in some system, as an HMAC under the organisation's key. */
export const UniquenessTag = fixed('UniquenessTag', 32);
/** A record's identifier in some system, as an HMAC under the organisation's key. */
export type UniquenessTag = Of<typeof UniquenessTag>;

/** A committee that releases: the digest of its public key, stable when shares are dealt anew. */
export const CommitteeId = fixed('CommitteeId', 32);
/** A committee that releases: the digest of its public key, stable when shares are dealt anew. */
export type CommitteeId = Of<typeof CommitteeId>;

/** A public key: Ed25519 in suite 1. */
export const PublicKey = fixed('PublicKey', 32);
/** A public key: Ed25519 in suite 1. */
export type PublicKey = Of<typeof PublicKey>;

/** A signature: Ed25519, strictly verified, in suite 1. */
export const Signature = fixed('Signature', 64);
/** A signature: Ed25519, strictly verified, in suite 1. */
export type Signature = Of<typeof Signature>;

/** Which algorithms a signed object uses. Suite 2 (ML-DSA beside Ed25519) has its number reserved. */
export const Suite = words(
  [1, 'one'],
);
/** Which algorithms a signed object uses. Suite 2 (ML-DSA beside Ed25519) has its number reserved. */
export type Suite = Of<typeof Suite>;

/** A generation of a compartment's key, counted from 0. */
export const Epoch = u32;
/** A generation of a compartment's key, counted from 0. */
export type Epoch = Of<typeof Epoch>;

/** A version of a record, counted from 1. */
export const Version = u32;
/** A version of a record, counted from 1. */
export type Version = Of<typeof Version>;

/** A block's place in the chain; the block of the genesis entries is 1. */
export const Height = u64;
/** A block's place in the chain; the block of the genesis entries is 1. */
export type Height = Of<typeof Height>;

/** An outcome's place in the log of a chart, counted from 0. */
export const LogPosition = u64;
/** An outcome's place in the log of a chart, counted from 0. */
export type LogPosition = Of<typeof LogPosition>;

/** A version of the ledger's rules, counted from 1; see `crate::protocol`. */
export const Protocol = u16;
/** A version of the ledger's rules, counted from 1; see `crate::protocol`. */
export type Protocol = Of<typeof Protocol>;

/** Where an entry stands in the chain. */
export const Location = struct({
  /** The block. */
  height: Height,
  /** The entry's place in the block, counted from 0. */
  index: u32,
});
/** Where an entry stands in the chain. */
export type Location = Of<typeof Location>;

/** Milliseconds since 1970-01-01T00:00:00Z, as agreed in a block. Strictly increases with height. */
export const BlockTime = u64;
/** Milliseconds since 1970-01-01T00:00:00Z, as agreed in a block. Strictly increases with height. */
export type BlockTime = Of<typeof BlockTime>;

/** A half-open window of block time: `from` is inside, `until` is not. */
export const Window = struct({
  /** First instant inside. */
  from: BlockTime,
  /** First instant after. */
  until: BlockTime,
});
/** A half-open window of block time: `from` is inside, `until` is not. */
export type Window = Of<typeof Window>;

/** Purpose of use (HL7 v3 ActReason, PurposeOfUse). What a reader attests, under signature. */
export const Purpose = words(
  [0, 'TREAT'],
  [1, 'ETREAT'],
  [2, 'BTG'],
  [3, 'COC'],
  [4, 'HPAYMT'],
  [5, 'HOPERAT'],
  [6, 'HRESCH'],
  [7, 'CLINTRL'],
  [8, 'PUBHLTH'],
  [9, 'PATRQT'],
  [10, 'FAMRQT'],
  [11, 'HLEGAL'],
  [12, 'HSYSADMIN'],
);
/** Purpose of use (HL7 v3 ActReason, PurposeOfUse). What a reader attests, under signature. */
export type Purpose = Of<typeof Purpose>;

/** A record as commands name it: where it stands in its chart's log, and which it is. */
export const RecordName = struct({
  /** Place of the outcome of its `record.add` in the log of the chart. */
  position: LogPosition,
  /** The record. */
  record: RecordId,
});
/** A record as commands name it: where it stands in its chart's log, and which it is. */
export type RecordName = Of<typeof RecordName>;

/** A compartment of a chart, by its number. */
export const Compartment = below(LIMITS.COMPARTMENTS);
/** A compartment of a chart, by its number. */
export type Compartment = Of<typeof Compartment>;

/** A set of compartments. */
export const CompartmentSet = setOf(Compartment);
/** A set of compartments. */
export type CompartmentSet = Of<typeof CompartmentSet>;

/** What an access asks for. */
export const Target = variants(
  /** These records. */
  [0, 'records', one(list(RecordName, LIMITS.ACCESS_RECORDS_MAX))],
  /**
   * Every record in `compartments` that stands before `until` in the chart's log. Which compartments. First position
   * not asked for.
   */
  [1, 'compartments', struct({
    compartments: CompartmentSet,
    until: LogPosition,
  })],
);
/** What an access asks for. */
export type Target = Of<typeof Target>;

/** `access.open`: a wish to read, and its audit entry. */
export const AccessOpen = struct({
  /** The chart. */
  chart: ChartId,
  /** What is asked for. */
  target: Target,
  /** What it is for. */
  purpose: Purpose,
  /** Digest of the fresh public key to which the shares are sealed; another key is refused. */
  readerKey: Digest,
  /** Number of the redisclosure notice that the reader has been shown and signs here. */
  notice: u8,
});
/** `access.open`: a wish to read, and its audit entry. */
export type AccessOpen = Of<typeof AccessOpen>;

/** Why a clinician breaks the glass. */
export const EmergencyReason = words(
  [0, 'unresponsive'],
  [1, 'danger'],
  [2, 'disaster'],
  [3, 'harm'],
);
/** Why a clinician breaks the glass. */
export type EmergencyReason = Of<typeof EmergencyReason>;

/**
 * `access.break_glass`: a licensed clinician opens compartments in an emergency. What is read is opened by accesses of
 * its own, for the purpose `BTG`.
 */
export const BreakGlass = struct({
  /** The chart. */
  chart: ChartId,
  /** Which compartments, of those that the patient has left to emergencies. */
  compartments: CompartmentSet,
  /** Why. */
  reason: EmergencyReason,
  /** First instant at which it is over. */
  until: BlockTime,
});
/**
 * `access.break_glass`: a licensed clinician opens compartments in an emergency. What is read is opened by accesses of
 * its own, for the purpose `BTG`.
 */
export type BreakGlass = Of<typeof BreakGlass>;

/** `access.second`: another licensed clinician agrees, so that nothing waits for the delay. */
export const EmergencySecond = struct({
  /** The chart. */
  chart: ChartId,
  /** Where the glass was broken, in the chart's log. */
  emergency: LogPosition,
});
/** `access.second`: another licensed clinician agrees, so that nothing waits for the delay. */
export type EmergencySecond = Of<typeof EmergencySecond>;

/** What a review of an emergency found. */
export const Finding = words(
  [0, 'justified'],
  [1, 'unjustified'],
);
/** What a review of an emergency found. */
export type Finding = Of<typeof Finding>;

/** `access.review`: what a privacy officer of the clinician's organisation found. */
export const EmergencyReview = struct({
  /** The chart. */
  chart: ChartId,
  /** Where the glass was broken, in the chart's log. */
  emergency: LogPosition,
  /** What was found. */
  finding: Finding,
});
/** `access.review`: what a privacy officer of the clinician's organisation found. */
export type EmergencyReview = Of<typeof EmergencyReview>;

/** `access.close`: an emergency ends, and what it opened moves to its next epoch if a key of it was published ahead. */
export const EmergencyClose = struct({
  /** The chart. */
  chart: ChartId,
  /** Where the glass was broken, in the chart's log. */
  emergency: LogPosition,
});
/** `access.close`: an emergency ends, and what it opened moves to its next epoch if a key of it was published ahead. */
export type EmergencyClose = Of<typeof EmergencyClose>;

/** `anchor.add`: the root of a Merkle tree of salted document digests. */
export const AnchorAdd = struct({
  /** Root of the tree (RFC 9162, section 2.1). */
  root: Digest,
  /** Leaves of the tree: at least one. */
  documents: u64,
});
/** `anchor.add`: the root of a Merkle tree of salted document digests. */
export type AnchorAdd = Of<typeof AnchorAdd>;

/** The log of operations of the state's database: its root and the range that is live. */
export const SyncTarget = struct({
  /** Root of the log. */
  root: Digest,
  /** First operation that matters. */
  start: u64,
  /** First operation that is not there yet. */
  end: u64,
});
/** The log of operations of the state's database: its root and the range that is live. */
export type SyncTarget = Of<typeof SyncTarget>;

/** Where consensus stood when a block was proposed. */
export const Round = struct({
  /** The epoch of validators. */
  epoch: u64,
  /** The view. */
  view: u64,
  /** The view of the parent. */
  parentView: u64,
  /** Who proposed it. */
  leader: PublicKey,
});
/** Where consensus stood when a block was proposed. */
export type Round = Of<typeof Round>;

/** What a block commits to. Its digest is the block's id, and what validators vote on. */
export const Header = struct({
  /** `HEADER_VERSION`. */
  version: u8,
  /** The consortium. */
  chain: ChainId,
  /** Its place in the chain; 0 is the empty block that all start from. */
  height: Height,
  /** The block before it. */
  parent: BlockId,
  /** When: strictly later than the parent. */
  time: BlockTime,
  /** Digest of the entries. */
  payload: Digest,
  /** Entries in it. */
  entries: u32,
  /** Root of the Merkle tree of outcomes. */
  outcomes: Digest,
  /** Root of the state after it. */
  state: Digest,
  /** Root of the Merkle mountain range of the ids of all earlier blocks. */
  history: Digest,
  /** Where a node that syncs state finds it. */
  sync: SyncTarget,
  /** How consensus made it. */
  round: Round,
  /** In the last block of an epoch after which others validate: the digest of their set, see `crate::validators`. */
  next: option(Digest),
});
/** What a block commits to. Its digest is the block's id, and what validators vote on. */
export type Header = Of<typeof Header>;

/** One validator's signature. */
export const Vote = struct({
  /** Its place among the epoch's validators, in ascending order of their keys, counted from 0. */
  validator: u16,
  /** The signature. */
  signature: Signature,
});
/** One validator's signature. */
export type Vote = Of<typeof Vote>;

/** Signatures of n − f validators over a block's id: the block, and all before it, are final. */
export const Certificate = struct({
  /** The epoch of validators. */
  epoch: u64,
  /** The view. */
  view: u64,
  /** The view of the parent. */
  parentView: u64,
  /** The block. */
  block: BlockId,
  /** Who signed, in ascending order of `validator`. */
  votes: list(Vote, LIMITS.VALIDATORS_MAX),
});
/** Signatures of n − f validators over a block's id: the block, and all before it, are final. */
export type Certificate = Of<typeof Certificate>;

/** What a patient asks for. */
export const CaseKind = words(
  [0, 'access'],
  [1, 'amendment'],
  [2, 'accounting'],
  [3, 'erasure'],
  [4, 'restriction'],
);
/** What a patient asks for. */
export type CaseKind = Of<typeof CaseKind>;

/** Why a case was denied: a closed list, since the law has one for each kind. */
export const DenialGround = words(
  [0, 'not_created_here'],
  [1, 'not_in_record_set'],
  [2, 'not_accessible'],
  [3, 'accurate_and_complete'],
  [4, 'psychotherapy_notes'],
  [5, 'litigation'],
  [6, 'trial'],
  [7, 'endangers'],
  [8, 'health_care'],
  [9, 'public_health'],
  [10, 'legal_claims'],
  [11, 'retention_duty'],
  [12, 'excessive'],
);
/** Why a case was denied: a closed list, since the law has one for each kind. */
export type DenialGround = Of<typeof DenialGround>;

/** `case.open`: signed by whoever controls the chart. */
export const CaseOpen = struct({
  /** The chart. */
  chart: ChartId,
  /** The new case. */
  case: CaseId,
  /** What is asked for. */
  kind: CaseKind,
  /** Of which record; of the whole chart without it. */
  record: option(RecordName),
  /** Digest of what is said about it, sealed to the organisation. */
  statement: option(Digest),
});
/** `case.open`: signed by whoever controls the chart. */
export type CaseOpen = Of<typeof CaseOpen>;

/** What an organisation answers. */
export const CaseDecision = variants(
  /** It does what was asked for. */
  [0, 'accept', unit],
  /** It does not. Why. Digest of the written reason, sealed to the patient. */
  [1, 'deny', struct({
    ground: DenialGround,
    statement: Digest,
  })],
);
/** What an organisation answers. */
export type CaseDecision = Of<typeof CaseDecision>;

/** `case.decide`: signed by a privacy officer of the chart's organisation. */
export const CaseDecide = struct({
  /** The chart. */
  chart: ChartId,
  /** The case. */
  case: CaseId,
  /** The answer. */
  decision: CaseDecision,
});
/** `case.decide`: signed by a privacy officer of the chart's organisation. */
export type CaseDecide = Of<typeof CaseDecide>;

/** `case.extend`: more time, once. Signed by a privacy officer of the chart's organisation. */
export const CaseExtend = struct({
  /** The chart. */
  chart: ChartId,
  /** The case. */
  case: CaseId,
  /** Digest of the written reason, sealed to the patient. */
  statement: Digest,
});
/** `case.extend`: more time, once. Signed by a privacy officer of the chart's organisation. */
export type CaseExtend = Of<typeof CaseExtend>;

/**
 * `case.state`: after a denial, the patient disagrees, and the organisation may answer that. Both are attached to what
 * is disclosed later (45 CFR 164.526(d)).
 */
export const CaseStatement = struct({
  /** The chart. */
  chart: ChartId,
  /** The case. */
  case: CaseId,
  /** Digest of what is said, sealed to whoever may read the record. */
  statement: Digest,
});
/**
 * `case.state`: after a denial, the patient disagrees, and the organisation may answer that. Both are attached to what
 * is disclosed later (45 CFR 164.526(d)).
 */
export type CaseStatement = Of<typeof CaseStatement>;

/** `case.acknowledge`: an earlier recipient has been told what became of a case. Signed by one of its members. */
export const CaseAcknowledge = struct({
  /** The chart. */
  chart: ChartId,
  /** The case. */
  case: CaseId,
});
/** `case.acknowledge`: an earlier recipient has been told what became of a case. Signed by one of its members. */
export type CaseAcknowledge = Of<typeof CaseAcknowledge>;

/** What a custodian found when it was asked; signed. */
export const CustodyFinding = struct({
  /** The consortium. */
  chain: ChainId,
  /** Who was asked. */
  custodian: OrganisationId,
  /** The chart. */
  chart: ChartId,
  /** The record. */
  record: RecordId,
  /** Its version. */
  version: Version,
  /** The block that chose the leaf. */
  block: BlockId,
  /** Digest of what is shown; nothing, if it does not have the object whole. */
  shown: option(Digest),
});
/** What a custodian found when it was asked; signed. */
export type CustodyFinding = Of<typeof CustodyFinding>;

/** What shows that the custodian has the object. */
export const Shown = struct({
  /** The salted capsule. */
  capsule: blob(LIMITS.CAPSULE_BYTES_MAX),
  /** The leaf that the block chose. */
  leaf: blob(LIMITS.CONTENT_LEAF_BYTES_MAX),
  /** Its path to the content root: see `keepwell-merkle`. */
  path: blob(LIMITS.PATH_BYTES_MAX),
});
/** What shows that the custodian has the object. */
export type Shown = Of<typeof Shown>;

/** A custodian's answer to a challenge. */
export const ChallengeAnswer = struct({
  /** What it found. */
  finding: CustodyFinding,
  /** The key that it signs with. */
  key: PublicKey,
  /** Over the finding. */
  signature: Signature,
  /** What the finding is of. */
  shown: option(Shown),
});
/** A custodian's answer to a challenge. */
export type ChallengeAnswer = Of<typeof ChallengeAnswer>;

/**
 * The keys of whoever controls a chart: the patient's wallet, or the organisation's key agent until the patient claims
 * it.
 */
export const ChartKeys = struct({
  /** Verifies the controller's commands. */
  signing: PublicKey,
  /** Digest of the X-Wing key to which things for the controller are sealed. */
  sealing: Digest,
  /** Root of the `KeySheet` of the compartments. */
  sheet: Digest,
});
/**
 * The keys of whoever controls a chart: the patient's wallet, or the organisation's key agent until the patient claims
 * it.
 */
export type ChartKeys = Of<typeof ChartKeys>;

/** One compartment's current key. */
export const KeyLine = struct({
  /** The compartment. */
  compartment: Compartment,
  /** The key's generation. */
  epoch: Epoch,
  /** X-Wing public key. */
  key: blob(1_216),
});
/** One compartment's current key. */
export type KeyLine = Of<typeof KeyLine>;

/** A chart's public compartment keys: open to authors, checked against the root on the ledger. */
export const KeySheet = struct({
  /** The chart. */
  chart: ChartId,
  /** One line for each compartment, in order. */
  lines: list(KeyLine, LIMITS.COMPARTMENTS),
});
/** A chart's public compartment keys: open to authors, checked against the root on the ledger. */
export type KeySheet = Of<typeof KeySheet>;

/** Public keys of epochs to come, by which compartments move on while their controller is away. */
export const AheadSheet = struct({
  /** The chart. */
  chart: ChartId,
  /** In ascending order of compartments, and for each of its epochs. */
  lines: list(KeyLine, LIMITS.AHEAD_LINES_MAX),
});
/** Public keys of epochs to come, by which compartments move on while their controller is away. */
export type AheadSheet = Of<typeof AheadSheet>;

/** What the ledger knows of an `AheadSheet`. */
export const KeysAhead = struct({
  /** Digest of the sheet. */
  sheet: Digest,
  /** For each compartment the first epoch that has no key on the sheet; 0 where it has none at all. */
  until: exactly(Epoch, LIMITS.COMPARTMENTS),
});
/** What the ledger knows of an `AheadSheet`. */
export type KeysAhead = Of<typeof KeysAhead>;

/** What proves the right to claim a chart: whoever holds the one-time code can derive the key. */
export const ClaimTicket = struct({
  /** Verifies the claim. */
  key: PublicKey,
  /** First instant at which the code is void. */
  until: BlockTime,
});
/** What proves the right to claim a chart: whoever holds the one-time code can derive the key. */
export type ClaimTicket = Of<typeof ClaimTicket>;

/** `chart.open`: a chart of the signer's organisation. */
export const ChartOpen = struct({
  /** The new chart. */
  chart: ChartId,
  /** Keys of its controller. */
  keys: ChartKeys,
  /** The compartments that no ordinary grant opens: always as many, used or not. */
  separateConsent: CompartmentSet,
  /** Who stores its sealed objects. */
  custodians: list(OrganisationId, LIMITS.CUSTODIANS_MAX),
  /** Who may author in it beside its organisation. */
  contributors: list(OrganisationId, LIMITS.CONTRIBUTORS_MAX),
  /** How the patient may claim it, where the organisation opened it for one without a wallet. */
  claim: option(ClaimTicket),
});
/** `chart.open`: a chart of the signer's organisation. */
export type ChartOpen = Of<typeof ChartOpen>;

/** `chart.claim`: the patient takes control. Signed by the claim key and by the new signing key. */
export const ChartClaim = struct({
  /** The chart. */
  chart: ChartId,
  /** The wallet's keys; every compartment moves to its next epoch. */
  keys: ChartKeys,
  /**
   * Root of the `KeySheet` that the patient's letter leads to: the chart's own, or else the letter is not of the keys
   * and epochs that the chart has.
   */
  inherited: Digest,
});
/** `chart.claim`: the patient takes control. Signed by the claim key and by the new signing key. */
export type ChartClaim = Of<typeof ChartClaim>;

/**
 * `chart.arrange`: the controller says who stores and who may author, and, until the patient has claimed the chart,
 * may replace the one-time code.
 */
export const ChartArrange = struct({
  /** The chart. */
  chart: ChartId,
  /** Who stores its sealed objects. */
  custodians: list(OrganisationId, LIMITS.CUSTODIANS_MAX),
  /** Who may author in it beside its organisation. */
  contributors: list(OrganisationId, LIMITS.CONTRIBUTORS_MAX),
  /** How the patient may claim it from now on; without it, as before. */
  claim: option(ClaimTicket),
});
/**
 * `chart.arrange`: the controller says who stores and who may author, and, until the patient has claimed the chart,
 * may replace the one-time code.
 */
export type ChartArrange = Of<typeof ChartArrange>;

/** `compartment.rotate`: the controller moves compartments to their next epoch. */
export const CompartmentRotate = struct({
  /** The chart. */
  chart: ChartId,
  /** Which compartments. */
  compartments: CompartmentSet,
  /** Root of the new `KeySheet`. */
  sheet: Digest,
  /** Digest of the table of seeds sealed to all grantees who read on; it takes the place of the one before. */
  seeds: Digest,
});
/** `compartment.rotate`: the controller moves compartments to their next epoch. */
export type CompartmentRotate = Of<typeof CompartmentRotate>;

/** `chart.prepare`: the controller says what is left to emergencies. */
export const ChartPrepare = struct({
  /** The chart. */
  chart: ChartId,
  /** The compartments that may be opened in an emergency. */
  emergency: CompartmentSet,
  /** Digest of their keys, shared out among the trustees and sealed to each. */
  escrow: Digest,
  /** Keys by which those compartments move on after an emergency; only of a chart that a patient controls. */
  ahead: option(KeysAhead),
});
/** `chart.prepare`: the controller says what is left to emergencies. */
export type ChartPrepare = Of<typeof ChartPrepare>;

/** What an organisation is. */
export const OrganisationKind = words(
  [0, 'hospital'],
  [1, 'clinic'],
  [2, 'laboratory'],
  [3, 'pharmacy'],
  [4, 'insurer'],
  [5, 'manufacturer'],
  [6, 'licensing_board'],
  [7, 'sponsor'],
  [8, 'trustee'],
);
/** What an organisation is. */
export type OrganisationKind = Of<typeof OrganisationKind>;

/** Who speaks for an organisation: some of these keys together. */
export const Administrators = struct({
  /** Their keys. */
  keys: list(PublicKey, LIMITS.ADMINISTRATORS_MAX),
  /** How many of them must sign. */
  needed: u32,
});
/** Who speaks for an organisation: some of these keys together. */
export type Administrators = Of<typeof Administrators>;

/** `organisation.admit`: signed by the administrators of more than two thirds of the organisations. */
export const OrganisationAdmit = struct({
  /** The new organisation. */
  organisation: OrganisationId,
  /** What it is. */
  kind: OrganisationKind,
  /** Its public name. */
  name: text(LIMITS.NAME_BYTES_MAX),
  /** Verify its administrators. */
  administrators: Administrators,
  /** Verifies its acknowledgements of custody, if it is a custodian. */
  custodian: option(PublicKey),
});
/** `organisation.admit`: signed by the administrators of more than two thirds of the organisations. */
export type OrganisationAdmit = Of<typeof OrganisationAdmit>;

/** `organisation.suspend`, `organisation.reinstate` and `organisation.expel`: signed as `organisation.admit` is. */
export const OrganisationStanding = struct({
  /** The organisation. */
  organisation: OrganisationId,
});
/** `organisation.suspend`, `organisation.reinstate` and `organisation.expel`: signed as `organisation.admit` is. */
export type OrganisationStanding = Of<typeof OrganisationStanding>;

/** What a member does in its organisation. */
export const Role = words(
  [0, 'clinician'],
  [1, 'nurse'],
  [2, 'pharmacist'],
  [3, 'laboratory_scientist'],
  [4, 'registrar'],
  [5, 'claims_assessor'],
  [6, 'privacy_officer'],
  [7, 'key_agent'],
  [8, 'gateway'],
  [9, 'researcher'],
  [10, 'auditor'],
  [11, 'licensor'],
);
/** What a member does in its organisation. */
export type Role = Of<typeof Role>;

/** Roles of a member. */
export const RoleSet = setOf(Role);
/** Roles of a member. */
export type RoleSet = Of<typeof RoleSet>;

/** `member.enrol`: signed by the administrator of the member's organisation. */
export const MemberEnrol = struct({
  /** The new member. */
  member: MemberId,
  /** Whose member it is, for good. */
  organisation: OrganisationId,
  /** Verifies its commands. */
  signing: PublicKey,
  /** Digest of the X-Wing key to which things for it are sealed. */
  sealing: Digest,
  /** What it does. */
  roles: RoleSet,
});
/** `member.enrol`: signed by the administrator of the member's organisation. */
export type MemberEnrol = Of<typeof MemberEnrol>;

/** `member.rotate`: new keys for a member. Signed by the administrator and by the new signing key. */
export const MemberRotate = struct({
  /** The member. */
  member: MemberId,
  /** Verifies its commands from now on. */
  signing: PublicKey,
  /** Digest of its new X-Wing key. */
  sealing: Digest,
  /** First instant at which the signing key so far counts no more; without it, that is now. */
  overlapUntil: option(BlockTime),
});
/** `member.rotate`: new keys for a member. Signed by the administrator and by the new signing key. */
export type MemberRotate = Of<typeof MemberRotate>;

/** `member.assign`: other roles and groups. Signed by the administrator. */
export const MemberAssign = struct({
  /** The member. */
  member: MemberId,
  /** What it does from now on. */
  roles: RoleSet,
  /** The groups of its organisation that it is in from now on. */
  groups: list(GroupId, LIMITS.MEMBER_GROUPS_MAX),
});
/** `member.assign`: other roles and groups. Signed by the administrator. */
export type MemberAssign = Of<typeof MemberAssign>;

/** `member.suspend` and `member.reinstate`: signed by the administrator. */
export const MemberStanding = struct({
  /** The member. */
  member: MemberId,
});
/** `member.suspend` and `member.reinstate`: signed by the administrator. */
export type MemberStanding = Of<typeof MemberStanding>;

/** The coarse class of a record: all that the ledger learns about its content. */
export const RecordKind = words(
  [0, 'identity'],
  [1, 'encounter'],
  [2, 'condition'],
  [3, 'result'],
  [4, 'imaging'],
  [5, 'medication'],
  [6, 'prescription'],
  [7, 'allergy'],
  [8, 'immunization'],
  [9, 'procedure'],
  [10, 'plan'],
  [11, 'document'],
  [12, 'legal'],
  [13, 'financial'],
  [14, 'device'],
  [15, 'other'],
);
/** The coarse class of a record: all that the ledger learns about its content. */
export type RecordKind = Of<typeof RecordKind>;

/** A custodian's signature over its `CustodyStatement`. */
export const CustodyAcknowledgement = struct({
  /** Who stores. */
  custodian: OrganisationId,
  /** The key that it signs such statements with. */
  key: PublicKey,
  /** The signature. */
  signature: Signature,
  /** The end of its promise, as it stands in the statement. */
  until: BlockTime,
});
/** A custodian's signature over its `CustodyStatement`. */
export type CustodyAcknowledgement = Of<typeof CustodyAcknowledgement>;

/** What a signature says (21 CFR 11.50(a)(3)). */
export const Meaning = words(
  [0, 'authorship'],
  [1, 'review'],
  [2, 'approval'],
  [3, 'responsibility'],
  [4, 'verification'],
  [5, 'witness'],
  [6, 'consent'],
  [7, 'dispensing'],
);
/** What a signature says (21 CFR 11.50(a)(3)). */
export type Meaning = Of<typeof Meaning>;

/** Which organisation a seat is of. */
export const ApproverOf = variants(
  /** The one that the record is from. */
  [0, 'author', unit],
  /** The chart's. */
  [1, 'chart', unit],
  /** This one. */
  [2, 'organisation', one(OrganisationId)],
);
/** Which organisation a seat is of. */
export type ApproverOf = Of<typeof ApproverOf>;

/** What a credential is about. */
export const CredentialKind = words(
  [0, 'licence'],
  [1, 'specialty'],
  [2, 'controlled_substance'],
);
/** What a credential is about. */
export type CredentialKind = Of<typeof CredentialKind>;

/** Who may take a seat. */
export const Approver = variants(
  /** The patient, with the chart's key; nobody while an organisation still holds that key. */
  [0, 'patient', unit],
  /** Who added the record. */
  [1, 'author', unit],
  /** This member. */
  [2, 'member', one(MemberId)],
  /** The administrator of this organisation. */
  [3, 'administrator', one(OrganisationId)],
  /** Members who have this role there when they sign. */
  [4, 'role', pair(Role, ApproverOf)],
  /** Members there with a credential of this kind that holds when they sign. */
  [5, 'credential', pair(CredentialKind, ApproverOf)],
  /** A proxy of the patient that may sign, in force when it signs and for the record's compartment. */
  [6, 'proxy', unit],
);
/** Who may take a seat. */
export type Approver = Of<typeof Approver>;

/** `min` different parties of one kind. */
export const SignOffSeat = struct({
  /** Who they are. */
  who: Approver,
  /** How many must sign. */
  min: u8,
});
/** `min` different parties of one kind. */
export type SignOffSeat = Of<typeof SignOffSeat>;

/** `min` of the next `branches` branches: all of them, any of them, or some number between. */
export const AtLeast = struct({
  /** How many must be met. */
  min: u8,
  /** How many there are. */
  branches: u8,
});
/** `min` of the next `branches` branches: all of them, any of them, or some number between. */
export type AtLeast = Of<typeof AtLeast>;

/** A part of a step's tree. */
export const Need = variants(
  /** A seat. */
  [0, 'seat', one(SignOffSeat)],
  /** So many of the branches that follow. */
  [1, 'at_least', one(AtLeast)],
);
/** A part of a step's tree. */
export type Need = Of<typeof Need>;

/** Approvals that may be given at the same time and say the same. */
export const Step = struct({
  /** What each signature in it says. */
  meaning: Meaning,
  /** Its tree. */
  needs: list(Need, LIMITS.SIGN_OFF_NEEDS_MAX),
});
/** Approvals that may be given at the same time and say the same. */
export type Step = Of<typeof Step>;

/** Whose approvals make a proposed record final. */
export const ApprovalRule = struct({
  /** One after the other: a step opens once those before it are met. */
  steps: list(Step, LIMITS.SIGN_OFF_STEPS_MAX),
  /** How long it waits from the record's entry on, in milliseconds; for ever, if this says nothing. */
  withinMs: option(u64),
});
/** Whose approvals make a proposed record final. */
export type ApprovalRule = Of<typeof ApprovalRule>;

/** Which version of a record a new one follows. Each version has an id of its own. */
export const Amended = struct({
  /** The newest version so far: the original stays as it is, and where it is. */
  record: RecordName,
  /** The number of the new version. */
  version: Version,
});
/** Which version of a record a new one follows. Each version has an id of its own. */
export type Amended = Of<typeof Amended>;

/**
 * `record.add`: a new record; or `record.amend`, a new version of one. Its id follows from the command's id, signer
 * and window.
 */
export const RecordAdd = struct({
  /** The chart. */
  chart: ChartId,
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
  /** Who has stored it. */
  custody: list(CustodyAcknowledgement, LIMITS.CUSTODIANS_MAX),
  /** Who must approve it before it is final: whom the consortium asks for, or nobody, if this says nothing. */
  approval: option(ApprovalRule),
  /** A digest that the organisation wants to be unique among its live records. */
  uniqueness: option(UniquenessTag),
  /** What it amends; nothing, if it is a record of its own. */
  amends: option(Amended),
});
/**
 * `record.add`: a new record; or `record.amend`, a new version of one. Its id follows from the command's id, signer
 * and window.
 */
export type RecordAdd = Of<typeof RecordAdd>;

/** `record.approve`: one party's approval of a proposed record, which is its signature. */
export const RecordApprove = struct({
  /** The chart. */
  chart: ChartId,
  /** The record. */
  record: RecordName,
  /** What was approved: the commitment of the version that the signer was shown. */
  commitment: Commitment,
  /** What the signature says, as the step of the rule demands it. */
  meaning: Meaning,
  /** The number of the rule's seat that the signer takes. */
  seat: u8,
});
/** `record.approve`: one party's approval of a proposed record, which is its signature. */
export type RecordApprove = Of<typeof RecordApprove>;

/** Whether a rule allows or denies. */
export const Effect = words(
  [0, 'allow'],
  [1, 'deny'],
);
/** Whether a rule allows or denies. */
export type Effect = Of<typeof Effect>;

/** Whom a grant names. */
export const Grantee = variants(
  /** One member. */
  [0, 'member', one(MemberId)],
  /** The members of an organisation who have a role. The organisation. The role. */
  [1, 'role', struct({
    organisation: OrganisationId,
    role: Role,
  })],
  /** Every member of an organisation. */
  [2, 'organisation', one(OrganisationId)],
  /** Every member of the consortium. */
  [3, 'everyone', unit],
  /** The members of a care team of the chart. */
  [4, 'team', one(TeamId)],
  /** The members of a group of an organisation, for the purposes that the group is bound to. */
  [5, 'group', one(GroupId)],
);
/** Whom a grant names. */
export type Grantee = Of<typeof Grantee>;

/** Kinds of records. */
export const KindSet = setOf(RecordKind);
/** Kinds of records. */
export type KindSet = Of<typeof KindSet>;

/** Purposes of use. */
export const PurposeSet = setOf(Purpose);
/** Purposes of use. */
export type PurposeSet = Of<typeof PurposeSet>;

/** The terms of a grant. What is sealed to the grantee is bound to them byte for byte. */
export const GrantTerms = struct({
  /** Allow or deny. */
  effect: Effect,
  /** To whom. */
  grantee: Grantee,
  /** Records in these compartments ... */
  compartments: CompartmentSet,
  /** ... of these kinds ... */
  kinds: KindSet,
  /** ... and, if any are listed, only these. */
  records: list(RecordName, LIMITS.GRANT_RECORDS_MAX),
  /** For these purposes. */
  purposes: PurposeSet,
  /** While block time is in here. */
  window: Window,
  /** At most so many accesses. */
  accessesMax: option(u32),
  /**
   * Whether it covers compartments that need separate consent. Such a grant names no other compartment, so that
   * consent to them is never bundled.
   */
  separateConsent: bool,
  /** Whether a grantee may pass it on to another member (`GrantPass`). */
  onward: bool,
});
/** The terms of a grant. What is sealed to the grantee is bound to them byte for byte. */
export type GrantTerms = Of<typeof GrantTerms>;

/** `grant.give`: signed by whoever controls the chart. */
export const GrantGive = struct({
  /** The chart: one grant names exactly one. */
  chart: ChartId,
  /** The new grant. */
  grant: GrantId,
  /** Its terms. */
  terms: GrantTerms,
  /** Digest of the epoch seeds sealed to the grantee; the sealed seeds are at the custodians. */
  seeds: Digest,
});
/** `grant.give`: signed by whoever controls the chart. */
export type GrantGive = Of<typeof GrantGive>;

/** `grant.limit`: the same grant, with less. */
export const GrantLimit = struct({
  /** The chart. */
  chart: ChartId,
  /** The grant. */
  grant: GrantId,
  /** Compartments left. */
  compartments: CompartmentSet,
  /** Kinds left. */
  kinds: KindSet,
  /** Purposes left. */
  purposes: PurposeSet,
  /** The window left. */
  window: Window,
  /** Accesses left in all, those already counted included. */
  accessesMax: option(u32),
});
/** `grant.limit`: the same grant, with less. */
export type GrantLimit = Of<typeof GrantLimit>;

/** `grant.revoke`: ends a grant from the next block on. */
export const GrantRevoke = struct({
  /** The chart. */
  chart: ChartId,
  /** The grant. */
  grant: GrantId,
});
/** `grant.revoke`: ends a grant from the next block on. */
export type GrantRevoke = Of<typeof GrantRevoke>;

/**
 * `grant.revoke_organisation`: ends, for every reader of an organisation, all that was granted so far in a chart, to
 * whomever it was given, and what the consortium allows a chart's own organisation.
 */
export const GrantRevokeOrganisation = struct({
  /** The chart. */
  chart: ChartId,
  /** The organisation. */
  organisation: OrganisationId,
});
/**
 * `grant.revoke_organisation`: ends, for every reader of an organisation, all that was granted so far in a chart, to
 * whomever it was given, and what the consortium allows a chart's own organisation.
 */
export type GrantRevokeOrganisation = Of<typeof GrantRevokeOrganisation>;

/** `grant.pass`: a grantee passes a grant on. Signed by a member whom the grant reaches. */
export const GrantPass = struct({
  /** The chart. */
  chart: ChartId,
  /** The grant that is passed on. */
  from: GrantId,
  /** The new grant. */
  grant: GrantId,
  /** Its terms: within those of `from`, to one member, and not onward. */
  terms: GrantTerms,
  /** Digest of the epoch seeds sealed to the grantee. */
  seeds: Digest,
});
/** `grant.pass`: a grantee passes a grant on. Signed by a member whom the grant reaches. */
export type GrantPass = Of<typeof GrantPass>;

/** Why somebody asks for a grant. What else there is to say is sealed to the patient. */
export const RequestReason = words(
  [0, 'treatment'],
  [1, 'referral'],
  [2, 'second_opinion'],
  [3, 'review'],
  [4, 'coordination'],
  [5, 'claim'],
  [6, 'research'],
  [7, 'patient_wish'],
  [8, 'other'],
);
/** Why somebody asks for a grant. What else there is to say is sealed to the patient. */
export type RequestReason = Of<typeof RequestReason>;

/** `grant.request`: a member asks whoever controls a chart for a grant. */
export const GrantRequest = struct({
  /** The chart. */
  chart: ChartId,
  /** The new request. */
  request: RequestId,
  /** What is asked for: a permission for the asker, or for its organisation or what it is in there. */
  terms: GrantTerms,
  /** Why. */
  reason: RequestReason,
  /** Digest of a note sealed to the controller, if there is one. */
  note: option(Digest),
  /** First instant at which it cannot be answered any more. */
  until: BlockTime,
});
/** `grant.request`: a member asks whoever controls a chart for a grant. */
export type GrantRequest = Of<typeof GrantRequest>;

/** Why a request was refused, as far as the patient wants to say. */
export const RefusalReason = words(
  [0, 'unstated'],
  [1, 'unknown_asker'],
  [2, 'not_needed'],
  [3, 'too_much'],
);
/** Why a request was refused, as far as the patient wants to say. */
export type RefusalReason = Of<typeof RefusalReason>;

/** What a request is answered. */
export const Answer = variants(
  /**
   * A grant, of what was asked for or of less. The new grant. Its terms. Digest of the epoch seeds sealed to the
   * grantee.
   */
  [0, 'give', struct({
    grant: GrantId,
    terms: GrantTerms,
    seeds: Digest,
  })],
  /** No. */
  [1, 'refuse', one(RefusalReason)],
);
/** What a request is answered. */
export type Answer = Of<typeof Answer>;

/** `grant.answer`: signed by whoever controls the chart. */
export const GrantAnswer = struct({
  /** The chart. */
  chart: ChartId,
  /** The request. */
  request: RequestId,
  /** The answer. */
  answer: Answer,
});
/** `grant.answer`: signed by whoever controls the chart. */
export type GrantAnswer = Of<typeof GrantAnswer>;

/** `grant.withdraw`: whoever asked asks no longer. */
export const GrantWithdraw = struct({
  /** The chart. */
  chart: ChartId,
  /** The request. */
  request: RequestId,
});
/** `grant.withdraw`: whoever asked asks no longer. */
export type GrantWithdraw = Of<typeof GrantWithdraw>;

/**
 * `team.arrange`: who is in a care team of a chart; nobody, and there is no such team any more. Signed by whoever
 * controls the chart.
 */
export const TeamArrange = struct({
  /** The chart. */
  chart: ChartId,
  /** The team. */
  team: TeamId,
  /** Its members, of whatever organisations. */
  members: list(MemberId, LIMITS.TEAM_MEMBERS_MAX),
});
/**
 * `team.arrange`: who is in a care team of a chart; nobody, and there is no such team any more. Signed by whoever
 * controls the chart.
 */
export type TeamArrange = Of<typeof TeamArrange>;

/**
 * `group.form`: a group of members for a purpose, such as a tumour board. Signed by the organisation's administrator.
 */
export const GroupForm = struct({
  /** The new group. */
  group: GroupId,
  /** Whose group it is, for good. */
  organisation: OrganisationId,
  /** The purposes that it reads for, for good: patients rely on them. */
  purposes: PurposeSet,
});
/**
 * `group.form`: a group of members for a purpose, such as a tumour board. Signed by the organisation's administrator.
 */
export type GroupForm = Of<typeof GroupForm>;

/** What keeps a record from being read or from being redacted. */
export const Restriction = words(
  [0, 'self_pay'],
  [1, 'processing'],
  [2, 'legal_hold'],
);
/** What keeps a record from being read or from being redacted. */
export type Restriction = Of<typeof Restriction>;

/** Restrictions of a record. */
export const RestrictionSet = setOf(Restriction);
/** Restrictions of a record. */
export type RestrictionSet = Of<typeof RestrictionSet>;

/** `record.restrict` and `record.lift`, of a record in all its versions. */
export const RecordRestrict = struct({
  /** The chart. */
  chart: ChartId,
  /** Any version of the record. */
  record: RecordName,
  /** What is restricted, or is no more. */
  restrictions: RestrictionSet,
});
/** `record.restrict` and `record.lift`, of a record in all its versions. */
export type RecordRestrict = Of<typeof RecordRestrict>;

/** Why a record is to be redacted. */
export const RedactionGround = words(
  [0, 'error'],
  [1, 'patient_wish'],
  [2, 'retention_over'],
  [3, 'order'],
);
/** Why a record is to be redacted. */
export type RedactionGround = Of<typeof RedactionGround>;

/**
 * `record.redact`: one required party's approval that no validator releases a record any more, in any version. It
 * binds with the last of them.
 */
export const RecordRedact = struct({
  /** The chart. */
  chart: ChartId,
  /** Any version of the record. */
  record: RecordName,
  /** Why: all parties say the same. */
  ground: RedactionGround,
});
/**
 * `record.redact`: one required party's approval that no validator releases a record any more, in any version. It
 * binds with the last of them.
 */
export type RecordRedact = Of<typeof RecordRedact>;

/** `record.keep`: a party takes its approval of a redaction back, while it does not bind yet. */
export const RecordKeep = struct({
  /** The chart. */
  chart: ChartId,
  /** Any version of the record. */
  record: RecordName,
});
/** `record.keep`: a party takes its approval of a redaction back, while it does not bind yet. */
export type RecordKeep = Of<typeof RecordKeep>;

/** `record.erased`: a custodian says, under signature, that it has destroyed all that it had of a redacted record. */
export const RecordErased = struct({
  /** The chart. */
  chart: ChartId,
  /** Any version of the record. */
  record: RecordName,
});
/** `record.erased`: a custodian says, under signature, that it has destroyed all that it had of a redacted record. */
export type RecordErased = Of<typeof RecordErased>;

/** `credential.issue`: signed by a licensor of a licensing board. */
export const CredentialIssue = struct({
  /** Whose it is. */
  member: MemberId,
  /** The new credential. */
  credential: CredentialId,
  /** What it is about. */
  kind: CredentialKind,
  /** Where or for what it holds, as the board publishes it: `US-CA`, or the code of a specialty. */
  scope: text(LIMITS.CREDENTIAL_SCOPE_BYTES_MAX),
  /** When it holds. */
  window: Window,
  /** Digest of the credential as its holder has it. */
  evidence: Digest,
});
/** `credential.issue`: signed by a licensor of a licensing board. */
export type CredentialIssue = Of<typeof CredentialIssue>;

/**
 * `credential.suspend`, `credential.reinstate` and `credential.revoke`: signed by a licensor of the board that issued
 * it.
 */
export const CredentialStanding = struct({
  /** Whose it is. */
  member: MemberId,
  /** The credential. */
  credential: CredentialId,
});
/**
 * `credential.suspend`, `credential.reinstate` and `credential.revoke`: signed by a licensor of the board that issued
 * it.
 */
export type CredentialStanding = Of<typeof CredentialStanding>;

/** One who has a say in a recovery. */
export const Guardian = variants(
  /** A key that its holder made for this chart alone: nothing tells whose it is. */
  [0, 'key', one(PublicKey)],
  /** A member, such as an institution's officer, who has no say while suspended. */
  [1, 'member', one(MemberId)],
);
/** One who has a say in a recovery. */
export type Guardian = Of<typeof Guardian>;

/** Guardians of whom so many are needed. */
export const GuardianGroup = struct({
  /** Each once, over all groups of a policy. */
  guardians: list(Guardian, LIMITS.GUARDIANS_MAX),
  /** How many of them must approve. */
  approvalsMin: u8,
});
/** Guardians of whom so many are needed. */
export type GuardianGroup = Of<typeof GuardianGroup>;

/** Whose approvals let a chart come to new keys: some groups, and in each of them some guardians. */
export const GuardianPolicy = struct({
  /** The groups. */
  groups: list(GuardianGroup, LIMITS.GUARDIAN_GROUPS_MAX),
  /** How many of them must have approved: all for "and", one for "or". */
  groupsMin: u8,
  /** The key to which alone the chart goes when its patient has died. */
  executor: option(PublicKey),
});
/** Whose approvals let a chart come to new keys: some groups, and in each of them some guardians. */
export type GuardianPolicy = Of<typeof GuardianPolicy>;

/**
 * `guardian.set`: the controller says who guards the chart, in the place of those before. Recoveries that have begun
 * end.
 */
export const GuardianSet = struct({
  /** The chart. */
  chart: ChartId,
  /** Who; nobody if it has no groups. */
  policy: GuardianPolicy,
  /** Digest of what opens the chart's compartments, shared out among the guardians and sealed to each. */
  escrow: Digest,
});
/**
 * `guardian.set`: the controller says who guards the chart, in the place of those before. Recoveries that have begun
 * end.
 */
export type GuardianSet = Of<typeof GuardianSet>;

/** Why a chart is to come to new keys. */
export const RecoveryGround = words(
  [0, 'lost'],
  [1, 'death'],
);
/** Why a chart is to come to new keys. */
export type RecoveryGround = Of<typeof RecoveryGround>;

/** `recovery.start`: a guardian vouches for whoever holds a new key. It counts as that guardian's approval. */
export const RecoveryStart = struct({
  /** The chart. */
  chart: ChartId,
  /** Why. */
  ground: RecoveryGround,
  /** The new signing key. */
  successor: PublicKey,
  /** Digest of the X-Wing key to which the shares are sealed. */
  sealing: Digest,
  /** Digest of the guardian's share, sealed to that key. */
  share: Digest,
});
/** `recovery.start`: a guardian vouches for whoever holds a new key. It counts as that guardian's approval. */
export type RecoveryStart = Of<typeof RecoveryStart>;

/** `recovery.approve`: another guardian vouches for the same. */
export const RecoveryApprove = struct({
  /** The chart. */
  chart: ChartId,
  /** Where the recovery was started in the chart's log, which names it. */
  recovery: LogPosition,
  /** The new signing key, so that what is signed says for whom. */
  successor: PublicKey,
  /** Digest of the guardian's share, sealed to the successor. */
  share: Digest,
});
/** `recovery.approve`: another guardian vouches for the same. */
export type RecoveryApprove = Of<typeof RecoveryApprove>;

/**
 * `recovery.withdraw`: a guardian takes its approval back; of whoever started it, that ends the recovery.
 * `recovery.veto`: the controller ends it.
 */
export const RecoveryEnd = struct({
  /** The chart. */
  chart: ChartId,
  /** The recovery. */
  recovery: LogPosition,
});
/**
 * `recovery.withdraw`: a guardian takes its approval back; of whoever started it, that ends the recovery.
 * `recovery.veto`: the controller ends it.
 */
export type RecoveryEnd = Of<typeof RecoveryEnd>;

/** `recovery.finish`: the successor takes control. Signed by the new key; every compartment moves to its next epoch. */
export const RecoveryFinish = struct({
  /** The chart. */
  chart: ChartId,
  /** The recovery. */
  recovery: LogPosition,
  /** The successor's keys. */
  keys: ChartKeys,
  /** Root of the key sheet that these take the place of: with another one, the epochs are others. */
  replaces: Digest,
  /** The epochs that these follow, of each compartment. */
  epochs: exactly(Epoch, LIMITS.COMPARTMENTS),
});
/** `recovery.finish`: the successor takes control. Signed by the new key; every compartment moves to its next epoch. */
export type RecoveryFinish = Of<typeof RecoveryFinish>;

/** What whoever controls a chart may do, as far as a proxy may be given it. */
export const Power = words(
  [0, 'read'],
  [1, 'write'],
  [2, 'grant'],
  [3, 'revoke'],
  [4, 'restrict'],
  [5, 'case'],
  [6, 'veto'],
  [7, 'sign'],
);
/** What whoever controls a chart may do, as far as a proxy may be given it. */
export type Power = Of<typeof Power>;

/** What a proxy may do. */
export const PowerSet = setOf(Power);
/** What a proxy may do. */
export type PowerSet = Of<typeof PowerSet>;

/** How far a proxy may act for the patient. */
export const ProxyTerms = struct({
  /** What it may do. */
  powers: PowerSet,
  /** In which compartments. */
  compartments: CompartmentSet,
  /** When. */
  window: Window,
});
/** How far a proxy may act for the patient. */
export type ProxyTerms = Of<typeof ProxyTerms>;

/** `proxy.add`: the controller lets someone act for the patient. */
export const ProxyAdd = struct({
  /** The chart. */
  chart: ChartId,
  /** The new proxy. */
  proxy: ProxyId,
  /** Verifies its commands: a key that it made for this chart alone. */
  signing: PublicKey,
  /** Digest of the X-Wing key to which things for it are sealed. */
  sealing: Digest,
  /** How far. */
  terms: ProxyTerms,
});
/** `proxy.add`: the controller lets someone act for the patient. */
export type ProxyAdd = Of<typeof ProxyAdd>;

/** `proxy.end`: the controller ends a proxy, or the proxy steps down. */
export const ProxyEnd = struct({
  /** The chart. */
  chart: ChartId,
  /** The proxy. */
  proxy: ProxyId,
});
/** `proxy.end`: the controller ends a proxy, or the proxy steps down. */
export type ProxyEnd = Of<typeof ProxyEnd>;

/** `chart.minor`: the organisation that opened a chart says until when its patient is a minor. Proxies end then. */
export const ChartMinor = struct({
  /** The chart. */
  chart: ChartId,
  /** First instant of majority. Not a birthday: an instant of the same month says less. */
  until: BlockTime,
});
/** `chart.minor`: the organisation that opened a chart says until when its patient is a minor. Proxies end then. */
export type ChartMinor = Of<typeof ChartMinor>;

/** `chart.close`: the controller ends a chart for good. What is in it can be read as before; nothing is added. */
export const ChartClose = struct({
  /** The chart. */
  chart: ChartId,
});
/** `chart.close`: the controller ends a chart for good. What is in it can be read as before; nothing is added. */
export type ChartClose = Of<typeof ChartClose>;

/** `record.retract`: a party takes its approval back, while nothing rests on it yet. */
export const RecordRetract = struct({
  /** The chart. */
  chart: ChartId,
  /** The record. */
  record: RecordName,
});
/** `record.retract`: a party takes its approval back, while nothing rests on it yet. */
export type RecordRetract = Of<typeof RecordRetract>;

/** `record.withdraw`: the author proposes a record no longer, while it is not final. */
export const RecordWithdraw = struct({
  /** The chart. */
  chart: ChartId,
  /** The record. */
  record: RecordName,
});
/** `record.withdraw`: the author proposes a record no longer, while it is not final. */
export type RecordWithdraw = Of<typeof RecordWithdraw>;

/** What a matching programme is called: public, and the same at every organisation that takes part. */
export const ProgrammeName = text(LIMITS.MATCH_PROGRAMME_BYTES_MAX);
/** What a matching programme is called: public, and the same at every organisation that takes part. */
export type ProgrammeName = Of<typeof ProgrammeName>;

/** `match.evaluate`: signed by a registrar or a gateway. It names points, not persons. */
export const MatchEvaluate = struct({
  /** For which programme. */
  programme: ProgrammeName,
  /** What for. It is signed, and everyone sees it. */
  purpose: Purpose,
  /** Digests of the blinded points, in the order in which they are evaluated. */
  points: list(Digest, LIMITS.MATCH_POINTS_MAX),
  /** Digest of the fresh key that the answers are sealed to. */
  requesterKey: Digest,
});
/** `match.evaluate`: signed by a registrar or a gateway. It names points, not persons. */
export type MatchEvaluate = Of<typeof MatchEvaluate>;

/** `link.propose`: signed by a registrar or gateway of the first organisation, which confirms its side by it. */
export const LinkPropose = struct({
  /** The new link. */
  link: LinkId,
  /** The other organisation. */
  with: OrganisationId,
  /** The salted digest of the link and the proposer's chart. */
  commitment: Commitment,
  /** First instant at which it cannot be confirmed any more. */
  until: BlockTime,
});
/** `link.propose`: signed by a registrar or gateway of the first organisation, which confirms its side by it. */
export type LinkPropose = Of<typeof LinkPropose>;

/** What is confirmed of a link. */
export const Confirmation = variants(
  /** The other organisation's side: the salted digest of the link and its chart. By a registrar or gateway. */
  [0, 'side', one(Commitment)],
  /** That it is in order. By a privacy officer of either organisation who confirmed neither side. */
  [1, 'officer', unit],
  /**
   * That the patient agrees: the salted digest of the consent that the patient signed. By a registrar or gateway of
   * either organisation, which keeps the consent.
   */
  [2, 'patient', one(Digest)],
);
/** What is confirmed of a link. */
export type Confirmation = Of<typeof Confirmation>;

/** `link.confirm`. */
export const LinkConfirm = struct({
  /** The link. */
  link: LinkId,
  /** What is confirmed. */
  confirmation: Confirmation,
});
/** `link.confirm`. */
export type LinkConfirm = Of<typeof LinkConfirm>;

/** Why a link is reversed. */
export const LinkReversal = words(
  [0, 'wrong_person'],
  [1, 'consent_withdrawn'],
  [2, 'error'],
  [3, 'not_needed'],
);
/** Why a link is reversed. */
export type LinkReversal = Of<typeof LinkReversal>;

/** `link.reverse`: signed by a registrar, gateway or privacy officer of either organisation. */
export const LinkReverse = struct({
  /** The link. */
  link: LinkId,
  /** Why. */
  reason: LinkReversal,
  /** The salted digest of what the patient signed to withdraw the consent, if that is why. */
  withdrawal: option(Digest),
});
/** `link.reverse`: signed by a registrar, gateway or privacy officer of either organisation. */
export type LinkReverse = Of<typeof LinkReverse>;

/**
 * `organisation.rotate`: new keys of an organisation. Signed by its administrators, or as `organisation.admit` is if
 * too few of them have their keys.
 */
export const OrganisationRotate = struct({
  /** The organisation. */
  organisation: OrganisationId,
  /** Verify its administrators from now on. */
  administrators: Administrators,
  /** Verifies its acknowledgements of custody from now on. */
  custodian: option(PublicKey),
  /** First instant at which the keys so far count no more; without it, that is now. */
  overlapUntil: option(BlockTime),
});
/**
 * `organisation.rotate`: new keys of an organisation. Signed by its administrators, or as `organisation.admit` is if
 * too few of them have their keys.
 */
export type OrganisationRotate = Of<typeof OrganisationRotate>;

/** One validator's public keys. The validator's share of the committee has index (place + 1). */
export const Validator = struct({
  /** Whose it is. */
  organisation: OrganisationId,
  /** Verifies its votes and its links to peers. */
  consensus: PublicKey,
  /** Verifies its release answers. */
  release: PublicKey,
});
/** One validator's public keys. The validator's share of the committee has index (place + 1). */
export type Validator = Of<typeof Validator>;

/** One validator of a set. */
export const Seat = struct({
  /** Its keys. */
  validator: Validator,
  /**
   * Where the others reach it, address and port: on record for those who joined after the founding, in each node's
   * configuration for the founders.
   */
  address: option(text(LIMITS.ADDRESS_BYTES_MAX)),
});
/** One validator of a set. */
export type Seat = Of<typeof Seat>;

/** A validator on its own word, made for one consortium. */
export const ValidatorCard = struct({
  /** The validator, and where the others reach it. */
  seat: Seat,
  /** By its keys: consensus, release. They show that it holds them. */
  signatures: list(Signature, 2),
});
/** A validator on its own word, made for one consortium. */
export type ValidatorCard = Of<typeof ValidatorCard>;

/** What is moved: who joins, and who leaves. Where nobody does, the same validators deal their shares anew. */
export const Change = struct({
  /** Those that join; each organisation among them approves it itself. */
  joins: list(ValidatorCard, LIMITS.JOINS_MAX),
  /** The consensus keys of those that leave. */
  leaves: list(PublicKey, LIMITS.VALIDATORS_MAX),
});
/** What is moved: who joins, and who leaves. Where nobody does, the same validators deal their shares anew. */
export type Change = Of<typeof Change>;

/** What is moved: that the rules of another version hold from a block on, or that a planned upgrade is called off. */
export const Upgrade = struct({
  /** The version after the one in force. */
  to: Protocol,
  /** The first block whose rules they are; nothing calls the upgrade off. */
  from: option(Height),
});
/** What is moved: that the rules of another version hold from a block on, or that a planned upgrade is called off. */
export type Upgrade = Of<typeof Upgrade>;

/** What is moved: one of the commands that organisations decide together. */
export const Act = variants(
  /** Admit an organisation. */
  [0, 'admit', one(OrganisationAdmit)],
  /** Suspend one. */
  [1, 'suspend', one(OrganisationStanding)],
  /** Reinstate one. */
  [2, 'reinstate', one(OrganisationStanding)],
  /** Expel one, for good. */
  [3, 'expel', one(OrganisationStanding)],
  /** Give one new keys. */
  [4, 'rotate', one(OrganisationRotate)],
  /** Change who validates, or have them deal their shares anew. */
  [5, 'change', one(Change)],
  /** Have the rules of the next version of the protocol hold from a block on. */
  [6, 'upgrade', one(Upgrade)],
);
/** What is moved: one of the commands that organisations decide together. */
export type Act = Of<typeof Act>;

/** `motion.open`: signed by one administrator, which is its first approval. */
export const MotionOpen = struct({
  /** The new motion. */
  motion: MotionId,
  /** What is moved. */
  act: Act,
  /** First instant at which it waits no more. */
  until: BlockTime,
});
/** `motion.open`: signed by one administrator, which is its first approval. */
export type MotionOpen = Of<typeof MotionOpen>;

/** `motion.approve`: signed by one administrator. What is moved happens with the approval that is enough. */
export const MotionApprove = struct({
  /** The motion. */
  motion: MotionId,
  /** What is approved: the signature is for nothing else. */
  act: Act,
});
/** `motion.approve`: signed by one administrator. What is moved happens with the approval that is enough. */
export type MotionApprove = Of<typeof MotionApprove>;

/** `motion.withdraw`: signed by an administrator of the organisation that made it. */
export const MotionWithdraw = struct({
  /** The motion. */
  motion: MotionId,
});
/** `motion.withdraw`: signed by an administrator of the organisation that made it. */
export type MotionWithdraw = Of<typeof MotionWithdraw>;

/** `reshare.ready`: signed with the release key of one that is to validate. */
export const ReshareReady = struct({
  /** Where the change began, which names it. */
  change: Location,
  /** X-Wing key, made for this change, to which the others deal. */
  receiving: blob(1_216),
});
/** `reshare.ready`: signed with the release key of one that is to validate. */
export type ReshareReady = Of<typeof ReshareReady>;

/** What a shared key is for. */
export const KeyUse = words(
  [0, 'release'],
  [1, 'match'],
);
/** What a shared key is for. */
export type KeyUse = Of<typeof KeyUse>;

/** `reshare.deal`: signed with the release key of one that validates. */
export const ReshareDeal = struct({
  /** The change. */
  change: Location,
  /** Of which key. */
  key: KeyUse,
  /** The dealing (`keepwell_crypto::dealing`). */
  dealing: blob(LIMITS.DEALING_BYTES_MAX),
});
/** `reshare.deal`: signed with the release key of one that validates. */
export type ReshareDeal = Of<typeof ReshareDeal>;

/** A share that its receiver finds wrong. */
export const Complaint = struct({
  /** Of which key. */
  key: KeyUse,
  /** Who dealt it: the index of its own share. */
  dealer: u16,
});
/** A share that its receiver finds wrong. */
export type Complaint = Of<typeof Complaint>;

/** `reshare.check`: signed by one that was ready, once it has looked at every dealing. */
export const ReshareCheck = struct({
  /** The change. */
  change: Location,
  /** Whose share to the signer does not open or is wrong, in ascending order. */
  wrong: list(Complaint, LIMITS.COMPLAINTS_MAX),
});
/** `reshare.check`: signed by one that was ready, once it has looked at every dealing. */
export type ReshareCheck = Of<typeof ReshareCheck>;

/** A share that is no secret any more. */
export const OpenShare = struct({
  /** Of which key. */
  key: KeyUse,
  /** For whom: its place in the new set, counted from 1. */
  receiver: u16,
  /** The share. */
  share: blob(32),
});
/** A share that is no secret any more. */
export type OpenShare = Of<typeof OpenShare>;

/** `reshare.open`: signed by a dealer that was complained about. */
export const ReshareOpen = struct({
  /** The change. */
  change: Location,
  /** The shares that it opens. */
  shares: list(OpenShare, LIMITS.COMPLAINTS_MAX),
});
/** `reshare.open`: signed by a dealer that was complained about. */
export type ReshareOpen = Of<typeof ReshareOpen>;

/** `reshare.confirm`: signed by one that was ready, once it has stored its shares. */
export const ReshareConfirm = struct({
  /** The change. */
  change: Location,
  /** Shows that the signer has its share of the key that releases. */
  release: blob(64),
  /** And of the one that evaluates for matching, if there is one. */
  matching: option(blob(64)),
});
/** `reshare.confirm`: signed by one that was ready, once it has stored its shares. */
export type ReshareConfirm = Of<typeof ReshareConfirm>;

/** What is asked, one variant for each command of each family. */
export const Payload = variants(
  /** Admit an organisation. */
  [0, 'organisation_admit', one(OrganisationAdmit)],
  /** Suspend an organisation. */
  [1, 'organisation_suspend', one(OrganisationStanding)],
  /** Reinstate an organisation. */
  [2, 'organisation_reinstate', one(OrganisationStanding)],
  /** Enrol a member. */
  [3, 'member_enrol', one(MemberEnrol)],
  /** Change a member's keys. */
  [4, 'member_rotate', one(MemberRotate)],
  /** Change a member's roles. */
  [5, 'member_assign', one(MemberAssign)],
  /** Suspend a member. */
  [6, 'member_suspend', one(MemberStanding)],
  /** Reinstate a member. */
  [7, 'member_reinstate', one(MemberStanding)],
  /** Open a chart. */
  [8, 'chart_open', one(ChartOpen)],
  /** Claim a chart. */
  [9, 'chart_claim', one(ChartClaim)],
  /** Say who stores and writes a chart. */
  [10, 'chart_arrange', one(ChartArrange)],
  /** Move compartments to their next epoch. */
  [11, 'compartment_rotate', one(CompartmentRotate)],
  /** Add a record. */
  [12, 'record_add', one(RecordAdd)],
  /** Approve a proposed record. */
  [13, 'record_approve', one(RecordApprove)],
  /** Give a grant. */
  [14, 'grant_give', one(GrantGive)],
  /** Limit a grant. */
  [15, 'grant_limit', one(GrantLimit)],
  /** Revoke a grant. */
  [16, 'grant_revoke', one(GrantRevoke)],
  /** Open records. */
  [17, 'access_open', one(AccessOpen)],
  /** Anchor documents. */
  [18, 'anchor_add', one(AnchorAdd)],
  /** End all that was granted to an organisation. */
  [19, 'grant_revoke_organisation', one(GrantRevokeOrganisation)],
  /** Pass a grant on. */
  [20, 'grant_pass', one(GrantPass)],
  /** Ask for a grant. */
  [21, 'grant_request', one(GrantRequest)],
  /** Answer a request. */
  [22, 'grant_answer', one(GrantAnswer)],
  /** Ask no longer. */
  [23, 'grant_withdraw', one(GrantWithdraw)],
  /** Say who is in a care team. */
  [24, 'team_arrange', one(TeamArrange)],
  /** Form a group of members. */
  [25, 'group_form', one(GroupForm)],
  /** Restrict a record. */
  [26, 'record_restrict', one(RecordRestrict)],
  /** Lift restrictions of a record. */
  [27, 'record_lift', one(RecordRestrict)],
  /** Approve a record's redaction. */
  [28, 'record_redact', one(RecordRedact)],
  /** Take that back. */
  [29, 'record_keep', one(RecordKeep)],
  /** Say that a redacted record is destroyed. */
  [30, 'record_erased', one(RecordErased)],
  /** Say what is left to emergencies. */
  [31, 'chart_prepare', one(ChartPrepare)],
  /** Break the glass. */
  [32, 'break_glass', one(BreakGlass)],
  /** Agree to that. */
  [33, 'emergency_second', one(EmergencySecond)],
  /** Review it. */
  [34, 'emergency_review', one(EmergencyReview)],
  /** Issue a credential. */
  [35, 'credential_issue', one(CredentialIssue)],
  /** Suspend a credential. */
  [36, 'credential_suspend', one(CredentialStanding)],
  /** Reinstate a credential. */
  [37, 'credential_reinstate', one(CredentialStanding)],
  /** Revoke a credential. */
  [38, 'credential_revoke', one(CredentialStanding)],
  /** Open a case. */
  [39, 'case_open', one(CaseOpen)],
  /** Decide a case. */
  [40, 'case_decide', one(CaseDecide)],
  /** Take more time for a case. */
  [41, 'case_extend', one(CaseExtend)],
  /** Make a statement in a case. */
  [42, 'case_state', one(CaseStatement)],
  /** Say that one was told of a case. */
  [43, 'case_acknowledge', one(CaseAcknowledge)],
  /** Say who guards a chart. */
  [44, 'guardian_set', one(GuardianSet)],
  /** Vouch for new keys of a chart. */
  [45, 'recovery_start', one(RecoveryStart)],
  /** Vouch for the same. */
  [46, 'recovery_approve', one(RecoveryApprove)],
  /** Vouch no longer. */
  [47, 'recovery_withdraw', one(RecoveryEnd)],
  /** End a recovery. */
  [48, 'recovery_veto', one(RecoveryEnd)],
  /** Take control with the new keys. */
  [49, 'recovery_finish', one(RecoveryFinish)],
  /** Let someone act for the patient. */
  [50, 'proxy_add', one(ProxyAdd)],
  /** End that. */
  [51, 'proxy_end', one(ProxyEnd)],
  /** Say until when the patient is a minor. */
  [52, 'chart_minor', one(ChartMinor)],
  /** Close a chart. */
  [53, 'chart_close', one(ChartClose)],
  /** End an emergency. */
  [54, 'emergency_close', one(EmergencyClose)],
  /** Take an approval of a proposed record back. */
  [55, 'record_retract', one(RecordRetract)],
  /** Propose a record no longer. */
  [56, 'record_withdraw', one(RecordWithdraw)],
  /** Evaluate blinded points for matching. */
  [57, 'match_evaluate', one(MatchEvaluate)],
  /** Propose a link. */
  [58, 'link_propose', one(LinkPropose)],
  /** Confirm a link. */
  [59, 'link_confirm', one(LinkConfirm)],
  /** Reverse a link. */
  [60, 'link_reverse', one(LinkReverse)],
  /** Expel an organisation. */
  [61, 'organisation_expel', one(OrganisationStanding)],
  /** Give an organisation new keys. */
  [62, 'organisation_rotate', one(OrganisationRotate)],
  /** Make a motion. */
  [63, 'motion_open', one(MotionOpen)],
  /** Approve a motion. */
  [64, 'motion_approve', one(MotionApprove)],
  /** Take a motion back. */
  [65, 'motion_withdraw', one(MotionWithdraw)],
  /** Be ready to be dealt to. */
  [66, 'reshare_ready', one(ReshareReady)],
  /** Deal a share anew. */
  [67, 'reshare_deal', one(ReshareDeal)],
  /** Say which shares are wrong. */
  [68, 'reshare_check', one(ReshareCheck)],
  /** Open a share. */
  [69, 'reshare_open', one(ReshareOpen)],
  /** Say that one has new shares. */
  [70, 'reshare_confirm', one(ReshareConfirm)],
);
/** What is asked, one variant for each command of each family. */
export type Payload = Of<typeof Payload>;

/** Who signs. */
export const Party = variants(
  /** A member, with its own key. */
  [0, 'member', one(MemberId)],
  /** Whoever controls a chart, with the chart's key. */
  [1, 'controller', one(ChartId)],
  /** Whoever holds the one-time code of a chart. */
  [2, 'claimant', one(ChartId)],
  /** An administrator of an organisation; several sign for it where it needs several. */
  [3, 'administrator', one(OrganisationId)],
  /** What keeps sealed objects for an organisation. */
  [4, 'custodian', one(OrganisationId)],
  /** Whoever acts for a chart's patient, with a key made for this chart. */
  [10, 'proxy', pair(ChartId, ProxyId)],
  /** A guardian of a chart, with a key made for this chart. */
  [11, 'guardian', one(ChartId)],
  /** Whoever is to control a chart after a recovery, with the new key. */
  [12, 'successor', one(ChartId)],
  /** A validator of an organisation, or one that is to be, with its release key. */
  [13, 'validator', one(OrganisationId)],
);
/** Who signs. */
export type Party = Of<typeof Party>;

/** Which part of which transaction a command is. One that exists has a place among 2 to `TRANSACTION_COMMANDS_MAX`. */
export const Part = checked(
  struct({
    transaction: TransactionId,
    place: u16,
    parts: u16,
  }),
  (it) => it.parts >= 2 && it.parts <= LIMITS.TRANSACTION_COMMANDS_MAX && it.place < it.parts,
  'there is no such place among the parts of a transaction',
);
/** Which part of which transaction a command is. One that exists has a place among 2 to `TRANSACTION_COMMANDS_MAX`. */
export type Part = Of<typeof Part>;

/** What is signed. */
export const Command = struct({
  /** `COMMAND_VERSION`. */
  version: u8,
  /** The consortium it is for. */
  chain: ChainId,
  /** Random, and used once. */
  id: CommandId,
  /** Block times at which it may be decided; at most `Payload::window_ms_max` of them. */
  window: Window,
  /** Who signs: first whoever acts, then whoever else the command needs. */
  signers: list(Party, LIMITS.SIGNERS_MAX),
  /** What is asked. */
  payload: Payload,
  /** Of which transaction it is a part; a command on its own is of none. */
  part: option(Part),
});
/** What is signed. */
export type Command = Of<typeof Command>;

/** One signer's signature over a command. */
export const CommandSignature = struct({
  /** The algorithms. */
  suite: Suite,
  /** The key. The ledger checks that it is the signer's at the height of execution. */
  key: PublicKey,
  /** The signature over the command's digest. */
  signature: Signature,
});
/** One signer's signature over a command. */
export type CommandSignature = Of<typeof CommandSignature>;

/** A command with the signatures of its signers, in their order. */
export const SignedCommand = struct({
  /** What is signed. */
  command: Command,
  /** By whom. */
  signatures: list(CommandSignature, LIMITS.SIGNERS_MAX),
});
/** A command with the signatures of its signers, in their order. */
export type SignedCommand = Of<typeof SignedCommand>;

/** What a block carries: entries of the genesis file in block 1, signed commands after it. */
export const Entry = variants(
  /** An entry of the genesis file, authorised by everyone who accepts that file. */
  [0, 'genesis', one(Payload)],
  /** A signed command. */
  [1, 'signed', one(SignedCommand)],
);
/** What a block carries: entries of the genesis file in block 1, signed commands after it. */
export type Entry = Of<typeof Entry>;

/** The public side of the committee's shared key: points of ristretto255. */
export const CommitteeKeys = struct({
  /** Shares that open. */
  threshold: u16,
  /** X = s·G. */
  key: Digest,
  /** Xᵢ = sᵢ·G, for i = 1, 2, ... */
  shares: list(Digest, LIMITS.VALIDATORS_MAX),
});
/** The public side of the committee's shared key: points of ristretto255. */
export type CommitteeKeys = Of<typeof CommitteeKeys>;

/** Whether treatment inside a chart's own organisation needs the patient's grant. */
export const OwnOrganisation = words(
  [0, 'opt_in'],
  [1, 'opt_out'],
);
/** Whether treatment inside a chart's own organisation needs the patient's grant. */
export type OwnOrganisation = Of<typeof OwnOrganisation>;

/** How the glass is broken in this consortium. */
export const EmergencyRule = struct({
  /** How long one clinician waits without a second, in milliseconds. */
  delayMs: u64,
  /** The longest emergency, in milliseconds; at most `EMERGENCY_MS_MAX`. */
  openMsMax: u64,
  /** Until when it is to be reviewed after its end, in milliseconds. */
  reviewMs: u64,
});
/** How the glass is broken in this consortium. */
export type EmergencyRule = Of<typeof EmergencyRule>;

/** What the consortium asks of records of some kinds. */
export const KindRule = struct({
  /** The kinds; each stands in one rule at most. */
  kinds: KindSet,
  /** What such a record waits for, unless its author asks for more. */
  rule: ApprovalRule,
  /** Whether an author may also ask for less. */
  orLess: bool,
});
/** What the consortium asks of records of some kinds. */
export type KindRule = Of<typeof KindRule>;

/** How a chart comes to new keys in this consortium. */
export const RecoveryRule = struct({
  /**
   * How long the patient can veto once enough guardians have approved, in milliseconds; at most
   * `RECOVERY_DELAY_MS_MAX`.
   */
  delayMs: u64,
});
/** How a chart comes to new keys in this consortium. */
export type RecoveryRule = Of<typeof RecoveryRule>;

/** How much is evaluated for matching, for each organisation. */
export const MatchingRule = struct({
  /** Points in one period; at most `MATCH_POINTS_PER_PERIOD_MAX`. */
  pointsMax: u32,
  /** Length of a period, in milliseconds of block time; at least `MATCH_PERIOD_MS_MIN`. */
  periodMs: u64,
});
/** How much is evaluated for matching, for each organisation. */
export type MatchingRule = Of<typeof MatchingRule>;

/** What the consortium has chosen. */
export const Parameters = struct({
  /** See `OwnOrganisation`. */
  ownOrganisation: OwnOrganisation,
  /** k: how many custodians must have stored a record before it may be added. */
  custodiansMin: u8,
  /** Commands of one organisation in one minute of block time, refused ones included. */
  commandsPerMinuteMax: u32,
  /** The redisclosure notice that readers sign. */
  notice: u8,
  /** Kinds of records that only licensed members author and approve. */
  licensed: KindSet,
  /** How the glass is broken. */
  emergency: EmergencyRule,
  /** Whose approvals records of some kinds need, where the consortium asks for any. */
  signOff: option(list(KindRule, LIMITS.SIGN_OFF_RULES_MAX)),
  /** How a chart comes to new keys; without it as `RecoveryRule::USUAL`. */
  recovery: option(RecoveryRule),
  /** How much is evaluated for matching; nothing, where there is none. */
  matching: option(MatchingRule),
  /**
   * Blocks of one epoch, at whose end validators change; without it `EPOCH_BLOCKS_USUAL`, and at least
   * `EPOCH_BLOCKS_MIN`.
   */
  epochBlocks: option(u32),
});
/** What the consortium has chosen. */
export type Parameters = Of<typeof Parameters>;

/** One trustee's public side. */
export const Trustee = struct({
  /** Its public name. */
  name: text(LIMITS.NAME_BYTES_MAX),
  /** X-Wing key to which shares are sealed. */
  sealing: blob(1_216),
  /** Verifies its answers. */
  signing: PublicKey,
  /** Its organisation, where that is one of the consortium's. */
  organisation: option(OrganisationId),
});
/** One trustee's public side. */
export type Trustee = Of<typeof Trustee>;

/**
 * Who holds, together, the keys that patients leave to emergencies. None of them has a validator: the validators'
 * shares and the trustees' would open everything that was left.
 */
export const Trustees = struct({
  /** How many open together; at least two. */
  threshold: u16,
  /** All of them. The share of a trustee has index (place + 1). */
  trustees: list(Trustee, LIMITS.TRUSTEES_MAX),
});
/**
 * Who holds, together, the keys that patients leave to emergencies. None of them has a validator: the validators'
 * shares and the trustees' would open everything that was left.
 */
export type Trustees = Of<typeof Trustees>;

/** The consortium's founding. Its digest is the chain id. */
export const Genesis = struct({
  /** `GENESIS_VERSION`. */
  version: u8,
  /** The consortium's public name. */
  name: text(LIMITS.NAME_BYTES_MAX),
  /** When it was founded; the time of block 0. */
  founded: BlockTime,
  /** Whether its keys were made by a demonstration and protect nothing. */
  demonstration: bool,
  /** The validators of epoch 0, in ascending order of `consensus`. */
  validators: list(Validator, LIMITS.VALIDATORS_MAX),
  /** The committee that releases. */
  committee: CommitteeKeys,
  /** What the consortium has chosen. */
  parameters: Parameters,
  /** The entries of block 1: the first organisations and members. */
  entries: list(Payload, LIMITS.GENESIS_COMMANDS_MAX),
  /** Who holds what patients leave to emergencies; without them nothing can be left. */
  trustees: option(Trustees),
  /**
   * The committee that evaluates for matching: another key than the one that releases, or none where organisations do
   * not match persons.
   */
  matching: option(CommitteeKeys),
});
/** The consortium's founding. Its digest is the chain id. */
export type Genesis = Of<typeof Genesis>;

/** A guardian's place in a policy. */
export const GuardianPlace = struct({
  /** Its group. */
  group: u8,
  /** Its place in the group. */
  place: u8,
});
/** A guardian's place in a policy. */
export type GuardianPlace = Of<typeof GuardianPlace>;

/** By what two charts are compared: each rule makes one exact key, or none where something is missing. */
export const MatchRule = words(
  [0, 'identifier'],
  [1, 'last_four_and_birth'],
  [2, 'sound_and_birth'],
  [3, 'name_birth_and_postal'],
);
/** By what two charts are compared: each rule makes one exact key, or none where something is missing. */
export type MatchRule = Of<typeof MatchRule>;

/** Why a command was refused. */
export const Rejection = variants(
  /** No organisation has this id. */
  [0, 'unknown_organisation', one(OrganisationId)],
  /** The id is taken. */
  [1, 'organisation_exists', one(OrganisationId)],
  /** The organisation is suspended. */
  [2, 'organisation_suspended', one(OrganisationId)],
  /** No member has this id. */
  [3, 'unknown_member', one(MemberId)],
  /** The id is taken. */
  [4, 'member_exists', one(MemberId)],
  /** The member is suspended. */
  [5, 'member_suspended', one(MemberId)],
  /** The key that signed is not the signer's. */
  [6, 'key_not_of_signer', one(Party)],
  /** The command must be signed by someone else, or by more parties. */
  [7, 'wrong_signers', unit],
  /** Too few administrators signed. Who signed. Who must. */
  [8, 'too_few_administrators', struct({
    signed: u32,
    needed: u32,
  })],
  /** The signer lacks a role. */
  [9, 'role_missing', one(Role)],
  /** No chart has this id. */
  [10, 'unknown_chart', one(ChartId)],
  /** The id is taken. */
  [11, 'chart_exists', one(ChartId)],
  /** The signer does not control the chart. */
  [12, 'not_controller', one(ChartId)],
  /** The chart cannot be claimed, or was claimed already. */
  [13, 'not_claimable', one(ChartId)],
  /** The code is void. When it ended. */
  [14, 'claim_expired', struct({
    until: BlockTime,
  })],
  /** A chart always has as many separate-consent compartments. Flagged. Required. */
  [15, 'separate_consent_count', struct({
    given: u32,
    needed: u32,
  })],
  /** An organisation that stores nothing was named as custodian, or one was named twice. */
  [16, 'not_custodian', one(OrganisationId)],
  /** Too few custodians. Named. Required. */
  [17, 'too_few_custodians', struct({
    given: u32,
    needed: u32,
  })],
  /** An organisation stands in a list twice. */
  [18, 'named_twice', one(OrganisationId)],
  /** Without it, no organisation would be left to reinstate another. */
  [19, 'last_organisation', one(OrganisationId)],
  /** The organisation of the signer may not author in the chart. */
  [20, 'not_contributor', one(OrganisationId)],
  /**
   * Sealed to a generation of the compartment's key that is not current. The compartment. The command's. The ledger's.
   */
  [21, 'wrong_epoch', struct({
    compartment: Compartment,
    given: Epoch,
    current: Epoch,
  })],
  /** A custodian's key is not the one on the ledger. */
  [22, 'custodian_key', one(OrganisationId)],
  /** Larger than a record may be, or empty. Bytes. */
  [23, 'record_size', struct({
    sealedBytes: u64,
  })],
  /** A live record of the organisation has this tag. */
  [24, 'tag_taken', one(UniquenessTag)],
  /** The rule could never be met, or names a party twice. */
  [25, 'approval_rule', unit],
  /** No such record stands at that position of the chart's log. */
  [26, 'unknown_record', one(RecordId)],
  /** The record does not wait for approvals. */
  [27, 'not_proposed', one(RecordId)],
  /** The signer is not asked to approve. */
  [28, 'not_approver', one(RecordId)],
  /** The signer has approved already. */
  [29, 'already_approved', one(RecordId)],
  /** The approval is of something else than the record. */
  [30, 'commitment_mismatch', one(RecordId)],
  /** A custodian's promise to keep the object has ended. The custodian. When it ended. */
  [31, 'custody_ended', struct({
    custodian: OrganisationId,
    until: BlockTime,
  })],
  /** The letter is not of the keys and epochs that the chart has. */
  [32, 'letter_out_of_date', one(ChartId)],
  /** With one more in standing, more administrators would have to sign together than can. The limit. */
  [33, 'too_many_organisations', struct({
    max: u32,
  })],
  /** Another version of the record is the newest. The record. Its newest version. */
  [34, 'not_newest', struct({
    record: RecordId,
    newest: Version,
  })],
  /** An amendment is of the same author's organisation and of the same kind. */
  [35, 'not_amendable', one(RecordId)],
  /** The record is redacted. */
  [36, 'redacted', one(RecordId)],
  /** The record is not redacted, or not by approvals of the signer. */
  [37, 'not_redacted', one(RecordId)],
  /** The record must be kept. */
  [38, 'legal_hold', one(RecordId)],
  /** The signer may not restrict, lift or redact. */
  [39, 'not_for_record', one(RecordId)],
  /** The id is taken in this chart. */
  [40, 'grant_exists', one(GrantId)],
  /** No grant has this id in this chart. */
  [41, 'unknown_grant', one(GrantId)],
  /** The grant was revoked. */
  [42, 'grant_ended', one(GrantId)],
  /** The subject has as many grants as there may be. The limit. */
  [43, 'too_many_grants', struct({
    max: u32,
  })],
  /** The terms permit or forbid nothing. */
  [44, 'empty_terms', unit],
  /** The window is over before it begins. Its end. Block time. */
  [45, 'window_passed', struct({
    until: BlockTime,
    now: BlockTime,
  })],
  /** A limit would give more than the grant has. */
  [46, 'not_narrower', one(GrantId)],
  /** Separate consent was mixed with ordinary consent, or is missing. */
  [47, 'separate_consent', one(CompartmentSet)],
  /** The grant may not be passed on, or not like this. */
  [48, 'not_onward', one(GrantId)],
  /** The grant was passed on as often as one may be. */
  [49, 'passed_on_too_often', one(GrantId)],
  /** The id is taken in this chart. */
  [50, 'request_exists', one(RequestId)],
  /** No request has this id in this chart. */
  [51, 'unknown_request', one(RequestId)],
  /** The request was answered, was withdrawn, or has waited too long. */
  [52, 'request_closed', one(RequestId)],
  /** A request is for a permission, for whoever asks. */
  [53, 'not_for_asker', unit],
  /** The organisation has as many open requests in this chart as there may be. The organisation. The limit. */
  [54, 'too_many_requests', struct({
    organisation: OrganisationId,
    max: u32,
  })],
  /** The request would wait longer than one may. The limit. */
  [55, 'request_waits_too_long', struct({
    maxMs: u64,
  })],
  /** The answer gives more than was asked for, or to someone else. */
  [56, 'more_than_asked', one(RequestId)],
  /** No team of the chart has this id. */
  [57, 'unknown_team', one(TeamId)],
  /** The chart has as many teams as there may be. The limit. */
  [58, 'too_many_teams', struct({
    max: u32,
  })],
  /** A member stands in a list twice. */
  [59, 'member_twice', one(MemberId)],
  /** Nothing allows this access. */
  [60, 'not_granted', unit],
  /** The patient forbids it. */
  [61, 'denied', unit],
  /** Grants exist, and none for this purpose. */
  [62, 'purpose_not_granted', unit],
  /** Grants exist, and none at this time. */
  [63, 'outside_window', unit],
  /** The grant's accesses are used up. */
  [64, 'accesses_used_up', unit],
  /** The access names no record, or asks beyond the end of the chart's log. */
  [65, 'empty_target', unit],
  /** The redisclosure notice that was signed is not the current one. Signed. Current. */
  [66, 'wrong_notice', struct({
    given: u8,
    current: u8,
  })],
  /** The record waits for approvals. */
  [67, 'not_final', one(RecordId)],
  /** The patient restricts its processing. */
  [68, 'restricted', one(RecordId)],
  /** The patient paid for it. */
  [69, 'hidden_from_insurers', one(RecordId)],
  /** The signer lacks a credential that holds. The member. What is missing. */
  [70, 'unlicensed', struct({
    member: MemberId,
    kind: CredentialKind,
  })],
  /** The patient has not left these compartments to emergencies. */
  [71, 'not_for_emergencies', one(CompartmentSet)],
  /** Longer than an emergency may last. The limit. */
  [72, 'emergency_too_long', struct({
    maxMs: u64,
  })],
  /** So many emergencies are open in this chart. The limit. */
  [73, 'too_many_emergencies', struct({
    max: u32,
  })],
  /** No emergency stands there, or it is over, was seconded or was reviewed already. */
  [74, 'no_such_emergency', one(LogPosition)],
  /** Whoever broke the glass cannot second or review it. */
  [75, 'not_for_emergency', unit],
  /** An anchor of nothing, or of more than fits. Documents. */
  [80, 'anchor_size', struct({
    documents: u64,
  })],
  /** No group has this id, or not in this organisation. */
  [81, 'unknown_group', one(GroupId)],
  /** The id is taken. */
  [82, 'group_exists', one(GroupId)],
  /** A grant to a group names a purpose that the group is not bound to. */
  [83, 'not_of_group', one(GroupId)],
  /** The signer's organisation is no licensing board, or not the one that issued it. */
  [84, 'not_board', one(OrganisationId)],
  /** The id is taken for this holder. */
  [85, 'credential_exists', one(CredentialId)],
  /** The holder has no such credential, or it was revoked. */
  [86, 'no_such_credential', one(CredentialId)],
  /** The holder has as many credentials as there may be. The limit. */
  [87, 'too_many_credentials', struct({
    max: u32,
  })],
  /** The id is taken in this chart. */
  [88, 'case_exists', one(CaseId)],
  /** The chart has no such case. */
  [89, 'unknown_case', one(CaseId)],
  /** The case does not wait for this: it is decided, or not yet, or was extended already. */
  [90, 'case_not_waiting', one(CaseId)],
  /** A value would outgrow its limit. */
  [91, 'too_large', unit],
  /** The law has other grounds for a case of this kind. The case's. The denial's. */
  [92, 'wrong_ground', struct({
    kind: CaseKind,
    ground: DenialGround,
  })],
  /** An amendment is of one record; access and accounting are of the whole chart. */
  [93, 'case_subject', one(CaseKind)],
  /** Another party approved the redaction for another reason. The record. What was approved. */
  [95, 'other_ground', struct({
    record: RecordId,
    ground: RedactionGround,
  })],
  /** The record has as many cases as there may be. The record. The limit. */
  [94, 'too_many_cases', struct({
    record: RecordId,
    max: u32,
  })],
  /** The signer is no guardian of the chart, or no more. */
  [96, 'not_guardian', one(ChartId)],
  /** The policy could never be met, or names someone twice. */
  [97, 'guardian_policy', unit],
  /** Only a patient's wallet names guardians. */
  [98, 'not_claimed', one(ChartId)],
  /** The guardian has started another recovery of this chart. */
  [99, 'recovery_started', one(LogPosition)],
  /** No recovery was started there, or it ended: withdrawn, vetoed, finished, over, or by new guardians. */
  [100, 'no_such_recovery', one(LogPosition)],
  /** Each guardian has one say in a recovery. */
  [101, 'recovery_approved', one(LogPosition)],
  /** The approval is for another key. */
  [102, 'other_successor', one(LogPosition)],
  /** Too few guardians approve. */
  [103, 'recovery_not_approved', one(LogPosition)],
  /** The patient can still veto. The first instant at which it can. */
  [104, 'recovery_too_soon', struct({
    readyAt: BlockTime,
  })],
  /** The new key is the chart's own, or not that of the executor whom the patient has named. */
  [105, 'not_successor', one(ChartId)],
  /** The id is taken in this chart. */
  [106, 'proxy_exists', one(ProxyId)],
  /** The chart has no such proxy, or no more. */
  [107, 'unknown_proxy', one(ProxyId)],
  /** The proxy is not in force at this time. */
  [108, 'proxy_not_in_force', one(ProxyId)],
  /** The proxy may not do this, or not in these compartments, or not for so long. */
  [109, 'outside_proxy', one(ProxyId)],
  /** The chart has as many proxies as there may be. The limit. */
  [110, 'too_many_proxies', struct({
    max: u32,
  })],
  /** Nobody acts for a patient who was a minor from then on. Majority. */
  [111, 'of_age', struct({
    at: BlockTime,
  })],
  /** A window or time further away than there may be. The limit. */
  [112, 'too_long', struct({
    maxMs: u64,
  })],
  /** The chart is closed. */
  [113, 'chart_closed', one(ChartId)],
  /** Keys of epochs to come that are not of the compartments left to emergencies, or are too many. The limit. */
  [114, 'keys_ahead', struct({
    max: u32,
  })],
  /** The organisation's key agent controls the chart, and moves compartments on itself. */
  [115, 'ahead_of_claim', one(ChartId)],
  /** Somebody else ends the emergency. */
  [116, 'not_to_close', unit],
  /** The signer takes a seat whose step is not open. The record. The step, counted from 1. */
  [117, 'step_not_open', struct({
    record: RecordId,
    step: u32,
  })],
  /** The signature says something else than its step asks for. The command's. The rule's. */
  [118, 'wrong_meaning', struct({
    given: Meaning,
    needed: Meaning,
  })],
  /** The time in which the record could be approved is over. The record. First instant at which it could not. */
  [119, 'approval_expired', struct({
    record: RecordId,
    until: BlockTime,
  })],
  /** Its author proposes it no longer. */
  [120, 'proposal_withdrawn', one(RecordId)],
  /** All who must have approved it. */
  [121, 'already_final', one(RecordId)],
  /** The command asks for less than the consortium, or than the version before it. */
  [122, 'weaker_rule', one(RecordKind)],
  /** Whoever signed a later step relied on this approval. */
  [123, 'relied_on', one(RecordId)],
  /** The chart's organisation still holds the chart's key, and is not the patient. */
  [124, 'not_patient', one(ChartId)],
  /** Only who added it withdraws it. */
  [125, 'not_author', one(RecordId)],
  /** No approval of the signer counts. */
  [126, 'not_approved', one(RecordId)],
  /** The rule has no such seat. The record. Named. */
  [127, 'no_such_seat', struct({
    record: RecordId,
    seat: u8,
  })],
  /** The consortium has dealt no key for matching. */
  [128, 'no_matching', unit],
  /** No points, or one twice. */
  [129, 'match_points', unit],
  /** The organisation has fewer evaluations left in this period. The organisation. The quota. What is left of it. */
  [130, 'match_quota', struct({
    organisation: OrganisationId,
    max: u32,
    left: u32,
  })],
  /** The id is taken. */
  [131, 'link_exists', one(LinkId)],
  /** No link has this id. */
  [132, 'unknown_link', one(LinkId)],
  /** The link does not wait for this any more: it is confirmed, or has waited too long. */
  [133, 'link_closed', one(LinkId)],
  /** The signer's organisation is not the one that does this. */
  [134, 'not_of_link', one(LinkId)],
  /** This was confirmed already. */
  [135, 'link_confirmed_already', one(LinkId)],
  /** The link was reversed. */
  [136, 'link_reversed', one(LinkId)],
  /** The link would wait longer than one may. The limit. */
  [137, 'link_waits_too_long', struct({
    maxMs: u64,
  })],
  /** A link is between two organisations. */
  [138, 'link_within', one(OrganisationId)],
  /** Whoever confirmed a side cannot be the privacy officer too. */
  [139, 'link_same_member', one(LinkId)],
  /** A withdrawal is there if, and only if, the consent was withdrawn. */
  [140, 'link_withdrawal', unit],
  /** Nobody could speak for the organisation, or one could for two. The limit. */
  [141, 'unsound_administrators', struct({
    max: u32,
  })],
  /** Former keys would count for longer than they may. The limit. */
  [142, 'overlap_too_long', struct({
    maxMs: u64,
  })],
  /** The organisation was expelled. */
  [143, 'organisation_expelled', one(OrganisationId)],
  /** The id is taken. */
  [144, 'motion_exists', one(MotionId)],
  /** No motion waits under this id. */
  [145, 'no_such_motion', one(MotionId)],
  /** The signer approves something else. */
  [146, 'other_motion', one(MotionId)],
  /** The key has approved it. */
  [147, 'motion_approved', one(MotionId)],
  /** The motion would wait longer than one may. The limit. */
  [148, 'motion_waits_too_long', struct({
    maxMs: u64,
  })],
  /** Too many motions of the organisation wait. The organisation. The limit. */
  [149, 'too_many_motions', struct({
    organisation: OrganisationId,
    max: u32,
  })],
  /** Another change of validators is under way. The block. */
  [150, 'change_under_way', struct({
    began: Height,
  })],
  /** None that began there, or it is over. The block. */
  [151, 'no_such_change', struct({
    began: Height,
  })],
  /** The change has not come so far, or is further. */
  [152, 'not_at_this_stage', unit],
  /** The signer has another part in the change, or none. */
  [153, 'not_in_change', unit],
  /** The signer has said this already. */
  [154, 'said_already', unit],
  /** Nobody validates with this key. */
  [155, 'unknown_validator', one(PublicKey)],
  /** A validator has the key, or one that joins, or a trustee. */
  [156, 'validator_key_taken', one(PublicKey)],
  /** The card is not signed by the keys in it, or says no address. */
  [157, 'validator_card', one(OrganisationId)],
  /** It would have two validators, or holds shares of what patients leave to emergencies. */
  [158, 'not_to_validate', one(OrganisationId)],
  /** Nobody would validate, or more than can. After the change. The limit. */
  [159, 'validator_count', struct({
    given: u32,
    max: u32,
  })],
  /** Not a dealing of the signer's share to those who are ready. */
  [160, 'wrong_dealing', unit],
  /** Complains about who did not deal, or twice. */
  [161, 'wrong_complaint', unit],
  /** Not the share that was dealt, or nobody complained about it. Whose. */
  [162, 'wrong_share', struct({
    receiver: u16,
  })],
  /** The signer does not have the shares that follow from the dealings. */
  [163, 'no_share', unit],
  /** Nothing can be sealed to it. */
  [165, 'receiving_key', unit],
  /** There are no validators on record: block 1 did not write them. */
  [164, 'no_validators', unit],
  /** Versions of the protocol follow each other. The one that was moved. In force. */
  [166, 'other_protocol', struct({
    given: Protocol,
    now: Protocol,
  })],
  /** Not everyone would hear of it in time. The one that was moved. An epoch from now. */
  [167, 'upgrade_too_soon', struct({
    from: Height,
    earliest: Height,
  })],
  /** Nothing can be called off. */
  [168, 'no_upgrade', one(Protocol)],
  /** Another part of its transaction was refused, for a reason of its own. The first one that was refused. */
  [169, 'transaction', struct({
    place: u16,
  })],
);
/** Why a command was refused. */
export type Rejection = Of<typeof Rejection>;

/** Accepted, or why not. */
export const Verdict = variants(
  /** Done. */
  [0, 'accepted', unit],
  /** Not done; kept all the same. */
  [1, 'rejected', one(Rejection)],
);
/** Accepted, or why not. */
export type Verdict = Of<typeof Verdict>;

/** The decision on one entry of a block; a leaf of the block's outcome tree. */
export const Outcome = struct({
  /** Digest of the command, or of the genesis entry. */
  command: CommandDigest,
  /** Where it stands. */
  location: Location,
  /** Time of its block. */
  time: BlockTime,
  /** What was decided. */
  verdict: Verdict,
});
/** The decision on one entry of a block; a leaf of the block's outcome tree. */
export type Outcome = Of<typeof Outcome>;

/** Everything that a release depends on; bound into both locks and into the ciphertext. */
export const Label = struct({
  /** The consortium. */
  chain: ChainId,
  /** The chart. */
  chart: ChartId,
  /** The record. */
  record: RecordId,
  /** The record's version. */
  version: Version,
  /** The compartment whose key is the first lock. */
  compartment: Compartment,
  /** The generation of that key. */
  epoch: Epoch,
  /** The committee whose key is the second lock. */
  committee: CommitteeId,
  /** Root of the Merkle tree of the body's chunks, as they lie at a custodian. */
  content: Digest,
  /** Bytes of the body, padded and encrypted. */
  sealedBytes: u64,
});
/** Everything that a release depends on; bound into both locks and into the ciphertext. */
export type Label = Of<typeof Label>;

/** What a custodian signs when it has stored a sealed object durably. */
export const CustodyStatement = struct({
  /** The consortium. */
  chain: ChainId,
  /** Who stores. */
  custodian: OrganisationId,
  /** The record. */
  record: RecordId,
  /** Its version. */
  version: Version,
  /** What is committed to. */
  commitment: Commitment,
  /** Bytes of the body as stored. */
  sealedBytes: u64,
  /** First instant at which the custodian may delete it, unless an entry names it by then. */
  until: BlockTime,
});
/** What a custodian signs when it has stored a sealed object durably. */
export type CustodyStatement = Of<typeof CustodyStatement>;

/** The validators from an epoch on, and the public side of the shares that they hold. */
export const ValidatorSet = struct({
  /** The first epoch in which they validate. */
  since: u64,
  /** In ascending order of their consensus keys. The share of each has index (place + 1). */
  seats: list(Seat, LIMITS.VALIDATORS_MAX),
  /** Who release together. The key is that of the genesis file, for ever. */
  committee: CommitteeKeys,
  /** Who evaluate for matching together. */
  matching: option(CommitteeKeys),
});
/** The validators from an epoch on, and the public side of the shares that they hold. */
export type ValidatorSet = Of<typeof ValidatorSet>;

/** Who asks a node for something, and for exactly what; signed. Travels in the `authorization` header. */
export const Request = struct({
  /** The consortium. */
  chain: ChainId,
  /** Whose node is asked: what one node was sent, it cannot send to another. */
  node: OrganisationId,
  /** Who asks. */
  party: Party,
  /** Random; a node answers it once. */
  id: CommandId,
  /** The asker's clock. */
  at: BlockTime,
  /** Method, path and query, such as `GET /v1/charts/..`. */
  target: text(1_024),
  /** Digest of the body; of no bytes where there is none or it is streamed. */
  body: Digest,
});
/** Who asks a node for something, and for exactly what; signed. Travels in the `authorization` header. */
export type Request = Of<typeof Request>;

/** A `Request` with its signature. */
export const SignedRequest = struct({
  /** What is signed. */
  request: Request,
  /** The algorithms. */
  suite: Suite,
  /** The key, which the state must name as the party's. */
  key: PublicKey,
  /** The signature. */
  signature: Signature,
});
/** A `Request` with its signature. */
export type SignedRequest = Of<typeof SignedRequest>;

/** One record of a `ReleaseRequest`. */
export const ReleaseItem = struct({
  /** Where the record stands in the chart's log. */
  position: LogPosition,
  /** The salted capsule: see `keepwell-crypto`. */
  capsule: blob(LIMITS.CAPSULE_BYTES_MAX),
});
/** One record of a `ReleaseRequest`. */
export type ReleaseItem = Of<typeof ReleaseItem>;

/** A wish for shares: the reader shows each capsule of the records that a committed access opened. */
export const ReleaseRequest = struct({
  /** The chart. */
  chart: ChartId,
  /** Where the access stands in the chart's log. */
  access: LogPosition,
  /** X-Wing key to which the answer is sealed; its digest is in the access. */
  readerKey: blob(1_216),
  /** What is to be opened. */
  items: list(ReleaseItem, LIMITS.RELEASE_CAPSULES_MAX),
});
/** A wish for shares: the reader shows each capsule of the records that a committed access opened. */
export type ReleaseRequest = Of<typeof ReleaseRequest>;

/** A wish for capsules of records of one chart. */
export const CapsuleRequest = struct({
  /** Where the records stand in the chart's log. */
  positions: list(LogPosition, LIMITS.RELEASE_CAPSULES_MAX),
});
/** A wish for capsules of records of one chart. */
export type CapsuleRequest = Of<typeof CapsuleRequest>;

/** What a custodian has of a `CapsuleRequest`. */
export const CapsuleAnswer = struct({
  /** The salted capsules, in the order of the request; nothing for one that it does not have. */
  capsules: list(option(blob(LIMITS.CAPSULE_BYTES_MAX)), LIMITS.RELEASE_CAPSULES_MAX),
});
/** What a custodian has of a `CapsuleRequest`. */
export type CapsuleAnswer = Of<typeof CapsuleAnswer>;

/** One validator's shares, sealed to the reader's key. */
export const ReleaseAnswer = struct({
  /** The access. */
  access: CommandDigest,
  /** The share's index: the validator's place plus 1. */
  share: u16,
  /** X-Wing encapsulation. */
  encapsulated: blob(1_120),
  /** Sealed shares and their proof. */
  sealed: blob(8_448),
  /** By the validator's release key, over all of the above. */
  signature: Signature,
});
/** One validator's shares, sealed to the reader's key. */
export type ReleaseAnswer = Of<typeof ReleaseAnswer>;

/** A value of the state, or its absence, with proof against a certified block. */
export const StateProof = struct({
  /** `keepwell_merkle::CertifiedHeader`, encoded. */
  certified: blob(LIMITS.RECEIPT_BYTES_MAX),
  /** The value, if the key has one. */
  value: option(blob(LIMITS.STATE_VALUE_BYTES_MAX)),
  /** The proof, in the encoding of the state's database. */
  proof: blob(65_536),
});
/** A value of the state, or its absence, with proof against a certified block. */
export type StateProof = Of<typeof StateProof>;

/**
 * A wish for a trustee's shares, and the proofs of everything that the trustee looks at: it trusts no node and asks
 * none.
 */
export const TrusteeRequest = struct({
  /** The receipt of the reader's accepted `access.open`, for the purpose `BTG`. */
  access: blob(LIMITS.RECEIPT_BYTES_MAX),
  /** The emergency, by where the glass was broken in the chart's log. */
  emergency: LogPosition,
  /** X-Wing key to which the answer is sealed; its digest is in the access. */
  readerKey: blob(1_216),
  /** What the chart leaves to emergencies: see `keepwell_crypto::trustee`. */
  escrow: blob(LIMITS.CHART_ESCROW_BYTES_MAX),
  /** Of the chart. */
  chart: StateProof,
  /** Of its emergencies. */
  emergencies: StateProof,
  /** Of the reader. */
  member: StateProof,
  /** Of the reader's organisation. */
  organisation: StateProof,
  /** Of the reader's credentials. */
  credentials: StateProof,
});
/**
 * A wish for a trustee's shares, and the proofs of everything that the trustee looks at: it trusts no node and asks
 * none.
 */
export type TrusteeRequest = Of<typeof TrusteeRequest>;

/** The canonical encoding of a point of ristretto255. */
export const PointBytes = Digest;
/** The canonical encoding of a point of ristretto255. */
export type PointBytes = Of<typeof PointBytes>;

/** `POST /v1/match`: asks one validator to evaluate blinded points for a committed `match.evaluate`. */
export const MatchRequest = struct({
  /** Where the command stands. */
  evaluation: Location,
  /** X-Wing key to which the answer is sealed; its digest is in the command. */
  requesterKey: blob(1_216),
  /** The points whose digests are in the command, in its order. */
  points: list(PointBytes, LIMITS.MATCH_POINTS_MAX),
});
/** `POST /v1/match`: asks one validator to evaluate blinded points for a committed `match.evaluate`. */
export type MatchRequest = Of<typeof MatchRequest>;

/** One validator's evaluation, sealed to the requester's key. */
export const MatchAnswer = struct({
  /** The `match.evaluate`. */
  evaluation: CommandDigest,
  /** The share's index: the validator's place plus 1. */
  share: u16,
  /** X-Wing encapsulation. */
  encapsulated: blob(1_120),
  /** The sealed evaluation and its proof. */
  sealed: blob(2_304),
  /** By the validator's release key, over all of the above. */
  signature: Signature,
});
/** One validator's evaluation, sealed to the requester's key. */
export type MatchAnswer = Of<typeof MatchAnswer>;

/** One entry of a chart's log. */
export const LogEntry = struct({
  /** What was asked. */
  entry: Entry,
  /** What was decided. */
  outcome: Outcome,
});
/** One entry of a chart's log. */
export type LogEntry = Of<typeof LogEntry>;

/** A stretch of a chart's log, and proof of the log's head. */
export const LogPage = struct({
  /** Proof of the chart's log head at a certified height. */
  head: StateProof,
  /** Position of the first entry. */
  from: LogPosition,
  /** Head of the log before the first entry. */
  before: Digest,
  /** The entries, in order. */
  entries: list(LogEntry, 256),
});
/** A stretch of a chart's log, and proof of the log's head. */
export type LogPage = Of<typeof LogPage>;

/**
 * What an organisation answers for, from a stretch of the chain: accesses and emergencies in its charts and of its
 * members.
 */
export const AccessPage = struct({
  /** First place that was looked at. */
  from: Location,
  /** First place that was not: where the next page begins. */
  next: Location,
  /** The node's newest block. */
  tip: Height,
  /** Receipts of the entries, encoded, in their order. */
  receipts: list(blob(LIMITS.RECEIPT_BYTES_MAX), 256),
});
/**
 * What an organisation answers for, from a stretch of the chain: accesses and emergencies in its charts and of its
 * members.
 */
export type AccessPage = Of<typeof AccessPage>;

/** The receipt of an entry, and where the node says that it stands. */
export const PlacedReceipt = struct({
  /** In the chart's log. The receipt does not prove it. */
  position: LogPosition,
  /** The receipt, encoded. */
  receipt: blob(LIMITS.RECEIPT_BYTES_MAX),
});
/** The receipt of an entry, and where the node says that it stands. */
export type PlacedReceipt = Of<typeof PlacedReceipt>;

/** Records that an accepted access asks for, from a stretch of the chart's log. */
export const OpenedPage = struct({
  /** First position that was not looked at: where the next page begins. */
  next: LogPosition,
  /** In the order of the log. */
  records: list(PlacedReceipt, 128),
});
/** Records that an accepted access asks for, from a stretch of the chart's log. */
export type OpenedPage = Of<typeof OpenedPage>;

/** What is sent to have a transaction decided: all of its parts, in their order. */
export const TransactionParts = list(SignedCommand, LIMITS.TRANSACTION_COMMANDS_MAX);
/** What is sent to have a transaction decided: all of its parts, in their order. */
export type TransactionParts = Of<typeof TransactionParts>;

/**
 * The answer to a transaction. Its parts stand next to each other in one block and take effect all or none, so the
 * receipt of one proves whether all did.
 */
export const TransactionReceipts = struct({
  /** The receipt of the first part, encoded. */
  first: blob(LIMITS.RECEIPT_BYTES_MAX),
  /** That of the part for whose sake all were refused, where that is another one. */
  refused: option(blob(LIMITS.RECEIPT_BYTES_MAX)),
});
/**
 * The answer to a transaction. Its parts stand next to each other in one block and take effect all or none, so the
 * receipt of one proves whether all did.
 */
export type TransactionReceipts = Of<typeof TransactionReceipts>;

/** The seeds of one grant in a `SeedTable`. */
export const SeedTableLine = struct({
  /** The grant. */
  grant: GrantId,
  /** Digest of its sealed seeds. */
  seeds: Digest,
});
/** The seeds of one grant in a `SeedTable`. */
export type SeedTableLine = Of<typeof SeedTableLine>;

/** Whose sealed seeds a `compartment.rotate` brings; its digest is that command's `seeds`. */
export const SeedTable = struct({
  /** In ascending order of grants. */
  lines: list(SeedTableLine, 1_024),
});
/** Whose sealed seeds a `compartment.rotate` brings; its digest is that command's `seeds`. */
export type SeedTable = Of<typeof SeedTable>;

/** A final block, whole. */
export const StoredBlock = struct({
  /** The block as validators send it to each other. */
  block: blob(LIMITS.BLOCK_WIRE_BYTES_MAX),
  /** Its certificate. A block without one of its own is final through a later one. */
  certificate: option(Certificate),
});
/** A final block, whole. */
export type StoredBlock = Of<typeof StoredBlock>;

/** Final blocks as a node stores them, from one height on without a gap. */
export const StoredBlocks = struct({
  /** In the order of their heights; none where the node has no more. */
  blocks: list(StoredBlock, 256),
});
/** Final blocks as a node stores them, from one height on without a gap. */
export type StoredBlocks = Of<typeof StoredBlocks>;
