/**
 * Key files: secrets at rest, under a passphrase or under an operator's key.
 *
 * ```text
 * KeyFile    = [version, kind, label, demonstration, lock, nonce (12), ciphertext]
 * lock       = passphrase [memory in KiB, passes, lanes, salt (16)]  |  operator key [salt (16)]
 * key        = Argon2id (RFC 9106) of the passphrase  |  HKDF of the operator's key
 * ciphertext = ChaCha20-Poly1305(key, nonce, secret, additional data: all fields before it)
 * ```
 *
 * # Invariants
 *
 * * Every field is authenticated: a file cannot be given another label, or lose its demonstration flag.
 * * The work that a file asks for is bounded before it is done: a hostile file exhausts nothing.
 * * Keys that protect something are never locked with less work than {@link COST_MIN}.
 *
 * Not here: storing files. A passphrase is its UTF-8 bytes, as they are given.
 */

import { chacha20poly1305 } from '@noble/ciphers/chacha.js';
import { argon2id } from '@noble/hashes/argon2.js';

import { randomBytes, utf8 } from './bytes.js';
import { decode, encode, fixed } from './encoding.js';
import { DecodeError, OpenError, UsageError } from './errors.js';
import { derive } from './hash.js';
import { Authenticated, type Cost, KeyFile, type KeyKind } from './objects.js';
import { TAG_BYTES } from './seal.js';

const VERSION = 1;
const FILE_BYTES_MAX = 2_048;
const SECRET_BYTES_MAX = 1_024;
const MEMORY_KIB_MAX = 1024 * 1024;
const PASSES_MAX = 16;
const LANES_MAX = 16;
const Salt = fixed('16 random bytes', 16);
const Nonce = fixed('12 random bytes', 12);

/** For keys that protect something: 256 MiB, three passes. */
export const COST_STANDARD: Cost = { memoryKib: 256 * 1024, passes: 3, lanes: 1 };
/** The least for keys that protect something: the second choice of RFC 9106, section 4, on one lane. */
export const COST_MIN: Cost = { memoryKib: 64 * 1024, passes: 3, lanes: 1 };

/** What a key file says about its secret in the open. */
export interface About {
  readonly kind: KeyKind;
  /** Whose it is, in words or identifiers. Never the name of a patient. */
  readonly label: string;
  /** Whether a demonstration made it, so that it protects nothing. */
  readonly demonstration: boolean;
}

/**
 * Argon2id (version 0x13) with an output of 32 bytes. The one of `@noble/hashes` is used where none is given; a faster
 * one, such as WebAssembly's, may stand in.
 */
export type Argon2id = (passphrase: Uint8Array, salt: Uint8Array, cost: Cost) => Promise<Uint8Array> | Uint8Array;

/** Decodes a key file. */
export function decodeKeyFile(bytes: Uint8Array): KeyFile {
  const file = decode(KeyFile, bytes, FILE_BYTES_MAX);
  if (file.version !== VERSION) {
    throw new DecodeError(
      'version',
      `the key file has version ${file.version}; this program reads version ${VERSION}`,
      1,
    );
  }
  return file;
}

/** A key file in its canonical bytes. */
export function encodeKeyFile(file: KeyFile): Uint8Array {
  return encode(KeyFile, file);
}

/** Locks `secret` with a passphrase. */
export async function lockWithPassphrase(
  about: About,
  secret: Uint8Array,
  passphrase: string,
  cost: Cost = COST_STANDARD,
  argon: Argon2id = inJavaScript,
): Promise<KeyFile> {
  const weak = cost.memoryKib < COST_MIN.memoryKib || cost.passes < COST_MIN.passes;
  if (weak && !about.demonstration) {
    throw new UsageError('cost_too_low', 'so little work guards a real key too weakly; use COST_STANDARD');
  }
  const salt = Salt.of(randomBytes(16));
  const key = await passphraseKey(passphrase, cost, salt, argon);
  return lock(about, secret, { kind: 'passphrase', value: { cost, salt } }, key);
}

/** Locks `secret` with an operator's key of 32 random bytes, which is kept elsewhere. */
export function lockWithOperatorKey(about: About, secret: Uint8Array, operatorKey: Uint8Array): KeyFile {
  const salt = Salt.of(randomBytes(16));
  return lock(about, secret, { kind: 'operator_key', value: { salt } }, operatorFileKey(operatorKey, salt));
}

/** Opens a file with its passphrase; returns its secret. */
export async function unlockWithPassphrase(
  file: KeyFile,
  passphrase: string,
  argon: Argon2id = inJavaScript,
): Promise<Uint8Array> {
  if (file.lock.kind !== 'passphrase') throw wrongLock('an operator key');
  const { cost, salt } = file.lock.value;
  return unlock(file, await passphraseKey(passphrase, cost, salt, argon));
}

/** Opens a file with the operator's key; returns its secret. */
export function unlockWithOperatorKey(file: KeyFile, operatorKey: Uint8Array): Uint8Array {
  if (file.lock.kind !== 'operator_key') throw wrongLock('a passphrase');
  return unlock(file, operatorFileKey(operatorKey, file.lock.value.salt));
}

/** Refuses a file that holds another kind of key. */
export function expectKind(file: KeyFile, needed: KeyKind): void {
  if (file.kind === needed) return;
  throw new UsageError(
    'wrong_kind',
    `the file holds a ${file.kind} key and a ${needed} key is needed; give the right file`,
  );
}

function wrongLock(needed: string): UsageError {
  return new UsageError('wrong_lock', `the key file opens with ${needed}`);
}

function lock(about: About, secret: Uint8Array, how: KeyFile['lock'], key: Uint8Array): KeyFile {
  if (secret.length > SECRET_BYTES_MAX) {
    throw new UsageError('too_long', `a key file holds ${SECRET_BYTES_MAX} bytes, not ${secret.length}`);
  }
  const { kind, label, demonstration } = about;
  const open = { version: VERSION, kind, label, demonstration, lock: how, nonce: Nonce.of(randomBytes(12)) };
  const cipher = chacha20poly1305(key, open.nonce, encode(Authenticated, open));
  return { ...open, ciphertext: cipher.encrypt(secret) };
}

function unlock(file: KeyFile, key: Uint8Array): Uint8Array {
  const wrong = new OpenError(
    'wrong',
    'the passphrase or operator key is wrong, or the file was changed; try again, or restore it from your copy',
  );
  if (file.ciphertext.length < TAG_BYTES) throw wrong;
  try {
    return chacha20poly1305(key, file.nonce, encode(Authenticated, file)).decrypt(file.ciphertext);
  } catch {
    throw wrong;
  }
}

async function passphraseKey(passphrase: string, cost: Cost, salt: Uint8Array, argon: Argon2id): Promise<Uint8Array> {
  if (passphrase === '') throw new UsageError('empty_passphrase', 'the passphrase is empty; choose one');
  const { memoryKib, passes, lanes } = cost;
  const bounded = memoryKib <= MEMORY_KIB_MAX && passes <= PASSES_MAX && lanes <= LANES_MAX;
  if (!bounded || lanes < 1 || passes < 1 || memoryKib < 8 * lanes) {
    const text = `the key file asks for ${memoryKib} KiB, ${passes} passes and ${lanes} lanes, which is outside the limits; it is damaged or hostile`;
    throw new OpenError('cost', text);
  }
  return argon(utf8(passphrase), salt, cost);
}

function inJavaScript(passphrase: Uint8Array, salt: Uint8Array, { memoryKib, passes, lanes }: Cost): Uint8Array {
  // The library counts its own tables too; what the file asks for was checked.
  const maxmem = 1024 * (memoryKib + 1024);
  return argon2id(passphrase, salt, { m: memoryKib, t: passes, p: lanes, dkLen: 32, version: 0x13, maxmem });
}

function operatorFileKey(operatorKey: Uint8Array, salt: Uint8Array): Uint8Array {
  if (operatorKey.length !== 32) throw new UsageError('length', "an operator's key has 32 bytes");
  return derive(operatorKey, 'keepwell/keyfile/operator/v1', [salt]);
}
