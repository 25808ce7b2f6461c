/**
 * Ed25519: signing, and the one meaning of "valid" that validators share.
 *
 * A signature is over `digest(domain, [message])`. A signature (R, S) by key A over M is valid if and only if
 *
 * 1. A and R are the canonical encodings of points (y < p),
 * 2. neither A nor R has small order,
 * 3. S < ℓ, and
 * 4. [8][S]B = [8]R + [8][k]A with k = SHA-512(R ‖ A ‖ M) (RFC 8032, section 5.1.7).
 *
 * Votes of consensus are valid by 3 and 4 alone (ZIP 215), as the engine verifies them.
 *
 * Not here: whose key it is.
 */

import { ed25519 } from '@noble/curves/ed25519.js';

import { equal, unhex } from './bytes.js';
import { locked, ProofError } from './errors.js';
import { digest } from './hash.js';
import { PublicKey, Signature } from './types.js';

/** Makes signatures. Its seed is in no other place than here. */
export class SigningKey {
  readonly #seed: Uint8Array;
  #isErased = false;
  /** What verifies its signatures. */
  readonly publicKey: PublicKey;

  private constructor(seed: Uint8Array) {
    this.#seed = seed.slice();
    this.publicKey = PublicKey.of(ed25519.getPublicKey(seed));
  }

  /** The key of a 32-byte seed (RFC 8032, section 5.1.5). */
  static fromSeed(seed: Uint8Array): SigningKey {
    return new SigningKey(seed);
  }

  /** Signs `message` for the use that `domain` names. */
  sign(domain: string, message: Uint8Array): Signature {
    if (this.#isErased) throw locked();
    return Signature.of(ed25519.sign(digest(domain, [message]), this.#seed));
  }

  /** Overwrites the seed; the key signs nothing any more. */
  erase(): void {
    this.#seed.fill(0);
    this.#isErased = true;
  }
}

/** Verifies a signature that {@link SigningKey.sign} made. */
export function verify(key: PublicKey, domain: string, message: Uint8Array, signature: Signature): void {
  if (!isCanonicalAndLarge(key)) throw badKey();
  if (!isCanonicalAndLarge(signature.subarray(0, 32))) throw malformed();
  verifyVote(key, digest(domain, [message]), signature);
}

/** Verifies a vote of consensus, over bytes as they are: ZIP 215. */
export function verifyVote(key: PublicKey, message: Uint8Array, signature: Signature): void {
  if (!isPoint(key)) throw badKey();
  if (!isPoint(signature.subarray(0, 32)) || !isReduced(signature.subarray(32))) throw malformed();
  if (!ed25519.verify(signature, message, key, { zip215: true })) {
    throw new ProofError(
      'signature',
      'the signature does not fit: what was signed is not what was sent, or by another key',
    );
  }
}

const badKey = (): ProofError =>
  new ProofError('key', 'this is not a public key that the consortium accepts; make another key');
const malformed = (): ProofError => new ProofError('malformed', 'the signature is malformed; sign again');

/**
 * The y coordinates of the points of small order, little endian, without the sign of x: 1, −1, 0 and the two of order
 * 8.
 */
const SMALL_ORDER_Y = [
  `01${'00'.repeat(31)}`,
  `ec${'ff'.repeat(30)}7f`,
  '00'.repeat(32),
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
].map(unhex);

/** Rules 1 and 2, by the bytes alone. */
function isCanonicalAndLarge(encoded: Uint8Array): boolean {
  const y = encoded.slice();
  y[31]! &= 0x7f;
  // p = 2²⁵⁵ − 19, so the only y that are not below it begin with 0xed or more, then all ones.
  const canonical = y[0]! < 0xed || y[31] !== 0x7f || y.subarray(1, 31).some((byte) => byte !== 0xff);
  return canonical && !SMALL_ORDER_Y.some((small) => equal(small, y));
}

function isPoint(encoded: Uint8Array): boolean {
  try {
    ed25519.Point.fromBytes(encoded, true);
    return true;
  } catch {
    return false;
  }
}

/** Rule 3. */
function isReduced(encoded: Uint8Array): boolean {
  const order = ed25519.Point.Fn.ORDER;
  let value = 0n;
  for (let at = 31; at >= 0; at -= 1) value = (value << 8n) | BigInt(encoded[at]!);
  return value < order;
}
