/**
 * What guardians hold together: a secret behind groups of them, such as 2 of 3 people and 1 of 2 institutions.
 *
 * ```text
 * GuardianEscrow = [outer, [group, ...]]                  its digest stands on the ledger
 * outer          = an escrow with one share for each group
 * group          = an escrow whose secret is the group's share of the outer one, with one share for each guardian
 * context        = chain, chart, and the place of the escrow: 0, or the number of the group from 1
 * HandedShare    = [share]                                a guardian's share, sealed to the successor
 * ```
 *
 * # Invariants
 *
 * * Fewer guardians than the policy asks for have nothing, whatever groups they are of.
 * * A share that was handed over opens for one successor of one chart and one guardian's place.
 *
 * Not here: when guardians hand shares over. The ledger shows a recovery, and each guardian looks.
 */

import { decode, encode } from './encoding.js';
import { UsageError } from './errors.js';
import {
  type Context,
  Share,
  TooFewShares,
  dealEscrow,
  dealtWrongly,
  isGood,
  noSuchHolder,
  openHanded,
  openShare,
  recover,
} from './escrow.js';
import { digest } from './hash.js';
import { LIMITS } from './limits.js';
import { GuardianEscrow, HandedShare } from './objects.js';
import { SealingKey, type SealingPublic } from './seal.js';
import type { ChainId, ChartId, Digest, GuardianPlace } from './types.js';

/** What an escrow is dealt for. */
export interface GuardianBinding {
  readonly chain: ChainId;
  readonly chart: ChartId;
}

/** One group: how many of these keys' holders give its share back. */
export interface GuardianKeys {
  readonly threshold: number;
  /** The guardians' keys, in the order of the policy. */
  readonly guardians: readonly SealingPublic[];
}

/** Shares `secret` out: `groupsMin` of the groups give it back, each by its own threshold. */
export function dealGuardians(
  binding: GuardianBinding,
  secret: Uint8Array,
  groupsMin: number,
  groups: readonly GuardianKeys[],
): GuardianEscrow {
  if (groups.length > LIMITS.GUARDIAN_GROUPS_MAX) {
    throw new UsageError('numbers', `there are at most ${LIMITS.GUARDIAN_GROUPS_MAX} groups of guardians`);
  }
  // Nobody holds the groups' own keys: each share of the outer escrow is shared out again at once.
  const keys = groups.map(() => SealingKey.generate());
  const whole = contextOf(binding, 0);
  const outer = dealEscrow(
    whole,
    secret,
    groupsMin,
    keys.map((key) => key.publicKey()),
  );
  const inner = groups.map(({ threshold, guardians }, place) => {
    const share = openShare(outer, whole, place + 1, keys[place]!);
    const dealt = dealEscrow(contextOf(binding, place + 1), share.toBytes(), threshold, guardians);
    share.erase();
    keys[place]!.erase();
    return dealt;
  });
  return { outer, groups: inner };
}

/** Decodes an escrow for guardians. */
export function decodeGuardians(bytes: Uint8Array): GuardianEscrow {
  return decode(GuardianEscrow, bytes, LIMITS.SEALED_SEEDS_BYTES_MAX);
}

/** What stands on the ledger of it. */
export function guardiansDigest(escrow: GuardianEscrow): Digest {
  return digest('keepwell/guardian/escrow/v1', [encode(GuardianEscrow, escrow)]);
}

/** What stands on the ledger of a share that was handed over. */
export function handedDigest(handed: HandedShare): Digest {
  return digest('keepwell/guardian/handed/v1', [encode(HandedShare, handed)]);
}

/** Opens a guardian's share and hands it to a successor. */
export function handOver(
  escrow: GuardianEscrow,
  binding: GuardianBinding,
  at: GuardianPlace,
  key: SealingKey,
  to: SealingPublic,
): HandedShare {
  const group = escrow.groups[at.group];
  if (group === undefined) throw noSuchHolder(at.group);
  const share = openShare(group, contextOf(binding, at.group + 1), at.place + 1, key);
  const handed = { share: share.seal(to, placeOf(binding, at)) };
  share.erase();
  return handed;
}

/** Opens a share with the successor's key. Whether it is a good share, the escrow tells. */
export function openHandedShare(
  handed: HandedShare,
  binding: GuardianBinding,
  at: GuardianPlace,
  key: SealingKey,
): Share {
  return openHanded(handed.share, key, placeOf(binding, at));
}

/** A guardian's share, and whose it is. */
export interface PlacedShare {
  readonly at: GuardianPlace;
  readonly share: Share;
}

/**
 * The secret, from the shares of enough guardians of enough groups. A group that cannot give its share is passed over:
 * one guardian who hands over something else keeps nobody from what the others give.
 */
export function recoverFromGuardians(
  escrow: GuardianEscrow,
  binding: GuardianBinding,
  shares: readonly PlacedShare[],
): Uint8Array {
  const outer: Share[] = [];
  escrow.groups.forEach((group, number) => {
    const context = contextOf(binding, number + 1);
    const given = shares
      .filter(({ at, share }) => at.group === number && share.holder === at.place + 1)
      .map(({ share }) => share)
      .filter((share) => isGood(group, context, share));
    const secret = unlessTooFew(() => recover(group, context, given));
    if (secret === null) return;
    const share = Share.fromBytes(secret);
    if (share === null) throw dealtWrongly();
    outer.push(share);
  });
  return recover(escrow.outer, contextOf(binding, 0), outer);
}

function unlessTooFew(attempt: () => Uint8Array): Uint8Array | null {
  try {
    return attempt();
  } catch (error) {
    if (error instanceof TooFewShares) return null;
    throw error;
  }
}

function contextOf({ chain, chart }: GuardianBinding, place: number): Context {
  return [chain, chart, Uint8Array.of(place)];
}

function placeOf({ chain, chart }: GuardianBinding, { group, place }: GuardianPlace): Context {
  return [chain, chart, Uint8Array.of(group, place)];
}
