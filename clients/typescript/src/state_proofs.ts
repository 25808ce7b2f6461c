/**
 * Proofs of the state, and chart's logs that are proven by them: what a node answers, checked against a certified
 * block.
 *
 * ```text
 * tip          certified, not older than two heartbeats and 5 s, not below one that was seen
 * state        value or absence -- proof of the state's database --> header.state -- certified, fresh
 * chart's log  pages, chained from a known head to the head in the state, at its count
 * ```
 *
 * The state's database is an ordered QMDB of `commonware-storage` 2026.10.0 over a Merkle mountain range, with a
 * bitmap of what is active in chunks of 32 bytes. What is written here is its verifier for one operation:
 *
 * ```text
 * proof       location (varint) ‖ chunk (32) ‖ leaves (varint) ‖ inactive peaks (varint) ‖ digests (varint, 32 each)
 *             ‖ digest of the last, partial chunk (1, then 32 if there is one) ‖ root of operations (32)
 * presence    proof ‖ next key (32)          absence    0 ‖ proof ‖ key (32) ‖ value (varint, bytes) ‖ next key (32)
 * operation   0xD2 ‖ key ‖ value (varint, bytes) ‖ next key
 * leaf, node  SHA-256(position ‖ operation), SHA-256(position ‖ left ‖ right)         position: 8 bytes, big endian
 * node over a chunk's 256 operations: SHA-256(chunk ‖ node), unless the chunk is all zeros
 * peaks       inactive ones folded from the left, the others from the right
 * grafted     SHA-256(0 ‖ 1 ‖ leaves ‖ [inactive peaks, if any] ‖ folded peaks)
 * state       SHA-256(root of operations ‖ grafted [‖ number of bits ‖ digest of the partial chunk])
 * ```
 *
 * # Invariants
 *
 * * {@link Proven} and {@link VerifiedLog} are made here and nowhere else.
 * * A log is believed whole or not at all: no line of it is shown before the head was reached.
 * * What was seen only grows, so a node cannot show an earlier state as the present one.
 *
 * Not here: the proof that the whole state is empty. No chain's ever is, and such a proof is refused.
 */

import { bigEndian, compare, concat, equal } from './bytes.js';
import { chartOf, entryDigest, payloadOf } from './commands.js';
import { decode, encode } from './encoding.js';
import { KeepwellError, ProofError } from './errors.js';
import { digest, sha256 } from './hash.js';
import { LIMITS } from './limits.js';
import { EMPTY_LOG, extendLog } from './merkle.js';
import { type ChartLog, StateKey, StateValue } from './state.js';
import type { ChartId, Digest, Entry, LogPage, Outcome, StateProof } from './types.js';
import { type Validators, type VerifiedHeader, verifyCertified } from './verify.js';

/** Longest time between two blocks of an idle consortium, in milliseconds. */
const HEARTBEAT_MS = 1_500n;
/** Age from which on a tip is refused, in milliseconds. */
export const TIP_AGE_MS_MAX = 2n * HEARTBEAT_MS + 5_000n;
/** How far a tip may be ahead of this clock: beyond this the clock is wrong, and could not tell a stale tip. */
export const TIP_AHEAD_MS_MAX = 60_000n;

/** The newest block that was seen. */
export interface TipSeen {
  readonly height: bigint;
  readonly id: Uint8Array;
}

/** What answers are checked against. */
export interface Checker {
  readonly validators: Validators;
  /** The newest block seen so far. */
  readonly seen: TipSeen | null;
  /** This clock, in milliseconds since 1970. */
  readonly now: bigint;
}

/** Checks that an encoded header is final and can be the newest. */
export function checkTip(certified: Uint8Array, { validators, seen, now }: Checker): VerifiedHeader {
  const verified = verifyCertified(certified, validators);
  const { height, time } = verified.header;
  if (seen !== null && height < seen.height) {
    const text = `the node's newest block is ${height} and block ${seen.height} was seen before; ask another node`;
    throw new ProofError('behind', text);
  }
  if (seen !== null && height === seen.height && !equal(verified.id, seen.id)) {
    const text = `two different blocks of height ${height} are certified: the validators have broken the ledger; keep both receipts and tell every organisation`;
    throw new ProofError('fork', text);
  }
  if (now - time > TIP_AGE_MS_MAX) {
    const text = `the node's newest block, ${height}, is too old: the node or the consortium stands still; ask another node, and check this computer's clock`;
    throw new ProofError('stale', text);
  }
  if (time - now > TIP_AHEAD_MS_MAX) {
    throw new ProofError('ahead', `block ${height} is ahead of this computer's clock; set the clock`);
  }
  return verified;
}

const CHECKED = Symbol('checked');

/** A value of the state, or its absence. */
export class Proven {
  constructor(
    token: typeof CHECKED,
    readonly value: StateValue | null,
    /** The block after which the state is this. */
    readonly header: VerifiedHeader,
  ) {
    requireToken(token);
  }
}

function requireToken(token: unknown): void {
  if (token !== CHECKED) throw new ProofError('witness', 'what was verified is made by verifying it');
}

/** Where an entry of the state stands in its database. */
export function stateKey(key: StateKey): Digest {
  return digest('keepwell/ledger/key/v1', [encode(StateKey, key)]);
}

/** Checks that the newest state has this value, or none, under `key`. */
export function checkState(key: StateKey, proof: StateProof, checker: Checker): Proven {
  const header = checkTip(proof.certified, checker);
  const { state, height } = header.header;
  if (!leadsTo(stateKey(key), proof, state)) {
    const text = `the proof of a value or absence does not lead to the state of block ${height}; report the node's operator`;
    throw new ProofError('state', text);
  }
  if (proof.value === null) return new Proven(CHECKED, null, header);
  const value = decode(StateValue, proof.value, LIMITS.STATE_VALUE_BYTES_MAX);
  if (value.kind !== key.kind) {
    throw new ProofError('kind', 'the state has another kind of entry under this key; update the program');
  }
  return new Proven(CHECKED, value, header);
}

function leadsTo(key: Digest, { value, proof }: StateProof, state: Digest): boolean {
  const input = new Bytes(proof);
  try {
    const holds = value === null ? isAbsent(key, input, state) : isPresent(key, value, input, state);
    return holds && input.isAtEnd;
  } catch (error) {
    if (error instanceof KeepwellError) return false;
    throw error;
  }
}

function isPresent(key: Digest, value: Uint8Array, input: Bytes, state: Digest): boolean {
  const proof = readOperationProof(input);
  return isActive(proof, operation(key, value, input.take(32)), state);
}

/** Two keys that follow each other, with the one asked for between them; the last one is followed by the first. */
function isAbsent(key: Digest, input: Bytes, state: Digest): boolean {
  if (input.take(1)[0] !== 0) return false;
  const proof = readOperationProof(input);
  const before = input.take(32);
  const value = input.take(input.length(LIMITS.STATE_VALUE_BYTES_MAX));
  const next = input.take(32);
  const [after, until] = [compare(key, before) > 0, compare(key, next) < 0];
  const between = compare(before, next) >= 0 ? after || until : after && until;
  return !equal(key, before) && between && isActive(proof, operation(before, value, next), state);
}

function operation(key: Uint8Array, value: Uint8Array, next: Uint8Array): Uint8Array {
  return concat(Uint8Array.of(0xd2), key, varint(BigInt(value.length)), value, next);
}

/** Digests in one proof: a path and the peaks of the largest possible range, with room. */
const DIGESTS_MAX = 256;
const LEAVES_MAX = 1n << 62n;
/** A chunk of the bitmap is over 2^8 operations. */
const CHUNK_HEIGHT = 8;
const CHUNK_BITS = 1n << BigInt(CHUNK_HEIGHT);

interface OperationProof {
  readonly location: bigint;
  /** Which of the operations around it are active: a bit for each. */
  readonly chunk: Uint8Array;
  readonly leaves: bigint;
  readonly inactivePeaks: number;
  readonly digests: readonly Uint8Array[];
  /** Of the last chunk, where it is not full. */
  readonly partial: Uint8Array | null;
  readonly operations: Uint8Array;
}

function readOperationProof(input: Bytes): OperationProof {
  const [location, chunk, leaves] = [input.varint(), input.take(32), input.varint()];
  const inactivePeaks = input.length(64);
  const digests = Array.from({ length: input.length(DIGESTS_MAX) }, () => input.take(32));
  const partial = input.boolean() ? input.take(32) : null;
  return { location, chunk, leaves, inactivePeaks, digests, partial, operations: input.take(32) };
}

/** Whether an operation is in the database with this root, and in force. */
function isActive(proof: OperationProof, element: Uint8Array, state: Digest): boolean {
  const { location, chunk, leaves, partial } = proof;
  if (location >= leaves || leaves > LEAVES_MAX) return false;
  const bit = Number(location % CHUNK_BITS);
  if ((chunk[bit >> 3]! & (1 << (bit & 7))) === 0) return false;
  const bits = leaves % CHUNK_BITS;
  if ((partial !== null) !== (bits !== 0n)) return false;
  // The chunk that the operation is in may be the one that is not full.
  const isLast = location / CHUNK_BITS === leaves / CHUNK_BITS;
  if (isLast && (partial === null || !equal(partial, sha256(chunk)))) return false;
  const grafted = graftedRoot(proof, element);
  if (grafted === null) return false;
  const tail = partial === null ? [] : [bigEndian(bits, 8), partial];
  return equal(sha256(proof.operations, grafted, ...tail), state);
}

/** A full subtree: its height, and the first operation under it. */
interface Subtree {
  readonly height: number;
  readonly start: bigint;
}

/** The full subtrees of a range, from the left. */
function peaksOf(leaves: bigint): Subtree[] {
  const peaks: Subtree[] = [];
  let start = 0n;
  for (let height = 62; height >= 0; height -= 1) {
    if (((leaves >> BigInt(height)) & 1n) === 0n) continue;
    peaks.push({ height, start });
    start += 1n << BigInt(height);
  }
  return peaks;
}

/** The position of a subtree's root: the nodes before its last leaf, and one for each level up. */
function positionOf({ height, start }: Subtree): bigint {
  const last = start + (1n << BigInt(height)) - 1n;
  return 2n * last - ones(last) + BigInt(height);
}

function ones(value: bigint): bigint {
  let count = 0n;
  for (let rest = value; rest > 0n; rest >>= 1n) count += rest & 1n;
  return count;
}

/** The root over the operations and the bitmap, as the proof's digests lead to it; nothing if they do not fit. */
function graftedRoot(proof: OperationProof, element: Uint8Array): Digest | null {
  const { location, leaves, inactivePeaks: inactive } = proof;
  const peaks = peaksOf(leaves);
  const own = peaks.findLastIndex((peak) => peak.start <= location);
  if (inactive > peaks.length) return null;
  const [before, after] = [own, peaks.length - own - 1];
  // Inactive peaks before the own one come as one digest, active ones after it as another.
  const folded = Math.min(inactive, before);
  const single = Math.min(Math.max(0, inactive - own - 1), after);
  const counts = [folded > 0 ? 1 : 0, before - folded, single, after - single > 0 ? 1 : 0, peaks[own]!.height];
  if (proof.digests.length !== counts.reduce((sum, it) => sum + it, 0)) return null;
  const digests = proof.digests.values();
  const take = (count: number): Digest[] => Array.from({ length: count }, () => digests.next().value as Digest);
  const left = [...take(counts[0]!), ...take(counts[1]!)];
  const right = [...take(counts[2]!), ...take(counts[3]!)];
  const climbed = climb(proof, element, peaks[own]!, take(counts[4]!));
  const toFold = folded > 0 ? Math.max(0, inactive - folded) + 1 : inactive;
  return rootOf(leaves, inactive, toFold, [...left, climbed, ...right]);
}

/**
 * The digest of a peak, from the operation and its siblings, which stand in the order in which a walk from the left
 * meets them.
 */
function climb(proof: OperationProof, element: Uint8Array, peak: Subtree, siblings: readonly Digest[]): Digest {
  let next = 0;
  const walk = (subtree: Subtree): Digest => {
    const { height, start } = subtree;
    const position = bigEndian(positionOf(subtree), 8);
    if (height === 0) return sha256(position, element);
    const middle = start + (1n << BigInt(height - 1));
    const isLeft = proof.location < middle;
    const sibling = isLeft ? null : siblings[next++]!;
    const inner = walk({ height: height - 1, start: isLeft ? start : middle });
    const node = isLeft ? sha256(position, inner, siblings[next++]!) : sha256(position, sibling!, inner);
    return height === CHUNK_HEIGHT && proof.chunk.some((byte) => byte !== 0) ? sha256(proof.chunk, node) : node;
  };
  return walk(peak);
}

function rootOf(leaves: bigint, inactive: number, toFold: number, peaks: readonly Digest[]): Digest | null {
  if (toFold > peaks.length) return null;
  const first = Math.max(1, toFold);
  const oldest = peaks.slice(1, first).reduce((folded, peak) => sha256(folded, peak), peaks[0]!);
  const rest = peaks.slice(first);
  const folded =
    rest.length === 0
      ? oldest
      : sha256(
          oldest,
          rest.reduceRight((bag, peak) => sha256(peak, bag)),
        );
  const count = inactive === 0 ? [] : [bigEndian(inactive, 8)];
  return sha256(Uint8Array.of(0, 1), bigEndian(leaves, 8), ...count, folded);
}

function varint(value: bigint): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80n; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  return Uint8Array.from([...bytes, Number(rest)]);
}

/** Reads what the database's proofs are made of. */
class Bytes {
  #at = 0;

  constructor(private readonly bytes: Uint8Array) {}

  get isAtEnd(): boolean {
    return this.#at === this.bytes.length;
  }

  take(count: number): Uint8Array {
    const until = this.#at + count;
    if (until > this.bytes.length) throw damaged();
    const taken = this.bytes.slice(this.#at, until);
    this.#at = until;
    return taken;
  }

  boolean(): boolean {
    const byte = this.take(1)[0]!;
    if (byte > 1) throw damaged();
    return byte === 1;
  }

  /** A number in its shortest form. */
  varint(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = BigInt(this.take(1)[0]!);
      value |= (byte & 0x7fn) << shift;
      if (byte < 0x80n) {
        if ((byte === 0n && shift > 0n) || value >> 64n !== 0n) break;
        return value;
      }
    }
    throw damaged();
  }

  length(max: number): number {
    const value = this.varint();
    if (value > BigInt(max)) throw damaged();
    return Number(value);
  }
}

function damaged(): ProofError {
  return new ProofError('state', 'the proof of the state is damaged; ask another node');
}

/** Up to where a chart's log is known, and its head there. */
export interface LogMark {
  readonly count: bigint;
  readonly head: Digest;
}

/** Nothing is known. */
export const LOG_START: LogMark = { count: 0n, head: EMPTY_LOG };

/** One line of a chart's log. */
export interface LogLine {
  readonly position: bigint;
  readonly entry: Entry;
  readonly outcome: Outcome;
}

/** A chart's log as the ledger commits to it. */
export class VerifiedLog {
  constructor(
    token: typeof CHECKED,
    readonly lines: readonly LogLine[],
    /** From where the next walk can go on. */
    readonly mark: LogMark,
    readonly header: VerifiedHeader,
  ) {
    requireToken(token);
  }
}

/** Checks the pages of a chart's log, one after the other. */
export class LogWalk {
  #position: bigint;
  #head: Digest | null;
  readonly #lines: LogLine[] = [];
  #log: VerifiedLog | null = null;

  private constructor(
    private readonly chart: ChartId,
    private readonly known: LogMark,
    from: bigint,
    head: Digest | null,
  ) {
    this.#position = from;
    this.#head = head;
  }

  /** All lines; they must contain what is known. */
  static whole(chart: ChartId, known: LogMark = LOG_START): LogWalk {
    return new LogWalk(chart, known, 0n, LOG_START.head);
  }

  /** The lines after what is known. */
  static after(chart: ChartId, known: LogMark): LogWalk {
    return new LogWalk(chart, known, known.count, known.head);
  }

  /** The last lines: what is before them is taken at the word of the head that they lead to. */
  static from(chart: ChartId, position: bigint): LogWalk {
    return new LogWalk(chart, LOG_START, position, null);
  }

  /** Which position the next page begins at; nothing once the head was reached. */
  get next(): bigint | null {
    return this.#log === null ? this.#position : null;
  }

  /** The log, once its head was reached. */
  get log(): VerifiedLog | null {
    return this.#log;
  }

  /** Takes a page. After an error the same page may be asked for elsewhere. */
  take(page: LogPage, checker: Checker): void {
    const proven = checkState({ kind: 'chart_log', value: this.chart }, page.head, checker);
    if (proven.value?.kind !== 'chart_log') throw new ProofError('no_chart', 'this chart does not exist');
    const log = proven.value.value;
    this.#checkPage(page, log);
    let [head, position] = [page.before, this.#position];
    const lines: LogLine[] = [];
    for (const { entry, outcome } of page.entries) {
      head = this.#step(head, { position, entry, outcome });
      lines.push({ position, entry, outcome });
      position += 1n;
    }
    if (position < log.count && lines.length === 0) {
      throw fault('withheld', `the node stops at position ${position} of ${log.count}: it hides entries`);
    }
    if (position === log.count && !equal(head, log.head)) {
      const text = `the entries up to position ${log.count} do not make the log that the ledger commits to: an entry is hidden or altered`;
      throw fault('head', text);
    }
    [this.#head, this.#position] = [head, position];
    this.#lines.push(...lines);
    if (position < log.count) return;
    this.#log = new VerifiedLog(CHECKED, this.#lines, { count: position, head }, proven.header);
  }

  #checkPage(page: LogPage, log: ChartLog): void {
    if (log.count < this.known.count) {
      throw fault(
        'shrunk',
        `the log has ${log.count} entries and had ${this.known.count}: the node altered the history`,
      );
    }
    if (page.from !== this.#position) {
      const text = `a page from position ${page.from} was answered where ${this.#position} was asked for; ask another node`;
      throw new ProofError('from', text);
    }
    if (this.#head !== null && !equal(this.#head, page.before)) throw this.#otherBefore(this.#position);
    if (this.#position + BigInt(page.entries.length) > log.count) {
      throw fault('too_many', `the node shows more than the ${log.count} entries of the log`);
    }
  }

  #step(before: Digest, { position, entry, outcome }: LogLine): Digest {
    if (!equal(entryDigest(entry, outcome.location.index), outcome.command)) {
      throw fault('other_entry', `the entry at position ${position} is not the one that was decided there`);
    }
    const chart = chartOf(payloadOf(entry));
    if (chart === null || !equal(chart, this.chart)) {
      throw fault('other_chart', `the entry at position ${position} is not of this chart`);
    }
    const head = extendLog(before, position, outcome);
    if (position + 1n === this.known.count && !equal(head, this.known.head)) throw this.#otherBefore(position + 1n);
    return head;
  }

  #otherBefore(position: bigint): ProofError {
    return fault(
      'before',
      `the log before position ${position} is not the one that was seen: the node altered the history`,
    );
  }
}

function fault(code: string, text: string): ProofError {
  return new ProofError(code, `${text}; report the node's operator`);
}
