/**
 * Bytes: hexadecimal text, numbers as bytes, comparison.
 *
 * Not here: values with a meaning and their one encoding (`encoding.ts`).
 */

import { UsageError } from './errors.js';

const HEX = /^(?:[0-9a-f]{2})*$/;
const DIGITS = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));
const UTF8 = new TextEncoder();

/** Bytes as lower-case hexadecimal digits: how ids, keys and digests are printed. */
export function hex(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += DIGITS[byte];
  return text;
}

/** The bytes that lower-case hexadecimal digits say; anything else is refused. */
export function unhex(text: string): Uint8Array {
  if (!HEX.test(text)) throw new UsageError('hex', 'this is not an even number of digits 0-9 and a-f');
  const bytes = new Uint8Array(text.length / 2);
  for (let at = 0; at < bytes.length; at += 1) bytes[at] = Number.parseInt(text.slice(2 * at, 2 * at + 2), 16);
  return bytes;
}

/** Text in UTF-8. A surrogate that stands alone has no bytes, and is refused instead of being replaced. */
export function utf8(text: string): Uint8Array {
  if (!isWellFormed(text)) throw new UsageError('text', 'the text has half a character; type it again');
  return UTF8.encode(text);
}

/** Whether every surrogate of a text has its other half. */
export function isWellFormed(text: string): boolean {
  return !/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/.test(text);
}

/** All parts, one after the other. */
export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Whether public bytes are the same. Secrets are compared by {@link equalSecrets}. */
export function equal(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, at) => byte === other[at]);
}

/** Whether secrets of one length are the same, without saying by the time it takes where they differ. */
export function equalSecrets(one: Uint8Array, other: Uint8Array): boolean {
  if (one.length !== other.length) return false;
  let different = 0;
  for (let at = 0; at < one.length; at += 1) different |= one[at]! ^ other[at]!;
  return different === 0;
}

/** The order of bytes: below 0, 0 or above 0. */
export function compare(one: Uint8Array, other: Uint8Array): number {
  const shared = Math.min(one.length, other.length);
  for (let at = 0; at < shared; at += 1) {
    if (one[at] !== other[at]) return one[at]! - other[at]!;
  }
  return one.length - other.length;
}

/** A number in `bytes` bytes, the lowest first. */
export function littleEndian(value: bigint | number, bytes: number): Uint8Array {
  return numberBytes(value, bytes);
}

/** A number in `bytes` bytes, the highest first. */
export function bigEndian(value: bigint | number, bytes: number): Uint8Array {
  return numberBytes(value, bytes).reverse();
}

/** The number that bytes say, the lowest first. */
export function fromLittleEndian(bytes: Uint8Array): bigint {
  return fromBigEndian(bytes.slice().reverse());
}

/** The number that bytes say, the highest first. */
export function fromBigEndian(bytes: Uint8Array): bigint {
  return bytes.length === 0 ? 0n : BigInt(`0x${hex(bytes)}`);
}

/** Overwrites secrets that are needed no more. The engine may have copied them before; see the README. */
export function erase(...secrets: readonly Uint8Array[]): void {
  for (const secret of secrets) secret.fill(0);
}

/** Fresh random bytes of the platform's generator. */
export function randomBytes(count: number): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(count));
}

function numberBytes(value: bigint | number, bytes: number): Uint8Array {
  let rest = BigInt(value);
  const made = new Uint8Array(bytes);
  for (let at = 0; at < bytes; at += 1) {
    made[at] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  if (rest !== 0n) throw new UsageError('number', `${value} does not fit ${bytes} bytes`);
  return made;
}
