/**
 * The key sheet: a chart's public compartment keys, checked against a root on the ledger.
 *
 * # Invariants
 *
 * * A sheet has one line for each compartment, in order: it shows nothing about which are in use.
 *
 * Not here: what a compartment means. That is sealed.
 */

import { encode } from './encoding.js';
import { equal } from './bytes.js';
import { ProofError, UsageError } from './errors.js';
import { digest } from './hash.js';
import type { ChartSecret } from './keys.js';
import { LIMITS } from './limits.js';
import { SealingPublic } from './seal.js';
import { AheadSheet, type ChartId, type Digest, KeyLine, type KeySheet } from './types.js';

/** The sheet of a chart whose compartments are at these epochs. */
export function makeSheet(secret: ChartSecret, chart: ChartId, epochs: readonly number[]): KeySheet {
  if (epochs.length !== LIMITS.COMPARTMENTS) {
    throw new UsageError('length', `a chart has ${LIMITS.COMPARTMENTS} compartments, each at an epoch`);
  }
  const lines = epochs.map((epoch, compartment) => {
    const key = secret.epochSeed(compartment, epoch).sealing().publicKey().toBytes();
    return { compartment, epoch, key };
  });
  return { chart, lines };
}

/** The digests of the lines, in order. */
export function lineDigests(sheet: KeySheet): Digest[] {
  return sheet.lines.map(lineDigest);
}

/** The root of a sheet, which stands on the ledger. */
export function sheetRoot(sheet: KeySheet): Digest {
  return rootOf(sheet.chart, lineDigests(sheet));
}

/** The digest of a sheet of keys of epochs to come, which stands on the ledger. */
export function aheadDigest(sheet: AheadSheet): Digest {
  return digest('keepwell/sheet/ahead/v1', [encode(AheadSheet, sheet)]);
}

/** Checks a whole sheet against the root on the ledger. */
export function verifySheet(sheet: KeySheet, expected: Digest): void {
  checkRoot(sheetRoot(sheet), expected);
  const inOrder = sheet.lines.every((line, at) => line.compartment === at);
  if (sheet.lines.length !== LIMITS.COMPARTMENTS || !inOrder) throw wrongLines();
}

/** Checks one line, given the digests of all, against the root on the ledger; returns its key. */
export function verifyLine(chart: ChartId, line: KeyLine, digests: readonly Digest[], expected: Digest): SealingPublic {
  if (digests.length !== LIMITS.COMPARTMENTS) throw wrongLines();
  checkRoot(rootOf(chart, digests), expected);
  if (!equal(digests[line.compartment]!, lineDigest(line))) {
    throw new ProofError('line', `the line of compartment ${line.compartment} is not the one that its digest names`);
  }
  return SealingPublic.fromBytes(line.key);
}

function wrongLines(): ProofError {
  return new ProofError('lines', 'the key sheet does not have one line for each compartment, in order; fetch it again');
}

function checkRoot(given: Digest, expected: Digest): void {
  if (!equal(given, expected)) {
    throw new ProofError('root', 'the key sheet is not the one that the ledger commits to; fetch it again');
  }
}

function lineDigest(line: KeyLine): Digest {
  return digest('keepwell/sheet/line/v1', [encode(KeyLine, line)]);
}

function rootOf(chart: ChartId, digests: readonly Digest[]): Digest {
  return digest('keepwell/sheet/root/v1', [chart, ...digests]);
}
