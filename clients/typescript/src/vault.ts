/**
 * The vault: a worker that has the keys, and the page's handle on it.
 *
 * ```text
 * page    Vault ── unlock, open, grant, ... ──> worker    wallet, data keys
 *               <── facts, contents, receipts ──          locks itself when it is idle, and ends
 * ```
 *
 * # Invariants
 *
 * * No key leaves the worker but sealed: what comes back is facts of the ledger, contents of records that were opened,
 *   and files that are sealed. Opened records stand in the page as numbers.
 * * The worker stores nothing. What a page stores is sealed under a passphrase or a passkey.
 * * After `idleMs` without a call the worker erases its keys and ends. One worker is one session: unlocking again
 *   takes a new one.
 *
 * What this does not do: a server that ships a changed page or worker takes the keys of whoever unlocks there. Pin the
 * worker's script (subresource integrity, a strict content security policy), and have its digest published.
 */

import { hex, unhex } from './bytes.js';
import { Client } from './client.js';
import { Consortium } from './consortium.js';
import { DecodeError, KeepwellError, OpenError, ProofError, RejectedError, UsageError } from './errors.js';
import { answerWithGrant, giveGrant, memberKey, refuseRequest, revokeGrant } from './grants.js';
import { type About, encodeKeyFile, lockWithOperatorKey } from './keyfile.js';
import { payloadOf } from './commands.js';
import type { Endpoint } from './node.js';
import { type PasskeyFile, decodePasskeyFile, encodePasskeyFile, passkeyKey } from './passkey.js';
import { type OpenedRecord, openRecords, readWhole } from './reading.js';
import { type RecordFacts, factsOf } from './records.js';
import type { SealingPublic } from './seal.js';
import {
  ChartId,
  GrantId,
  type GrantTerms,
  OrganisationId,
  type Outcome,
  type Payload,
  type Purpose,
  type RefusalReason,
  RequestId,
} from './types.js';
import { type ChartKeyring, Wallet } from './wallet.js';

/** How long a vault stays unlocked without a call, in milliseconds, where the page does not say. */
export const IDLE_MS_USUAL = 5 * 60 * 1_000;
/** Bytes of one content that is handed to a page. */
const CONTENT_BYTES_MAX = 64 * 1024 * 1024;

/** What a page needs to say once: the consortium, by its genesis file, and its nodes. */
export interface Settings {
  readonly genesis: Uint8Array;
  readonly nodes: readonly { readonly organisation: string; readonly url: string }[];
  readonly idleMs?: number;
}

/** What opens a vault: a recovery file, or a passkey's file with what the passkey gave. */
export type Key =
  | { readonly recovery: Uint8Array; readonly passphrase: string }
  | { readonly passkey: Uint8Array; readonly prf: Uint8Array };

/** A chart, as a page may show it. Ids are hexadecimal digits. */
export interface ShownChart {
  readonly chart: string;
  readonly organisation: string;
  readonly compartments: readonly { readonly name: string; readonly compartment: number }[];
}

/** One line of a chart's log that was proven. */
export interface ShownLine {
  readonly position: bigint;
  readonly payload: Payload;
  readonly outcome: Outcome;
}

/** An opened record: a number that means something to its vault alone, and what the ledger says of it. */
export interface ShownRecord {
  readonly handle: number;
  readonly facts: RecordFacts;
}

/** What a vault does for its page. */
export interface VaultCalls {
  unlock(settings: Settings, key: Key): Promise<readonly ShownChart[]>;
  log(chart: string): Promise<readonly ShownLine[]>;
  open(
    chart: string,
    positions: readonly bigint[],
    purpose: Purpose,
  ): Promise<{ records: readonly ShownRecord[]; withheld: readonly { position: bigint; why: string }[] }>;
  content(handle: number): Promise<Uint8Array>;
  grant(chart: string, terms: GrantTerms): Promise<{ grant: string; receipt: Uint8Array }>;
  revoke(chart: string, grant: string): Promise<{ receipt: Uint8Array }>;
  answer(
    chart: string,
    request: string,
    terms: GrantTerms | RefusalReason,
  ): Promise<{ grant: string | null; receipt: Uint8Array }>;
  recoveryFile(passphrase: string): Promise<Uint8Array>;
  passkeyFile(credential: Uint8Array, salt: Uint8Array, prf: Uint8Array): Promise<Uint8Array>;
  lock(): Promise<void>;
}

interface Call {
  readonly id: number;
  readonly method: keyof VaultCalls;
  readonly words: readonly unknown[];
}

type Answer =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly error: { readonly kind: string; readonly code: string; readonly message: string } }
  | { readonly event: 'locked' };

/** What both ends of the line have: a `Worker`, a worker's own scope, or a `MessagePort`. */
export interface Line {
  postMessage(message: unknown): void;
  addEventListener(type: 'message', hear: (event: { data: any }) => void): void;
}

const METHODS: ReadonlySet<string> = new Set<keyof VaultCalls>([
  'unlock',
  'log',
  'open',
  'content',
  'grant',
  'revoke',
  'answer',
  'recoveryFile',
  'passkeyFile',
  'lock',
]);

/** Serves a vault, in a worker: `serveVault(self, () => self.close())`. */
export function serveVault(line: Line, end: () => void): void {
  const session = new Session(() => {
    line.postMessage({ event: 'locked' } satisfies Answer);
    end();
  });
  line.addEventListener('message', ({ data }) => {
    const { id, method, words } = data as Call;
    const reply = (answer: Answer): void => line.postMessage(answer);
    session.call(method, words).then(
      (value) => reply({ id, value }),
      (error: unknown) => reply({ id, error: plainError(error) }),
    );
  });
}

function plainError(error: unknown): { kind: string; code: string; message: string } {
  if (error instanceof KeepwellError) return { kind: error.name, code: error.code, message: error.message };
  // What is unforeseen says nothing of what it was about.
  return {
    kind: 'UsageError',
    code: 'unforeseen',
    message: 'the vault has failed; unlock again, and tell whoever runs the portal',
  };
}

/** The worker's side. */
class Session implements VaultCalls {
  #wallet: Wallet | null = null;
  #client: Client | null = null;
  #idleMs = IDLE_MS_USUAL;
  #idle: ReturnType<typeof setTimeout> | null = null;
  #calls = 0;
  #isUnlocking = false;
  readonly #opened = new Map<number, OpenedRecord>();

  constructor(private readonly ended: () => void) {}

  async call(method: string, words: readonly unknown[]): Promise<unknown> {
    if (!METHODS.has(method)) throw new UsageError('method', 'the vault does nothing of this name');
    if (method !== 'unlock' && this.#wallet === null)
      throw new UsageError('locked', 'the vault is locked; unlock it first');
    this.#calls += 1;
    this.#stopTimer();
    try {
      return await (this[method as keyof VaultCalls] as (...words: readonly unknown[]) => Promise<unknown>)(...words);
    } finally {
      this.#calls -= 1;
      this.#startTimer();
    }
  }

  async unlock(settings: Settings, key: Key): Promise<readonly ShownChart[]> {
    if (this.#wallet !== null || this.#isUnlocking) {
      throw new UsageError('unlocked', 'the vault is unlocked; lock it, and start a new one');
    }
    this.#isUnlocking = true;
    try {
      return await this.#unlock(settings, key);
    } finally {
      this.#isUnlocking = false;
    }
  }

  async #unlock(settings: Settings, key: Key): Promise<readonly ShownChart[]> {
    const nodes: Endpoint[] = settings.nodes.map((it) => ({
      organisation: OrganisationId.of(it.organisation),
      url: it.url,
    }));
    const consortium = Consortium.read(settings.genesis);
    const wallet = 'recovery' in key ? await Wallet.restore(key.recovery, key.passphrase) : await byPasskey(key);
    // What the wallet has seen of the ledger, no node takes back.
    this.#client = new Client(consortium, nodes, { seen: wallet.index.tip });
    this.#wallet = wallet;
    this.#idleMs = settings.idleMs ?? IDLE_MS_USUAL;
    return wallet.index.charts.map(({ chart, organisation, meanings }) => ({
      chart: hex(chart),
      organisation: hex(organisation),
      compartments: meanings,
    }));
  }

  async log(chart: string): Promise<readonly ShownLine[]> {
    const { client, keyring } = this.#of(chart);
    const { lines } = await client.log(keyring.actor(), keyring.chart, keyring.known.log);
    return lines.map(({ position, entry, outcome }) => ({ position, payload: payloadOf(entry), outcome }));
  }

  async open(chart: string, positions: readonly bigint[], purpose: Purpose): ReturnType<VaultCalls['open']> {
    const { client, keyring } = this.#of(chart);
    const actor = keyring.actor();
    const { lines } = await client.log(actor, keyring.chart, keyring.known.log);
    const all = lines.map(({ position, entry, outcome }) => factsOf(position, entry, outcome));
    const wanted = all.filter((it): it is RecordFacts => it !== null && positions.includes(it.name.position));
    if (wanted.length !== new Set(positions).size)
      throw new UsageError('no_record', 'no record stands at one of these positions');
    const what = { records: wanted.map((it) => it.name) };
    const opened = await openRecords(client, { actor, chart: keyring.chart, what, purpose, seeds: keyring });
    const records = opened.records.map((record) => ({ handle: this.#keep(record), facts: record.facts }));
    return {
      records,
      withheld: opened.withheld.map(({ facts, error }) => ({ position: facts.name.position, why: error.message })),
    };
  }

  async content(handle: number): Promise<Uint8Array> {
    const record = this.#opened.get(handle);
    if (record === undefined) throw new UsageError('handle', 'no record is open under this number; open it again');
    const { client, keyring } = this.#of(hex(record.chart));
    return readWhole(client, keyring.actor(), record, CONTENT_BYTES_MAX);
  }

  async grant(chart: string, terms: GrantTerms): Promise<{ grant: string; receipt: Uint8Array }> {
    const { client, keyring } = this.#of(chart);
    const given = await giveGrant(client, keyring, terms, await this.#keyOf(client, keyring, terms));
    return { grant: hex(given.grant), receipt: given.decided.receipt };
  }

  async revoke(chart: string, grant: string): Promise<{ receipt: Uint8Array }> {
    const { client, keyring } = this.#of(chart);
    const { receipt } = await revokeGrant(client, keyring, GrantId.of(unhex(grant)));
    return { receipt };
  }

  async answer(
    chart: string,
    request: string,
    terms: GrantTerms | RefusalReason,
  ): Promise<{ grant: string | null; receipt: Uint8Array }> {
    const { client, keyring } = this.#of(chart);
    const id = RequestId.of(unhex(request));
    if (typeof terms === 'string') {
      const { receipt } = await refuseRequest(client, { actor: keyring.actor(), chart: keyring.chart }, id, terms);
      return { grant: null, receipt };
    }
    const given = await answerWithGrant(client, keyring, id, terms, await this.#keyOf(client, keyring, terms));
    return { grant: hex(given.grant), receipt: given.decided.receipt };
  }

  async recoveryFile(passphrase: string): Promise<Uint8Array> {
    return this.#unlocked().wallet.backup(passphrase);
  }

  async passkeyFile(credential: Uint8Array, salt: Uint8Array, prf: Uint8Array): Promise<Uint8Array> {
    const { wallet } = this.#unlocked();
    const about: About = { kind: 'root', label: 'wallet passkey', demonstration: wallet.demonstration };
    const secret = wallet.rootBytes();
    const key = encodeKeyFile(lockWithOperatorKey(about, secret, passkeyKey(prf, credential, salt)));
    secret.fill(0);
    prf.fill(0);
    return encodePasskeyFile({ credential, salt: salt as PasskeyFile['salt'], key, index: wallet.sealedIndex() });
  }

  async lock(): Promise<void> {
    this.#wallet?.erase();
    for (const { dataKey } of this.#opened.values()) dataKey.fill(0);
    this.#opened.clear();
    [this.#wallet, this.#client] = [null, null];
    // The answer goes out first.
    setTimeout(this.ended, 0);
  }

  #keep(record: OpenedRecord): number {
    const handle = this.#opened.size + 1;
    this.#opened.set(handle, record);
    return handle;
  }

  #unlocked(): { wallet: Wallet; client: Client } {
    if (this.#wallet === null || this.#client === null)
      throw new UsageError('locked', 'the vault is locked; unlock it first');
    return { wallet: this.#wallet, client: this.#client };
  }

  #of(chart: string): { client: Client; keyring: ChartKeyring } {
    const { wallet, client } = this.#unlocked();
    return { client, keyring: wallet.chart(ChartId.of(unhex(chart))) };
  }

  async #keyOf(client: Client, keyring: ChartKeyring, terms: GrantTerms): Promise<SealingPublic | null> {
    if (terms.grantee.kind !== 'member' || terms.effect === 'deny') return null;
    return memberKey(client, keyring.actor(), terms.grantee.value);
  }

  #stopTimer(): void {
    if (this.#idle !== null) clearTimeout(this.#idle);
    this.#idle = null;
  }

  #startTimer(): void {
    if (this.#wallet === null || this.#calls > 0) return;
    this.#idle = setTimeout(() => void this.lock(), this.#idleMs);
  }
}

async function byPasskey({ passkey, prf }: { passkey: Uint8Array; prf: Uint8Array }): Promise<Wallet> {
  const { credential, salt, key, index } = decodePasskeyFile(passkey);
  const operatorKey = passkeyKey(prf, credential, salt);
  prf.fill(0);
  return Wallet.open(key, index, { operatorKey });
}

/** The page's side. */
export class Vault {
  #next = 1;
  #isLocked = false;
  readonly #waiting = new Map<number, { resolve(value: unknown): void; reject(error: unknown): void }>();

  /** `locked` is told once, when the vault has locked itself or was locked. */
  constructor(
    private readonly line: Line,
    private readonly locked: () => void = () => undefined,
  ) {
    line.addEventListener('message', ({ data }) => this.#hear(data as Answer));
  }

  /** Whether it was locked: from then on it answers nothing. */
  get isLocked(): boolean {
    return this.#isLocked;
  }

  /** Has the vault do something. */
  call<M extends keyof VaultCalls>(method: M, ...words: Parameters<VaultCalls[M]>): ReturnType<VaultCalls[M]> {
    const made = new Promise<unknown>((resolve, reject) => {
      if (this.#isLocked) return reject(new UsageError('locked', 'the vault is locked; start a new one and unlock it'));
      const id = this.#next;
      this.#next += 1;
      this.#waiting.set(id, { resolve, reject });
      this.line.postMessage({ id, method, words } satisfies Call);
    });
    return made as ReturnType<VaultCalls[M]>;
  }

  #hear(answer: Answer): void {
    if ('event' in answer) return this.#end();
    const waiting = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if ('error' in answer) waiting?.reject(errorOf(answer.error));
    else waiting?.resolve(answer.value);
  }

  #end(): void {
    this.#isLocked = true;
    for (const { reject } of this.#waiting.values()) reject(new UsageError('locked', 'the vault was locked'));
    this.#waiting.clear();
    this.locked();
  }
}

function errorOf({ kind, code, message }: { kind: string; code: string; message: string }): KeepwellError {
  switch (kind) {
    case 'OpenError':
      return new OpenError(code, message);
    case 'ProofError':
    case 'ShareFault':
      return new ProofError(code, message);
    case 'RejectedError':
      return new RejectedError(code, message, null);
    case 'DecodeError':
      return new DecodeError(code as 'malformed', message, 0);
    default:
      return new UsageError(code, message);
  }
}
