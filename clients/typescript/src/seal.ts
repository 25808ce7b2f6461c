/**
 * Sealing to a public key: HPKE (RFC 9180) in base mode, with X-Wing (KEM 0x647A), HKDF-SHA256 and ChaCha20-Poly1305.
 *
 * HPKE's key schedule is written out below: it is 30 lines, and the packages that have it make their own randomness, so
 * that no test vector could be made with them.
 *
 * # Invariants
 *
 * * `info` is `digest(domain, parts)`: what is sealed for one use and one context opens in no other.
 * * Every sealing draws a fresh encapsulation; none is used for two plaintexts.
 *
 * Not here: who sealed. Sealing is anonymous; whatever needs an author is signed as well.
 */

import { chacha20poly1305 } from '@noble/ciphers/chacha.js';
import { x25519 } from '@noble/curves/ed25519.js';
import { expand, extract } from '@noble/hashes/hkdf.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { sha3_256, shake256 } from '@noble/hashes/sha3.js';
import { ml_kem768_x25519 as xWing } from '@noble/post-quantum/hybrid.js';
import { ml_kem768 } from '@noble/post-quantum/ml-kem.js';

import { bigEndian, concat, erase, randomBytes, unhex, utf8 } from './bytes.js';
import { locked, OpenError, UsageError } from './errors.js';
import { digest } from './hash.js';
import type { Digest } from './types.js';

/** Bytes of an X-Wing encapsulation. */
export const ENCAPSULATED_BYTES = 1_120;
/** Bytes of an X-Wing public key. */
export const SEALING_KEY_BYTES = 1_216;
/** Bytes of a ChaCha20-Poly1305 or AES-GCM tag. */
export const TAG_BYTES = 16;

const NOTHING = new Uint8Array(0);
const ZERO_NONCE = new Uint8Array(12);
// "HPKE", then the numbers of KEM, KDF and AEAD.
const SUITE = concat(utf8('HPKE'), unhex('647a00010003'));

/** A public X-Wing key. */
export class SealingPublic {
  readonly #bytes: Uint8Array;

  private constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** The key with this encoding. Refuses what FIPS 203, section 7.2, refuses. */
  static fromBytes(bytes: Uint8Array): SealingPublic {
    try {
      if (bytes.length !== SEALING_KEY_BYTES) throw new RangeError();
      xWing.encapsulate(bytes, new Uint8Array(64));
    } catch {
      throw new UsageError(
        'public_key',
        'the bytes are not an X-Wing public key; fetch the key sheet or the key again',
      );
    }
    return new SealingPublic(bytes.slice());
  }

  /** Its encoding. */
  toBytes(): Uint8Array {
    return this.#bytes.slice();
  }

  /** What the ledger knows it by. */
  digest(): Digest {
    return digest('keepwell/seal/key/v1', [this.#bytes]);
  }
}

/** A private X-Wing key. */
export class SealingKey {
  readonly #seed: Uint8Array;
  #isErased = false;
  readonly #public: Uint8Array;

  private constructor(seed: Uint8Array) {
    this.#seed = seed.slice();
    this.#public = xWing.keygen(this.#seed).publicKey;
  }

  /** The key of a 32-byte seed, which is its whole encoding. */
  static fromSeed(seed: Uint8Array): SealingKey {
    if (seed.length !== 32) throw new UsageError('length', 'the seed of a key has 32 bytes');
    return new SealingKey(seed);
  }

  /** A fresh key. */
  static generate(): SealingKey {
    return new SealingKey(randomBytes(32));
  }

  /** What seals to it. */
  publicKey(): SealingPublic {
    return SealingPublic.fromBytes(this.#public);
  }

  /** The secret shared with whoever made an encapsulation. Another key gives another secret, not an error. */
  decapsulate(encapsulated: Uint8Array): Uint8Array {
    if (this.#isErased) throw locked();
    if (encapsulated.length !== ENCAPSULATED_BYTES) throw wrongKey();
    return decapsulate(this.#seed, encapsulated);
  }

  /** Overwrites the seed. */
  erase(): void {
    this.#seed.fill(0);
    this.#isErased = true;
  }
}

/** Bytes of an ML-KEM-768 ciphertext, which comes before the share of X25519. */
const ML_KEM_BYTES = 1_088;
const X_WING_LABEL = utf8('\\.//^\\');

/**
 * X-Wing's decapsulation (draft-connolly-cfrg-xwing-kem, section 5.5). It is written out because the library's own refuses
 * a share of small order, which the draft lets pass: whoever sealed so would seal for some programs and not for others.
 */
function decapsulate(seed: Uint8Array, encapsulated: Uint8Array): Uint8Array {
  const expanded = shake256(seed, { dkLen: 96 });
  const { secretKey } = ml_kem768.keygen(expanded.subarray(0, 64));
  const own = expanded.subarray(64);
  const [ciphertext, share] = [encapsulated.subarray(0, ML_KEM_BYTES), encapsulated.subarray(ML_KEM_BYTES)];
  const first = ml_kem768.decapsulate(ciphertext, secretKey);
  const secret = sha3_256(concat(first, agreed(own, share), share, x25519.getPublicKey(own), X_WING_LABEL));
  erase(expanded, secretKey, first);
  return secret;
}

/** X25519 (RFC 7748), without its optional check for zeros. */
function agreed(own: Uint8Array, share: Uint8Array): Uint8Array {
  try {
    return x25519.getSharedSecret(own, share);
  } catch {
    // The lengths are right and every share is one, so the library refuses zeros here and nothing else.
    return new Uint8Array(32);
  }
}

/** What a wrong key, or a sealed object that is not what it should be, is answered with. */
export function wrongKey(): OpenError {
  const text = 'the key does not open this: it is for another key, record or set of terms, or it is damaged';
  return new OpenError('wrong_key', text);
}

/** An encapsulation, and what it seals. */
export interface Sealed {
  readonly encapsulated: Uint8Array;
  readonly ciphertext: Uint8Array;
}

/** Seals `plaintext` to `to`. */
export function seal(to: SealingPublic, domain: string, parts: readonly Uint8Array[], plaintext: Uint8Array): Sealed {
  const { cipherText, sharedSecret } = xWing.encapsulate(to.toBytes());
  const { key, nonce } = schedule(sharedSecret, digest(domain, parts));
  return { encapsulated: cipherText, ciphertext: chacha20poly1305(key, nonce).encrypt(plaintext) };
}

/** Opens what {@link seal} made for this key, use and context. */
export function open(key: SealingKey, domain: string, parts: readonly Uint8Array[], sealed: Sealed): Uint8Array {
  const context = schedule(key.decapsulate(sealed.encapsulated), digest(domain, parts));
  return decrypt(context.key, context.nonce, sealed.ciphertext);
}

/** A fresh secret shared with the holder of `to`'s private key: HPKE's secret export (RFC 9180, section 5.3). */
export function shareSecret(
  to: SealingPublic,
  domain: string,
  parts: readonly Uint8Array[],
): { readonly encapsulated: Uint8Array; readonly secret: Uint8Array } {
  const { cipherText, sharedSecret } = xWing.encapsulate(to.toBytes());
  return { encapsulated: cipherText, secret: exported(sharedSecret, domain, parts) };
}

/** The secret that {@link shareSecret} made, for the holder of the private key. */
export function sharedSecret(
  key: SealingKey,
  domain: string,
  parts: readonly Uint8Array[],
  encapsulated: Uint8Array,
): Uint8Array {
  return exported(key.decapsulate(encapsulated), domain, parts);
}

/** Encrypts one message under a key that encrypts no other. */
export function encryptOnce(key: Uint8Array, plaintext: Uint8Array, about: Uint8Array = NOTHING): Uint8Array {
  return chacha20poly1305(key, ZERO_NONCE, about).encrypt(plaintext);
}

/** Decrypts what {@link encryptOnce} made. */
export function decryptOnce(key: Uint8Array, ciphertext: Uint8Array, about: Uint8Array = NOTHING): Uint8Array {
  return decrypt(key, ZERO_NONCE, ciphertext, about);
}

function decrypt(key: Uint8Array, nonce: Uint8Array, ciphertext: Uint8Array, about: Uint8Array = NOTHING): Uint8Array {
  if (ciphertext.length < TAG_BYTES) throw wrongKey();
  try {
    return chacha20poly1305(key, nonce, about).decrypt(ciphertext);
  } catch {
    throw wrongKey();
  }
}

function exported(shared: Uint8Array, domain: string, parts: readonly Uint8Array[]): Uint8Array {
  const { exporter } = schedule(shared, digest(domain, parts));
  return labeledExpand(exporter, 'sec', utf8(domain), 32);
}

/** `KeySchedule` of RFC 9180, section 5.1, in mode_base. */
function schedule(shared: Uint8Array, info: Uint8Array): { key: Uint8Array; nonce: Uint8Array; exporter: Uint8Array } {
  const context = concat(
    Uint8Array.of(0),
    labeledExtract(NOTHING, 'psk_id_hash', NOTHING),
    labeledExtract(NOTHING, 'info_hash', info),
  );
  const secret = labeledExtract(shared, 'secret', NOTHING);
  return {
    key: labeledExpand(secret, 'key', context, 32),
    nonce: labeledExpand(secret, 'base_nonce', context, 12),
    exporter: labeledExpand(secret, 'exp', context, 32),
  };
}

/** `LabeledExtract` of RFC 9180, section 4. */
function labeledExtract(salt: Uint8Array, label: string, secret: Uint8Array): Uint8Array {
  return extract(sha256, concat(utf8('HPKE-v1'), SUITE, utf8(label), secret), salt);
}

/** `LabeledExpand` of RFC 9180, section 4. */
function labeledExpand(secret: Uint8Array, label: string, info: Uint8Array, len: number): Uint8Array {
  return expand(sha256, secret, concat(bigEndian(len, 2), utf8('HPKE-v1'), SUITE, utf8(label), info), len);
}
