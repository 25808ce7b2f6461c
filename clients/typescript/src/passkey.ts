/**
 * Passkeys: a wallet sealed under what a passkey's PRF extension gives (WebAuthn Level 3, section 10.1.4).
 *
 * ```text
 * PasskeyFile = [version, credential, salt (32), key file, sealed index]
 * prf         = the passkey's HMAC of the salt, 32 bytes, after the person was verified
 * key file    = of the root, under the operator's key HKDF(prf, credential, salt)
 * ```
 *
 * There is one file for each passkey. It opens nothing without the passkey, so a page may keep it where it likes. Not
 * every browser and authenticator has the extension: the recovery file under a passphrase is always made as well.
 *
 * Not here: the dialogue with the authenticator's maker. What {@link evaluatePrf} asks is one assertion.
 */

import { randomBytes } from './bytes.js';
import { blob, decode, encode, fixed, struct, u8, type Of } from './encoding.js';
import { DecodeError, UsageError } from './errors.js';
import { derive } from './hash.js';

const Salt = fixed('the salt of a passkey', 32);

const PasskeyFile = struct({
  version: u8,
  /** The passkey, as its authenticator names it. */
  credential: blob(1_023),
  salt: Salt,
  key: blob(2_048),
  index: blob(256 * 1024 * 1024),
});
/** A wallet under one passkey. */
export type PasskeyFile = Of<typeof PasskeyFile>;

const FILE_BYTES_MAX = 256 * 1024 * 1024 + 8_192;

/** Decodes a file. */
export function decodePasskeyFile(bytes: Uint8Array): PasskeyFile {
  const file = decode(PasskeyFile, bytes, FILE_BYTES_MAX);
  if (file.version !== 1) {
    throw new DecodeError('version', `the file has version ${file.version}; this program reads version 1`, 1);
  }
  return file;
}

/** A file in its canonical bytes. */
export function encodePasskeyFile(file: Omit<PasskeyFile, 'version'>): Uint8Array {
  return encode(PasskeyFile, { version: 1, ...file });
}

/** A fresh salt: what the passkey is asked for. */
export function newSalt(): PasskeyFile['salt'] {
  return Salt.of(randomBytes(32));
}

/** The key that locks the root, from what the passkey gave. */
export function passkeyKey(prf: Uint8Array, credential: Uint8Array, salt: Uint8Array): Uint8Array {
  if (prf.length !== 32) throw new UsageError('prf', 'the passkey gave no 32 bytes; use the recovery file');
  return derive(prf, 'keepwell/client/passkey/v1', [credential, salt]);
}

/**
 * Asks a passkey for its PRF of a salt; for pages, since workers have no way to authenticators. Overwrite the answer
 * once the worker has it.
 */
export async function evaluatePrf(rpId: string, credential: Uint8Array, salt: Uint8Array): Promise<Uint8Array> {
  const given = await navigator.credentials.get({
    publicKey: {
      rpId,
      challenge: randomBytes(32) as Uint8Array<ArrayBuffer>,
      allowCredentials: [{ type: 'public-key', id: credential as Uint8Array<ArrayBuffer> }],
      userVerification: 'required',
      extensions: { prf: { eval: { first: salt as Uint8Array<ArrayBuffer> } } },
    },
  });
  const results = (given as PublicKeyCredential | null)?.getClientExtensionResults();
  const first = results?.prf?.results?.first;
  if (first === undefined) {
    throw new UsageError(
      'no_prf',
      'this browser or authenticator has no PRF extension; use the recovery file and its passphrase',
    );
  }
  return new Uint8Array(ArrayBuffer.isView(first) ? first.buffer : first).slice();
}
