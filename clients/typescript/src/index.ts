/**
 * `@keepwell/client`: Keepwell's formats and cryptography for browsers and Node.
 *
 * Start at `client.ts` (what one does), `verify.ts` (what is proven) and `types.ts` (what there is). Nothing here has
 * been reviewed by outsiders yet.
 *
 * @module
 */

export * from './bytes.js';
export * from './errors.js';
export * from './encoding.js';
export * from './limits.js';
export * from './types.js';
export * from './objects.js';
export * from './proofs.js';
export * from './state.js';

export { digest, sha256 } from './hash.js';
export * from './sign.js';
export * from './commands.js';
export * from './requests.js';
export * from './seal.js';
export * from './keys.js';
export * from './keyfile.js';
export * from './sheet.js';
export * from './padding.js';
export * from './body.js';
export { Committee, ProvenPoint, VerifiedPartial } from './threshold.js';
export * from './capsule.js';
export * from './release.js';
export * from './grant.js';
export * from './words.js';
export { Share, TooFewShares, dealEscrow, escrowDigest, openShare, recover } from './escrow.js';
export * from './guardians.js';
export * from './trustees.js';

export * from './merkle.js';
export * from './verify.js';

export * from './state_proofs.js';
export * from './consortium.js';
export * from './records.js';
export * from './rejection.js';
export * from './node.js';
export * from './wallet.js';
export * from './client.js';
export * from './reading.js';
export * from './grants.js';
export * from './passkey.js';
export * from './vault.js';
