/**
 * What a chart leaves to emergencies: seeds of epochs, shared out among trustees; and a reader's collecting of their
 * answers.
 *
 * # Invariants
 *
 * * Seeds of an epoch to come are in lines of their own: whoever got the epochs so far has no key to what is sealed
 *   after.
 * * Only a signed answer can be held against a trustee. A false share is told from a good one before it is used.
 *
 * Not here: a trustee's own side. A trustee's service is `keepwell trustee`.
 */

import { concat, littleEndian } from './bytes.js';
import { decode, encode, list } from './encoding.js';
import { KeepwellError, ProofError, UsageError } from './errors.js';
import { type Context, type Share, dealEscrow, dealtWrongly, isGood, openHanded, recover } from './escrow.js';
import { digest } from './hash.js';
import type { Seed } from './grant.js';
import { EpochSeed } from './keys.js';
import { LIMITS } from './limits.js';
import { ChartEscrow, type EscrowLine, SealedShare, TrusteeAnswer } from './objects.js';
import type { ReleasedAccess } from './release.js';
import { type SealingKey, SealingPublic } from './seal.js';
import { verify } from './sign.js';
import type { ChainId, ChartId, Digest, Trustees } from './types.js';

const SEED_BYTES = 32;
const ANSWER_BYTES_MAX = LIMITS.ESCROW_LINES_MAX * 1_280 + 1_024;
const SealedShares = list(SealedShare, LIMITS.ESCROW_LINES_MAX);

/** The seeds of consecutive epochs of one compartment: what one line shares out. */
export interface Left {
  readonly compartment: number;
  /** The first of the epochs. */
  readonly from: number;
  /** One seed for each. */
  readonly seeds: readonly EpochSeed[];
}

/** Shares out what a chart leaves to emergencies. */
export function leaveToTrustees(
  chain: ChainId,
  chart: ChartId,
  trustees: Trustees,
  left: readonly Left[],
): ChartEscrow {
  const keys = trustees.trustees.map((it) => SealingPublic.fromBytes(it.sealing));
  const lines = left.map(({ compartment, from, seeds }) => {
    const bounds = { compartment, from, until: from + seeds.length };
    const secret = concat(...seeds.map((seed) => seed.toBytes()));
    const escrow = dealEscrow(lineContext(chain, chart, bounds), secret, trustees.threshold, keys);
    secret.fill(0);
    return { ...bounds, escrow };
  });
  return { chart, lines };
}

/** Decodes what a chart leaves to emergencies. */
export function decodeChartEscrow(bytes: Uint8Array): ChartEscrow {
  return decode(ChartEscrow, bytes, LIMITS.CHART_ESCROW_BYTES_MAX);
}

/** What stands on the ledger of it. */
export function chartEscrowDigest(escrow: ChartEscrow): Digest {
  return digest('keepwell/trustee/escrow/v1', [encode(ChartEscrow, escrow)]);
}

/** Decodes a trustee's answer. */
export function decodeTrusteeAnswer(bytes: Uint8Array): TrusteeAnswer {
  return decode(TrusteeAnswer, bytes, ANSWER_BYTES_MAX);
}

/** What is to be opened: lines of these compartments, up to the epochs that the chart has. */
export interface Opens {
  readonly access: ReleasedAccess;
  readonly compartments: readonly number[];
  /** The present epochs of the chart, one for each compartment. */
  readonly epochs: readonly number[];
}

/** Why an answer does not count. */
export class AnswerFault extends ProofError {
  constructor(
    code: 'unsigned' | 'duplicate' | 'no_such_trustee' | 'count' | 'false',
    readonly trustee: number,
    message: string,
  ) {
    super(code, message);
  }

  /** The trustee at fault, as its own signature shows. */
  get culprit(): number | null {
    return this.code === 'count' || this.code === 'false' ? this.trustee : null;
  }
}

/** A reader's collection of trustees' answers. */
export class AnswerCollector {
  readonly #lines: readonly EscrowLine[];
  readonly #digest: Digest;
  /** For each trustee that answered a share of each line. */
  readonly #answered = new Map<number, readonly Share[]>();

  constructor(
    private readonly trustees: Trustees,
    private readonly opens: Opens,
    private readonly escrow: ChartEscrow,
    private readonly reader: SealingKey,
  ) {
    const { compartments, epochs } = opens;
    this.#lines = escrow.lines.filter(
      (line) => compartments.includes(line.compartment) && line.from <= epochs[line.compartment]!,
    );
    this.#digest = chartEscrowDigest(escrow);
  }

  /** Takes an answer. */
  add(answer: TrusteeAnswer): void {
    const { trustee } = answer;
    this.#checkSignature(answer);
    if (this.#answered.has(trustee)) {
      throw new AnswerFault('duplicate', trustee, `trustee ${trustee} has answered already`);
    }
    const [given, needed] = [answer.shares.length, this.#lines.length];
    if (given !== needed) {
      const text = `trustee ${trustee} signed ${given} shares and ${needed} were asked for; report it`;
      throw new AnswerFault('count', trustee, text);
    }
    const shares = this.#lines.map((line, at) => this.#open(line, answer.shares[at]!, trustee));
    this.#answered.set(trustee, shares);
  }

  /** Whether enough have answered. */
  get isComplete(): boolean {
    return this.#answered.size >= this.trustees.threshold;
  }

  /** The seeds of all lines. */
  finish(): Seed[] {
    return this.#lines.flatMap((line, at) => {
      const shares = [...this.#answered.values()].map((all) => all[at]!);
      const secret = recover(line.escrow, this.#contextOf(line), shares);
      const count = Math.max(0, line.until - line.from);
      if (secret.length !== SEED_BYTES * count) throw dealtWrongly();
      return Array.from({ length: count }, (_, place) => ({
        compartment: line.compartment,
        epoch: line.from + place,
        seed: new EpochSeed(secret.slice(SEED_BYTES * place, SEED_BYTES * (place + 1))),
      }));
    });
  }

  #checkSignature({ trustee, shares, signature }: TrusteeAnswer): void {
    const key = this.trustees.trustees[trustee - 1]?.signing;
    if (key === undefined) throw new AnswerFault('no_such_trustee', trustee, `there is no trustee ${trustee}`);
    const { chain, command, readerKey } = this.opens.access;
    const parts = [chain, command, readerKey, this.#digest, littleEndian(trustee, 2), encode(SealedShares, shares)];
    const message = digest('keepwell/trustee/message/v1', parts);
    try {
      verify(key, 'keepwell/trustee/answer/v1', message, signature);
    } catch (error) {
      if (!(error instanceof KeepwellError)) throw error;
      const text = `an answer in the name of trustee ${trustee} is not signed by it for this access; ask again`;
      throw new AnswerFault('unsigned', trustee, text);
    }
  }

  /** A share that was dealt to this trustee. */
  #open(line: EscrowLine, sealed: SealedShare, trustee: number): Share {
    const { chain, command, readerKey } = this.opens.access;
    const share = orNull(() => openHanded(sealed, this.reader, [chain, command, readerKey, ...boundsOf(line)]));
    if (share === null || share.holder !== trustee || !isGood(line.escrow, this.#contextOf(line), share)) {
      throw new AnswerFault('false', trustee, `trustee ${trustee} signed a share that was not dealt to it; report it`);
    }
    return share;
  }

  #contextOf(line: EscrowLine): Context {
    return lineContext(this.opens.access.chain, this.escrow.chart, line);
  }
}

function orNull<T>(attempt: () => T): T | null {
  try {
    return attempt();
  } catch (error) {
    if (error instanceof KeepwellError && !(error instanceof UsageError)) return null;
    throw error;
  }
}

type Bounds = Pick<EscrowLine, 'compartment' | 'from' | 'until'>;

function boundsOf({ compartment, from, until }: Bounds): Uint8Array[] {
  return [Uint8Array.of(compartment), littleEndian(from, 4), littleEndian(until, 4)];
}

function lineContext(chain: ChainId, chart: ChartId, bounds: Bounds): Context {
  return [chain, chart, ...boundsOf(bounds)];
}
