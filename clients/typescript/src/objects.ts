/**
 * Sealed objects: capsules, seeds, escrows, words of cases, key files, dealings.
 *
 * Written by `npm run schema` out of `crates/crypto/src`, where each type is explained. Change that, not this.
 */

import { blob, bool, fixed, list, struct, text, u16, u32, u8, variants, words, type Of } from './encoding.js';
import { LIMITS } from './limits.js';
import {
  ChartId, CommandDigest, Compartment, Digest, Epoch, Label, MemberId, RecordId, Signature, Suite,
} from './types.js';

/** The second lock of one capsule: 128 bytes. */
export const Ciphertext = struct({
  u: Digest,
  uSecond: Digest,
  challenge: Digest,
  response: Digest,
});
/** The second lock of one capsule: 128 bytes. */
export type Ciphertext = Of<typeof Ciphertext>;

/** A data key under two locks. */
export const Capsule = struct({
  suite: Suite,
  label: Label,
  encapsulated: blob(1_120),
  release: Ciphertext,
  keyCommitment: Digest,
  sealedKey: blob(48),
});
/** A data key under two locks. */
export type Capsule = Of<typeof Capsule>;

/** A capsule with the salt of its commitment: what lies at the custodians and is shown to validators. */
export const SaltedCapsule = struct({
  /** Random; without it the commitment says nothing about the capsule. */
  salt: Digest,
  /** The capsule. */
  capsule: Capsule,
});
/** A capsule with the salt of its commitment: what lies at the custodians and is shown to validators. */
export type SaltedCapsule = Of<typeof SaltedCapsule>;

/** Epoch seeds sealed to a grantee: an object that lies at the custodians. */
export const SealedSeeds = struct({
  suite: Suite,
  encapsulated: blob(1_120),
  ciphertext: blob(64_400),
});
/** Epoch seeds sealed to a grantee: an object that lies at the custodians. */
export type SealedSeeds = Of<typeof SealedSeeds>;

/** One seed as it is sealed. */
export const SeedLine = struct({
  compartment: Compartment,
  epoch: Epoch,
  seed: Digest,
});
/** One seed as it is sealed. */
export type SeedLine = Of<typeof SeedLine>;

/** What a secret is for. */
export const KeyKind = words(
  [0, 'root'],
  [1, 'member'],
  [2, 'administrator'],
  [3, 'custodian'],
  [4, 'consensus'],
  [5, 'release'],
  [6, 'share'],
  [7, 'ceremony'],
  [8, 'organisation'],
  [9, 'trustee'],
  [10, 'matching_share'],
  [11, 'receiving'],
);
/** What a secret is for. */
export type KeyKind = Of<typeof KeyKind>;

/** How much work Argon2id does for one guess. */
export const Cost = struct({
  /** Memory. */
  memoryKib: u32,
  /** Passes over it. */
  passes: u32,
  /** Independent lanes. */
  lanes: u32,
});
/** How much work Argon2id does for one guess. */
export type Cost = Of<typeof Cost>;

export const Lock = variants(
  [0, 'passphrase', struct({
    cost: Cost,
    salt: fixed('16 random bytes', 16),
  })],
  [1, 'operator_key', struct({
    salt: fixed('16 random bytes', 16),
  })],
);
export type Lock = Of<typeof Lock>;

/** A locked secret. */
export const KeyFile = struct({
  version: u8,
  kind: KeyKind,
  label: text(128),
  demonstration: bool,
  lock: Lock,
  nonce: fixed('12 random bytes', 12),
  ciphertext: blob(1_040),
});
/** A locked secret. */
export type KeyFile = Of<typeof KeyFile>;

/** A `KeyFile` without its ciphertext. */
export const Authenticated = struct({
  version: u8,
  kind: KeyKind,
  label: text(128),
  demonstration: bool,
  lock: Lock,
  nonce: fixed('12 random bytes', 12),
});
/** A `KeyFile` without its ciphertext. */
export type Authenticated = Of<typeof Authenticated>;

/** A share sealed to someone: to its holder by the dealer, or by its holder to whoever collects. */
export const SealedShare = struct({
  encapsulated: blob(1_120),
  ciphertext: blob(50),
});
/** A share sealed to someone: to its holder by the dealer, or by its holder to whoever collects. */
export type SealedShare = Of<typeof SealedShare>;

/** A secret shared out among holders: an object that may lie anywhere. */
export const Escrow = struct({
  suite: Suite,
  threshold: u16,
  check: Digest,
  digests: list(Digest, LIMITS.ESCROW_HOLDERS_MAX),
  sealed: list(SealedShare, LIMITS.ESCROW_HOLDERS_MAX),
  ciphertext: blob(65_552),
});
/** A secret shared out among holders: an object that may lie anywhere. */
export type Escrow = Of<typeof Escrow>;

/** A secret that guardians hold together: an object that lies at the chart's custodians. */
export const GuardianEscrow = struct({
  outer: Escrow,
  groups: list(Escrow, LIMITS.GUARDIAN_GROUPS_MAX),
});
/** A secret that guardians hold together: an object that lies at the chart's custodians. */
export type GuardianEscrow = Of<typeof GuardianEscrow>;

/** A guardian's share as it is handed to a successor: an object that lies at the chart's custodians. */
export const HandedShare = struct({
  share: SealedShare,
});
/** A guardian's share as it is handed to a successor: an object that lies at the chart's custodians. */
export type HandedShare = Of<typeof HandedShare>;

/** One line of a `ChartEscrow`. */
export const EscrowLine = struct({
  compartment: Compartment,
  /** First epoch whose seed is in it. */
  from: Epoch,
  /** First epoch whose seed is not. */
  until: Epoch,
  escrow: Escrow,
});
/** One line of a `ChartEscrow`. */
export type EscrowLine = Of<typeof EscrowLine>;

/** What a chart leaves to emergencies: an object that lies at the chart's custodians. */
export const ChartEscrow = struct({
  chart: ChartId,
  lines: list(EscrowLine, LIMITS.ESCROW_LINES_MAX),
});
/** What a chart leaves to emergencies: an object that lies at the chart's custodians. */
export type ChartEscrow = Of<typeof ChartEscrow>;

/** One trustee's shares, sealed to the reader of one access. */
export const TrusteeAnswer = struct({
  access: CommandDigest,
  trustee: u16,
  shares: list(SealedShare, LIMITS.ESCROW_LINES_MAX),
  signature: Signature,
});
/** One trustee's shares, sealed to the reader of one access. */
export type TrusteeAnswer = Of<typeof TrusteeAnswer>;

/** The case's key for one member. */
export const Handed = struct({
  member: MemberId,
  encapsulated: blob(1_120),
  sealedKey: blob(48),
});
/** The case's key for one member. */
export type Handed = Of<typeof Handed>;

/** The case's key for whoever opens one version of a record. */
export const Attached = struct({
  record: RecordId,
  sealedKey: blob(48),
});
/** The case's key for whoever opens one version of a record. */
export type Attached = Of<typeof Attached>;

/** Words of a case: an object that lies at the custodians. */
export const CaseWords = struct({
  suite: Suite,
  keyCheck: Digest,
  encapsulated: blob(1_120),
  ciphertext: blob(8_720),
  handed: list(Handed, LIMITS.CASE_HANDED_MAX),
  attached: list(Attached, LIMITS.CASE_ATTACHED_MAX),
});
/** Words of a case: an object that lies at the custodians. */
export type CaseWords = Of<typeof CaseWords>;

/** What a dealer sends to one receiver. */
export const DealtShare = struct({
  encapsulated: blob(1_120),
  ciphertext: blob(48),
});
/** What a dealer sends to one receiver. */
export type DealtShare = Of<typeof DealtShare>;

/** One dealer's dealing: published to all. */
export const Dealing = struct({
  session: Digest,
  dealer: u16,
  commitments: list(Digest, LIMITS.VALIDATORS_MAX),
  sealed: list(DealtShare, LIMITS.VALIDATORS_MAX),
});
/** One dealer's dealing: published to all. */
export type Dealing = Of<typeof Dealing>;

/** A share that its dealer opened because its receiver complained. It is no secret any more. */
export const OpenedShare = struct({
  receiver: u16,
  share: blob(32),
});
/** A share that its dealer opened because its receiver complained. It is no secret any more. */
export type OpenedShare = Of<typeof OpenedShare>;

/**
 * What a dealing says to all, without what is sealed: enough to check an opened share, and to come to the new
 * committee.
 */
export const Commitments = struct({
  dealer: u16,
  points: list(Digest, LIMITS.VALIDATORS_MAX),
});
/**
 * What a dealing says to all, without what is sealed: enough to check an opened share, and to come to the new
 * committee.
 */
export type Commitments = Of<typeof Commitments>;
