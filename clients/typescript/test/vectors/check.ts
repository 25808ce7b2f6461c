/** What cases of vectors are made of, in Node and in a browser alike: nothing here is of either. */

import { KeepwellError, hex, unhex } from '../../src/index.js';

/** Reads a file of `vectors/` by its path there. */
export type Load = (path: string) => Promise<string>;

/** One file of vectors, or what is tried with it. */
export interface Case {
  readonly name: string;
  run(load: Load): Promise<void>;
}

/** What JSON says, as far as vectors use it. */
export type Json = any;

/** One thing that must be refused: what is wrong with it, and what the Rust says of it. */
export interface Refused {
  readonly fault: string;
  readonly input: Json;
  readonly error: string;
}

export function same(given: unknown, expected: unknown, what: string): void {
  const [one, other] = [printed(given), printed(expected)];
  if (one !== other) throw new Error(`${what}: ${one.slice(0, 200)} is not ${other.slice(0, 200)}`);
}

function printed(value: unknown): string {
  if (value instanceof Uint8Array) return JSON.stringify(hex(value));
  return JSON.stringify(value, (_, it) =>
    it instanceof Uint8Array ? hex(it) : typeof it === 'bigint' ? Number(it) : it,
  );
}

/** Checks that `attempt` fails, with an error of ours: anything else would be a defect that happens to refuse. */
export async function refused(what: string, attempt: () => unknown, ...codes: readonly string[]): Promise<void> {
  let answer: unknown;
  try {
    answer = await attempt();
  } catch (error) {
    if (!(error instanceof KeepwellError))
      throw new Error(`${what}: an error that is not ours: ${String((error as Error).stack)}`);
    if (codes.length > 0 && !codes.includes(error.code)) {
      throw new Error(`${what}: refused as ${error.code} (${error.message}), not as ${codes.join(' or ')}`);
    }
    return;
  }
  throw new Error(`${what} was not refused: ${printed(answer)?.slice(0, 80)}`);
}

/** One bit of one byte turned. */
export function flipped(bytes: Uint8Array, at: number, bit = 0): Uint8Array {
  const changed = bytes.slice();
  changed[at]! ^= 1 << bit;
  return changed;
}

/** A file of JSON vectors, with a function that reads its hexadecimal texts. */
export async function json(load: Load, name: string): Promise<Json> {
  return JSON.parse(await load(`crypto/${name}.json`));
}

/** The lines of a text file of vectors: name, verdict, bytes. */
export async function lines(load: Load, name: string): Promise<{ name: string; verdict: string; bytes: Uint8Array }[]> {
  const text = await load(`merkle/${name}.txt`);
  return text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const [word, verdict, digits] = line.split(' ');
      return { name: word!, verdict: verdict!, bytes: unhex(digits!) };
    });
}

/** Finds the one thing to refuse that has this fault. */
export function fault(all: readonly Refused[], name: string): Refused {
  const found = all.find((it) => it.fault === name);
  if (found === undefined) throw new Error(`the vectors have no fault ${JSON.stringify(name)}`);
  return found;
}

/** Goes through everything that must be refused; a fault that is not known here fails. */
export async function eachRefused(
  all: readonly Refused[],
  attempts: Readonly<Record<string, (input: Json) => unknown>>,
): Promise<void> {
  for (const { fault: name, input } of all) {
    const attempt = attempts[name];
    if (attempt === undefined) throw new Error(`nothing is tried for the fault ${JSON.stringify(name)}`);
    await refused(name, () => attempt(input));
  }
}
