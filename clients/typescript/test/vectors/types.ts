/** `vectors/types` and `vectors/ledger`: every value reads and writes as the same bytes, and nothing but these. */

import * as k from '../../src/index.js';
import { type Case, flipped, refused, same } from './check.js';

const MAX = 1 << 16;

/** The type of a line that is not a command's. */
const NAMED: Record<string, k.Schema<any>> = {
  'act change': k.Act,
  'act upgrade': k.Act,
  'act upgrade called off': k.Act,
  certificate: k.Certificate,
  'command of a transaction': k.Command,
  'custody statement': k.CustodyStatement,
  header: k.Header,
  'header that ends an epoch': k.Header,
  label: k.Label,
  'validator card': k.ValidatorCard,
  'validator set': k.ValidatorSet,
  'message access page': k.AccessPage,
  'message capsule answer': k.CapsuleAnswer,
  'message capsule request': k.CapsuleRequest,
  'message log page': k.LogPage,
  'message match answer': k.MatchAnswer,
  'message match request': k.MatchRequest,
  'message opened page': k.OpenedPage,
  'message release answer': k.ReleaseAnswer,
  'message release request': k.ReleaseRequest,
  'message seed table': k.SeedTable,
  'message signed request': k.SignedRequest,
  'message state proof': k.StateProof,
  'message state proof of nothing': k.StateProof,
  'message stored blocks': k.StoredBlocks,
  'message transaction': k.TransactionParts,
  'message transaction refused': k.TransactionReceipts,
  'message transaction taken': k.TransactionReceipts,
  'message trustee request': k.TrusteeRequest,
};

function schemaOf(name: string): k.Schema<any> {
  if (name in NAMED) return NAMED[name]!;
  if (name.startsWith('outcome ')) return k.Outcome;
  if (name.startsWith('party ')) return k.Party;
  if (/^[a-z]+\.[a-z_]+/.test(name)) return k.Payload;
  throw new Error(`no type is known for the line ${JSON.stringify(name)}`);
}

const encodings: Case = {
  name: 'types/encodings.txt',
  async run(load) {
    const text = await load('types/encodings.txt');
    const seen = new Set<string>();
    for (const line of text.split('\n').filter((it) => it !== '')) {
      const [name, digits] = line.split(': ') as [string, string];
      const schema = schemaOf(name);
      const bytes = k.unhex(digits);
      const value = k.decode(schema, bytes, MAX);
      same(k.encode(schema, value), bytes, name);
      if (schema === k.Payload) seen.add(value.kind);
      if (value.verdict?.kind === 'rejected') rejected(name, value.verdict.value);
      await hostile(name, schema, bytes);
    }
    same(seen.size, 71, 'commands with a vector');
  },
};

/** A refusal is said to people with everything that it has. */
function rejected(name: string, rejection: k.Rejection): void {
  const text = k.rejectionText(rejection);
  if (/undefined|[{}]|\[object/.test(text)) throw new Error(`${name} is said as ${JSON.stringify(text)}`);
}

/** What is cut off, extended, too long, or written in another way, is no value. */
async function hostile(name: string, schema: k.Schema<any>, bytes: Uint8Array): Promise<void> {
  for (let len = 0; len < bytes.length; len += 1) {
    await refused(
      `${name}: ${len} bytes`,
      () => k.decode(schema, bytes.subarray(0, len), MAX),
      'malformed',
      'not_canonical',
    );
  }
  await refused(`${name}: more`, () => k.decode(schema, k.concat(bytes, Uint8Array.of(0)), MAX), 'trailing');
  await refused(`${name}: over the limit`, () => k.decode(schema, bytes, bytes.length - 1), 'too_long');
  const longer = k.concat(Uint8Array.of(0x98, bytes[0]! & 31), bytes.subarray(1));
  await refused(`${name}: a length in two bytes`, () => k.decode(schema, longer, MAX), 'not_canonical');
  for (const head of [0x9f, 0xbf, 0xa0 | (bytes[0]! & 31), 0x9b]) {
    const other = k.concat(Uint8Array.of(head), bytes.subarray(1));
    await refused(`${name}: head ${head}`, () => k.decode(schema, other, MAX));
  }
  // What a changed byte makes is refused, or another value with the same bytes: never one with two encodings.
  for (let at = 0; at < bytes.length; at += 1) {
    const changed = flipped(bytes, at, at % 8);
    let value: unknown;
    try {
      value = k.decode(schema, changed, MAX);
    } catch (error) {
      if (error instanceof k.DecodeError) continue;
      throw error;
    }
    same(k.encode(schema, value), changed, `${name} with byte ${at} changed`);
  }
}

/** Entries of the state: `name: bytes`. */
function state(name: string, schema: k.Schema<any>): Case {
  return {
    name: `ledger/${name}.txt`,
    async run(load) {
      for (const line of (await load(`ledger/${name}.txt`)).split('\n')) {
        if (line === '' || line.startsWith('#')) continue;
        const digits = /([0-9a-f]{4,})\s*$/.exec(line);
        if (digits === null) throw new Error(`no bytes in ${line}`);
        await oneOf(name, schema, line, k.unhex(digits[1]!));
      }
    },
  };
}

async function oneOf(name: string, schema: k.Schema<any>, line: string, bytes: Uint8Array): Promise<void> {
  same(k.encode(schema, k.decode(schema, bytes, MAX)), bytes, `${name}: ${line.slice(0, 30)}`);
}

export const TYPES: readonly Case[] = [encodings, state('values', k.StateValue)];
