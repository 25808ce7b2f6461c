/**
 * Keys: what a patient's wallet or a member keeps, and all that derives from it.
 *
 * ```text
 * root (32 bytes, random; a patient's wallet)            member secret (32 bytes, random)
 *  └ chart secret (chart id)                              ├ signing key
 *     ├ signing key                                       └ sealing key
 *     ├ sealing key
 *     ├ case key (case)                                  root, or member secret
 *     └ compartment master (compartment)                  └ delegate (chart id): keys in another's chart
 *        └ epoch seed (epoch)
 *                                                        claim code (16 bytes, random)
 *                                                         └ signing key (chain, chart)
 * ```
 *
 * # Invariants
 *
 * * Each step is one-way: whoever holds an epoch seed learns nothing of another epoch, compartment or chart.
 * * Nothing that is derived for one chart can be linked to another chart of the same root.
 *
 * Not here: how secrets are kept at rest (`keyfile.ts`, `passkey.ts`).
 */

import { bigEndian, fromBigEndian, littleEndian, randomBytes } from './bytes.js';
import { locked, UsageError } from './errors.js';
import { derive, digest } from './hash.js';
import { LIMITS } from './limits.js';
import { SealingKey } from './seal.js';
import { SigningKey } from './sign.js';
import type { CaseId, ChainId, ChartId } from './types.js';

/** A secret that keys derive from. It is printed nowhere, and erased when it is needed no more. */
abstract class Secret {
  readonly #bytes: Uint8Array;
  #isErased = false;

  constructor(bytes: Uint8Array, len = 32) {
    if (bytes.length !== len) throw new UsageError('length', `this secret has ${len} bytes`);
    this.#bytes = bytes.slice();
  }

  /** Its bytes, to be sealed or stored sealed. */
  toBytes(): Uint8Array {
    return this.#present().slice();
  }

  /** Overwrites it. What was derived from it is erased by whoever has that. */
  erase(): void {
    this.#bytes.fill(0);
    this.#isErased = true;
  }

  /** A secret that derives from this one. */
  protected derived(domain: string, ...parts: readonly Uint8Array[]): Uint8Array {
    return derive(this.#present(), domain, parts);
  }

  /** What was erased is zeros, which must never become anybody's key. */
  #present(): Uint8Array {
    if (this.#isErased) throw locked();
    return this.#bytes;
  }
}

/** What the keys of all of a patient's charts derive from. */
export class Root extends Secret {
  static generate(): Root {
    return new Root(randomBytes(32));
  }

  /** The secret of one chart. */
  chart(chart: ChartId): ChartSecret {
    return new ChartSecret(this.derived('keepwell/keys/chart/v1', chart));
  }

  /** The keys with which the patient acts in another's chart, as guardian or proxy. */
  delegate(chart: ChartId): ChartSecret {
    return new ChartSecret(this.derived('keepwell/keys/delegate/v1', chart));
  }
}

/** What all keys of one chart derive from. */
export class ChartSecret extends Secret {
  /** Signs as the chart's controller. */
  signing(): SigningKey {
    return SigningKey.fromSeed(this.derived('keepwell/keys/chart-signing/v1'));
  }

  /** Opens what is sealed to the chart's controller. */
  sealing(): SealingKey {
    return SealingKey.fromSeed(this.derived('keepwell/keys/chart-sealing/v1'));
  }

  /** The master of one compartment: what a proxy for that compartment is given. */
  compartment(compartment: number): CompartmentMaster {
    if (!Number.isInteger(compartment) || compartment < 0 || compartment >= LIMITS.COMPARTMENTS) {
      throw new UsageError('number', `a compartment is a number from 0 to ${LIMITS.COMPARTMENTS - 1}`);
    }
    return new CompartmentMaster(this.derived('keepwell/keys/compartment/v1', Uint8Array.of(compartment)));
  }

  /** The key of one case. */
  caseKey(id: CaseId): CaseKey {
    return new CaseKey(this.derived('keepwell/keys/case/v1', id));
  }

  /** The seed of one epoch of one compartment: what a grantee is given. */
  epochSeed(compartment: number, epoch: number): EpochSeed {
    return this.compartment(compartment).epochSeed(epoch);
  }
}

/** What the seeds of all epochs of one compartment derive from. */
export class CompartmentMaster extends Secret {
  epochSeed(epoch: number): EpochSeed {
    return new EpochSeed(this.derived('keepwell/keys/epoch/v1', littleEndian(epoch, 4)));
  }
}

/** The private key of one epoch of one compartment, as a seed. */
export class EpochSeed extends Secret {
  sealing(): SealingKey {
    return SealingKey.fromSeed(this.toBytes());
  }
}

/** The private key that all words of one case are sealed to, as a seed. */
export class CaseKey extends Secret {
  sealing(): SealingKey {
    return SealingKey.fromSeed(this.toBytes());
  }
}

/** What the keys of a member derive from. */
export class MemberSecret extends Secret {
  static generate(): MemberSecret {
    return new MemberSecret(randomBytes(32));
  }

  /** The keys with which the member acts in a patient's chart, as guardian or proxy, unnamed. */
  delegate(chart: ChartId): ChartSecret {
    return new ChartSecret(this.derived('keepwell/keys/delegate/v1', chart));
  }

  signing(): SigningKey {
    return SigningKey.fromSeed(this.derived('keepwell/keys/member-signing/v1'));
  }

  sealing(): SealingKey {
    return SealingKey.fromSeed(this.derived('keepwell/keys/member-sealing/v1'));
  }
}

/** Crockford's digits: none of I, L, O, U, which people misread. */
const DIGITS = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const CODE_DIGITS = 26;
const CHECK_DIGITS = 2;

/**
 * The one-time code with which a patient claims a chart: seven groups of four of Crockford's base 32, of which the last
 * two digits check the others.
 */
export class ClaimCode extends Secret {
  constructor(bytes: Uint8Array) {
    super(bytes, 16);
  }

  static generate(): ClaimCode {
    return new ClaimCode(randomBytes(16));
  }

  /** Reads a typed code: in either case, with or without spaces and hyphens, O for 0, I or L for 1. */
  static parse(typed: string): ClaimCode {
    const digits = [...typed.replace(/[-\s]/gu, '')].map(digitOf);
    if (digits.length !== CODE_DIGITS + CHECK_DIGITS) {
      throw new UsageError(
        'length',
        `${digits.length} digits were typed and a code has 28; compare it with the printed code`,
      );
    }
    const mistyped = new UsageError('check', 'a digit is mistyped; compare it with the printed code');
    // The first digit has three bits; a larger one is a slip.
    if (digits[0]! > 7) throw mistyped;
    const number = digits.slice(0, CODE_DIGITS).reduce((sum, it) => (sum << 5n) | BigInt(it), 0n);
    const check = digits.slice(CODE_DIGITS).reduce((sum, it) => (sum << 5) | it, 0);
    const code = new ClaimCode(bigEndian(number, 16));
    if (code.#check() !== check) throw mistyped;
    return code;
  }

  /** The code as it is printed: `XXXX-XXXX-XXXX-XXXX-XXXX-XXXX-XXXX`. */
  print(): string {
    const number = (fromBigEndian(this.toBytes()) << BigInt(5 * CHECK_DIGITS)) | BigInt(this.#check());
    const all = CODE_DIGITS + CHECK_DIGITS;
    const places = Array.from({ length: all }, (_, at) => 5n * BigInt(all - 1 - at));
    const text = places.map((place) => DIGITS[Number((number >> place) & 31n)]).join('');
    return text.match(/.{4}/g)!.join('-');
  }

  /** The key that signs the claim of this chart of this consortium. */
  signing(chain: ChainId, chart: ChartId): SigningKey {
    return SigningKey.fromSeed(this.derived('keepwell/keys/claim/v1', chain, chart));
  }

  /** Ten bits that depend on all others. */
  #check(): number {
    const [first, second] = digest('keepwell/keys/claim-check/v1', [this.toBytes()]);
    return ((first! << 8) | second!) >> 6;
  }
}

function digitOf(character: string): number {
  const upper = character.replace(/[a-z]/, (it) => it.toUpperCase());
  const digit = DIGITS.indexOf({ O: '0', I: '1', L: '1' }[upper] ?? upper);
  if (digit < 0)
    throw new UsageError('character', `a code has no ${JSON.stringify(character)}; look at the printed code again`);
  return digit;
}
