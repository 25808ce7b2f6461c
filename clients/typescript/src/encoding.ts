/**
 * The one encoding: CBOR arrays (RFC 8949), shortest integers, definite lengths, no maps, no floats.
 *
 * A {@link Schema} says how values of one type are written and read. Bytes are read strictly: what one value could be
 * written as in two ways is refused in all ways but one, so nobody can make two digests of one value.
 *
 * ```text
 * struct    array of the fields, up to the last one that is not absent; an absent one before it is null
 * variant   [number, [fields]]              word      its number
 * option    the value, or null              set       bits, the first word the lowest
 * ```
 *
 * # Invariants
 *
 * * A value that exists is valid in itself: numbers are in their range, lists and texts within their limits.
 * * Memory for a list is taken item by item, of bytes that are there: a length alone costs nothing.
 * * Decoded objects have the fields that the schema names and no others. No key of an object comes out of bytes, so
 *   nothing that is decoded can name `__proto__`.
 * * Numbers of 64 bits are `bigint`: none is rounded.
 *
 * Not here: the types ({@link "types"}, `objects`, `proofs`, `state`).
 */

import { compare, hex, unhex, utf8 } from './bytes.js';
import { DecodeError, UsageError } from './errors.js';

const UNSIGNED = 0;
const BYTES = 2;
const TEXT = 3;
const ARRAY = 4;
const FALSE = 0xf4;
const TRUE = 0xf5;
const NULL = 0xf6;

// A byte order mark is a character like any other, and stays.
const TEXTS = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** How values of one type are written and read. */
export interface Schema<T> {
  write(out: Writer, value: T): void;
  read(input: Reader): T;
  /** Whether the value is an absent one, which is left out at the end of a struct. */
  isAbsent?(value: T): boolean;
}

/** The type of a schema's values. */
export type Of<S> = S extends Schema<infer T> ? T : never;

/** A value in its canonical bytes. */
export function encode<T>(schema: Schema<T>, value: T): Uint8Array {
  const out = new Writer();
  schema.write(out, value);
  return out.finish();
}

/** The value that canonical bytes say, of which there are at most `max`. */
export function decode<T>(schema: Schema<T>, bytes: Uint8Array, max: number): T {
  if (bytes.length > max) {
    const text = `${bytes.length} bytes are more than the ${max} that this value may have`;
    throw new DecodeError('too_long', text, max);
  }
  const input = new Reader(bytes);
  const value = schema.read(input);
  const extra = bytes.length - input.at;
  if (extra > 0) throw new DecodeError('trailing', `${extra} bytes follow the value`, input.at);
  return value;
}

/** Takes what is written. */
export class Writer {
  #bytes = new Uint8Array(512);
  #len = 0;

  /** The head of an item: its major type and its number, in the fewest bytes. */
  head(major: number, value: bigint): void {
    if (value < 24n) return this.raw(Uint8Array.of((major << 5) | Number(value)));
    const size = [1, 2, 4, 8].find((bytes) => value < 1n << BigInt(8 * bytes));
    if (size === undefined) throw new UsageError('number', `${value} does not fit 64 bits`);
    const bytes = new Uint8Array(1 + size);
    bytes[0] = (major << 5) | (23 + [1, 2, 4, 8].indexOf(size) + 1);
    for (let at = 0; at < size; at += 1) bytes[size - at] = Number((value >> BigInt(8 * at)) & 0xffn);
    this.raw(bytes);
  }

  array(len: number): void {
    this.head(ARRAY, BigInt(len));
  }

  unsigned(value: bigint | number): void {
    this.head(UNSIGNED, BigInt(value));
  }

  bytes(value: Uint8Array): void {
    this.head(BYTES, BigInt(value.length));
    this.raw(value);
  }

  text(value: Uint8Array): void {
    this.head(TEXT, BigInt(value.length));
    this.raw(value);
  }

  simple(byte: number): void {
    this.raw(Uint8Array.of(byte));
  }

  absent(): void {
    this.simple(NULL);
  }

  raw(bytes: Uint8Array): void {
    const needed = this.#len + bytes.length;
    if (needed > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(needed, 2 * this.#bytes.length));
      larger.set(this.#bytes.subarray(0, this.#len));
      this.#bytes = larger;
    }
    this.#bytes.set(bytes, this.#len);
    this.#len = needed;
  }

  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#len);
  }
}

/** Reads items, each in its one form. */
export class Reader {
  at = 0;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** The number in the head of an item of this major type. */
  head(major: number): bigint {
    const start = this.at;
    const first = this.#take(1)[0]!;
    if (first >> 5 !== major) throw this.malformed('an item is of another type', start);
    const info = first & 31;
    if (info < 24) return BigInt(info);
    if (info > 27) throw this.malformed('a length is indefinite or reserved', start);
    const size = 1 << (info - 24);
    let value = 0n;
    for (const byte of this.#take(size)) value = (value << 8n) | BigInt(byte);
    const least = size === 1 ? 24n : 1n << BigInt(4 * size);
    if (value < least) throw new DecodeError('not_canonical', 'a number is written longer than it is', start);
    return value;
  }

  /** How many items an array has, of which there may be `max`. */
  array(max: number): number {
    const start = this.at;
    const len = this.head(ARRAY);
    if (len > BigInt(max)) throw this.malformed('there are too many items', start);
    return Number(len);
  }

  /** A number of at most `max`. */
  unsigned(max: bigint): bigint {
    const start = this.at;
    const value = this.head(UNSIGNED);
    if (value > max) throw this.malformed('a number is too large', start);
    return value;
  }

  /** A byte string, copied. */
  bytes(max: number): Uint8Array {
    return this.#string(BYTES, max).slice();
  }

  text(max: number): string {
    const start = this.at;
    const bytes = this.#string(TEXT, max);
    try {
      return TEXTS.decode(bytes);
    } catch {
      throw this.malformed('a text is not UTF-8', start);
    }
  }

  boolean(): boolean {
    const start = this.at;
    const byte = this.#take(1)[0];
    if (byte !== TRUE && byte !== FALSE) throw this.malformed('yes or no is expected', start);
    return byte === TRUE;
  }

  /** Whether null stands here, which is then passed over. */
  skipAbsent(): boolean {
    if (this.#bytes[this.at] !== NULL) return false;
    this.at += 1;
    return true;
  }

  malformed(what: string, at: number): DecodeError {
    return new DecodeError('malformed', `the bytes are damaged or of another type: ${what} (at byte ${at})`, at);
  }

  #string(major: number, max: number): Uint8Array {
    const start = this.at;
    const len = this.head(major);
    if (len > BigInt(max)) throw this.malformed('a string is too long', start);
    return this.#take(Number(len));
  }

  #take(count: number): Uint8Array {
    const until = this.at + count;
    if (until > this.#bytes.length) throw this.malformed('they are cut off', this.#bytes.length);
    const taken = this.#bytes.subarray(this.at, until);
    this.at = until;
    return taken;
  }
}

function unsigned(bits: 8 | 16 | 32): Schema<number> {
  const max = 2 ** bits - 1;
  return {
    write(out, value) {
      if (!Number.isInteger(value) || value < 0 || value > max) throw outOfRange(value, max);
      out.unsigned(value);
    },
    read: (input) => Number(input.unsigned(BigInt(max))),
  };
}

function outOfRange(value: unknown, max: unknown): UsageError {
  return new UsageError('number', `${String(value)} is not a whole number from 0 to ${String(max)}`);
}

/** A number of 8 bits. */
export const u8 = unsigned(8);
/** A number of 16 bits. */
export const u16 = unsigned(16);
/** A number of 32 bits. */
export const u32 = unsigned(32);

const U64_MAX = (1n << 64n) - 1n;

/** A number of 64 bits. */
export const u64: Schema<bigint> = {
  write(out, value) {
    if (typeof value !== 'bigint' || value < 0n || value > U64_MAX) throw outOfRange(value, U64_MAX);
    out.unsigned(value);
  },
  read: (input) => input.unsigned(U64_MAX),
};

/** Yes or no. */
export const bool: Schema<boolean> = {
  write: (out, value) => out.simple(value ? TRUE : FALSE),
  read: (input) => input.boolean(),
};

declare const named: unique symbol;

/** Bytes of one use. Those of another are no substitute, whatever their length. */
export type Named<Name extends string> = Uint8Array & { readonly [named]: Name };

/** Identifiers, keys and digests: bytes of a fixed number. */
export interface Fixed<Name extends string> extends Schema<Named<Name>> {
  /** How many bytes. */
  readonly len: number;
  /** These bytes, or what these hexadecimal digits say; refused if there are not as many. */
  of(value: Uint8Array | string): Named<Name>;
}

/** Byte strings of `len` bytes. */
export function fixed<const Name extends string>(name: Name, len: number): Fixed<Name> {
  const checked = (bytes: Uint8Array): Named<Name> => {
    if (!(bytes instanceof Uint8Array) || bytes.length !== len) {
      throw new UsageError('length', `${name} has ${len} bytes, or ${2 * len} hexadecimal digits`);
    }
    return bytes as Named<Name>;
  };
  return {
    len,
    of: (value) => checked(typeof value === 'string' ? unhex(value) : value).slice() as Named<Name>,
    write: (out, value) => out.bytes(checked(value)),
    read(input) {
      const start = input.at;
      const bytes = input.bytes(len);
      if (bytes.length !== len) throw input.malformed(`${name} has another length`, start);
      return bytes as Named<Name>;
    },
  };
}

/** Opaque bytes, at most `max` of them. */
export function blob(max: number): Schema<Uint8Array> {
  return {
    write(out, value) {
      if (value.length > max) throw overLimit(value.length, max);
      out.bytes(value);
    },
    read: (input) => input.bytes(max),
  };
}

/** Text of at most `max` bytes. */
export function text(max: number): Schema<string> {
  return {
    write(out, value) {
      const bytes = utf8(value);
      if (bytes.length > max) throw overLimit(bytes.length, max);
      out.text(bytes);
    },
    read: (input) => input.text(max),
  };
}

function overLimit(len: number, max: number): UsageError {
  return new UsageError('over_limit', `${len} items or bytes are more than the ${max} allowed`);
}

/** At most `max` items. */
export function list<T>(item: Schema<T>, max: number): Schema<readonly T[]> {
  return {
    write(out, values) {
      if (values.length > max) throw overLimit(values.length, max);
      out.array(values.length);
      for (const value of values) item.write(out, value);
    },
    read(input) {
      const len = input.array(max);
      const values: T[] = [];
      while (values.length < len) values.push(item.read(input));
      return values;
    },
  };
}

/** Exactly `count` items. */
export function exactly<T>(item: Schema<T>, count: number): Schema<readonly T[]> {
  const inner = list(item, count);
  return {
    write(out, values) {
      if (values.length !== count) throw new UsageError('length', `there are ${count} items, not ${values.length}`);
      inner.write(out, values);
    },
    read(input) {
      const start = input.at;
      const values = inner.read(input);
      if (values.length !== count) throw input.malformed('there are too few items', start);
      return values;
    },
  };
}

/** A value, or none. */
export function option<T>(item: Schema<T>): Schema<T | null> {
  return {
    write: (out, value) => (value === null ? out.absent() : item.write(out, value)),
    read: (input) => (input.skipAbsent() ? null : item.read(input)),
    isAbsent: (value) => value === null,
  };
}

type Fields = Readonly<Record<string, Schema<any>>>;

/** The values of a struct's fields. */
export type Struct<F extends Fields> = { readonly [K in keyof F]: Of<F[K]> };

/** Named fields, in their order. */
export function struct<F extends Fields>(fields: F): Schema<Struct<F>> {
  const entries = Object.entries(fields);
  return {
    write(out, value) {
      const values = entries.map(([name]) => value[name]);
      writeFields(
        out,
        entries.map(([, schema]) => schema),
        values,
      );
    },
    read(input) {
      const values = readFields(
        input,
        entries.map(([, schema]) => schema),
      );
      return Object.fromEntries(entries.map(([name], at) => [name, values[at]])) as Struct<F>;
    },
  };
}

function writeFields(out: Writer, schemas: readonly Schema<any>[], values: readonly unknown[]): void {
  let len = schemas.length;
  while (len > 0 && schemas[len - 1]!.isAbsent?.(values[len - 1]) === true) len -= 1;
  out.array(len);
  for (let at = 0; at < len; at += 1) {
    if (values[at] === undefined) throw new UsageError('missing', `field ${at} is missing; what is absent is null`);
    schemas[at]!.write(out, values[at]);
  }
}

function readFields(input: Reader, schemas: readonly Schema<any>[]): unknown[] {
  const start = input.at;
  const len = input.array(schemas.length);
  const values = schemas.map((schema, at) => {
    if (at < len) return schema.read(input);
    if (schema.isAbsent === undefined) throw input.malformed('a field is missing', start);
    return null;
  });
  const last = len - 1;
  if (last >= 0 && schemas[last]!.isAbsent?.(values[last]) === true) {
    throw new DecodeError('not_canonical', 'an absent field is written at the end', start);
  }
  return values;
}

/** No fields: what a variant without content has. */
export const unit: Schema<undefined> = {
  write: (out) => out.array(0),
  read(input) {
    input.array(0);
    return undefined;
  },
};

/** One field without a name. */
export function one<T>(field: Schema<T>): Schema<T> {
  return {
    write: (out, value) => writeFields(out, [field], [value]),
    read: (input) => readFields(input, [field])[0] as T,
  };
}

/** Two fields without names. */
export function pair<A, B>(first: Schema<A>, second: Schema<B>): Schema<readonly [A, B]> {
  return {
    write: (out, value) => writeFields(out, [first, second], value),
    read: (input) => readFields(input, [first, second]) as [A, B],
  };
}

type Variant = readonly [number: number, kind: string, fields: Schema<any>];

/** One of several kinds: `{ kind }`, or `{ kind, value }` where the kind has content. */
export type OneOf<V extends Variant> = V extends readonly [number, infer K extends string, Schema<infer T>]
  ? [T] extends [undefined]
    ? { readonly kind: K }
    : { readonly kind: K; readonly value: T }
  : never;

/** One of several kinds, each with a number that never changes. */
export function variants<const V extends readonly Variant[]>(...all: V): Schema<OneOf<V[number]>> {
  const byKind = new Map(all.map((it) => [it[1], it]));
  const byNumber = new Map(all.map((it) => [it[0], it]));
  return {
    write(out, given) {
      const value = given as { kind: string; value?: unknown };
      const variant = byKind.get(value.kind);
      if (variant === undefined) throw new UsageError('kind', `there is no kind ${JSON.stringify(value.kind)} here`);
      out.array(2);
      out.unsigned(variant[0]);
      variant[2].write(out, value.value);
    },
    read(input) {
      const start = input.at;
      const len = input.array(2);
      const variant = byNumber.get(Number(input.unsigned(0xffff_ffffn)));
      if (len !== 2 || variant === undefined) throw input.malformed('there is no such variant', start);
      const value = variant[2].read(input);
      const made = value === undefined ? { kind: variant[1] } : { kind: variant[1], value };
      return made as OneOf<V[number]>;
    },
  };
}

/** Words of a closed list, each with a number that never changes. */
export interface Words<W extends string | number> extends Schema<W> {
  /** All of them, in the order of their numbers. */
  readonly all: readonly W[];
  numberOf(word: W): number;
}

/** A closed list of words. */
export function words<const W extends string>(...all: readonly (readonly [number, W])[]): Words<W> {
  const byWord = new Map(all.map(([number, word]) => [word, number]));
  const byNumber = new Map(all);
  const numberOf = (word: W): number => {
    const number = byWord.get(word);
    if (number === undefined) throw new UsageError('word', `not one of: ${[...byWord.keys()].join(', ')}`);
    return number;
  };
  return {
    all: all.map(([, word]) => word),
    numberOf,
    write: (out, word) => out.unsigned(numberOf(word)),
    read(input) {
      const start = input.at;
      const word = byNumber.get(Number(input.unsigned(0xffff_ffffn)));
      if (word === undefined) throw input.malformed('there is no such word', start);
      return word;
    },
  };
}

/** Numbers below `count`: as words that have no names. */
export function below(count: number): Words<number> {
  const numberOf = (value: number): number => {
    if (!Number.isInteger(value) || value < 0 || value >= count) throw outOfRange(value, count - 1);
    return value;
  };
  return {
    all: Array.from({ length: count }, (_, at) => at),
    numberOf,
    write: (out, value) => out.unsigned(numberOf(value)),
    read: (input) => Number(input.unsigned(BigInt(count - 1))),
  };
}

/** A set of words, as a list of them in ascending order of their numbers. It is written from any order. */
export function setOf<W extends string | number>(word: Words<W>): Schema<readonly W[]> {
  const known = word.all.reduce((bits, it) => bits + 2 ** word.numberOf(it), 0);
  return {
    write: (out, value) => out.unsigned(bitsOf(word, value)),
    read(input) {
      const start = input.at;
      const bits = Number(input.unsigned(0xffff_ffffn));
      if (bits > known) throw input.malformed('there is an unknown word in a set', start);
      return word.all.filter((it) => (bits & (1 << word.numberOf(it))) !== 0);
    },
  };
}

function bitsOf<W extends string | number>(word: Words<W>, value: Iterable<W>): number {
  return [...new Set(value)].reduce((bits, it) => bits + 2 ** word.numberOf(it), 0);
}

/** A schema whose values must pass a further check. */
export function checked<T>(schema: Schema<T>, holds: (value: T) => boolean, what: string): Schema<T> {
  return {
    write(out, value) {
      if (!holds(value)) throw new UsageError('value', what);
      schema.write(out, value);
    },
    read(input) {
      const start = input.at;
      const value = schema.read(input);
      if (!holds(value)) throw input.malformed(what, start);
      return value;
    },
  };
}

/** Whether two values of one type are the same. */
export function same<T>(schema: Schema<T>, one: T, other: T): boolean {
  return compare(encode(schema, one), encode(schema, other)) === 0;
}

/** A value as people and programs may print it: bytes as hexadecimal digits, large numbers as text. */
export function shown(value: unknown): unknown {
  if (value instanceof Uint8Array) return hex(value);
  if (typeof value === 'bigint') return value.toString();
  if (Array.isArray(value)) return value.map(shown);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([name, it]) => [name, shown(it)]));
}
