/** What a node could answer that is not so: each must be refused, by an error that says whose fault it is. */

import * as k from '../../src/index.js';
import { refused } from '../vectors/check.js';
import type { Patient } from './patient.js';

/** What comes between the client and the nodes. */
type Change = (path: string, bytes: Uint8Array) => Uint8Array | Promise<Uint8Array>;

/** A client whose nodes' answers are changed on the way. */
function changed({ profile }: Patient, change: Change, seen: k.TipSeen | null = null, now?: () => number): k.Client {
  const send: k.Fetch = async (input, init) => {
    const response = await fetch(input, init);
    if (!response.ok) return response;
    const bytes = new Uint8Array(await response.arrayBuffer());
    const body = await change(new URL(input).pathname, bytes);
    return new Response(body as Uint8Array<ArrayBuffer>, { status: response.status });
  };
  return new k.Client(k.Consortium.read(profile.genesis), profile.endpoints.slice(0, 1), {
    fetch: send,
    seen,
    ...(now ? { now } : {}),
  });
}

function flip(at: number): Change {
  return (_, bytes) => bytes.map((byte, place) => (place === at % bytes.length ? byte ^ 1 : byte));
}

export async function hostile(patient: Patient, grant: string): Promise<{ refused: number; failed: string[] }> {
  const { keyring } = patient;
  const [actor, { chart }] = [keyring.actor(), keyring];
  const failed: string[] = [];
  let count = 0;
  const refuse = async (what: string, attempt: () => unknown, ...codes: string[]): Promise<void> => {
    try {
      await refused(what, attempt, ...codes);
      count += 1;
    } catch (error) {
      failed.push((error as Error).message);
    }
  };
  const chartOf = (change: Change, seen: k.TipSeen | null = null, now?: () => number): Promise<unknown> =>
    changed(patient, change, seen, now).chart(actor, chart);

  // A proof of the state, changed in every part of it; some are checked with all bits of one byte.
  const whole = changed(patient, (_, bytes) => bytes);
  const id = k.GrantId.of(grant);
  const entry = await whole.grant(actor, chart, id);
  if (entry === null) failed.push('the grant is not shown');
  if ((await whole.grant(actor, chart, k.GrantId.of(k.randomBytes(16)))) !== null)
    failed.push('a grant that nobody gave is shown');
  let length = 0;
  await changed(patient, (_, bytes) => ((length = bytes.length), bytes)).chart(actor, chart);
  for (let at = 0; at < length; at += 23) await refuse(`byte ${at} of a proof`, () => chartOf(flip(at)));
  await refuse('half a proof', () => chartOf((_, bytes) => bytes.subarray(0, bytes.length >> 1)));
  await refuse('nothing', () => chartOf(() => new Uint8Array(0)));

  // An answer to another question, an old one, and one of another consortium.
  let other: Uint8Array | null = null;
  await changed(patient, (_, bytes) => (other = bytes)).grant(actor, chart, id);
  await refuse('the proof of another key', () => chartOf(() => other!), 'state', 'kind');
  await refuse(
    'an old tip',
    () =>
      chartOf(
        (_, bytes) => bytes,
        null,
        () => Date.now() + 40_000,
      ),
    'stale',
    'skew',
  );
  const { height, id: block } = { height: 1n << 40n, id: k.randomBytes(32) };
  await refuse('a tip below one that was seen', () => chartOf((_, bytes) => bytes, { height, id: block }), 'behind');

  // A log with an entry less, and a receipt of another command.
  const withLess: Change = (path, bytes) => {
    if (!path.endsWith('/log')) return bytes;
    const page = k.decode(k.LogPage, bytes, bytes.length);
    return k.encode(k.LogPage, { ...page, entries: page.entries.toSpliced(1, 1) });
  };
  await refuse('an entry hidden', () => changed(patient, withLess).log(actor, chart), 'before', 'head', 'withheld');
  const asRefused: Change = (path, bytes) => {
    if (!path.endsWith('/log')) return bytes;
    const page = k.decode(k.LogPage, bytes, bytes.length);
    const entries = page.entries.map((it) => ({
      ...it,
      outcome: { ...it.outcome, verdict: { kind: 'accepted' as const } },
    }));
    return k.encode(k.LogPage, { ...page, entries });
  };
  await refuse('refusals hidden', () => changed(patient, asRefused).log(actor, chart), 'head');
  let earlier: Uint8Array | null = null;
  const replay: Change = (path, bytes) => (path === '/v1/commands' ? (earlier ??= bytes) : bytes);
  const replayed = changed(patient, replay);
  const minor = { kind: 'grant_revoke', value: { chart, grant: id } } as const;
  await replayed.submit([actor], minor);
  await refuse('a receipt replayed', () => replayed.submit([actor], minor), 'other_command');

  // Shares and bodies that are not what they should be; more than may come.
  const log = await whole.log(actor, chart);
  const facts = log.lines.map((it) => k.factsOf(it.position, it.entry, it.outcome)).findLast((it) => it !== null)!;
  const opening = { actor, chart, what: { records: [facts.name] }, purpose: 'PATRQT', seeds: keyring } as const;
  const openWith = async (change: Change): Promise<Uint8Array> => {
    const client = changedAll(patient, change);
    const opened = await k.openRecords(client, opening);
    if (opened.records[0] === undefined) throw opened.withheld[0]!.error;
    return k.readWhole(client, actor, opened.records[0], 1 << 24);
  };
  const on =
    (part: string, change: Change): Change =>
    (path, bytes) =>
      path.includes(part) ? change(path, bytes) : bytes;
  await openWith((_, bytes) => bytes);
  await refuse('shares damaged', () => openWith(on('/v1/release', flip(1_300))));
  await refuse('capsules damaged', () => openWith(on('/capsules', flip(700))), 'capsule');
  await refuse('bodies damaged', () => openWith(on('/body', flip(60))), 'chunk');
  await refuse('headers damaged', () => openWith(on('/body', flip(10))), 'wrong_key');
  await refuse('bodies cut off', () => openWith(on('/body', (_, bytes) => bytes.subarray(1))), 'cut_off');
  await refuse('an endless answer', () => openWith(on('/capsules', () => new Uint8Array(1 << 24))), 'too_long');
  const stranger: k.Actor = { party: actor.party, key: k.SigningKey.fromSeed(k.randomBytes(32)) };
  await refuse('a stranger', () => whole.chart(stranger, chart));
  return { refused: count, failed };
}

/** {@link changed}, with all nodes: shares come from several. */
function changedAll(patient: Patient, change: Change): k.Client {
  const { profile } = patient;
  const send: k.Fetch = async (input, init) => {
    const response = await fetch(input, init);
    if (!response.ok) return response;
    const body = await change(new URL(input).pathname, new Uint8Array(await response.arrayBuffer()));
    return new Response(body as Uint8Array<ArrayBuffer>, { status: response.status });
  };
  return new k.Client(k.Consortium.read(profile.genesis), profile.endpoints, { fetch: send });
}
