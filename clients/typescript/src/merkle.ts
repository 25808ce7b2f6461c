/**
 * Merkle trees of RFC 9162, section 2.1, over SHA-256; what a block's header commits to; a chart's log; a body's
 * content.
 *
 * ```text
 * leaf          SHA-256(0x00 ‖ data)                node   SHA-256(0x01 ‖ left ‖ right)
 * block id      H("keepwell/merkle/block/v1", header)
 * payload       root over the leaf of each entry    outcomes   root over the leaf of each outcome
 * history       root over the leaf of the id of each earlier block
 * chart's log   head(n + 1) = H("keepwell/merkle/chart-log/v1", head(n), n, leaf(outcome n))
 * content       leaf 0 = header ‖ chunk 0, leaf i = chunk i
 * ```
 *
 * # Invariants
 *
 * * Whoever verifies a path brings index and size, never the path itself.
 * * A tree has at most 2^48 leaves.
 *
 * Not here: building paths. Nodes do that.
 */

import { equal, littleEndian } from './bytes.js';
import { HEADER_BYTES } from './body.js';
import { encode } from './encoding.js';
import { ProofError } from './errors.js';
import { digest, sha256 } from './hash.js';
import { LIMITS } from './limits.js';
import { type ConsistencyPath, type InclusionPath } from './proofs.js';
import { TAG_BYTES } from './seal.js';
import { BlockId, Digest, Entry, Header, Outcome, type Salt } from './types.js';

/** Leaves of one tree. */
export const LEAVES_MAX = 1n << BigInt(LIMITS.PATH_STEPS_MAX);
/** Root of the tree without leaves. */
export const EMPTY_TREE: Digest = sha256();
/** Head of a chart's log to which nothing is appended yet. */
export const EMPTY_LOG: Digest = Digest.of(new Uint8Array(32));

const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);

/** The digest of a leaf that holds `data`, which may be given in pieces. */
export function leafDigest(...data: readonly Uint8Array[]): Digest {
  return sha256(LEAF, ...data);
}

/** The digest of the node over `left` and `right`. */
export function nodeDigest(left: Digest, right: Digest): Digest {
  return sha256(NODE, left, right);
}

/** The root over leaves, given by their digests. */
export function treeRoot(leaves: readonly Digest[]): Digest {
  let level = leaves;
  while (level.length > 1) {
    const above: Digest[] = [];
    for (let at = 0; at < level.length; at += 2) {
      const [left, right] = [level[at]!, level[at + 1]];
      // A node without a sibling rises unchanged.
      above.push(right === undefined ? left : nodeDigest(left, right));
    }
    level = above;
  }
  return level[0] ?? EMPTY_TREE;
}

/** The root over the peaks of a range, the highest first. */
export function joinPeaks(peaks: readonly Digest[]): Digest {
  const last = peaks.at(-1);
  return last === undefined
    ? EMPTY_TREE
    : peaks.slice(0, -1).reduceRight((right, left) => nodeDigest(left, right), last);
}

/** Checks that `leaf` is leaf `index` of the tree of `size` leaves that has this `root`. */
export function verifyPath(path: InclusionPath, root: Digest, size: bigint, index: bigint, leaf: Digest): void {
  if (path.index !== index || path.size !== size) {
    const text = `the path is for leaf ${path.index} of ${path.size}, not for leaf ${index} of ${size}`;
    throw new ProofError('path_place', text);
  }
  if (index >= size || size > LEAVES_MAX) {
    throw new ProofError('path_leaf', `there is no leaf ${index} in a tree of ${size}, or the tree is too large`);
  }
  const siblings = siblingsOf(index, size - 1n);
  checkSteps(path.steps.length, siblings.length);
  const reached = siblings.reduce((node, isRight, at) => {
    const step = path.steps[at]!;
    return isRight ? nodeDigest(step, node) : nodeDigest(node, step);
  }, leaf);
  if (!equal(reached, root)) throw notToRoot();
}

/** Below the root, upwards: for each node that has a sibling, whether the node is the right one of the two. */
function siblingsOf(index: bigint, lastIndex: bigint): boolean[] {
  const siblings: boolean[] = [];
  for (let at = index, last = lastIndex; last > 0n; at >>= 1n, last >>= 1n) {
    const isRight = (at & 1n) === 1n;
    if (isRight || at < last) siblings.push(isRight);
  }
  return siblings;
}

function checkSteps(given: number, needed: number): void {
  if (given !== needed) throw new ProofError('path_steps', `the path has ${given} steps and needs ${needed}`);
}

function notToRoot(): ProofError {
  return new ProofError('path_root', 'the path does not lead to the root');
}

/** Leaves of a tree, and its root. */
export interface Tree {
  readonly size: bigint;
  readonly root: Digest;
}

/** Checks that a later tree begins with an earlier one (RFC 9162, section 2.1.4.2). */
export function verifyGrowth(path: ConsistencyPath, before: Tree, after: Tree): void {
  if (path.before !== before.size || path.after !== after.size || before.size > after.size || after.size > LEAVES_MAX) {
    throw new ProofError('growth', `a tree of ${before.size} leaves cannot grow into one of ${after.size}`);
  }
  if (before.size > 0n && before.size < after.size) return verifyRealGrowth(path, before, after);
  checkSteps(path.steps.length, 0);
  const starts = before.size > 0n || equal(before.root, EMPTY_TREE);
  const ends = before.size < after.size || equal(before.root, after.root);
  if (!starts || !ends) throw notToRoot();
}

/** {@link verifyGrowth}, for 0 < before < after. */
function verifyRealGrowth(path: ConsistencyPath, before: Tree, after: Tree): void {
  let [at, last] = [before.size - 1n, after.size - 1n];
  // Start at the last full subtree of the earlier tree. If that is the whole earlier tree, it is known by its root and
  // not repeated in the steps.
  while ((at & 1n) === 1n) [at, last] = [at >> 1n, last >> 1n];
  const whole = (before.size & (before.size - 1n)) === 0n;
  const siblings = siblingsOf(at, last);
  checkSteps(path.steps.length, siblings.length + (whole ? 0 : 1));
  const start = whole ? before.root : path.steps[0]!;
  const steps = whole ? path.steps : path.steps.slice(1);
  let [earlier, later] = [start, start];
  siblings.forEach((isRight, place) => {
    const step = steps[place]!;
    // Nodes to the left belong to both trees, nodes to the right to the later one alone.
    if (isRight) earlier = nodeDigest(step, earlier);
    later = isRight ? nodeDigest(step, later) : nodeDigest(later, step);
  });
  if (!equal(earlier, before.root) || !equal(later, after.root)) throw notToRoot();
}

/** The id of the block with this header. */
export function blockId(header: Header): BlockId {
  return BlockId.of(digest('keepwell/merkle/block/v1', [encode(Header, header)]));
}

/** The leaf of an entry in the tree of its block's entries. */
export function entryLeaf(entry: Entry): Digest {
  return leafDigest(encode(Entry, entry));
}

/** The leaf of an outcome in the tree of its block's outcomes. */
export function outcomeLeaf(outcome: Outcome): Digest {
  return leafDigest(encode(Outcome, outcome));
}

/** The leaf of an anchored document, which is known by its SHA-256 digest. */
export function documentLeaf(salt: Salt, document: Digest): Digest {
  return leafDigest(digest('keepwell/merkle/document/v1', [salt, document]));
}

/** The head of a chart's log after `outcome` is appended at `position`. */
export function extendLog(head: Digest, position: bigint, outcome: Outcome): Digest {
  return digest('keepwell/merkle/chart-log/v1', [head, littleEndian(position, 8), outcomeLeaf(outcome)]);
}

/** The root over the leaves of a sealed body with chunks of `2^log2` bytes of ciphertext. */
export function contentRoot(sealed: Uint8Array, log2: number): Digest {
  const chunk = 2 ** log2 + TAG_BYTES;
  const leaves: Digest[] = [];
  for (let from = 0, until = HEADER_BYTES + chunk; from < sealed.length; from = until, until += chunk) {
    leaves.push(leafDigest(sealed.subarray(from, until)));
  }
  return treeRoot(leaves);
}
