/**
 * Digests and derived keys: the one framing under every hash of Keepwell.
 *
 * ```text
 * digest(domain, parts) = SHA-256(len(domain) ‖ domain ‖ len(part 0) ‖ part 0 ‖ ...)      len: u64, little endian
 * ```
 *
 * # Invariants
 *
 * * The input of every hash of a format of ours is an injective function of its domain and its list of parts.
 * * A domain is `keepwell/<module>/<use>/v<k>` and belongs to one use only.
 *
 * Not here: Merkle trees (`merkle.ts`).
 */

import { ristretto255, ristretto255_hasher } from '@noble/curves/ed25519.js';
import { hkdf } from '@noble/hashes/hkdf.js';
import { sha256 as sha256of, sha512 } from '@noble/hashes/sha2.js';

import { fromLittleEndian, littleEndian, utf8 } from './bytes.js';
import type { Digest } from './types.js';

/** A point of ristretto255. */
export type Point = InstanceType<typeof ristretto255.Point>;
/** The group of the second lock. */
export const Group: (typeof ristretto255)['Point'] = ristretto255.Point;
/** How many scalars there are. */
export const ORDER = Group.Fn.ORDER;

/** The digest of a list of byte strings, for one use. */
export function digest(domain: string, parts: readonly Uint8Array[]): Digest {
  return framed(sha256of.create(), domain, parts) as Digest;
}

/** SHA-256 of `parts`, one after the other, without any framing: for formats of others that bring their own. */
export function sha256(...parts: readonly Uint8Array[]): Digest {
  const hasher = sha256of.create();
  for (const part of parts) hasher.update(part);
  return hasher.digest() as Uint8Array as Digest;
}

/** A scalar that nobody can steer: SHA-512 under the same framing, reduced. */
export function scalarOf(domain: string, parts: readonly Uint8Array[]): bigint {
  return fromLittleEndian(framed(sha512.create(), domain, parts)) % ORDER;
}

/** A point whose discrete logarithm nobody knows: SHA-512 under the same framing, mapped to ristretto255. */
export function pointOf(domain: string, parts: readonly Uint8Array[]): Point {
  return ristretto255_hasher.deriveToCurve!(framed(sha512.create(), domain, parts));
}

/** Key material from `secret`: HKDF-SHA256 (RFC 5869) with no salt and `info = digest(domain, parts)`. */
export function derive(secret: Uint8Array, domain: string, parts: readonly Uint8Array[], len = 32): Uint8Array {
  return hkdf(sha256of, secret, undefined, digest(domain, parts), len);
}

interface Hasher {
  update(bytes: Uint8Array): unknown;
  digest(): Uint8Array;
}

function framed(hasher: Hasher, domain: string, parts: readonly Uint8Array[]): Uint8Array {
  for (const part of [utf8(domain), ...parts]) {
    hasher.update(littleEndian(part.length, 8));
    hasher.update(part);
  }
  return hasher.digest();
}
