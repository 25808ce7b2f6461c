/**
 * The sealed part of a grant: epoch seeds for the grantee, bound to the terms.
 *
 * # Invariants
 *
 * * Seeds open only under the very terms that the controller signed; the digest of the sealed seeds is not one of them.
 * * Lines ascend strictly: one seed for each epoch of a compartment.
 *
 * Not here: whether the grant is in force. The ledger decides, at each access.
 */

import { decode, encode, list } from './encoding.js';
import { OpenError, UsageError } from './errors.js';
import { digest } from './hash.js';
import { EpochSeed } from './keys.js';
import { LIMITS } from './limits.js';
import { SealedSeeds, SeedLine } from './objects.js';
import { type SealingKey, type SealingPublic, open, seal } from './seal.js';
import { type ChainId, type ChartId, Digest, type GrantId, GrantTerms } from './types.js';

const DOMAIN = 'keepwell/grant/seeds/v1';

/** Seeds in one grant: 64 epochs of every compartment. */
export const SEEDS_MAX = 64 * LIMITS.COMPARTMENTS;

const Lines = list(SeedLine, SEEDS_MAX);

/** What seeds are bound to: the grant as it was given. */
export interface GrantBinding {
  readonly chain: ChainId;
  readonly chart: ChartId;
  readonly grant: GrantId;
  /** Its terms, as they were signed first: a later limit does not change them. */
  readonly terms: GrantTerms;
}

/** The seed of one epoch of one compartment. */
export interface Seed {
  readonly compartment: number;
  readonly epoch: number;
  readonly seed: EpochSeed;
}

/** Seals seeds to a grantee. They may come in any order. */
export function sealSeeds(binding: GrantBinding, grantee: SealingPublic, seeds: readonly Seed[]): SealedSeeds {
  const lines = seeds
    .map(({ compartment, epoch, seed }) => ({ compartment, epoch, seed: Digest.of(seed.toBytes()) }))
    .sort((one, other) => one.compartment - other.compartment || one.epoch - other.epoch);
  if (!ascend(lines) || lines.length > SEEDS_MAX) {
    throw new UsageError('seeds', `the seeds of a grant are at most ${SEEDS_MAX}, one for each epoch of a compartment`);
  }
  return { suite: 'one', ...seal(grantee, DOMAIN, partsOf(binding), encode(Lines, lines)) };
}

/** Opens seeds, under the terms that the ledger has for the grant. */
export function openSeeds(binding: GrantBinding, grantee: SealingKey, sealed: SealedSeeds): Seed[] {
  const lines = decode(Lines, open(grantee, DOMAIN, partsOf(binding), sealed), LIMITS.SEALED_SEEDS_BYTES_MAX);
  if (!ascend(lines)) throw new OpenError('seeds', 'the sealed seeds are out of order; ask for the grant again');
  return lines.map(({ compartment, epoch, seed }) => ({ compartment, epoch, seed: new EpochSeed(seed) }));
}

/** Decodes sealed seeds. */
export function decodeSeeds(bytes: Uint8Array): SealedSeeds {
  return decode(SealedSeeds, bytes, LIMITS.SEALED_SEEDS_BYTES_MAX);
}

/** What stands on the ledger. */
export function seedsDigest(sealed: SealedSeeds): Digest {
  return digest('keepwell/grant/sealed/v1', [encode(SealedSeeds, sealed)]);
}

/** The digest of the seeds that a rotation seals to the remaining grantees, in ascending order of grants. */
export function seedTableDigest(lines: readonly { readonly grant: GrantId; readonly seeds: Digest }[]): Digest {
  return digest(
    'keepwell/grant/table/v1',
    lines.flatMap(({ grant, seeds }) => [grant, seeds]),
  );
}

function partsOf({ chain, chart, grant, terms }: GrantBinding): Uint8Array[] {
  return [chain, chart, grant, encode(GrantTerms, terms)];
}

function ascend(lines: readonly SeedLine[]): boolean {
  return lines.every((line, at) => {
    const before = lines[at - 1];
    if (before === undefined) return true;
    return (
      before.compartment < line.compartment || (before.compartment === line.compartment && before.epoch < line.epoch)
    );
  });
}
