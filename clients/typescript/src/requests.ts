/**
 * Requests to a node: who asks, and for exactly what.
 *
 * ```text
 * authorization: Keepwell <base64url, no padding, of the canonical SignedRequest>
 * ```
 *
 * Not here: sending them (`node.ts`).
 */

import { encode } from './encoding.js';
import { digest } from './hash.js';
import { type SigningKey, verify } from './sign.js';
import { Digest, Request, SignedRequest } from './types.js';

const DOMAIN = 'keepwell/request/signature/v1';

/** The digest of a request's body; of no bytes where there is none. */
export function bodyDigest(body: Uint8Array): Digest {
  return digest('keepwell/request/body/v1', [body]);
}

/** Signs a request with the key of the party that it names. */
export function signRequest(key: SigningKey, request: Request): SignedRequest {
  const signature = key.sign(DOMAIN, encode(Request, request));
  return { request, suite: 'one', key: key.publicKey, signature };
}

/** Verifies the signature of a request. */
export function verifyRequest(signed: SignedRequest): void {
  verify(signed.key, DOMAIN, encode(Request, signed.request), signed.signature);
}

/** The header that carries a signed request. */
export function authorization(signed: SignedRequest): string {
  const text = btoa(String.fromCharCode(...encode(SignedRequest, signed)));
  return `Keepwell ${text.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')}`;
}
