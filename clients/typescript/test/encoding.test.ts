/** The encoding against what nobody should send, and what JavaScript makes easy to get wrong. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as k from '../src/index.js';

const { concat, decode, encode, unhex, utf8 } = k;

function refusedAs(code: string | readonly string[], attempt: () => unknown): void {
  const codes = typeof code === 'string' ? [code] : code;
  assert.throws(attempt, (error) => error instanceof k.KeepwellError && codes.includes(error.code), codes.join());
}

test('numbers of 64 bits are whole', () => {
  for (const value of [
    0n,
    23n,
    24n,
    255n,
    256n,
    65_535n,
    65_536n,
    0xffff_ffffn,
    1n << 32n,
    (1n << 53n) + 1n,
    (1n << 64n) - 1n,
  ]) {
    assert.equal(decode(k.u64, encode(k.u64, value), 9), value);
  }
  for (const value of [-1n, 1n << 64n, 1 as never, '1' as never]) refusedAs('number', () => encode(k.u64, value));
  for (const value of [-1, 256, 0.5, Number.NaN, 1n as never]) refusedAs('number', () => encode(k.u8, value));
  refusedAs('malformed', () => decode(k.u32, unhex('1b0000000100000000'), 9));
});

test('a number has one form', () => {
  for (const digits of [
    '1817',
    '190017',
    '1a00000017',
    '1b0000000000000017',
    '1900ff',
    '1a0000ffff',
    '1b00000000ffffffff',
  ]) {
    refusedAs('not_canonical', () => decode(k.u64, unhex(digits), 9));
  }
  for (const digits of ['1c', '1f', '38', '3900', 'f5', 'f6', '40', '60', '80', 'a0', 'c0', 'fb3ff0000000000000', '']) {
    refusedAs('malformed', () => decode(k.u64, unhex(digits), 9));
  }
});

test('a length takes no memory that is not there', () => {
  const before = process.memoryUsage().rss;
  for (const head of ['9affffffff', '9bffffffffffffffff', '5affffffff', '5bffffffffffffffff', '7b7fffffffffffffff']) {
    for (const schema of [k.list(k.u8, 2 ** 32), k.blob(2 ** 32), k.text(2 ** 32)] as k.Schema<unknown>[]) {
      refusedAs('malformed', () => decode(schema, unhex(head), 1 << 16));
    }
  }
  assert.ok(process.memoryUsage().rss - before < 32 * 1024 * 1024);
  refusedAs('malformed', () => decode(k.GrantTerms, concat(unhex('8a'), new Uint8Array(64).fill(0x8a)), 1 << 16));
});

test('texts stay as they are', () => {
  const schema = k.text(64);
  for (const text of ['', 'Zürich', 'Zu\u0308rich', '\ufeffBOM', '\u{1f9ec}', '\u0000', '__proto__']) {
    assert.equal(decode(schema, encode(schema, text), 80), text);
  }
  assert.notDeepEqual(encode(schema, 'ü'), encode(schema, 'u\u0308'), 'nothing is normalized');
  for (const half of ['\ud83e', 'a\udd2c', '\udd2c\ud83e']) refusedAs('text', () => encode(schema, half));
  for (const digits of ['61ff', '62c080', '63eda080', '64f4908080', '62c3']) {
    refusedAs('malformed', () => decode(schema, unhex(digits), 80));
  }
  refusedAs('over_limit', () => encode(k.text(3), 'ää'));
});

test('nothing that is decoded names a property', () => {
  const named = k.struct({ name: k.text(64), value: k.u8 });
  const value = decode(named, concat(Uint8Array.of(0x82), encode(k.text(64), '__proto__'), Uint8Array.of(7)), 80);
  assert.deepEqual(Object.keys(value), ['name', 'value']);
  assert.equal(Object.getPrototypeOf(value), Object.prototype);
  assert.equal(({} as Record<string, unknown>)['value'], undefined);
  for (const kind of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
    refusedAs('kind', () => encode(k.Party, { kind, value: {} } as never));
    refusedAs('word', () => encode(k.Purpose, kind as never));
  }
  // A map is none of our types, whatever it says.
  refusedAs('malformed', () => decode(named, concat(unhex('a1'), encode(k.text(64), '__proto__'), unhex('a0')), 80));
});

test('what is missing is not taken for absent', () => {
  const limit = { chart: k.ChartId.of(new Uint8Array(32)), grant: k.GrantId.of(new Uint8Array(16)) };
  refusedAs('missing', () => encode(k.GrantRevoke, { chart: limit.chart } as never));
  refusedAs('length', () => k.ChartId.of('00'));
  refusedAs('length', () => k.ChartId.of(undefined as never));
  refusedAs('hex', () => k.ChartId.of('zz'));
  assert.equal(k.hex(encode(k.GrantRevoke, limit)).length, 2 * (1 + 34 + 17));
});

test('sets are written from any order and read in theirs', () => {
  const terms = k.setOf(k.Purpose);
  assert.deepEqual(decode(terms, encode(terms, ['HRESCH', 'TREAT', 'TREAT']), 5), ['TREAT', 'HRESCH']);
  refusedAs('malformed', () => decode(terms, unhex('192000'), 5));
});

test('an id is copied, so that nobody changes it afterwards', () => {
  const bytes = new Uint8Array(32);
  const id = k.ChartId.of(bytes);
  bytes[0] = 1;
  assert.equal(id[0], 0);
  const input = concat(Uint8Array.of(0x41), utf8('a'));
  const read = decode(k.blob(1), input, 2);
  input[1] = 0;
  assert.deepEqual(read, utf8('a'));
});
