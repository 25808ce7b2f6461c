/**
 * The second lock: a labelled threshold Diffie-Hellman KEM over ristretto255 (TDH2, Shoup and Gennaro, 2002), as far as
 * authors and readers take part.
 *
 * ```text
 * committee    X = s·G,  Xᵢ = sᵢ·G,  id = digest(X),  Ḡ = point(id)
 * ciphertext   U = r·G,  Ū = r·Ḡ,  and a proof (e, f), bound to the label, that both have the same r
 * secret       digest(id, label, U, r·X)
 * partial      Dₖ = sᵢ·Uₖ for each ciphertext k, and one proof (c, z) for all of them that the exponent is that of Xᵢ
 * secret again digest(id, label, U, Σ λᵢ·Dᵢ) = digest(id, label, U, s·U)
 * ```
 *
 * # Invariants
 *
 * * Shares are combined only after their proof: a {@link VerifiedPartial} is made by {@link verifyPartial} alone.
 * * Points and scalars are read in their canonical encoding and no other.
 *
 * Not here: validators' shares, dealing and resharing. A browser holds no share.
 */

import { fromLittleEndian, littleEndian, randomBytes } from './bytes.js';
import { ProofError, UsageError } from './errors.js';
import { Group, ORDER, type Point, digest, pointOf, scalarOf } from './hash.js';
import type { Ciphertext } from './objects.js';
import { type CommitteeKeys, CommitteeId, Digest } from './types.js';

const Scalars = Group.Fn;

/** A committee's public keys, decoded and checked to belong together. */
export class Committee {
  readonly id: CommitteeId;
  readonly threshold: number;
  readonly key: Point;
  readonly secondBase: Point;
  readonly #shares: readonly { readonly point: Point; readonly bytes: Uint8Array }[];

  /** Decodes the keys, and checks that all lie on one polynomial of degree threshold − 1. */
  constructor(keys: CommitteeKeys) {
    const { threshold, shares } = keys;
    if (threshold === 0 || threshold > shares.length) {
      throw new ProofError('threshold', `a committee of ${shares.length} cannot open with ${threshold} shares`);
    }
    const key = decodePoint(keys.key);
    if (key === null || key.equals(Group.ZERO)) throw unusableKey();
    this.threshold = threshold;
    this.key = key;
    this.#shares = shares.map((bytes, place) => {
      const point = decodePoint(bytes);
      if (point === null) throw foreignShare(place + 1);
      return { point, bytes };
    });
    this.id = CommitteeId.of(digest('keepwell/threshold/committee/v1', [keys.key]));
    this.secondBase = pointOf('keepwell/threshold/second-base/v1', [this.id]);
    this.#checkPolynomial();
  }

  /** How many shares there are. */
  get shares(): number {
    return this.#shares.length;
  }

  /** The point and the bytes of the key of a share, counted from 1. */
  share(index: number): { readonly point: Point; readonly bytes: Uint8Array } | null {
    return this.#shares[index - 1] ?? null;
  }

  #checkPolynomial(): void {
    const first = Array.from({ length: this.threshold }, (_, at) => at + 1);
    const points = first.map((index) => this.#shares[index - 1]!.point);
    const at = (x: number): Point => sumOf(points, lagrange(first, x));
    if (!at(0).equals(this.key)) throw unusableKey();
    for (let index = this.threshold + 1; index <= this.shares; index += 1) {
      if (!at(index).equals(this.#shares[index - 1]!.point)) throw foreignShare(index);
    }
  }
}

function unusableKey(): ProofError {
  return new ProofError(
    'committee_key',
    "the committee's key is not a usable point of ristretto255; get the genesis file again",
  );
}

function foreignShare(share: number): ProofError {
  return new ProofError('committee_share', `the key of share ${share} does not belong to this committee`);
}

/** Makes a secret that only the committee can make again, for this label. */
export function encapsulate(committee: Committee, label: Uint8Array): { ciphertext: Ciphertext; secret: Uint8Array } {
  const [r, k] = [randomScalar(), randomScalar()];
  const u = Group.BASE.multiply(r);
  const uSecond = committee.secondBase.multiply(r);
  const commitments = [u, uSecond, Group.BASE.multiply(k), committee.secondBase.multiply(k)];
  const challenge = ciphertextChallenge(
    committee,
    label,
    commitments.map((point) => point.toBytes()),
  );
  const response = Scalars.create(k + challenge * r);
  const ciphertext = {
    u: Digest.of(u.toBytes()),
    uSecond: Digest.of(uSecond.toBytes()),
    challenge: Digest.of(littleEndian(challenge, 32)),
    response: Digest.of(littleEndian(response, 32)),
  };
  return { ciphertext, secret: releaseSecret(committee, label, ciphertext.u, committee.key.multiply(r)) };
}

/** The point of a ciphertext that was proven for its label: made by {@link verifyCiphertext} alone. */
export class ProvenPoint {
  private constructor(
    readonly point: Point,
    readonly bytes: Uint8Array,
  ) {}

  /** Checks that a ciphertext was made for exactly this label and committee, by someone who knew r. */
  static verify(committee: Committee, label: Uint8Array, ciphertext: Ciphertext): ProvenPoint {
    const u = decodePoint(ciphertext.u);
    const second = decodePoint(ciphertext.uSecond);
    const e = decodeScalar(ciphertext.challenge);
    const f = decodeScalar(ciphertext.response);
    if (u === null || second === null || e === null || f === null) {
      throw new ProofError('ciphertext_malformed', 'the second lock of the capsule is malformed');
    }
    const w = sumOf([u, Group.BASE], [Scalars.neg(e), f]);
    const wSecond = sumOf([committee.secondBase, second], [f, Scalars.neg(e)]);
    const points = [ciphertext.u, ciphertext.uSecond, w.toBytes(), wSecond.toBytes()];
    if (ciphertextChallenge(committee, label, points) !== e) {
      throw new ProofError(
        'ciphertext_proof',
        'the second lock of the capsule was not made for this label and committee',
      );
    }
    return new ProvenPoint(u, ciphertext.u);
  }
}

/** See {@link ProvenPoint.verify}. */
export const verifyCiphertext = ProvenPoint.verify;

function ciphertextChallenge(committee: Committee, label: Uint8Array, points: readonly Uint8Array[]): bigint {
  return scalarOf('keepwell/threshold/ciphertext/v1', [committee.id, label, ...points]);
}

function releaseSecret(committee: Committee, label: Uint8Array, u: Uint8Array, shared: Point): Uint8Array {
  return digest('keepwell/threshold/secret/v1', [committee.id, label, u, shared.toBytes()]);
}

/** One share's work on a list of ciphertexts, with one proof for all: c ‖ z ‖ D₀ ‖ D₁ ‖ ... */
interface Partial {
  readonly points: readonly Uint8Array[];
  readonly challenge: Uint8Array;
  readonly response: Uint8Array;
}

function partialOf(bytes: Uint8Array): Partial | null {
  if (bytes.length % 32 !== 0 || bytes.length < 64) return null;
  const parts = Array.from({ length: bytes.length / 32 }, (_, at) => bytes.slice(32 * at, 32 * (at + 1)));
  const [challenge, response, ...points] = parts;
  return { challenge: challenge!, response: response!, points };
}

/** A partial whose proof was checked: made by {@link VerifiedPartial.verify} alone. */
export class VerifiedPartial {
  private constructor(
    /** The share's index. */
    readonly share: number,
    readonly points: readonly Point[],
  ) {}

  /** Checks that `bytes` are the work of share `share` on exactly these points in this context. */
  static verify(
    committee: Committee,
    share: number,
    points: readonly ProvenPoint[],
    bytes: Uint8Array,
    context: Digest,
  ): VerifiedPartial {
    const malformed = new ProofError('partial_malformed', 'the partial is malformed');
    const key = committee.share(share);
    if (key === null) throw new ProofError('no_such_share', `the committee has no share ${share}`);
    const partial = partialOf(bytes);
    if (partial === null || points.length === 0 || partial.points.length !== points.length) throw malformed;
    const results = partial.points.map(decodePoint);
    const c = decodeScalar(partial.challenge);
    const z = decodeScalar(partial.response);
    if (!areAll(results) || c === null || z === null) throw malformed;
    const weights = weightsOf(context, share, points, partial.points);
    const sum = sumOf(
      points.map((it) => it.point),
      weights,
    );
    const resultSum = sumOf(results, weights);
    const shown = [
      sum,
      resultSum,
      sumOf([key.point, Group.BASE], [Scalars.neg(c), z]),
      sumOf([sum, resultSum], [z, Scalars.neg(c)]),
    ];
    const parts = [context, littleEndian(share, 2), key.bytes, ...shown.map((point) => point.toBytes())];
    if (scalarOf('keepwell/threshold/partial/v1', parts) !== c) {
      throw new ProofError('partial_proof', `the proof of share ${share} fails`);
    }
    return new VerifiedPartial(share, results);
  }
}

/** See {@link VerifiedPartial.verify}. */
export const verifyPartial = VerifiedPartial.verify;

function areAll<T>(items: readonly (T | null)[]): items is readonly T[] {
  return !items.includes(null);
}

/** Weights of 128 bits that depend on every input: a sum that fits hides no point that does not. */
function weightsOf(
  context: Digest,
  share: number,
  points: readonly ProvenPoint[],
  results: readonly Uint8Array[],
): bigint[] {
  const pairs = points.flatMap((point, at) => [point.bytes, results[at]!]);
  const seed = digest('keepwell/threshold/batch/v1', [context, littleEndian(share, 2), ...pairs]);
  return points.map((_, place) => {
    const hash = digest('keepwell/threshold/weight/v1', [seed, littleEndian(place, 8)]);
    return fromLittleEndian(hash.subarray(0, 16));
  });
}

/**
 * Combines verified partials: one secret for each (label, ciphertext), in order. All must come of one list of points.
 */
export function combine(
  committee: Committee,
  ciphertexts: readonly { readonly label: Uint8Array; readonly ciphertext: Ciphertext }[],
  partials: readonly VerifiedPartial[],
): Uint8Array[] {
  const chosen = new Map<number, VerifiedPartial>();
  for (const partial of partials) {
    const fits = partial.points.length === ciphertexts.length;
    if (fits && chosen.size < committee.threshold && !chosen.has(partial.share)) chosen.set(partial.share, partial);
  }
  if (chosen.size < committee.threshold) {
    const text = `${chosen.size} different shares of ${committee.threshold} are here; ask further validators`;
    throw new UsageError('too_few_shares', text);
  }
  const weights = lagrange([...chosen.keys()], 0);
  const all = [...chosen.values()];
  return ciphertexts.map(({ label, ciphertext }, place) => {
    const points = all.map((partial) => partial.points[place]!);
    const shared = points.reduce((sum, point, at) => sum.add(point.multiply(weights[at]!)), Group.ZERO);
    return releaseSecret(committee, label, ciphertext.u, shared);
  });
}

/** Lagrange's weights: P(at) = Σ weightᵢ · P(xᵢ). The `xs` are different, and none is 0. */
export function lagrange(xs: readonly number[], at: number): bigint[] {
  return xs.map((here) => {
    let numerator = 1n;
    let denominator = 1n;
    for (const other of xs) {
      if (other === here) continue;
      numerator = Scalars.mul(numerator, Scalars.create(BigInt(at - other)));
      denominator = Scalars.mul(denominator, Scalars.create(BigInt(here - other)));
    }
    return Scalars.mul(numerator, Scalars.inv(denominator));
  });
}

/** Σ scalarᵢ·Pᵢ of public values, in variable time. */
function sumOf(points: readonly Point[], scalars: readonly bigint[]): Point {
  return points.reduce((sum, point, at) => sum.add(point.multiplyUnsafe(scalars[at]!)), Group.ZERO);
}

/** A scalar that is not 0, from 64 random bytes. */
export function randomScalar(): bigint {
  return (fromLittleEndian(randomBytes(64)) % (ORDER - 1n)) + 1n;
}

export function decodePoint(bytes: Uint8Array): Point | null {
  try {
    return Group.fromBytes(bytes);
  } catch {
    return null;
  }
}

export function decodeScalar(bytes: Uint8Array): bigint | null {
  const value = fromLittleEndian(bytes);
  return bytes.length === 32 && value < ORDER ? value : null;
}
