/**
 * What one does with a consortium: commands, proven state, charts' logs.
 *
 * # Invariants
 *
 * * No node is trusted: each answer is checked against certificates and proofs from the genesis file on, and from
 *   hand-overs that lead on from it. A tip that is too old or goes backwards is refused.
 * * One node after the other is asked, for a bounded number of rounds; an error that says whose fault it is comes of
 *   the last.
 * * A command is decided when its own receipt verified, signatures included, and no earlier.
 *
 * Not here: opening records (`reading.ts`), grants (`grants.ts`).
 */

import { equal, hex, randomBytes } from './bytes.js';
import { COMMAND_VERSION, commandDigest, signCommand } from './commands.js';
import type { Consortium } from './consortium.js';
import { type Schema, decode, encode, list, same } from './encoding.js';
import { KeepwellError, NodeError, ProofError, RejectedError, UsageError } from './errors.js';
import { LIMITS } from './limits.js';
import { type Actor, type Ask, DECISION_MS, type Endpoint, type Fetch, Nodes } from './node.js';
import { Handover } from './proofs.js';
import { rejectionText } from './rejection.js';
import type { ChartEntry, GrantEntry, MemberEntry, StateKey, StateValue } from './state.js';
import {
  type Checker,
  LOG_START,
  type LogMark,
  LogWalk,
  type Proven,
  type TipSeen,
  type VerifiedLog,
  checkState,
  checkTip,
} from './state_proofs.js';
import {
  type ChartId,
  CommandId,
  type Digest,
  type GrantId,
  LogEntry,
  LogPage,
  type MemberId,
  type OrganisationId,
  type Outcome,
  type Payload,
  SignedCommand,
  StateProof,
} from './types.js';
import { type VerifiedHeader, type VerifiedReceipt, verifyReceipt } from './verify.js';

/** How often all nodes are asked while some are late. */
const ROUNDS = 6;
/** How long between, in milliseconds. */
const PAUSE_MS = 400;
/** Lines of a log in which an entry is looked for at first. */
const POSITION_LINES = 32n;
/** Entries, from the last one, among which a reader from elsewhere looks for its own. */
const POSITIONS_TRIED = 64n;
/** How far a command's window reaches back and ahead, in milliseconds: clocks differ. */
const WINDOW_BACK_MS = 60_000n;
const WINDOW_AHEAD_MS = 120_000n;

const LOG_PAGE = 256;
const HANDOVER_PAGE_BYTES_MAX = LIMITS.HANDOVERS_PAGE_MAX * LIMITS.HANDOVER_BYTES_MAX + 64;
const STATE_PROOF_BYTES_MAX = LIMITS.RECEIPT_BYTES_MAX + 3 * LIMITS.STATE_VALUE_BYTES_MAX + 64;
const LOG_ENTRY_BYTES_MAX = LIMITS.COMMAND_BYTES_MAX + 1_024;
const LOG_PAGE_BYTES_MAX = STATE_PROOF_BYTES_MAX + LOG_PAGE * LOG_ENTRY_BYTES_MAX;
const Handovers = list(Handover, LIMITS.HANDOVERS_PAGE_MAX);

/** A command that was decided, and the proof of it. */
export interface Decided {
  /** The receipt: a file that proves it to anyone. */
  readonly receipt: Uint8Array;
  readonly verified: VerifiedReceipt;
}

/** What a test or a portal may put in the place of the platform's. */
export interface Options {
  readonly fetch?: Fetch;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  /** The newest block that was seen before. */
  readonly seen?: TipSeen | null;
}

/** A client of one consortium. */
export class Client {
  readonly nodes: Nodes;
  #inForce: Consortium;
  #seen: TipSeen | null;
  #askedEpoch = 0n;
  readonly #now: () => number;

  constructor(
    /** As the genesis file says. */
    readonly consortium: Consortium,
    endpoints: readonly Endpoint[],
    options: Options = {},
  ) {
    this.#now = options.now ?? Date.now;
    this.nodes = new Nodes(consortium.chain, endpoints, options.fetch, this.#now);
    this.#inForce = consortium;
    this.#seen = options.seen ?? null;
  }

  /** The consortium with all hand-overs that were followed. */
  get inForce(): Consortium {
    return this.#inForce;
  }

  /** The newest block that was seen: what a wallet keeps. */
  get seen(): TipSeen | null {
    return this.#seen;
  }

  /** This clock, in milliseconds since 1970. */
  now(): bigint {
    return BigInt(this.#now());
  }

  /** The newest block. */
  async tip(): Promise<VerifiedHeader> {
    const ask = { method: 'GET', target: '/v1/tip', bytesMax: LIMITS.RECEIPT_BYTES_MAX } as const;
    return this.#note(await this.ask(ask, (bytes) => checkTip(bytes, this.#checker())));
  }

  /** The newest entry of the state under `key`, or its absence. */
  async state(actor: Actor, key: StateKey, target: string): Promise<Proven> {
    const ask = { method: 'GET', target, actor, bytesMax: STATE_PROOF_BYTES_MAX } as const;
    const proven = await this.ask(ask, (bytes) =>
      checkState(key, decode(StateProof, bytes, STATE_PROOF_BYTES_MAX), this.#checker()),
    );
    this.#note(proven.header);
    return proven;
  }

  /** A chart: its keys, its epochs, who stores it. */
  async chart(actor: Actor, chart: ChartId): Promise<ChartEntry> {
    const proven = await this.state(actor, { kind: 'chart', value: chart }, `/v1/charts/${hex(chart)}`);
    return there(proven, 'chart', 'this chart does not exist');
  }

  /** A member of an organisation. */
  async member(actor: Actor, member: MemberId): Promise<MemberEntry> {
    const proven = await this.state(actor, { kind: 'member', value: member }, `/v1/members/${hex(member)}`);
    return there(proven, 'member', 'this member is not enrolled');
  }

  /** A grant; nothing if there was none under this id. */
  async grant(actor: Actor, chart: ChartId, grant: GrantId): Promise<GrantEntry | null> {
    const target = `/v1/charts/${hex(chart)}/grants/${hex(grant)}`;
    const { value } = await this.state(actor, { kind: 'grant', value: [chart, grant] }, target);
    return value?.kind === 'grant' ? value.value : null;
  }

  /** Signs and sends a command; what was decided, whichever way. */
  async submit(signers: readonly Actor[], payload: Payload): Promise<Decided> {
    const now = this.now();
    const command = {
      version: COMMAND_VERSION,
      chain: this.consortium.chain,
      id: CommandId.of(randomBytes(CommandId.len)),
      window: { from: now > WINDOW_BACK_MS ? now - WINDOW_BACK_MS : 0n, until: now + WINDOW_AHEAD_MS },
      signers: signers.map((it) => it.party),
      payload,
      part: null,
    };
    const signed = signCommand(
      command,
      signers.map((it) => it.key),
    );
    const body = encode(SignedCommand, signed);
    const ask = {
      method: 'POST',
      target: '/v1/commands',
      body,
      bytesMax: LIMITS.RECEIPT_BYTES_MAX,
      patienceMs: DECISION_MS,
    } as const;
    const decided = await this.ask(ask, (receipt) => this.#decided(receipt, signed));
    this.#note(decided.verified.header);
    return decided;
  }

  /** Signs and sends a command that must be accepted. */
  async command(signer: Actor, payload: Payload): Promise<Decided> {
    const decided = await this.submit([signer], payload);
    const { verdict } = decided.verified.outcome;
    if (verdict.kind === 'accepted') return decided;
    const { kind } = verdict.value;
    throw new RejectedError(kind, `refused by the ledger: ${rejectionText(verdict.value)}`, verdict.value);
  }

  #decided(receipt: Uint8Array, signed: SignedCommand): Decided {
    const verified = verifyReceipt(receipt, this.#inForce.validators);
    const { entry, outcome } = verified;
    const isIt = entry.kind === 'signed' && same(SignedCommand, entry.value, signed);
    if (!isIt || !equal(outcome.command, commandDigest(signed.command))) throw otherCommand();
    return { receipt, verified };
  }

  /** The receipt of the entry at a place of the chain. */
  async receipt(actor: Actor, height: bigint, index: number): Promise<Decided> {
    const target = `/v1/receipts/${height}/${index}`;
    return this.ask({ method: 'GET', target, actor, bytesMax: LIMITS.RECEIPT_BYTES_MAX }, (receipt) => {
      const verified = verifyReceipt(receipt, this.#inForce.validators);
      const { location } = verified.outcome;
      if (location.height !== height || location.index !== index) throw otherCommand();
      return { receipt, verified };
    });
  }

  /** A chart's whole log, which must contain what is known. For whoever is at home in the chart. */
  async log(actor: Actor, chart: ChartId, known: LogMark = LOG_START): Promise<VerifiedLog> {
    return this.#walk(actor, chart, LogWalk.whole(chart, known));
  }

  /** The last lines of a chart's log. */
  async logTail(actor: Actor, chart: ChartId, lines: bigint): Promise<VerifiedLog> {
    const count = await this.#logCount(actor, chart);
    return this.#walk(actor, chart, LogWalk.from(chart, count > lines ? count - lines : 0n));
  }

  async #walk(actor: Actor, chart: ChartId, walk: LogWalk): Promise<VerifiedLog> {
    for (let from = walk.next; from !== null; from = walk.next) {
      const ask = pageOf(actor, chart, from, LOG_PAGE);
      await this.ask(ask, (bytes) => walk.take(decode(LogPage, bytes, LOG_PAGE_BYTES_MAX), this.#checker()));
    }
    const { log } = walk;
    if (log === null) throw new ProofError('withheld', 'the log ended before its head was reached');
    this.#note(log.header);
    return log;
  }

  async #logCount(actor: Actor, chart: ChartId): Promise<bigint> {
    return this.ask(pageOf(actor, chart, 0n, 1), (bytes) => {
      const { head } = decode(LogPage, bytes, LOG_PAGE_BYTES_MAX);
      const proven = checkState({ kind: 'chart_log', value: chart }, head, this.#checker());
      return there(proven, 'chart_log', 'this chart does not exist').count;
    });
  }

  /** Where a decided command stands in its chart's log. */
  async position(actor: Actor, chart: ChartId, decided: Decided): Promise<bigint> {
    try {
      return await this.#positionAtHome(actor, chart, decided.verified.outcome);
    } catch (error) {
      if (!isForbidden(error)) throw error;
      return this.#positionFromElsewhere(actor, chart, decided.verified.outcome);
    }
  }

  async #positionAtHome(actor: Actor, chart: ChartId, outcome: Outcome): Promise<bigint> {
    for (let lines = POSITION_LINES; ; lines *= 16n) {
      const log = await this.logTail(actor, chart, lines);
      const line = log.lines.find((it) => isSameOutcome(it.outcome, outcome));
      if (line !== undefined) return line.position;
      if (BigInt(log.lines.length) < lines) throw noPosition();
    }
  }

  async #positionFromElsewhere(actor: Actor, chart: ChartId, outcome: Outcome): Promise<bigint> {
    const count = await this.logCountBySearch(actor, chart);
    for (let position = count - 1n; position >= 0n && position >= count - POSITIONS_TRIED; position -= 1n) {
      const shown = await this.#logEntry(actor, chart, position);
      if (typeof shown === 'object' && isSameOutcome(shown.outcome, outcome)) return position;
    }
    throw noPosition();
  }

  /**
   * How many entries a chart's log has, for whoever may not follow it: a node says of each place whether there is one.
   */
  async logCountBySearch(actor: Actor, chart: ChartId): Promise<bigint> {
    const isThere = async (position: bigint): Promise<boolean> =>
      (await this.#logEntry(actor, chart, position)) !== 'nothing';
    let above = 1n;
    while (await isThere(above - 1n)) above *= 2n;
    let below = above / 2n;
    while (below + 1n < above) {
      const middle = below + (above - below) / 2n;
      if (await isThere(middle - 1n)) below = middle;
      else above = middle;
    }
    return below;
  }

  async #logEntry(actor: Actor, chart: ChartId, position: bigint): Promise<LogEntry | 'hidden' | 'nothing'> {
    const target = `/v1/charts/${hex(chart)}/log/${position}`;
    try {
      const ask = { method: 'GET', target, actor, bytesMax: LOG_ENTRY_BYTES_MAX } as const;
      return await this.ask(ask, (bytes) => decode(LogEntry, bytes, LOG_ENTRY_BYTES_MAX));
    } catch (error) {
      if (isForbidden(error)) return 'hidden';
      if (error instanceof NodeError && error.status === 404) return 'nothing';
      throw error;
    }
  }

  /** An object that lies at a chart's custodians, by its digest on the ledger. */
  async sealedObject<T>(
    actor: Actor,
    { chart, entry }: { readonly chart: ChartId; readonly entry: ChartEntry },
    kind: string,
    { digest, schema, digestOf }: { readonly digest: Digest; readonly schema: Schema<T>; digestOf(value: T): Digest },
  ): Promise<T> {
    const target = `/v1/charts/${hex(chart)}/sealed/${hex(digest)}?kind=${kind}`;
    const bytesMax = LIMITS.CHART_ESCROW_BYTES_MAX;
    return this.#firstOf(entry.custodians, async (node) => {
      const value = decode(schema, await this.nodes.ask(node, { method: 'GET', target, actor, bytesMax }), bytesMax);
      if (!equal(digestOf(value), digest))
        throw new ProofError('other_object', `${node.url} gave another object; report its operator`);
      return value;
    });
  }

  /** Stores an object at a chart's custodians: at as many as the consortium asks for, or it fails. */
  async storeObject(actor: Actor, chart: ChartId, entry: ChartEntry, kind: string, body: Uint8Array): Promise<void> {
    const target = `/v1/charts/${hex(chart)}/sealed?kind=${kind}`;
    const needed = Math.max(1, this.consortium.genesis.parameters.custodiansMin);
    const stored = await Promise.allSettled(
      entry.custodians.map(async (custodian) => {
        await this.nodes.ask(this.nodeOf(custodian), { method: 'PUT', target, actor, body, bytesMax: 16 * 1024 });
      }),
    );
    const failed = stored.filter((it) => it.status === 'rejected');
    if (stored.length - failed.length < needed)
      throw failed[0]?.reason ?? new UsageError('custodians', 'the chart names too few custodians');
  }

  /** The node of an organisation. */
  nodeOf(organisation: OrganisationId): Endpoint {
    const node = this.nodes.of(organisation);
    if (node === null)
      throw new UsageError('no_address', `no node of organisation ${hex(organisation)} is named; add its address`);
    return node;
  }

  async #firstOf<T>(custodians: readonly OrganisationId[], attempt: (node: Endpoint) => Promise<T>): Promise<T> {
    let last: unknown = new UsageError('custodians', 'the chart names no custodian');
    for (const custodian of custodians) {
      try {
        return await attempt(this.nodeOf(custodian));
      } catch (error) {
        if (!(error instanceof KeepwellError)) throw error;
        last = error;
      }
    }
    throw last;
  }

  /** Asks one node after the other until an answer passes `check`. */
  async ask<T>(ask: Ask, check: (bytes: Uint8Array) => T): Promise<T> {
    await this.#followEpochs();
    let last: unknown;
    for (let round = 0; round < ROUNDS; round += 1) {
      if (round > 0) await pause(PAUSE_MS);
      let anyLate = false;
      for (const node of this.nodes.endpoints) {
        try {
          return await this.#askOne(node, ask, check);
        } catch (error) {
          if (!mayPass(error)) throw error;
          anyLate ||= isLate(error);
          last = error;
        }
      }
      if (!anyLate) break;
    }
    throw last;
  }

  async #askOne<T>(node: Endpoint, ask: Ask, check: (bytes: Uint8Array) => T): Promise<T> {
    const bytes = await this.nodes.ask(node, ask);
    try {
      return check(bytes);
    } catch (error) {
      // By the word of validators who are not known here: perhaps because they took over since.
      if (!isByOthers(error) || !(await this.follow(node))) throw error;
      return check(bytes);
    }
  }

  /** Asks for hand-overs once for each epoch, before the new validators are needed. */
  async #followEpochs(): Promise<void> {
    if (this.#seen === null) return;
    const epoch = this.#seen.height / this.consortium.validators.epochBlocks;
    if (epoch <= this.#askedEpoch) return;
    this.#askedEpoch = epoch;
    for (const node of this.nodes.endpoints) {
      try {
        if (await this.follow(node)) return;
      } catch (error) {
        if (!(error instanceof NodeError)) throw error;
      }
    }
  }

  /** Follows the hand-overs that a node knows; whether there were any. */
  async follow(node: Endpoint): Promise<boolean> {
    let further = false;
    for (;;) {
      const { since } = this.#inForce.validators.newest;
      const target = `/v1/handovers?from=${since + 1n}`;
      const bytes = await this.nodes.ask(node, { method: 'GET', target, bytesMax: HANDOVER_PAGE_BYTES_MAX });
      const page = decode(Handovers, bytes, HANDOVER_PAGE_BYTES_MAX);
      if (page.length === 0) return further;
      const then = this.#inForce.followed(page);
      if (then.validators.newest.since <= since) return further;
      this.#inForce = then;
      further = true;
    }
  }

  #checker(): Checker {
    return { validators: this.#inForce.validators, seen: this.#seen, now: this.now() };
  }

  #note(verified: VerifiedHeader): VerifiedHeader {
    const { height } = verified.header;
    if (this.#seen === null || height > this.#seen.height) this.#seen = { height, id: verified.id };
    return verified;
  }
}

type EntryOf<K extends StateValue['kind']> = Extract<StateValue, { kind: K }>['value'];

/** The entry that was proven, which must be there. */
function there<K extends StateValue['kind']>(proven: Proven, kind: K, absent: string): EntryOf<K> {
  if (proven.value?.kind !== kind) throw new UsageError('absent', absent);
  return proven.value.value as EntryOf<K>;
}

function pageOf(actor: Actor, chart: ChartId, from: bigint, limit: number): Ask {
  const target = `/v1/charts/${hex(chart)}/log?from=${from}&limit=${limit}`;
  return { method: 'GET', target, actor, bytesMax: LOG_PAGE_BYTES_MAX };
}

function isSameOutcome(one: Outcome, other: Outcome): boolean {
  return (
    equal(one.command, other.command) &&
    one.location.height === other.location.height &&
    one.location.index === other.location.index
  );
}

/** Whether a node refused because of who asks. */
export function isForbidden(error: unknown): boolean {
  return error instanceof NodeError && error.status === 403;
}

function mayPass(error: unknown): boolean {
  if (error instanceof NodeError) return error.mayPass;
  return (
    error instanceof KeepwellError &&
    !(error instanceof UsageError) &&
    error.code !== 'fork' &&
    error.code !== 'contradicts'
  );
}

/** Whether a node may only be late, so that the same one may answer soon. */
function isLate(error: unknown): boolean {
  if (error instanceof NodeError) return error.mayPass && [425, 429, 503].includes(error.status ?? 0);
  return error instanceof ProofError && (error.code === 'stale' || error.code === 'behind');
}

function isByOthers(error: unknown): boolean {
  const codes = ['too_few_votes', 'unknown_validator', 'bad_vote', 'vote_order'];
  return error instanceof ProofError && codes.includes(error.code);
}

function otherCommand(): ProofError {
  const text = 'the receipt is of another command than the one that was sent; ask another node what became of yours';
  return new ProofError('other_command', text);
}

function noPosition(): UsageError {
  return new UsageError('no_position', 'the entry was not found in the log of its chart; try again');
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
