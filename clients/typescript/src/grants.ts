/**
 * Grants: given, revoked and answered by whoever controls a chart; used by the grantee.
 *
 * ```text
 * giver     seeds of every epoch so far ── sealed to the grantee, bound to the terms ──> custodians
 *           grant.give {terms, digest of the sealed seeds} ──> ledger
 * grantee   grant on the ledger ──> sealed seeds ──> seeds
 * ```
 *
 * # Invariants
 *
 * * Seeds are sealed to a key whose digest the ledger has for the grantee, never to one that someone just handed over.
 * * A prohibition carries no seeds, nor does a grant to many.
 *
 * Not here: moving compartments to their next epoch after a revocation, and letters to the readers of grants to many
 * (`keepwell chart rotate`, `keepwell grant letter`). From the revocation on no validator releases, whatever keys an
 * earlier reader has.
 */

import { equal, hex, randomBytes } from './bytes.js';
import type { Client, Decided } from './client.js';
import { encode } from './encoding.js';
import { chartOf, payloadOf } from './commands.js';
import { ProofError, UsageError } from './errors.js';
import { LIMITS } from './limits.js';
import { type Seed, openSeeds, sealSeeds, seedsDigest } from './grant.js';
import type { EpochSeed } from './keys.js';
import type { Actor } from './node.js';
import { SealedSeeds } from './objects.js';
import type { SeedSource } from './reading.js';
import { type SealingKey, SealingPublic } from './seal.js';
import type { ChartEntry } from './state.js';
import {
  type ChartId,
  Digest,
  GrantId,
  type GrantTerms,
  type MemberId,
  type Payload,
  type RefusalReason,
  type RequestId,
} from './types.js';
import { verifyReceipt } from './verify.js';
import type { ChartKeyring } from './wallet.js';

/** What a grant without seeds names in the place of their digest. */
const NO_SEEDS = Digest.of(new Uint8Array(32));

/** A member's public key, as a node keeps it for whoever writes to the member. Check it by {@link giveGrant}. */
export async function memberKey(client: Client, actor: Actor, member: MemberId): Promise<SealingPublic> {
  const ask = { method: 'GET', target: `/v1/members/${hex(member)}/key`, actor, bytesMax: 2_048 } as const;
  return client.ask(ask, (bytes) => SealingPublic.fromBytes(bytes));
}

/** A grant that was given. */
export interface GivenGrant {
  readonly grant: GrantId;
  readonly decided: Decided;
}

/** Gives a grant. One to a member takes that member's key along, which must be the one on the ledger. */
export async function giveGrant(
  client: Client,
  keyring: ChartKeyring,
  terms: GrantTerms,
  key: SealingPublic | null,
): Promise<GivenGrant> {
  const [actor, { chart }] = [keyring.actor(), keyring];
  const grant = GrantId.of(randomBytes(GrantId.len));
  const seeds = await handOverSeeds(client, keyring, grant, terms, key);
  const decided = await client.command(actor, { kind: 'grant_give', value: { chart, grant, terms, seeds } });
  return { grant, decided };
}

/** Answers a request with a grant, on terms that may allow less than was asked for. */
export async function answerWithGrant(
  client: Client,
  keyring: ChartKeyring,
  request: RequestId,
  terms: GrantTerms,
  key: SealingPublic | null,
): Promise<GivenGrant> {
  const { chart } = keyring;
  const grant = GrantId.of(randomBytes(GrantId.len));
  const seeds = await handOverSeeds(client, keyring, grant, terms, key);
  const answer = { kind: 'give', value: { grant, terms, seeds } } as const;
  const decided = await client.command(keyring.actor(), { kind: 'grant_answer', value: { chart, request, answer } });
  return { grant, decided };
}

/** Answers a request with a refusal. */
export async function refuseRequest(
  client: Client,
  { actor, chart }: { readonly actor: Actor; readonly chart: ChartId },
  request: RequestId,
  reason: RefusalReason = 'unstated',
): Promise<Decided> {
  const answer = { kind: 'refuse', value: reason } as const;
  return client.command(actor, { kind: 'grant_answer', value: { chart, request, answer } });
}

/** Ends a grant: no validator releases for it from the next block on. */
export async function revokeGrant(client: Client, keyring: ChartKeyring, grant: GrantId): Promise<Decided> {
  return client.command(keyring.actor(), { kind: 'grant_revoke', value: { chart: keyring.chart, grant } });
}

/** The seeds that a grant brought to a member, under the terms that the ledger has. */
export async function seedsOf(
  client: Client,
  reader: { readonly actor: Actor; sealing(): SealingKey },
  chart: ChartId,
  grant: GrantId,
): Promise<SeedSource> {
  const { actor } = reader;
  const found = await client.grant(actor, chart, grant);
  if (found === null) throw new UsageError('no_such_grant', `there is no grant ${hex(grant)} in this chart`);
  const entry = await client.chart(actor, chart);
  const what = { digest: found.seeds, schema: SealedSeeds, digestOf: seedsDigest };
  const sealed = await client.sealedObject(actor, { chart, entry }, 'seeds', what);
  const terms = await signedTerms(client, actor, { chart, grant, position: found.position });
  const binding = { chain: client.consortium.chain, chart, grant, terms };
  const seeds = openSeeds(binding, reader.sealing(), sealed);
  return { epochSeed: (compartment, epoch) => seedAt(seeds, compartment, epoch) };
}

/**
 * The terms that were signed first, out of the receipt of the command that gave the grant: a later limit changes them.
 */
async function signedTerms(
  client: Client,
  actor: Actor,
  { chart, grant, position }: { readonly chart: ChartId; readonly grant: GrantId; readonly position: bigint },
): Promise<GrantTerms> {
  const target = `/v1/charts/${hex(chart)}/log/${position}/receipt`;
  return client.ask({ method: 'GET', target, actor, bytesMax: LIMITS.RECEIPT_BYTES_MAX }, (bytes) => {
    const payload = payloadOf(verifyReceipt(bytes, client.inForce.validators).entry);
    const of = chartOf(payload);
    const given = givenBy(payload);
    if (of === null || !equal(of, chart) || given === null || !equal(given.grant, grant)) {
      throw new ProofError(
        'other_entry',
        `the receipt for position ${position} of the log is not of this grant; ask another node`,
      );
    }
    return given.terms;
  });
}

/** The grant that a command gives, and the terms that are signed. */
function givenBy(payload: Payload): { readonly grant: GrantId; readonly terms: GrantTerms } | null {
  if (payload.kind === 'grant_give' || payload.kind === 'grant_pass') return payload.value;
  if (payload.kind !== 'grant_answer' || payload.value.answer.kind !== 'give') return null;
  return payload.value.answer.value;
}

function seedAt(seeds: readonly Seed[], compartment: number, epoch: number): EpochSeed | null {
  return seeds.find((it) => it.compartment === compartment && it.epoch === epoch)?.seed ?? null;
}

/** Seals seeds and stores them at the chart's custodians; the digest that the command names. */
async function handOverSeeds(
  client: Client,
  keyring: ChartKeyring,
  grant: GrantId,
  terms: GrantTerms,
  key: SealingPublic | null,
): Promise<Digest> {
  if (terms.effect === 'deny') return NO_SEEDS;
  if (terms.grantee.kind !== 'member') {
    if (key !== null)
      throw new UsageError('grantee_key', 'nobody holds one key for a role, an organisation, a team or everyone');
    return NO_SEEDS;
  }
  if (key === null) throw new UsageError('grantee_key', "a grant to a member takes the member's public key");
  const [actor, { chart }] = [keyring.actor(), keyring];
  await checkKey(client, actor, terms.grantee.value, key);
  const entry = await client.chart(actor, chart);
  const binding = { chain: client.consortium.chain, chart, grant, terms };
  const sealed = sealSeeds(binding, key, seedsWithin(keyring, entry, terms.compartments));
  await client.storeObject(actor, chart, entry, 'seeds', encode(SealedSeeds, sealed));
  return seedsDigest(sealed);
}

async function checkKey(client: Client, actor: Actor, member: MemberId, key: SealingPublic): Promise<void> {
  const { sealing } = await client.member(actor, member);
  if (equal(sealing, key.digest())) return;
  throw new UsageError(
    'other_grantee_key',
    'the key is not the one that the ledger has for this member; fetch it again',
  );
}

/** The seeds of every epoch so far of these compartments. */
function seedsWithin(keyring: ChartKeyring, { epochs }: ChartEntry, compartments: readonly number[]): Seed[] {
  return compartments
    .flatMap((compartment) =>
      Array.from({ length: epochs[compartment]! + 1 }, (_, epoch) => ({
        compartment,
        epoch,
        seed: keyring.epochSeed(compartment, epoch),
      })),
    )
    .filter((it): it is Seed => it.seed !== null);
}
