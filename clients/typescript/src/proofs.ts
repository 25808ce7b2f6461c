/**
 * Proofs: paths in trees, certified headers, receipts, hand-overs.
 *
 * Written by `npm run schema` out of `crates/merkle/src`, where each type is explained. Change that, not this.
 */

import { list, option, struct, u64, u8, type Of } from './encoding.js';
import { LIMITS } from './limits.js';
import { Certificate, Digest, Entry, Header, Outcome, Salt, ValidatorSet } from './types.js';

/** Proof that a leaf stands in a tree (RFC 9162, section 2.1.3). */
export const InclusionPath = struct({
  /** Which leaf, counted from 0. */
  index: u64,
  /** Leaves of the tree. */
  size: u64,
  /** The sibling at each level that has one, from the leaf upwards. */
  steps: list(Digest, LIMITS.PATH_STEPS_MAX),
});
/** Proof that a leaf stands in a tree (RFC 9162, section 2.1.3). */
export type InclusionPath = Of<typeof InclusionPath>;

/** Proof that a tree only grew since it was smaller (RFC 9162, section 2.1.4). */
export const ConsistencyPath = struct({
  /** Leaves earlier. */
  before: u64,
  /** Leaves later. */
  after: u64,
  /** Nodes, from the edge of the earlier tree upwards. */
  steps: list(Digest, 49),
});
/** Proof that a tree only grew since it was smaller (RFC 9162, section 2.1.4). */
export type ConsistencyPath = Of<typeof ConsistencyPath>;

/** A path in a range: the same as in the tree that it stores. */
export const RangePath = InclusionPath;
/** A path in a range: the same as in the tree that it stores. */
export type RangePath = Of<typeof RangePath>;

/** Proof that one block is among the ancestors of another. */
export const Ancestry = struct({
  /** The earlier block's place in the descendant's `history`. */
  path: RangePath,
  /** The later header. */
  descendant: Header,
});
/** Proof that one block is among the ancestors of another. */
export type Ancestry = Of<typeof Ancestry>;

/** A header with all that shows it to be final. */
export const CertifiedHeader = struct({
  /** The header. */
  header: Header,
  /** Where the certificate is of a later block: how that proves this one. */
  ancestry: option(Ancestry),
  /** Of the descendant, if there is one, else of the header. */
  certificate: Certificate,
});
/** A header with all that shows it to be final. */
export type CertifiedHeader = Of<typeof CertifiedHeader>;

/** The end of an epoch after which others validate, and all that proves it. */
export const Handover = struct({
  /** Of the last block of the epoch. */
  header: Header,
  /** By the validators until then. */
  certificate: Certificate,
  /** The validators from then on. */
  set: ValidatorSet,
});
/** The end of an epoch after which others validate, and all that proves it. */
export type Handover = Of<typeof Handover>;

/** An entry of a block, its outcome, and all that proves both. */
export const Receipt = struct({
  /** `RECEIPT_VERSION`. */
  version: u8,
  /** What was asked, with its signatures. */
  entry: Entry,
  /** What was decided. */
  outcome: Outcome,
  /** From the entry to the header's `payload`. */
  entryPath: InclusionPath,
  /** From the outcome to the header's `outcomes`. */
  outcomePath: InclusionPath,
  /** The header, and proof that it is final. */
  certified: CertifiedHeader,
  /** How those who certified it came to validate, where they are not the founders. */
  handovers: option(list(Handover, LIMITS.HANDOVERS_MAX)),
});
/** An entry of a block, its outcome, and all that proves both. */
export type Receipt = Of<typeof Receipt>;

/** Proof that a document was anchored. */
export const DocumentReceipt = struct({
  /** `DOCUMENT_RECEIPT_VERSION`. */
  version: u8,
  /** The document's salt. */
  salt: Salt,
  /** SHA-256 digest of the document. */
  document: Digest,
  /** From the document to the anchor's root. */
  path: InclusionPath,
  /** Of the `anchor.add`. */
  receipt: Receipt,
});
/** Proof that a document was anchored. */
export type DocumentReceipt = Of<typeof DocumentReceipt>;

/** The peaks of a range: all that is needed to append to it and to know its root. */
export const Peaks = struct({ count: u64, peaks: list(Digest, LIMITS.PATH_STEPS_MAX) });
/** The peaks of a range: all that is needed to append to it and to know its root. */
export type Peaks = Of<typeof Peaks>;
