/**
 * Proofs of the state and of a chart's log, as a node of a pilot once answered them: good ones, and what a node could
 * make of them.
 */

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

import * as k from '../src/index.js';

interface Fixture {
  readonly genesis: string;
  readonly chart: string;
  readonly present: string;
  readonly absent_grant: string;
  readonly absent: string;
  readonly log_from: number;
  readonly log: string;
}

const fixture = JSON.parse(
  await readFile(new URL('../../test/fixtures/state.json', import.meta.url), 'utf8'),
) as Fixture;
const validators = k.Consortium.read(k.unhex(fixture.genesis)).validators;
const chart = k.ChartId.of(fixture.chart);
const present: k.StateKey = { kind: 'chart', value: chart };
const absent: k.StateKey = { kind: 'grant', value: [chart, k.GrantId.of(fixture.absent_grant)] };

const proofOf = (digits: string): k.StateProof => k.decode(k.StateProof, k.unhex(digits), 1 << 18);

/** A checker whose clock stands where the proof's block was made. */
function checkerOf(proof: k.StateProof, ms = 0n, seen: k.TipSeen | null = null): k.Checker {
  const { header } = k.verifyCertified(proof.certified, validators);
  return { validators, seen, now: header.time + ms };
}

function refuses(what: string, attempt: () => unknown, ...codes: string[]): void {
  assert.throws(
    attempt,
    (error) => error instanceof k.KeepwellError && (codes.length === 0 || codes.includes(error.code)),
    what,
  );
}

const flipped = (bytes: Uint8Array, at: number): Uint8Array =>
  bytes.map((byte, place) => (place === at ? byte ^ (1 << (at % 8)) : byte));

test('a value and an absence are proven, and nothing else by the same proof', () => {
  const [here, nowhere] = [proofOf(fixture.present), proofOf(fixture.absent)];
  const proven = k.checkState(present, here, checkerOf(here));
  assert.equal(proven.value?.kind, 'chart');
  assert.equal(k.checkState(absent, nowhere, checkerOf(nowhere)).value, null);
  refuses('another key', () => k.checkState({ kind: 'chart_log', value: chart }, here, checkerOf(here)), 'state');
  refuses('a value hidden', () => k.checkState(present, { ...here, value: null }, checkerOf(here)), 'state');
  refuses('an absence of what is there', () => k.checkState(present, nowhere, checkerOf(nowhere)), 'state');
  refuses(
    'a value made up',
    () => k.checkState(absent, { ...nowhere, value: here.value }, checkerOf(nowhere)),
    'state',
  );
  refuses('a witness made by hand', () => new (k.Proven as any)(Symbol('checked'), null, proven.header), 'witness');
});

test('no byte of a proof is of no account', () => {
  for (const [key, digits] of [
    [present, fixture.present],
    [absent, fixture.absent],
  ] as const) {
    const proof = proofOf(digits);
    const checker = checkerOf(proof);
    for (let at = 0; at < proof.proof.length; at += 1) {
      refuses(`byte ${at}`, () => k.checkState(key, { ...proof, proof: flipped(proof.proof, at) }, checker), 'state');
    }
    for (const len of [0, 1, 31, proof.proof.length - 1]) {
      refuses(
        `${len} bytes`,
        () => k.checkState(key, { ...proof, proof: proof.proof.subarray(0, len) }, checker),
        'state',
      );
    }
    refuses(
      'a byte more',
      () => k.checkState(key, { ...proof, proof: k.concat(proof.proof, Uint8Array.of(0)) }, checker),
      'state',
    );
    for (let at = 0; proof.value !== null && at < proof.value.length; at += 1) {
      refuses(
        `byte ${at} of the value`,
        () => k.checkState(key, { ...proof, value: flipped(proof.value!, at) }, checker),
        'state',
      );
    }
  }
});

test('absurd numbers in a proof take neither time nor memory', () => {
  const proof = proofOf(fixture.present);
  const huge = k.unhex('ffffffffffffffffff01');
  const whole = k.concat(huge, new Uint8Array(32).fill(0xff), huge, huge, huge, new Uint8Array(4_096));
  const many = k.concat(
    Uint8Array.of(5),
    new Uint8Array(32).fill(0xff),
    k.unhex('ffffffffffffffff3f'),
    Uint8Array.of(62, 255, 1),
    new Uint8Array(9_000),
  );
  for (const made of [huge, whole, many, new Uint8Array(60_000).fill(0xff), new Uint8Array(60_000)]) {
    refuses('absurd', () => k.checkState(present, { ...proof, proof: made }, checkerOf(proof)), 'state');
  }
});

test('a tip is new, not before one that was seen, and not another one', () => {
  const proof = proofOf(fixture.present);
  const { header, id } = k.checkTip(proof.certified, checkerOf(proof));
  const tip = (ms: bigint, seen: k.TipSeen | null): unknown => k.checkTip(proof.certified, checkerOf(proof, ms, seen));
  tip(k.TIP_AGE_MS_MAX, { height: header.height, id });
  tip(-k.TIP_AHEAD_MS_MAX, { height: header.height - 1n, id });
  refuses('old', () => tip(k.TIP_AGE_MS_MAX + 1n, null), 'stale');
  refuses('ahead', () => tip(-k.TIP_AHEAD_MS_MAX - 1n, null), 'ahead');
  refuses('behind', () => tip(0n, { height: header.height + 1n, id }), 'behind');
  refuses('forked', () => tip(0n, { height: header.height, id: flipped(id, 0) }), 'fork');
});

test('a log is believed whole or not at all', () => {
  const page = k.decode(k.LogPage, k.unhex(fixture.log), 1 << 20);
  const checker = checkerOf(page.head);
  const from = BigInt(fixture.log_from);
  const walked = (change: Partial<k.LogPage>, walk = k.LogWalk.from(chart, from)): k.VerifiedLog | null => {
    walk.take({ ...page, ...change }, checker);
    return walk.log;
  };
  const log = walked({});
  assert.equal(log?.lines.length, page.entries.length);
  assert.equal(log?.mark.count, from + BigInt(page.entries.length));
  const { entries } = page;
  refuses('the last hidden', () => walked({ entries: [] }), 'withheld');
  assert.equal(walked({ entries: entries.slice(0, -1) }), null, 'a page that ends early proves nothing yet');
  refuses('swapped', () => walked({ entries: entries.toReversed() }), 'head');
  refuses('one twice', () => walked({ entries: [...entries, entries[0]!] }), 'too_many');
  refuses('begun elsewhere', () => walked({ from: from - 1n }), 'from');
  refuses('another past', () => walked({ before: k.EMPTY_LOG }), 'head');
  refuses(
    'the log of another chart',
    () => walked({}, k.LogWalk.from(k.ChartId.of(new Uint8Array(32)), from)),
    'state',
  );
  const denied = entries.map((it) => ({ ...it, outcome: { ...it.outcome, time: it.outcome.time + 1n } }));
  refuses('an outcome changed', () => walked({ entries: denied }), 'head');
  const moved = entries.map((it) => ({
    ...it,
    outcome: { ...it.outcome, command: k.CommandDigest.of(new Uint8Array(32)) },
  }));
  refuses('an entry that is not the one decided', () => walked({ entries: moved }), 'other_entry');
  const known = { count: from + BigInt(entries.length) + 1n, head: log!.mark.head };
  refuses('shorter than it was', () => walked({}, k.LogWalk.after(chart, known)), 'shrunk');
  const other = k.LogWalk.after(chart, { count: from, head: k.EMPTY_LOG });
  refuses('another past than the one seen', () => walked({}, other), 'before');
});
