/**
 * What a patient does at a pilot, by the words of its arguments: `patient.js WALLET CHART open|give|revoke|hostile
 * ...`. What it prints last is JSON. `crates/cli/tests/typescript.rs` runs it.
 */

import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import * as k from '../../src/index.js';

const DAY_MS = 24n * 60n * 60n * 1_000n;

/** A profile of the program: the genesis file, the operator's key, and where the nodes are. */
interface Profile {
  readonly genesis: Uint8Array;
  readonly operatorKey: Uint8Array;
  readonly endpoints: readonly k.Endpoint[];
}

async function profileOf(folder: string): Promise<Profile> {
  const text = await readFile(join(folder, 'profile.toml'), 'utf8');
  const value = (name: string): string => new RegExp(`^${name} = "([^"]+)"`, 'm').exec(text)![1]!;
  const nodes = [...text.matchAll(/\[\[nodes\]\]\s+organisation = "([0-9a-f]+)"\s+url = "([^"]+)"/g)];
  return {
    genesis: await bytesOf(join(folder, value('genesis'))),
    operatorKey: await bytesOf(join(folder, value('operator_file'))),
    endpoints: nodes.map(([, organisation, url]) => ({ organisation: k.OrganisationId.of(organisation!), url: url! })),
  };
}

async function bytesOf(path: string): Promise<Uint8Array> {
  return new Uint8Array(await readFile(path));
}

/** A patient at the pilot. */
interface Patient {
  readonly profile: Profile;
  readonly client: k.Client;
  readonly keyring: k.ChartKeyring;
  readonly wallet: k.Wallet;
}

async function patientOf(folder: string, chart: string): Promise<Patient> {
  const profile = await profileOf(folder);
  const [key, index] = await Promise.all(['key', 'index'].map((it) => bytesOf(join(folder, `wallet/wallet.${it}`))));
  const wallet = await k.Wallet.open(key!, index!, { operatorKey: profile.operatorKey });
  const client = new k.Client(k.Consortium.read(profile.genesis), profile.endpoints);
  return { profile, client, wallet, keyring: wallet.chart(k.ChartId.of(chart)) };
}

/** Opens the record at a position, writes its content, and reads in the log who looked. */
async function open({ client, keyring }: Patient, position: string, to: string): Promise<unknown> {
  const [actor, { chart }] = [keyring.actor(), keyring];
  const before = await client.log(actor, chart);
  const found = before.lines
    .map((line) => k.factsOf(line.position, line.entry, line.outcome))
    .find((it) => it?.name.position === BigInt(position));
  if (!found) throw new Error(`no record at position ${position}`);
  const opening = { actor, chart, what: { records: [found.name] }, purpose: 'PATRQT', seeds: keyring } as const;
  const opened = await k.openRecords(client, opening);
  const record = opened.records[0];
  if (record === undefined) throw opened.withheld[0]?.error ?? new Error('nothing opened');
  await writeFile(to, await k.readWhole(client, actor, record, 1 << 24));
  // The whole compartment as well, whose records are of several generations of keys.
  const compartments = [found.compartment];
  const all = await k.openRecords(client, { ...opening, what: { compartments } });
  const log = await client.log(actor, chart, before.mark);
  const accesses = log.lines.filter((it) => k.payloadOf(it.entry).kind === 'access_open');
  const last = k.payloadOf(accesses.at(-1)!.entry);
  const purpose = last.kind === 'access_open' ? last.value.purpose : null;
  return {
    purpose,
    accesses: accesses.length,
    opened: all.records.length,
    withheld: all.withheld.map((it) => it.error.message),
    faults: opened.faults.length,
  };
}

/** Grants a member a compartment for a day, and writes the receipt. */
async function give(
  { profile, client, keyring }: Patient,
  member: string,
  meaning: string,
  to: string,
): Promise<unknown> {
  const file = await bytesOf(join(member, 'member.key'));
  const identity = await k.MemberIdentity.open(file, { operatorKey: profile.operatorKey });
  const [grantee, key] = [identity.member, identity.sealing().publicKey()];
  const now = client.now();
  const compartment = keyring.compartment(meaning);
  const terms: k.GrantTerms = {
    effect: 'allow',
    grantee: { kind: 'member', value: grantee },
    compartments: [compartment],
    kinds: [...k.RecordKind.all],
    records: [],
    purposes: ['TREAT'],
    window: { from: now - 60_000n, until: now + DAY_MS },
    accessesMax: null,
    separateConsent: false,
    onward: false,
  };
  const given = await k.giveGrant(client, keyring, terms, key);
  await writeFile(to, given.decided.receipt);
  return { grant: k.hex(given.grant), compartment, height: Number(given.decided.verified.header.header.height) };
}

/** Opens a record as a member of another organisation, with the keys that a grant brought. */
async function read(
  { profile, client, keyring }: Patient,
  member: string,
  grant: string,
  position: string,
  to: string,
): Promise<unknown> {
  const file = await bytesOf(join(member, 'member.key'));
  const identity = await k.MemberIdentity.open(file, { operatorKey: profile.operatorKey });
  const [actor, { chart }] = [identity.actor(), keyring];
  const reader = { actor, sealing: () => identity.sealing() };
  const seeds = await k.seedsOf(client, reader, chart, k.GrantId.of(grant));
  const log = await client.log(keyring.actor(), chart);
  const line = log.lines.find((it) => it.position === BigInt(position))!;
  const { name, compartment } = k.factsOf(line.position, line.entry, line.outcome)!;
  const opening = { actor, chart, purpose: 'TREAT', seeds } as const;
  const opened = await k.openRecords(client, { ...opening, what: { records: [name] } });
  await writeFile(to, await k.readWhole(client, actor, opened.records[0]!, 1 << 24));
  const all = await k.openRecords(client, { ...opening, what: { compartments: [compartment] } });
  return { opened: all.records.length, withheld: all.withheld.length };
}

/** Answers the newest request in the chart: with what was asked for, or with no. */
async function answer({ client, keyring }: Patient, how: string): Promise<unknown> {
  const actor = keyring.actor();
  const log = await client.log(actor, keyring.chart);
  const asked = log.lines.map((it) => k.payloadOf(it.entry)).findLast((it) => it.kind === 'grant_request');
  if (asked?.kind !== 'grant_request') throw new Error('nobody asks');
  const { request, terms } = asked.value;
  if (how === 'no') {
    const decided = await k.refuseRequest(client, { actor, chart: keyring.chart }, request, 'not_needed');
    return { answered: decided.verified.outcome.verdict.kind };
  }
  if (terms.grantee.kind !== 'member') throw new Error('asked for many');
  const key = await k.memberKey(client, actor, terms.grantee.value);
  return { grant: k.hex((await k.answerWithGrant(client, keyring, request, terms, key)).grant) };
}

/** Gives a grant with the key that a node has for the member, and refuses to take another's. */
async function writeTo({ profile, client, keyring }: Patient, member: string): Promise<unknown> {
  const file = await bytesOf(join(member, 'member.key'));
  const identity = await k.MemberIdentity.open(file, { operatorKey: profile.operatorKey });
  const key = await k.memberKey(client, keyring.actor(), identity.member);
  return { own: k.equal(key.toBytes(), identity.sealing().publicKey().toBytes()) };
}

async function revoke({ client, keyring }: Patient, grant: string): Promise<unknown> {
  await k.revokeGrant(client, keyring, k.GrantId.of(grant));
  const entry = await client.grant(keyring.actor(), keyring.chart, k.GrantId.of(grant));
  if (entry?.revokedAt === null || entry === null) throw new Error('the state does not show the revocation');
  return { revoked: entry.revokedAt.toString() };
}

const COMMANDS: Record<string, (patient: Patient, ...words: string[]) => Promise<unknown>> = {
  open: open as never,
  give: give as never,
  revoke: revoke as never,
  read: read as never,
  answer: answer as never,
  key: writeTo as never,
  hostile: async (patient, grant) => (await import('./hostile.js')).hostile(patient, grant!),
};

export type { Patient };

const [folder, chart, command, ...words] = process.argv.slice(2);
const run = COMMANDS[command!];
if (run === undefined) throw new Error(`what is ${command}?`);
console.log(JSON.stringify(await run(await patientOf(folder!, chart!), ...words)));
