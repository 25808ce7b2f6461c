/**
 * Escrow: a secret shared out among holders, of whom a threshold gives it back.
 *
 * ```text
 * Escrow = [suite, threshold, check, [digest of share j, ...], [sealed share j, ...], ciphertext]
 * s      = P(0)         share j = P(j), j from 1         check = digest(binding, s)
 * key    = HKDF(s, binding)       ciphertext = ChaCha20-Poly1305(key, secret); the nonce is 0, since s is fresh
 * binding                         digest of the context and of what everybody sees but the ciphertext
 * ```
 *
 * # Invariants
 *
 * * Fewer shares than the threshold say nothing about the secret.
 * * What is dealt in one context opens in no other.
 * * A false share is told from a good one before it is used, and names its holder. Shares that are all good and give no
 *   secret prove that the dealer dealt wrongly.
 *
 * Not here: who may ask holders for their shares, and when.
 */

import { concat, equal, fromLittleEndian, littleEndian } from './bytes.js';
import { encode, list } from './encoding.js';
import { OpenError, ProofError, UsageError } from './errors.js';
import { ORDER, derive, digest } from './hash.js';
import { LIMITS } from './limits.js';
import { Escrow, SealedShare } from './objects.js';
import { type SealingKey, type SealingPublic, decryptOnce, encryptOnce, open, seal, wrongKey } from './seal.js';
import { decodeScalar, lagrange, randomScalar } from './threshold.js';
import { Digest } from './types.js';

const SHARE_DOMAIN = 'keepwell/escrow/share/v1';
const HANDED_DOMAIN = 'keepwell/escrow/handed/v1';
const SHARE_BYTES = 34;
const Digests = list(Digest, LIMITS.ESCROW_HOLDERS_MAX);
const SealedShares = list(SealedShare, LIMITS.ESCROW_HOLDERS_MAX);

/** What an escrow is bound to. */
export type Context = readonly Uint8Array[];

/** One holder's share: the holder's number, counted from 1, and a scalar. */
export class Share {
  private constructor(
    readonly holder: number,
    private readonly bytes: Uint8Array,
  ) {}

  static make(holder: number, value: bigint): Share {
    return new Share(holder, concat(littleEndian(holder, 2), littleEndian(value, 32)));
  }

  /** The share with these bytes, if they are one. */
  static fromBytes(bytes: Uint8Array): Share | null {
    if (bytes.length !== SHARE_BYTES || decodeScalar(bytes.subarray(2)) === null) return null;
    return new Share(Number(fromLittleEndian(bytes.subarray(0, 2))), bytes.slice());
  }

  /** Its bytes: what an escrow of shares shares out. */
  toBytes(): Uint8Array {
    return this.bytes.slice();
  }

  get value(): bigint {
    return fromLittleEndian(this.bytes.subarray(2));
  }

  /** Hands the share to whoever collects, in this context. */
  seal(to: SealingPublic, context: Context): SealedShare {
    return seal(to, HANDED_DOMAIN, context, this.bytes);
  }

  /** Overwrites it. */
  erase(): void {
    this.bytes.fill(0);
  }
}

/** Shares `secret` out. Holder j, counted from 1, has `holders[j − 1]`; `threshold` of them give it back. */
export function dealEscrow(
  context: Context,
  secret: Uint8Array,
  threshold: number,
  holders: readonly SealingPublic[],
): Escrow {
  checkNumbers(threshold, holders.length);
  if (secret.length > LIMITS.ESCROW_SECRET_BYTES_MAX) {
    throw new UsageError('too_long', `an escrow holds ${LIMITS.ESCROW_SECRET_BYTES_MAX} bytes, not ${secret.length}`);
  }
  const coefficients = Array.from({ length: threshold }, randomScalar);
  const constant = coefficients[0]!;
  const shares = holders.map((_, place) => Share.make(place + 1, evaluate(coefficients, place + 1)));
  const bound = contextDigest(context);
  const dealt = {
    suite: 'one' as const,
    threshold,
    check: checkOf(bound, constant),
    digests: shares.map((share) => shareDigest(bound, share)),
    sealed: shares.map((share, place) => seal(holders[place]!, SHARE_DOMAIN, [bound], share.toBytes())),
  };
  shares.forEach((share) => share.erase());
  return { ...dealt, ciphertext: encryptOnce(cipherKey(constant, bindingOf(bound, dealt)), secret) };
}

/** What stands on the ledger. */
export function escrowDigest(escrow: Escrow): Digest {
  return digest('keepwell/escrow/whole/v1', [encode(Escrow, escrow)]);
}

/** Opens the share of `holder`, counted from 1. */
export function openShare(escrow: Escrow, context: Context, holder: number, key: SealingKey): Share {
  const sealed = escrow.sealed[holder - 1];
  if (sealed === undefined) throw noSuchHolder(holder);
  const share = openHolders(sealed, context, holder, key);
  if (share.holder !== holder || !isGood(escrow, context, share)) throw dealtWrongly();
  return share;
}

function openHolders(sealed: SealedShare, context: Context, holder: number, key: SealingKey): Share {
  try {
    return openSealed(sealed, key, SHARE_DOMAIN, [contextDigest(context)]);
  } catch (error) {
    if (!(error instanceof OpenError)) throw error;
    const text = `the key does not open the share of holder ${holder}; use the key that the holder had when the escrow was dealt`;
    throw new OpenError('wrong_key', text);
  }
}

/** Opens what {@link Share.seal} made for this key and context. Whether it is a good share, the escrow tells. */
export function openHanded(sealed: SealedShare, key: SealingKey, context: Context): Share {
  return openSealed(sealed, key, HANDED_DOMAIN, context);
}

function openSealed(sealed: SealedShare, key: SealingKey, domain: string, parts: Context): Share {
  const share = Share.fromBytes(open(key, domain, parts, sealed));
  if (share === null) throw wrongKey();
  return share;
}

/** Whether a share is the one that was dealt. */
export function isGood(escrow: Escrow, context: Context, share: Share): boolean {
  const dealt = escrow.digests[share.holder - 1];
  return dealt !== undefined && equal(dealt, shareDigest(contextDigest(context), share));
}

/** The secret, from as many good shares as it takes. The same share twice counts once. */
export function recover(escrow: Escrow, context: Context, shares: readonly Share[]): Uint8Array {
  checkNumbers(escrow.threshold, escrow.sealed.length);
  if (escrow.digests.length !== escrow.sealed.length) throw malformed();
  const byHolder = new Map<number, Share>();
  for (const share of shares) {
    if (!isGood(escrow, context, share)) {
      const text = `holder ${share.holder} gave a false share; leave it out and ask another holder`;
      throw new ProofError('false_share', text);
    }
    byHolder.set(share.holder, share);
  }
  if (byHolder.size < escrow.threshold) throw new TooFewShares(byHolder.size, escrow.threshold);
  const holders = [...byHolder.keys()].sort((one, other) => one - other).slice(0, escrow.threshold);
  const weights = lagrange(holders, 0);
  const constant = holders.reduce((sum, holder, at) => (sum + byHolder.get(holder)!.value * weights[at]!) % ORDER, 0n);
  const bound = contextDigest(context);
  if (!equal(escrow.check, checkOf(bound, constant))) throw dealtWrongly();
  try {
    return decryptOnce(cipherKey(constant, bindingOf(bound, escrow)), escrow.ciphertext);
  } catch {
    throw malformed();
  }
}

/** Too few shares: nobody's fault. */
export class TooFewShares extends UsageError {
  constructor(
    readonly have: number,
    readonly need: number,
  ) {
    super('too_few', `${have} shares are here and ${need} are needed; ask further holders`);
  }
}

/** What an escrow whose dealer is at fault is answered with. */
export function dealtWrongly(): ProofError {
  const text =
    'the shares are good and give no secret: the escrow was dealt wrongly, and the secret cannot be had from it';
  return new ProofError('dealt_wrongly', text);
}

export function noSuchHolder(holder: number): UsageError {
  return new UsageError('no_such_holder', `the escrow has no holder ${holder}`);
}

function malformed(): ProofError {
  return new ProofError('malformed', 'the escrow is not whole, or it was dealt for something else; fetch it again');
}

function checkNumbers(threshold: number, holders: number): void {
  if (threshold > 0 && threshold <= holders && holders <= LIMITS.ESCROW_HOLDERS_MAX) return;
  throw new UsageError(
    'numbers',
    `${threshold} of ${holders} holders make no escrow; name 1 to ${LIMITS.ESCROW_HOLDERS_MAX} holders and a threshold that they can reach`,
  );
}

function evaluate(coefficients: readonly bigint[], x: number): bigint {
  return coefficients.reduceRight((sum, coefficient) => (sum * BigInt(x) + coefficient) % ORDER, 0n);
}

function contextDigest(context: Context): Digest {
  return digest('keepwell/escrow/context/v1', context);
}

function shareDigest(bound: Digest, share: Share): Digest {
  return digest('keepwell/escrow/dealt/v1', [bound, share.toBytes()]);
}

function checkOf(bound: Digest, constant: bigint): Digest {
  return digest('keepwell/escrow/check/v1', [bound, littleEndian(constant, 32)]);
}

/** Digest of the context and of all that the dealer chose but the ciphertext. */
function bindingOf(bound: Digest, { threshold, check, digests, sealed }: Omit<Escrow, 'ciphertext'>): Digest {
  const parts = [bound, littleEndian(threshold, 2), check, encode(Digests, digests), encode(SealedShares, sealed)];
  return digest('keepwell/escrow/binding/v1', parts);
}

function cipherKey(constant: bigint, binding: Digest): Uint8Array {
  return derive(littleEndian(constant, 32), 'keepwell/escrow/key/v1', [binding]);
}
