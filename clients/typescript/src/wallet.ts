/**
 * A patient's wallet, and a member's identity, as the program `keepwell` keeps them.
 *
 * ```text
 * wallet.key     key file with the root             wallet.index   [version, encapsulated (1120), ciphertext]
 * backup         [version, key file, sealed index], under a passphrase of its own: the recovery file
 * member.key     key file with [chain, member, organisation, seed, signing or absent]
 * ```
 *
 * # Invariants
 *
 * * Which charts are one patient's is said in the sealed index and nowhere else.
 * * Writing a wallet back keeps everything that was read: what this package has no use for included.
 *
 * Not here: where the files are. A browser keeps the recovery file, sealed as it is, wherever the portal keeps it.
 */

import { encode, decode, blob, exactly, fixed, list, option, struct, text, u64, u8, type Of } from './encoding.js';
import { DecodeError, UsageError } from './errors.js';
import { equal } from './bytes.js';
import { digest } from './hash.js';
import { ChartSecret, CompartmentMaster, EpochSeed, MemberSecret, Root } from './keys.js';
import {
  type Argon2id,
  decodeKeyFile,
  encodeKeyFile,
  expectKind,
  lockWithPassphrase,
  unlockWithOperatorKey,
  unlockWithPassphrase,
} from './keyfile.js';
import { LIMITS } from './limits.js';
import type { Actor } from './node.js';
import { ENCAPSULATED_BYTES, SealingKey, open, seal } from './seal.js';
import { BlockId, ChainId, ChartId, Compartment, Digest, Epoch, MemberId, OrganisationId, ProxyId } from './types.js';

const INDEX_DOMAIN = 'keepwell/client/wallet-index/v1';
const INDEX_BYTES_MAX = 256 * 1024 * 1024;
const FILE_BYTES_MAX = INDEX_BYTES_MAX + 4_096;
/** More charts, or generations of keys of one, than anybody has. */
const MANY = 1 << 20;

const SecretBytes = fixed('a secret', 32);
const Epochs = exactly(Epoch, LIMITS.COMPARTMENTS);

/** What opens the epochs of a chart before some. */
const Generation = struct({
  masters: list(struct({ compartment: Compartment, master: SecretBytes }), MANY),
  until: Epochs,
});

const Meaning = struct({ name: text(LIMITS.NAME_BYTES_MAX), compartment: Compartment });

/** A chart that a wallet knows. */
export const KnownChart = struct({
  chart: ChartId,
  organisation: OrganisationId,
  /** What its compartments are for, in words for people. */
  meanings: list(Meaning, LIMITS.COMPARTMENTS),
  /** The organisation's secret, of epochs before the chart was claimed. */
  inherited: option(struct({ secret: SecretBytes, until: Epochs })),
  /** Up to where its log was seen. */
  log: struct({ count: u64, head: Digest }),
  /** What others handed over, of earlier epochs. */
  handed: option(list(Generation, MANY)),
  /** Under which id the wallet acts for another patient. */
  proxy: option(ProxyId),
});
/** A chart that a wallet knows. */
export type KnownChart = Of<typeof KnownChart>;

const Index = struct({
  charts: list(KnownChart, MANY),
  tip: option(struct({ height: u64, id: BlockId })),
});

const SealedIndex = struct({ version: u8, encapsulated: blob(ENCAPSULATED_BYTES), ciphertext: blob(INDEX_BYTES_MAX) });
const Backup = struct({ version: u8, key: blob(2_048), index: blob(INDEX_BYTES_MAX) });

/** How a key file is opened. */
export type Unlock = { readonly passphrase: string; readonly argon?: Argon2id } | { readonly operatorKey: Uint8Array };

/** Opens a key file. */
async function unlocked(file: Uint8Array, kind: 'root' | 'member', unlock: Unlock): Promise<Uint8Array> {
  const decoded = decodeKeyFile(file);
  expectKind(decoded, kind);
  if ('operatorKey' in unlock) return unlockWithOperatorKey(decoded, unlock.operatorKey);
  return unlockWithPassphrase(decoded, unlock.passphrase, unlock.argon);
}

/** A patient's wallet, open. */
export class Wallet {
  private constructor(
    private readonly root: Root,
    readonly index: Of<typeof Index>,
    /** Whether a demonstration made it, so that it protects nothing. */
    readonly demonstration: boolean,
  ) {}

  /** A new wallet, which knows no chart. */
  static create(demonstration = false): Wallet {
    return new Wallet(Root.generate(), { charts: [], tip: null }, demonstration);
  }

  /** Opens `wallet.key` and `wallet.index`. */
  static async open(key: Uint8Array, index: Uint8Array, unlock: Unlock): Promise<Wallet> {
    const root = new Root(await unlocked(key, 'root', unlock));
    return new Wallet(root, openIndex(index, root), decodeKeyFile(key).demonstration);
  }

  /** Opens a recovery file. */
  static async restore(file: Uint8Array, passphrase: string, argon?: Argon2id): Promise<Wallet> {
    const { version, key, index } = decode(Backup, file, FILE_BYTES_MAX);
    if (version !== 1) throw laterVersion(version);
    return Wallet.open(key, index, argon === undefined ? { passphrase } : { passphrase, argon });
  }

  /** The recovery file: the whole wallet under a passphrase, as `keepwell wallet restore` reads it. */
  async backup(passphrase: string, argon?: Argon2id): Promise<Uint8Array> {
    const about = { kind: 'root' as const, label: 'wallet backup', demonstration: this.demonstration };
    const cost = this.demonstration ? { memoryKib: 64, passes: 1, lanes: 1 } : undefined;
    const secret = this.root.toBytes();
    const key = await lockWithPassphrase(about, secret, passphrase, cost, argon);
    secret.fill(0);
    return encode(Backup, { version: 1, key: encodeKeyFile(key), index: this.sealedIndex() });
  }

  /** `wallet.index`, as it is to be written. */
  sealedIndex(): Uint8Array {
    const sealed = seal(indexKey(this.root).publicKey(), INDEX_DOMAIN, [], encode(Index, this.index));
    return encode(SealedIndex, { version: 1, ...sealed });
  }

  /** A copy of the root, to be sealed and erased at once. */
  rootBytes(): Uint8Array {
    return this.root.toBytes();
  }

  /** The keys of one chart. */
  chart(id: ChartId): ChartKeyring {
    const known = this.index.charts.find((it) => equal(it.chart, id));
    if (known === undefined) throw new UsageError('unknown_chart', 'this wallet has no such chart; claim it first');
    return new ChartKeyring(this.root, known);
  }

  /** The wallet with another chart, or with what is known anew of one. */
  with(chart: KnownChart): Wallet {
    const others = this.index.charts.filter((it) => !equal(it.chart, chart.chart));
    return new Wallet(this.root, { ...this.index, charts: [...others, chart] }, this.demonstration);
  }

  /** Overwrites the root. */
  erase(): void {
    this.root.erase();
  }
}

/** The keys of one chart, as far as a wallet has them. */
export class ChartKeyring {
  readonly chart: ChartId;
  readonly #secret: ChartSecret;

  constructor(
    root: Root,
    readonly known: KnownChart,
  ) {
    this.chart = known.chart;
    this.#secret = known.proxy === null ? root.chart(known.chart) : root.delegate(known.chart);
  }

  /** Who acts with it: the chart's controller, or a proxy. */
  actor(): Actor {
    const { chart, proxy } = this.known;
    const party =
      proxy === null
        ? ({ kind: 'controller', value: chart } as const)
        : ({ kind: 'proxy', value: [chart, proxy] } as const);
    return { party, key: this.#secret.signing() };
  }

  /** Opens what is sealed to whoever acts with it. */
  sealing(): SealingKey {
    return this.#secret.sealing();
  }

  /** The secret of the chart. */
  get secret(): ChartSecret {
    return this.#secret;
  }

  /** The seed of an epoch; nothing if the wallet has none. Earlier generations come first. */
  epochSeed(compartment: number, epoch: number): EpochSeed | null {
    const { inherited, handed, proxy } = this.known;
    if (inherited !== null && epoch < inherited.until[compartment]!) {
      return new ChartSecret(inherited.secret).epochSeed(compartment, epoch);
    }
    const generation = handed?.find((it) => epoch < it.until[compartment]!);
    if (generation !== undefined) {
      const found = generation.masters.find((it) => it.compartment === compartment);
      return found === undefined ? null : new CompartmentMaster(found.master).epochSeed(epoch);
    }
    return proxy === null ? this.#secret.epochSeed(compartment, epoch) : null;
  }

  /** Which compartment people call by this name. */
  compartment(name: string): number {
    const found = this.known.meanings.find((it) => it.name === name);
    if (found === undefined)
      throw new UsageError('meaning', `this wallet does not know which compartment is ${JSON.stringify(name)}`);
    return found.compartment;
  }
}

function openIndex(bytes: Uint8Array, root: Root): Of<typeof Index> {
  const sealed = decode(SealedIndex, bytes, FILE_BYTES_MAX);
  if (sealed.version !== 1) throw laterVersion(sealed.version);
  return decode(Index, open(indexKey(root), INDEX_DOMAIN, [], sealed), INDEX_BYTES_MAX);
}

function indexKey(root: Root): SealingKey {
  return SealingKey.fromSeed(digest('keepwell/client/index-key/v1', [root.toBytes()]));
}

function laterVersion(given: number): DecodeError {
  return new DecodeError('version', `the file has version ${given}; this program reads version 1`, 1);
}

const MemberFile = struct({
  chain: ChainId,
  member: MemberId,
  organisation: OrganisationId,
  seed: SecretBytes,
  /** Of a signing key that was changed since. */
  signing: option(SecretBytes),
});

/** A member's identity, open. */
export class MemberIdentity {
  readonly #secret: MemberSecret;
  readonly #signing: MemberSecret;

  private constructor(
    readonly chain: ChainId,
    readonly member: MemberId,
    readonly organisation: OrganisationId,
    seed: Uint8Array,
    signing: Uint8Array | null,
  ) {
    this.#secret = new MemberSecret(seed);
    this.#signing = new MemberSecret(signing ?? seed);
  }

  /** Opens `member.key`. */
  static async open(file: Uint8Array, unlock: Unlock): Promise<MemberIdentity> {
    const secret = await unlocked(file, 'member', unlock);
    const { chain, member, organisation, seed, signing } = decode(MemberFile, secret, 1_024);
    return new MemberIdentity(chain, member, organisation, seed, signing);
  }

  actor(): Actor {
    return { party: { kind: 'member', value: this.member }, key: this.#signing.signing() };
  }

  /** Opens what is sealed to the member. */
  sealing(): SealingKey {
    return this.#secret.sealing();
  }

  /** Overwrites its secrets. */
  erase(): void {
    this.#secret.erase();
    this.#signing.erase();
  }
}
