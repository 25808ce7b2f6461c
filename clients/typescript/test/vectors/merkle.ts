/** `vectors/merkle`: trees, blocks, receipts, hand-overs and documents, with the verdict on each. */

import * as k from '../../src/index.js';
import { type Case, flipped, lines, refused, same } from './check.js';

type Line = { name: string; verdict: string; bytes: Uint8Array };

function file(name: string, run: (all: readonly Line[], of: (name: string) => Uint8Array) => Promise<void>): Case {
  return {
    name: `merkle/${name}.txt`,
    async run(load) {
      const all = await lines(load, name);
      const byName = new Map(all.map((it) => [it.name, it.bytes]));
      await run(
        all,
        (wanted) =>
          byName.get(wanted) ??
          (() => {
            throw new Error(`no line ${wanted}`);
          })(),
      );
    },
  };
}

/** Codes of the package for a verdict of the vectors, where the two differ. */
const CODES: Record<string, readonly string[]> = {
  malformed: ['malformed', 'trailing', 'not_canonical', 'too_long'],
};

async function judged(line: Line, attempt: () => unknown): Promise<void> {
  if (line.verdict === 'ok') await attempt();
  else await refused(line.name, attempt, ...(CODES[line.verdict] ?? [line.verdict]));
}

const leaves = Array.from({ length: 21 }, (_, at) => k.leafDigest(k.littleEndian(at, 8)));

const trees = file('trees', async (all, of) => {
  for (let count = 0; count <= 21; count += 1)
    same(k.treeRoot(leaves.slice(0, count)), of(`root-of-${count}`), `root of ${count}`);
  const peaks = k.decode(k.Peaks, of('peaks-of-21'), 2_048);
  same(peaks.count, 21n, 'count');
  same(k.joinPeaks(peaks.peaks), of('root-of-21'), 'joined peaks');
  const root = k.Digest.of(of('root-of-21'));
  for (const { name, bytes } of all) {
    const [word, , first] = name.split('-');
    if (word === 'path') await path(k.decode(k.InclusionPath, bytes, 2_304), root, Number(first));
    if (word === 'growth') await growth(k.decode(k.ConsistencyPath, bytes, 2_304), root, Number(first), of);
  }
});

async function path(it: k.InclusionPath, root: k.Digest, index: number): Promise<void> {
  const verify = (changed = it, size = 21n, at = BigInt(index), leaf = leaves[index]!): void =>
    k.verifyPath(changed, root, size, at, leaf);
  verify();
  await refused('another size', () => verify(it, 20n), 'path_place');
  await refused('another leaf', () => verify(it, 21n, BigInt(index), leaves[(index + 1) % 21]!), 'path_root');
  await refused('a place outside', () => verify({ ...it, index: 21n }, 21n, 21n), 'path_leaf');
  await refused('a step too few', () => verify({ ...it, steps: it.steps.slice(1) }), 'path_steps');
  await refused('a step too many', () => verify({ ...it, steps: [...it.steps, root] }), 'path_steps');
  for (const [at, step] of it.steps.entries()) {
    const steps = it.steps.with(at, k.Digest.of(flipped(step, 5)));
    await refused('a changed step', () => verify({ ...it, steps }), 'path_root');
  }
}

async function growth(
  it: k.ConsistencyPath,
  root: k.Digest,
  before: number,
  of: (name: string) => Uint8Array,
): Promise<void> {
  const earlier = { size: BigInt(before), root: k.Digest.of(of(`root-of-${before}`)) };
  k.verifyGrowth(it, earlier, { size: 21n, root });
  const other = k.Digest.of(flipped(earlier.root, 1));
  await refused(
    'another earlier root',
    () => k.verifyGrowth(it, { ...earlier, root: other }, { size: 21n, root }),
    ...(before === 0 || before === 21 ? ['path_root'] : []),
  );
  if (before > 0)
    await refused('another later root', () => k.verifyGrowth(it, earlier, { size: 21n, root: other }), 'path_root');
  await refused('another size', () => k.verifyGrowth(it, { ...earlier, size: 22n }, { size: 21n, root }), 'growth');
}

const blocks = file('blocks', async (_all, of) => {
  same(k.consensusNamespace(k.ChainId.of(new Uint8Array(32).fill(1))), of('namespace'), 'namespace');
  for (let height = 0; height <= 5; height += 1) {
    const header = k.decode(k.Header, of(`header-${height}`), k.LIMITS.HEADER_BYTES_MAX);
    same(k.encode(k.Header, header), of(`header-${height}`), 'header');
    same(k.blockId(header), of(`id-of-${height}`), `id of ${height}`);
    same(header.chain, of('chain'), 'chain');
  }
  const [salt, document] = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)];
  same(k.documentLeaf(k.Salt.of(salt), k.Digest.of(document)), of('document-leaf'), 'document leaf');
});

const receipts: Case = {
  name: 'merkle/receipts.txt',
  async run(load) {
    const [genesis, ...all] = await lines(load, 'receipts');
    const validators = k.Validators.of(k.decodeGenesis(genesis!.bytes));
    for (const line of all) await judged(line, () => k.verifyReceipt(line.bytes, validators));
    const good = all[1]!.bytes;
    const verified = k.verifyReceipt(good, validators);
    const blocksOf = await lines(load, 'blocks');
    same(verified.header.id, blocksOf.find((it) => it.name === 'id-of-2')!.bytes, 'block');
    same(verified.outcome.verdict.kind, 'accepted', 'verdict');
    for (let at = 0; at < good.length; at += 1) {
      await refused(`receipt byte ${at}`, () => k.verifyReceipt(flipped(good, at, at % 8), validators));
    }
    for (let len = 0; len < good.length; len += 97) {
      await refused(`receipt of ${len} bytes`, () => k.verifyReceipt(good.subarray(0, len), validators), 'malformed');
    }
    await refused(
      'a witness made by hand',
      () => new (k.VerifiedHeader as any)(Symbol('checked'), {}, good),
      'witness',
    );
  },
};

const handovers: Case = {
  name: 'merkle/handovers.txt',
  async run(load) {
    const [genesis, set, digest, ...all] = await lines(load, 'handovers');
    const founders = k.Validators.of(k.decodeGenesis(genesis!.bytes));
    const decoded = k.decode(k.ValidatorSet, set!.bytes, 1 << 16);
    same(k.validatorsDigest(decoded), digest!.bytes, 'digest of a set');
    for (const line of all) {
      const handover = k.decode(k.Handover, line.bytes, k.LIMITS.HANDOVER_BYTES_MAX);
      await judged(line, () => founders.clone().advance(handover));
    }
    const good = k.decode(k.Handover, all[0]!.bytes, k.LIMITS.HANDOVER_BYTES_MAX);
    const followed = founders.clone();
    followed.advance(good);
    followed.advance(good);
    same(followed.newest.since, 2n, 'the newest set');
    same(founders.newest.since, 0n, 'a copy that followed nothing');
    same(followed.inForce(1n).since, 0n, 'in force before');
    same(followed.inForce(9n).since, 2n, 'in force after');
    for (let at = 0; at < all[0]!.bytes.length; at += 3) {
      const attempt = (): void =>
        founders.clone().advance(k.decode(k.Handover, flipped(all[0]!.bytes, at, at % 8), k.LIMITS.HANDOVER_BYTES_MAX));
      await refused(`hand-over byte ${at}`, attempt);
    }
  },
};

const documents: Case = {
  name: 'merkle/documents.txt',
  async run(load) {
    const [genesis, document, ...all] = await lines(load, 'documents');
    const validators = k.Validators.of(k.decodeGenesis(genesis!.bytes));
    const digest = k.Digest.of(document!.bytes);
    for (const line of all) await judged(line, () => k.verifyDocument(line.bytes, validators, digest));
    const good = all[0]!.bytes;
    for (let at = 0; at < good.length; at += 1) {
      await refused(`document receipt byte ${at}`, () =>
        k.verifyDocument(flipped(good, at, at % 8), validators, digest),
      );
    }
  },
};

export const MERKLE: readonly Case[] = [trees, blocks, receipts, handovers, documents];
