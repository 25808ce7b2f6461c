/**
 * Reading: one access for many records, shares from the validators, bodies from the custodians.
 *
 * ```text
 * access.open, a fresh key's digest ──> accepted, at a position of the chart's log
 *   entries ──> capsules, from custodians: the ledger's commitment, the entry's label
 *   all validators at once ──> signed answers ──> t good shares ──> second lock
 *   seeds ──> first lock ──> data keys
 *   bodies, from custodians, a few chunks at a time
 * ```
 *
 * # Invariants
 *
 * * A record is opened only under an accepted access whose receipt was verified.
 * * An answer that its validator signed and that is wrong is dropped and names the validator; so is a capsule or a
 *   chunk, with custodian and record. Whoever is left serves.
 * * What is handed out of a body is authentic, chunk by chunk; it is whole once the iteration ends.
 *
 * Not here: whether the access is allowed, which the ledger decides.
 */

import { concat, hex } from './bytes.js';
import { BodyOpener, HEADER_BYTES } from './body.js';
import { openCapsule, openGrantLock } from './capsule.js';
import type { Consortium } from './consortium.js';
import { decode, encode } from './encoding.js';
import { KeepwellError, NodeError, OpenError, ProofError, UsageError } from './errors.js';
import { type Client, type Decided, isForbidden } from './client.js';
import type { EpochSeed } from './keys.js';
import { LIMITS } from './limits.js';
import type { Actor } from './node.js';
import { SaltedCapsule } from './objects.js';
import { type RecordFacts, checkCapsule, endOf, factsOf, asksFor, shownRecord } from './records.js';
import { Collector, type ReleasedAccess } from './release.js';
import { SealingKey } from './seal.js';
import {
  CapsuleAnswer,
  CapsuleRequest,
  type ChartId,
  OpenedPage,
  type OrganisationId,
  type Purpose,
  type RecordName,
  ReleaseAnswer,
  ReleaseRequest,
  type Target,
} from './types.js';
import { verifyReceipt } from './verify.js';

const CAPSULES_BYTES_MAX = (LIMITS.CAPSULE_BYTES_MAX + 8) * LIMITS.RELEASE_CAPSULES_MAX + 64;
const RELEASE_BYTES_MAX = 32 * LIMITS.RELEASE_CAPSULES_MAX + 256 + 2_048;
const OPENED_PAGE_BYTES_MAX = 128 * (LIMITS.RECEIPT_BYTES_MAX + 16) + 64;
/** Bytes of a body that are asked for at one time. */
const STRETCH_BYTES = 4 * 1024 * 1024;
/** How often a node that is busy or behind is asked, and how long between, in milliseconds. */
const TRIES = 4;
const PAUSE_MS = 300;

/** The compartments' keys that a reader holds: a wallet's, or those that a grant brought. */
export interface SeedSource {
  epochSeed(compartment: number, epoch: number): EpochSeed | null;
}

/** What is to be opened: these records, or all in these compartments up to a position of the chart's log. */
export type What =
  { readonly records: readonly RecordName[] } | { readonly compartments: readonly number[]; readonly until?: bigint };

/** A wish to open. */
export interface Opening {
  readonly actor: Actor;
  readonly chart: ChartId;
  readonly what: What;
  /** What for. It is signed, and the patient sees it. */
  readonly purpose: Purpose;
  readonly seeds: SeedSource;
}

/** A record whose data key is here. */
export interface OpenedRecord {
  readonly chart: ChartId;
  /** Where the access that opened it stands. */
  readonly access: bigint;
  readonly facts: RecordFacts;
  readonly dataKey: Uint8Array;
}

/** What an access has opened. */
export interface Opened {
  /** The proof of the access: the same entry that the patient sees. */
  readonly decided: Decided;
  readonly position: bigint;
  /** In the order of the log. */
  readonly records: readonly OpenedRecord[];
  /** Records that the access covers and that stay closed, and why. */
  readonly withheld: readonly { readonly facts: RecordFacts; readonly error: KeepwellError }[];
  /** Who gave nothing, or something wrong, while others stood in. */
  readonly faults: readonly Fault[];
}

/** What was wrong with what an organisation gave. */
export interface Fault {
  readonly organisation: OrganisationId;
  readonly error: KeepwellError;
}

/** Opens records: one access, which stands on the ledger whether it is allowed or not. */
export async function openRecords(client: Client, opening: Opening): Promise<Opened> {
  const { actor, chart, purpose } = opening;
  const key = SealingKey.generate();
  const readerKey = key.publicKey().digest();
  const target = await targetOf(client, opening);
  const { notice } = client.consortium.genesis.parameters;
  const payload = { kind: 'access_open', value: { chart, target, purpose, readerKey, notice } } as const;
  const decided = await client.command(actor, payload);
  const position = await client.position(actor, chart, decided);
  const access = { chain: client.consortium.chain, command: decided.verified.outcome.command, readerKey };
  const reading = new Reading(client, opening, target, key, access, position);
  try {
    return { decided, position, ...(await reading.run()) };
  } finally {
    key.erase();
  }
}

async function targetOf(client: Client, { actor, chart, what }: Opening): Promise<Target> {
  if ('records' in what) return { kind: 'records', value: what.records };
  const { compartments } = what;
  return { kind: 'compartments', value: { compartments, until: what.until ?? (await endOfLog(client, actor, chart)) } };
}

async function endOfLog(client: Client, actor: Actor, chart: ChartId): Promise<bigint> {
  try {
    return (await client.logTail(actor, chart, 1n)).mark.count;
  } catch (error) {
    if (!isForbidden(error)) throw error;
    return client.logCountBySearch(actor, chart);
  }
}

/** A record with its capsule. */
interface Sealed {
  readonly facts: RecordFacts;
  readonly salted: SaltedCapsule;
}

/** One accepted access, and what comes of it. */
class Reading {
  readonly #records: OpenedRecord[] = [];
  readonly #withheld: { facts: RecordFacts; error: KeepwellError }[] = [];
  readonly #faults: Fault[] = [];

  constructor(
    private readonly client: Client,
    private readonly opening: Opening,
    private readonly target: Target,
    private readonly key: SealingKey,
    private readonly access: ReleasedAccess,
    private readonly position: bigint,
  ) {}

  async run(): Promise<Pick<Opened, 'records' | 'withheld' | 'faults'>> {
    const sealed = await this.#capsules(await this.#facts());
    for (let at = 0; at < sealed.length; at += LIMITS.RELEASE_CAPSULES_MAX) {
      await this.#openBatch(sealed.slice(at, at + LIMITS.RELEASE_CAPSULES_MAX));
    }
    this.#records.sort((one, other) => (one.facts.name.position < other.facts.name.position ? -1 : 1));
    return { records: this.#records, withheld: this.#withheld, faults: this.#faults };
  }

  /** What the ledger says of each record that the access covers. */
  async #facts(): Promise<RecordFacts[]> {
    const { actor, chart } = this.opening;
    if (this.target.kind === 'records') return this.#shown();
    try {
      const log = await this.client.log(actor, chart);
      const all = log.lines.map(({ position, entry, outcome }) => factsOf(position, entry, outcome));
      return all.filter((facts) => facts !== null && asksFor(this.target, facts)) as RecordFacts[];
    } catch (error) {
      if (!isForbidden(error)) throw error;
      return this.#shown();
    }
  }

  /**
   * The records that the access asks for, as a node proves them to its reader. A reader from elsewhere cannot tell
   * whether a node kept one back; whoever may follow the log can.
   */
  async #shown(): Promise<RecordFacts[]> {
    const { actor, chart } = this.opening;
    const found: RecordFacts[] = [];
    const end = endOf(this.target);
    for (let from = 0n; from < end;) {
      const target = `/v1/charts/${hex(chart)}/log/${this.position}/records?from=${from}`;
      const ask = { method: 'GET', target, actor, bytesMax: OPENED_PAGE_BYTES_MAX } as const;
      const page = await this.client.ask(ask, (bytes) =>
        this.#page(from, end, decode(OpenedPage, bytes, OPENED_PAGE_BYTES_MAX)),
      );
      found.push(...page.records);
      from = page.next;
    }
    return found;
  }

  #page(from: bigint, end: bigint, { next, records }: OpenedPage): { next: bigint; records: RecordFacts[] } {
    const wrong = new ProofError(
      'opened_page',
      'the page of records does not go on where the last one ended; ask another node',
    );
    if (next <= from || next > end) throw wrong;
    let least = from;
    const facts = records.map(({ position, receipt }) => {
      if (position < least || position >= next) throw wrong;
      least = position + 1n;
      const proven = verifyReceipt(receipt, this.client.inForce.validators);
      return shownRecord(this.opening.chart, this.target, position, proven);
    });
    return { next, records: facts };
  }

  /** The capsules of records whose key the reader holds, each from the first of its custodians that gives it. */
  async #capsules(all: readonly RecordFacts[]): Promise<Sealed[]> {
    const sealed: Sealed[] = [];
    let waiting = all
      .filter((facts) => this.#hasSeed(facts))
      .map((facts) => ({ facts, tried: 0, error: unreadable() }));
    while (waiting.length > 0) {
      const byCustodian = new Map<string, { custodian: OrganisationId; batch: typeof waiting }>();
      for (const it of waiting) {
        const custodian = it.facts.custodians[it.tried];
        if (custodian === undefined) {
          this.#withhold(it.facts, it.error);
          continue;
        }
        const group = byCustodian.get(hex(custodian)) ?? { custodian, batch: [] };
        group.batch.push(it);
        byCustodian.set(hex(custodian), group);
      }
      waiting = [];
      for (const { custodian, batch } of byCustodian.values()) {
        for (let at = 0; at < batch.length; at += LIMITS.RELEASE_CAPSULES_MAX) {
          const part = batch.slice(at, at + LIMITS.RELEASE_CAPSULES_MAX);
          const answers = await this.#askCapsules(
            custodian,
            part.map((it) => it.facts),
          );
          part.forEach((it, place) => {
            const answer = answers[place]!;
            if (answer instanceof KeepwellError) {
              this.#faults.push({ organisation: custodian, error: answer });
              waiting.push({ facts: it.facts, tried: it.tried + 1, error: answer });
            } else sealed.push({ facts: it.facts, salted: answer });
          });
        }
      }
    }
    return sealed;
  }

  #hasSeed(facts: RecordFacts): boolean {
    if (this.opening.seeds.epochSeed(facts.compartment, facts.epoch) !== null) return true;
    const text = `no key of epoch ${facts.epoch} of compartment ${facts.compartment} is here; ask whoever gave the grant for it again`;
    this.#withhold(facts, new UsageError('no_seed', text));
    return false;
  }

  /** Asks one custodian for capsules: for each the capsule, or what is wrong. */
  async #askCapsules(
    custodian: OrganisationId,
    all: readonly RecordFacts[],
  ): Promise<(SaltedCapsule | KeepwellError)[]> {
    const { actor, chart } = this.opening;
    const body = encode(CapsuleRequest, { positions: all.map((it) => it.name.position) });
    const target = `/v1/charts/${hex(chart)}/capsules?access=${this.position}`;
    const absent = new ProofError(
      'no_capsule',
      'the custodian does not have the capsule: the record was redacted and erased, or the custodian lost it',
    );
    const { chain, committee } = this.client.inForce;
    return orError(async () => {
      const node = this.client.nodeOf(custodian);
      const bytes = await this.client.nodes.ask(node, {
        method: 'POST',
        target,
        actor,
        body,
        bytesMax: CAPSULES_BYTES_MAX,
      });
      const { capsules } = decode(CapsuleAnswer, bytes, CAPSULES_BYTES_MAX);
      if (capsules.length !== all.length)
        throw new ProofError('other_object', 'the custodian gave more or fewer than was asked for');
      return Promise.all(
        capsules.map((given, at) =>
          given === null ? absent : orError(async () => checkCapsule(chain, chart, committee.id, all[at]!, given)),
        ),
      );
    }).then((answer) => (answer instanceof KeepwellError ? all.map(() => answer) : answer));
  }

  /**
   * Opens as many of a batch as validators release: where they refuse a batch, each half is asked for alone, down to
   * the records that they refuse.
   */
  async #openBatch(batch: readonly Sealed[]): Promise<void> {
    const answer = await orError(() => this.#release(batch));
    if (!(answer instanceof KeepwellError)) {
      batch.forEach((it, at) => this.#open(it, answer[at]!));
    } else if (batch.length > 1) {
      const half = Math.ceil(batch.length / 2);
      await this.#openBatch(batch.slice(0, half));
      await this.#openBatch(batch.slice(half));
    } else batch.forEach((it) => this.#withhold(it.facts, answer));
  }

  #open({ facts, salted: { capsule } }: Sealed, released: Uint8Array): void {
    const seed = this.opening.seeds.epochSeed(facts.compartment, facts.epoch);
    try {
      if (seed === null) throw new OpenError('wrong_key', 'the key of the record is not here any more');
      const key = seed.sealing();
      const dataKey = openCapsule(capsule, openGrantLock(capsule, key), released);
      key.erase();
      this.#records.push({ chart: this.opening.chart, access: this.position, facts, dataKey });
    } catch (error) {
      if (!(error instanceof KeepwellError)) throw error;
      this.#withhold(facts, error);
    }
  }

  /** The secrets of the second lock, from as many validators as it takes. */
  async #release(batch: readonly Sealed[]): Promise<Uint8Array[]> {
    const known = this.client.inForce;
    try {
      return await this.#releaseBy(known, batch);
    } catch (error) {
      // Shares of two sets of validators do not go together: where others took over, it is asked for once more.
      if (!(await this.#hasOthersSince(known))) throw error;
      return this.#releaseBy(this.client.inForce, batch);
    }
  }

  async #hasOthersSince(known: Consortium): Promise<boolean> {
    for (const node of this.client.nodes.endpoints) {
      if ((await orError(() => this.client.follow(node))) === true) break;
    }
    return this.client.inForce.validators.newest.since > known.validators.newest.since;
  }

  async #releaseBy(consortium: Consortium, batch: readonly Sealed[]): Promise<Uint8Array[]> {
    const collector = new Collector(
      consortium.committee,
      this.access,
      batch.map((it) => it.salted),
      this.key,
    );
    const body = encode(ReleaseRequest, {
      chart: this.opening.chart,
      access: this.position,
      readerKey: this.key.publicKey().toBytes(),
      items: batch.map((it) => ({ position: it.facts.name.position, capsule: encode(SaltedCapsule, it.salted) })),
    });
    let last: KeepwellError | null = null;
    const shares = Array.from({ length: consortium.committee.shares }, (_, at) => at + 1);
    const enough = new Promise<void>((resolve) => {
      const answers = shares.map(async (share) => {
        const fault = await this.#take(consortium, collector, share, body);
        if (fault !== null) last = fault;
        if (collector.isComplete) resolve();
      });
      void Promise.all(answers).then(
        () => resolve(),
        () => resolve(),
      );
    });
    await enough;
    if (!collector.isComplete && last !== null) throw last;
    return collector.finish();
  }

  /** Asks the validator that has one share, and takes its answer. */
  async #take(
    consortium: Consortium,
    collector: Collector,
    share: number,
    body: Uint8Array,
  ): Promise<KeepwellError | null> {
    const releaser = consortium.releaser(share);
    if (releaser === null) return null;
    const { organisation, key } = releaser;
    const answer = await orError(async () => {
      const node = this.client.nodeOf(organisation);
      const ask = {
        method: 'POST',
        target: '/v1/release',
        actor: this.opening.actor,
        body,
        bytesMax: RELEASE_BYTES_MAX,
      } as const;
      const bytes = await patiently(() => this.client.nodes.ask(node, ask));
      const given = decode(ReleaseAnswer, bytes, RELEASE_BYTES_MAX);
      // An answer in the name of another share would put the blame on another validator.
      if (given.share !== share) throw new ProofError('garbled', `${node.url} answered for another share`);
      if (!collector.isComplete) collector.add(given, key);
    });
    if (!(answer instanceof KeepwellError)) return null;
    this.#faults.push({ organisation, error: answer });
    return answer;
  }

  #withhold(facts: RecordFacts, error: KeepwellError): void {
    this.#withheld.push({ facts, error });
  }
}

/** The content of an opened record, in order, from whichever of its custodians has it right. */
export async function* readRecord(client: Client, actor: Actor, record: OpenedRecord): AsyncGenerator<Uint8Array> {
  const body = new BodySource(client, actor, record);
  const opener = await body.begin();
  let next = 0;
  while (!opener.isComplete) {
    yield await body.chunk(opener, next);
    next += 1;
  }
}

/** The whole content of an opened record, if it has at most `bytesMax` bytes. */
export async function readWhole(
  client: Client,
  actor: Actor,
  record: OpenedRecord,
  bytesMax: number,
): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let len = 0;
  for await (const part of readRecord(client, actor, record)) {
    len += part.length;
    if (len > bytesMax)
      throw new UsageError('too_long', `the record has more than ${bytesMax} bytes; read it in parts`);
    parts.push(part);
  }
  return concat(...parts);
}

/** Fetches a body, a stretch at a time, from one custodian after the other. */
class BodySource {
  readonly #custodians: OrganisationId[];
  #stretch: { from: number; bytes: Uint8Array } = { from: 0, bytes: new Uint8Array(0) };

  constructor(
    private readonly client: Client,
    private readonly actor: Actor,
    private readonly record: OpenedRecord,
  ) {
    this.#custodians = [...record.facts.custodians];
  }

  get #sealedBytes(): number {
    return Number(this.record.facts.sealedBytes);
  }

  begin(): Promise<BodyOpener> {
    const { dataKey, facts } = this.record;
    return this.#fromAny(async () => {
      const header = await this.#bytes(0, HEADER_BYTES);
      return BodyOpener.begin(dataKey, facts.name.record, header, this.#sealedBytes);
    });
  }

  chunk(opener: BodyOpener, index: number): Promise<Uint8Array> {
    return this.#fromAny(async () => opener.chunk(await this.#bytes(...opener.layout.sealedRange(index))));
  }

  async #fromAny<T>(attempt: () => Promise<T>): Promise<T> {
    for (;;) {
      const answer = await orError(attempt);
      if (!(answer instanceof KeepwellError)) return answer;
      this.#custodians.shift();
      this.#stretch = { from: 0, bytes: new Uint8Array(0) };
      if (this.#custodians.length === 0) throw answer;
    }
  }

  async #bytes(from: number, until: number): Promise<Uint8Array> {
    const { from: start, bytes } = this.#stretch;
    if (from < start || until > start + bytes.length) await this.#fetch(from, Math.max(until, from + STRETCH_BYTES));
    const at = from - this.#stretch.from;
    return this.#stretch.bytes.subarray(at, at + until - from);
  }

  async #fetch(from: number, wished: number): Promise<void> {
    const custodian = this.#custodians[0];
    if (custodian === undefined) throw new UsageError('custodians', 'the record names no custodian');
    const { chart, access, facts } = this.record;
    const until = Math.min(wished, this.#sealedBytes);
    const target = `/v1/charts/${hex(chart)}/records/${facts.name.position}/body?access=${access}`;
    const ask = { method: 'GET', target, actor: this.actor, range: [from, until], bytesMax: until - from } as const;
    const bytes = await patiently(() => this.client.nodes.ask(this.client.nodeOf(custodian), ask));
    if (bytes.length !== until - from)
      throw new ProofError('cut_off', 'the custodian gave less of the body than it has');
    this.#stretch = { from, bytes };
  }
}

function unreadable(): KeepwellError {
  return new ProofError('unreadable', 'the record names no custodian');
}

/** What `attempt` comes to, or the error of ours that it ends with. */
async function orError<T>(attempt: () => Promise<T>): Promise<T | KeepwellError> {
  try {
    return await attempt();
  } catch (error) {
    if (error instanceof KeepwellError) return error;
    throw error;
  }
}

/** Asks again while a node is busy or behind. */
async function patiently<T>(attempt: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await attempt();
    } catch (error) {
      const isBusy = error instanceof NodeError && error.mayPass && [425, 429, 503].includes(error.status ?? 0);
      if (!isBusy || tries === TRIES) throw error;
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
}
