/**
 * Verification: what follows from the genesis file alone, and from hand-overs that lead on from it.
 *
 * ```text
 * genesis file ──> founders ──certify──> header.next ──digest of──> their successors ──> ...
 * receipt      ──> entry and outcome ──paths──> header ──(history of a later one)──> certificate of n − f validators
 * ```
 *
 * # Invariants
 *
 * * {@link VerifiedHeader}, {@link VerifiedReceipt} and {@link VerifiedDocument} are made here, by their checks, and
 *   nowhere else: whoever has one need not ask whether it was checked.
 * * A validator counts once, and exactly one message is checked, that of a finalization.
 * * What is known stays: another set of validators from an epoch on than the one that is known is refused, and so is a
 *   set that should have begun before the newest one. The joint key is that of the genesis file for ever.
 *
 * Not here: whether a header is the newest (`state_proofs.ts`). A receipt says what was decided at a height, not that
 * it still holds.
 */

import { compare, concat, equal, utf8 } from './bytes.js';
import { chainId, entryDigest, validatorsDigest } from './commands.js';
import { decode, same } from './encoding.js';
import { DecodeError, ProofError } from './errors.js';
import { LIMITS } from './limits.js';
import { blockId, documentLeaf, entryLeaf, leafDigest, outcomeLeaf, verifyPath } from './merkle.js';
import { CertifiedHeader, DocumentReceipt, Handover, Receipt } from './proofs.js';
import { verifyVote } from './sign.js';
import {
  type BlockId,
  type Certificate,
  type ChainId,
  type CommitteeKeys,
  type Digest,
  type Entry,
  Genesis,
  type Header,
  type Outcome,
  ValidatorSet,
} from './types.js';

const HEADER_VERSION = 1;
const RECEIPT_VERSION = 1;
const DOCUMENT_RECEIPT_VERSION = 1;
const CONSENSUS = 'keepwell/consensus/v1/';
const FINALIZE = '_FINALIZE';

/** Decodes a genesis file. */
export function decodeGenesis(bytes: Uint8Array): Genesis {
  return decode(Genesis, bytes, LIMITS.GENESIS_BYTES_MAX);
}

/** The namespace in which a consortium's consensus signs: votes for one chain are none for another. */
export function consensusNamespace(chain: ChainId): Uint8Array {
  return concat(utf8(CONSENSUS), chain);
}

/** A consortium's validators, as its genesis file and hand-overs name them: what certificates are checked by. */
export class Validators {
  readonly chain: ChainId;
  /** Blocks of one epoch. */
  readonly epochBlocks: bigint;
  /** By the epoch that each began with, in ascending order; the founders first. */
  readonly #sets: ValidatorSet[];

  private constructor(chain: ChainId, epochBlocks: bigint, sets: readonly ValidatorSet[]) {
    this.chain = chain;
    this.epochBlocks = epochBlocks;
    this.#sets = [...sets];
  }

  /** The validators that a genesis file names. */
  static of(genesis: Genesis): Validators {
    const seats = genesis.validators.map((validator) => ({ validator, address: null }));
    const founders = { since: 0n, seats, committee: genesis.committee, matching: genesis.matching };
    const epochBlocks = genesis.parameters.epochBlocks ?? LIMITS.EPOCH_BLOCKS_USUAL;
    if (!isAscending(founders) || epochBlocks < LIMITS.EPOCH_BLOCKS_MIN) {
      const text =
        'the genesis file lists no validators in ascending order of their keys, or epochs that are too short';
      throw new ProofError('genesis', `${text}; get the consortium's own file`);
    }
    return new Validators(chainId(genesis), BigInt(epochBlocks), [founders]);
  }

  /** A copy: what is followed there is not followed here. */
  clone(): Validators {
    return new Validators(this.chain, this.epochBlocks, this.#sets);
  }

  /** Those whom the genesis file names. */
  get founders(): ValidatorSet {
    return this.#sets[0]!;
  }

  /** The newest set that is known. */
  get newest(): ValidatorSet {
    return this.#sets.at(-1)!;
  }

  /** By whom certificates of an epoch are checked. */
  inForce(epoch: bigint): ValidatorSet {
    return this.#sets.findLast((set) => set.since <= epoch) ?? this.founders;
  }

  /** Checks the signatures of a certificate. It says nothing of the block's height: {@link verifyHeader} does. */
  verify(certificate: Certificate): void {
    const { seats } = this.inForce(certificate.epoch);
    const { votes } = certificate;
    const needed = quorum(seats.length);
    if (votes.length < needed) {
      throw new ProofError('too_few_votes', `${votes.length} validators signed and ${needed} must`);
    }
    votes.forEach((vote, at) => {
      if (at > 0 && votes[at - 1]!.validator >= vote.validator) {
        throw new ProofError('vote_order', `the vote of validator ${vote.validator} is out of order or there twice`);
      }
    });
    const signed = signedBytes(this.chain, certificate);
    for (const { validator, signature } of votes) {
      const seat = seats[validator];
      if (seat === undefined) throw new ProofError('unknown_validator', `there is no validator ${validator}`);
      try {
        verifyVote(seat.validator.consensus, signed, signature);
      } catch {
        throw new ProofError('bad_vote', `the vote of validator ${validator} is not its signature over this block`);
      }
    }
  }

  /** Checks that a header is of the block that a certificate is for, and of the epoch whose validators signed. */
  verifyHeader(header: Header, certificate: Certificate): void {
    if (!equal(certificate.block, blockId(header))) {
      throw new ProofError('other_block', 'the certificate is for another block than the one shown');
    }
    const expected = header.height / this.epochBlocks;
    if (certificate.epoch !== expected) {
      const text = `the certificate is of epoch ${certificate.epoch}, and block ${header.height} is of epoch ${expected}`;
      throw new ProofError('other_epoch', text);
    }
    this.verify(certificate);
  }

  /** Follows a hand-over. One that is known already changes nothing. */
  advance(handover: Handover): void {
    const { header, certificate, set } = handover;
    this.#checkAnnounced(header, set);
    const known = this.#sets.find((it) => it.since === set.since);
    if (known !== undefined && same(ValidatorSet, known, set)) return;
    if (known === undefined && set.since < this.newest.since) {
      const text = `the hand-over is to validators from epoch ${set.since} on, and those from epoch ${this.newest.since} on are known already`;
      throw new ProofError('replaced', text);
    }
    // Before anyone is blamed: whoever forged it is none of the validators.
    this.#checkCertified(header, certificate, set);
    if (known !== undefined) {
      const text = `two sets of validators were handed over to from epoch ${set.since} on: the validators before have broken the ledger; keep both hand-overs and tell every organisation`;
      throw new ProofError('contradicts', text);
    }
    this.#checkFit(set);
    this.#sets.push(set);
  }

  #checkAnnounced(header: Header, set: ValidatorSet): void {
    if (!equal(header.chain, this.chain)) {
      throw new ProofError('other_consortium', 'the hand-over is of another consortium');
    }
    if (header.version !== HEADER_VERSION) throw headerVersion(header);
    if ((header.height + 1n) % this.epochBlocks !== 0n) {
      throw new ProofError('not_last', `the hand-over is at block ${header.height}, which ends no epoch`);
    }
    if (header.next === null || !equal(header.next, validatorsDigest(set))) {
      throw new ProofError('other_set', `block ${header.height} does not hand over to these validators`);
    }
    if (set.since !== header.height / this.epochBlocks + 1n) {
      throw new ProofError('since', `the validators after block ${header.height} would begin with epoch ${set.since}`);
    }
  }

  #checkCertified(header: Header, certificate: Certificate, set: ValidatorSet): void {
    try {
      this.verifyHeader(header, certificate);
    } catch (error) {
      if (!(error instanceof ProofError)) throw error;
      const text = `the hand-over to the validators from epoch ${set.since} on is not certified by those before them, or a hand-over between is missing: ${error.message}`;
      throw new ProofError('certificate', text);
    }
  }

  /** Checks that a set can validate, with the founders' keys. */
  #checkFit(set: ValidatorSet): void {
    const fits = (keys: CommitteeKeys | null): boolean =>
      keys === null || (keys.threshold === quorum(set.seats.length) && keys.shares.length === set.seats.length);
    if (!isAscending(set) || !fits(set.committee) || !fits(set.matching)) {
      throw new ProofError('unfit', `the validators from epoch ${set.since} on are not a set that could validate`);
    }
    if (!isSameKey(set.committee, this.founders.committee) || !isSameKey(set.matching, this.founders.matching)) {
      const text = `the validators from epoch ${set.since} on would open records by another key than the founders' committee`;
      throw new ProofError('other_key', text);
    }
  }
}

/** Of n validators, how many certify. */
export function quorum(validators: number): number {
  return validators - Math.floor(Math.max(0, validators - 1) / 3);
}

function isSameKey(one: CommitteeKeys | null, other: CommitteeKeys | null): boolean {
  return one === null || other === null ? one === other : equal(one.key, other.key);
}

function isAscending({ seats }: ValidatorSet): boolean {
  const keys = seats.map((seat) => seat.validator.consensus);
  return keys.length > 0 && keys.every((key, at) => at === 0 || compare(keys[at - 1]!, key) < 0);
}

/** What each validator signed. */
function signedBytes(chain: ChainId, { epoch, view, parentView, block }: Certificate): Uint8Array {
  const namespace = concat(consensusNamespace(chain), utf8(FINALIZE));
  return concat(varint(BigInt(namespace.length)), namespace, varint(epoch), varint(view), varint(parentView), block);
}

/** LEB128. */
function varint(value: bigint): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80n; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  return Uint8Array.from([...bytes, Number(rest)]);
}

// Only this module has it, so only this module makes witnesses.
const CHECKED = Symbol('checked');

/** A header that is final. */
export class VerifiedHeader {
  constructor(
    token: typeof CHECKED,
    readonly header: Header,
    readonly id: BlockId,
  ) {
    requireToken(token);
  }
}

/** A proven entry and outcome. */
export class VerifiedReceipt {
  constructor(
    token: typeof CHECKED,
    /** What was asked. */
    readonly entry: Entry,
    /** What was decided. */
    readonly outcome: Outcome,
    /** Its block. */
    readonly header: VerifiedHeader,
  ) {
    requireToken(token);
  }
}

/** A document that was anchored. */
export class VerifiedDocument {
  constructor(
    token: typeof CHECKED,
    /** SHA-256 digest of the document. */
    readonly document: Digest,
    /** The `anchor.add`: who, and when. */
    readonly receipt: VerifiedReceipt,
  ) {
    requireToken(token);
  }
}

function requireToken(token: unknown): void {
  if (token !== CHECKED) throw new ProofError('witness', 'what was verified is made by verifying it');
}

/** Decodes a certified header and checks that it is final. */
export function verifyCertified(bytes: Uint8Array, validators: Validators): VerifiedHeader {
  return certified(decode(CertifiedHeader, bytes, LIMITS.RECEIPT_BYTES_MAX), validators);
}

/** Decodes a receipt and checks it. */
export function verifyReceipt(bytes: Uint8Array, validators: Validators): VerifiedReceipt {
  return checkReceipt(decode(Receipt, bytes, LIMITS.RECEIPT_FILE_BYTES_MAX), validators);
}

/** Decodes the receipt of a document and checks it. `document` is the document's SHA-256 digest. */
export function verifyDocument(bytes: Uint8Array, validators: Validators, document: Digest): VerifiedDocument {
  const receipt = decode(DocumentReceipt, bytes, LIMITS.RECEIPT_FILE_BYTES_MAX);
  checkVersion(receipt.version, DOCUMENT_RECEIPT_VERSION);
  if (!equal(receipt.document, document)) {
    const text = 'the receipt is for another document, or the document was changed';
    throw new ProofError('other_document', text);
  }
  const verified = checkReceipt(receipt.receipt, validators);
  const { entry, outcome } = verified;
  const payload = entry.kind === 'signed' ? entry.value.command.payload : entry.value;
  if (payload.kind !== 'anchor_add' || outcome.verdict.kind !== 'accepted') {
    throw new ProofError('not_accepted', 'it is not the receipt of an accepted anchor.add');
  }
  const { root, documents } = payload.value;
  const leaf = documentLeaf(receipt.salt, receipt.document);
  forged('document', 'its document is not in the anchor', () =>
    verifyPath(receipt.path, root, documents, receipt.path.index, leaf),
  );
  return new VerifiedDocument(CHECKED, receipt.document, verified);
}

function certified({ header, ancestry, certificate }: CertifiedHeader, validators: Validators): VerifiedHeader {
  const id = checkedId(header, validators);
  if (ancestry === null) {
    validators.verifyHeader(header, certificate);
    return new VerifiedHeader(CHECKED, header, id);
  }
  const { path, descendant } = ancestry;
  if (descendant.height <= header.height) {
    const text = `block ${descendant.height} cannot prove block ${header.height}, which is not before it`;
    throw new ProofError('not_descendant', text);
  }
  // The history of a block at height h is over the h blocks from height 0 to h − 1.
  forged('ancestry', 'its block is not in the history of the certified block', () =>
    verifyPath(path, descendant.history, descendant.height, header.height, leafDigest(id)),
  );
  checkedId(descendant, validators);
  validators.verifyHeader(descendant, certificate);
  return new VerifiedHeader(CHECKED, header, id);
}

/** The id of a header, if it is one of this consortium. */
function checkedId(header: Header, validators: Validators): BlockId {
  if (!equal(header.chain, validators.chain)) {
    const text = "this is of another consortium than the genesis file; use the file of the receipt's consortium";
    throw new ProofError('other_consortium', text);
  }
  if (header.version !== HEADER_VERSION) throw headerVersion(header);
  return blockId(header);
}

function headerVersion(header: Header): ProofError {
  return new ProofError('header_version', `there is a header of version ${header.version}, which no validator makes`);
}

function checkReceipt(receipt: Receipt, validators: Validators): VerifiedReceipt {
  checkVersion(receipt.version, RECEIPT_VERSION);
  const verified = certified(receipt.certified, followed(validators, receipt.handovers));
  const { entry, outcome } = receipt;
  const { header } = verified;
  if (outcome.location.height !== header.height) {
    throw new ProofError(
      'height',
      `its outcome is of height ${outcome.location.height}, its block of ${header.height}`,
    );
  }
  if (outcome.time !== header.time) throw new ProofError('time', 'its outcome is of another time than its block');
  const [size, index] = [BigInt(header.entries), BigInt(outcome.location.index)];
  if (!equal(entryDigest(entry, outcome.location.index), outcome.command)) {
    throw new ProofError('other_command', 'its outcome is not of the command that it shows');
  }
  forged('outcome', 'its outcome is not in its block', () =>
    verifyPath(receipt.outcomePath, header.outcomes, size, index, outcomeLeaf(outcome)),
  );
  forged('entry', 'its command, with these signatures, is not in its block', () =>
    verifyPath(receipt.entryPath, header.payload, size, index, entryLeaf(entry)),
  );
  return new VerifiedReceipt(CHECKED, entry, outcome, verified);
}

/** Validators that have followed the hand-overs that a receipt brings. */
function followed(validators: Validators, handovers: readonly Handover[] | null): Validators {
  if (handovers === null) return validators;
  const advanced = validators.clone();
  for (const handover of handovers)
    forged('handover', 'a hand-over in it does not hold', () => advanced.advance(handover));
  return advanced;
}

function checkVersion(given: number, known: number): void {
  if (given === known) return;
  throw new DecodeError(
    'version',
    `this is of version ${given}, and version ${known} is known here; update the program`,
    1,
  );
}

/** Runs a check; a proof that does not hold says which step of the receipt it is of. */
function forged(code: string, what: string, check: () => void): void {
  try {
    check();
  } catch (error) {
    if (!(error instanceof ProofError)) throw error;
    throw new ProofError(
      code,
      `altered or forged: ${what} (${error.message}); do not rely on it, and ask another member`,
    );
  }
}
