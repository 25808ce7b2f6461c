/**
 * The capsule: a record's data key under two locks, and the label that both are bound to.
 *
 * ```text
 * first lock    ss_P = HPKE export to the compartment's key, info bound to the label
 * second lock   ss_T = threshold KEM to the committee, proof bound to the label
 * key ‖ key commitment = HKDF(ss_P ‖ ss_T, digest of (label, both encapsulations))
 * sealed key    = ChaCha20-Poly1305(key, zero nonce, data key, additional data: label)
 * ```
 *
 * # Invariants
 *
 * * Encapsulations are inputs of the key derivation, so the whole withstands chosen ciphertexts as long as one of the
 *   locks does.
 * * The derived key is used for one message, hence the zero nonce.
 *
 * Not here: whether the label is the ledger's (`records.ts`), and the bytes of the record (`body.ts`).
 */

import { concat, equal, equalSecrets, randomBytes } from './bytes.js';
import { decode, encode } from './encoding.js';
import { UsageError } from './errors.js';
import { derive, digest } from './hash.js';
import { LIMITS } from './limits.js';
import { Capsule, type Ciphertext, SaltedCapsule } from './objects.js';
import {
  type SealingKey,
  type SealingPublic,
  decryptOnce,
  encryptOnce,
  shareSecret,
  sharedSecret,
  wrongKey,
} from './seal.js';
import { type Committee, encapsulate, ProvenPoint } from './threshold.js';
import { Commitment, Digest, Label } from './types.js';

const GRANT_DOMAIN = 'keepwell/capsule/grant/v1';

/** Puts a data key under both locks. Needs public keys alone: the patient may be offline. */
export function sealCapsule(
  label: Label,
  compartment: SealingPublic,
  committee: Committee,
  dataKey: Uint8Array,
): Capsule {
  if (!equal(label.committee, committee.id)) {
    throw new UsageError('committee', 'the label names another committee; take the committee from the genesis file');
  }
  const about = encode(Label, label);
  const first = shareSecret(compartment, GRANT_DOMAIN, [about]);
  const second = encapsulate(committee, about);
  const locks = { about, encapsulated: first.encapsulated, release: second.ciphertext };
  const { key, commitment } = keyOf(locks, first.secret, second.secret);
  return {
    suite: 'one',
    label,
    encapsulated: first.encapsulated,
    release: second.ciphertext,
    keyCommitment: commitment,
    sealedKey: encryptOnce(key, dataKey, about),
  };
}

/** Opens the first lock with the key of the compartment's epoch. A wrong key yields a secret that opens nothing. */
export function openGrantLock(capsule: Capsule, key: SealingKey): Uint8Array {
  return sharedSecret(key, GRANT_DOMAIN, [encode(Label, capsule.label)], capsule.encapsulated);
}

/** Checks that the second lock was made for this label and committee. */
export function verifyReleaseLock(capsule: Capsule, committee: Committee): ProvenPoint {
  return ProvenPoint.verify(committee, encode(Label, capsule.label), capsule.release);
}

/** Opens a capsule with both secrets; returns the data key. */
export function openCapsule(capsule: Capsule, granted: Uint8Array, released: Uint8Array): Uint8Array {
  const about = encode(Label, capsule.label);
  const { encapsulated, release } = capsule;
  const { key, commitment } = keyOf({ about, encapsulated, release }, granted, released);
  if (!equalSecrets(commitment, capsule.keyCommitment)) throw wrongKey();
  const dataKey = decryptOnce(key, capsule.sealedKey, about);
  if (dataKey.length !== 32) throw wrongKey();
  return dataKey;
}

/** Gives a capsule a fresh salt. */
export function salted(capsule: Capsule): SaltedCapsule {
  return { salt: Digest.of(randomBytes(32)), capsule };
}

/** Decodes a capsule with its salt. */
export function decodeSalted(bytes: Uint8Array): SaltedCapsule {
  return decode(SaltedCapsule, bytes, LIMITS.CAPSULE_BYTES_MAX);
}

/** What stands on the ledger. */
export function commitmentOf({ salt, capsule }: SaltedCapsule): Commitment {
  return Commitment.of(digest('keepwell/capsule/commitment/v1', [salt, encode(Capsule, capsule)]));
}

/** All of a capsule that its key depends on, beside the two secrets. */
interface Locks {
  readonly about: Uint8Array;
  readonly encapsulated: Uint8Array;
  readonly release: Ciphertext;
}

function keyOf(locks: Locks, granted: Uint8Array, released: Uint8Array): { key: Uint8Array; commitment: Digest } {
  if (granted.length !== 32 || released.length !== 32) throw wrongKey();
  const { u, uSecond, challenge, response } = locks.release;
  const transcript = [locks.about, locks.encapsulated, u, uSecond, challenge, response];
  const derived = derive(concat(granted, released), 'keepwell/capsule/key/v1', transcript, 64);
  return { key: derived.slice(0, 32), commitment: Digest.of(derived.subarray(32)) };
}
