/**
 * Records: what the ledger says of one, and whether a capsule that a custodian gave is the ledger's.
 *
 * # Invariants
 *
 * * A capsule is used only if the entry commits to it and its label is the entry's in every field. A whole foreign
 *   capsule, committed again under another record, is refused.
 */

import { equal } from './bytes.js';
import { commitmentOf, decodeSalted } from './capsule.js';
import { chartOf, payloadOf, recordIdOf, versionOf } from './commands.js';
import { DecodeError, ProofError } from './errors.js';
import type { SaltedCapsule } from './objects.js';
import type {
  ChainId,
  ChartId,
  Commitment,
  CommitteeId,
  Entry,
  Label,
  OrganisationId,
  Outcome,
  Party,
  RecordKind,
  RecordName,
  Target,
} from './types.js';
import type { VerifiedReceipt } from './verify.js';

/** What the ledger says of one record. */
export interface RecordFacts {
  /** How commands name it. */
  readonly name: RecordName;
  readonly version: number;
  readonly compartment: number;
  readonly epoch: number;
  readonly kind: RecordKind;
  readonly commitment: Commitment;
  /** Bytes of its body as stored. */
  readonly sealedBytes: bigint;
  readonly author: Party;
  /** Who has stored it. */
  readonly custodians: readonly OrganisationId[];
  /** When it was added, in milliseconds since 1970. */
  readonly time: bigint;
  /** The version before it, if it amends one. */
  readonly amends: RecordName | null;
}

/** The record that an accepted entry added; nothing if it added none. */
export function factsOf(position: bigint, entry: Entry, outcome: Outcome): RecordFacts | null {
  if (entry.kind !== 'signed' || outcome.verdict.kind !== 'accepted') return null;
  const { command } = entry.value;
  const record = recordIdOf(command);
  const author = command.signers[0];
  if (command.payload.kind !== 'record_add' || record === null || author === undefined) return null;
  const add = command.payload.value;
  return {
    name: { position, record },
    version: versionOf(add),
    compartment: add.compartment,
    epoch: add.epoch,
    kind: add.kind,
    commitment: add.commitment,
    sealedBytes: add.sealedBytes,
    author,
    custodians: add.custody.map((it) => it.custodian),
    time: outcome.time,
    amends: add.amends?.record ?? null,
  };
}

/** First position from which on an access asks for nothing. */
export function endOf(target: Target): bigint {
  if (target.kind === 'compartments') return target.value.until;
  return target.value.reduce((end, it) => (it.position >= end ? it.position + 1n : end), 0n);
}

/** Whether an access to `target` asks for a record. */
export function asksFor(target: Target, { name, compartment }: RecordFacts): boolean {
  if (target.kind === 'compartments') {
    return name.position < target.value.until && target.value.compartments.includes(compartment);
  }
  return target.value.some((it) => it.position === name.position && equal(it.record, name.record));
}

/** The record that a receipt proves, if it is of the chart and an access to `target` asks for it. */
export function shownRecord(chart: ChartId, target: Target, position: bigint, proven: VerifiedReceipt): RecordFacts {
  const facts = factsOf(position, proven.entry, proven.outcome);
  const of = chartOf(payloadOf(proven.entry));
  if (facts === null || of === null || !equal(of, chart) || !asksFor(target, facts)) {
    const text = `the receipt for position ${position} of the log is of another chart, or not of what was asked for`;
    throw new ProofError('other_entry', `${text}; ask another node`);
  }
  return facts;
}

/** Decodes a capsule that a custodian gave, and checks that it is the ledger's. */
export function checkCapsule(
  chain: ChainId,
  chart: ChartId,
  committee: CommitteeId,
  facts: RecordFacts,
  bytes: Uint8Array,
): SaltedCapsule {
  const salted = decodeOwn(bytes);
  if (!equal(commitmentOf(salted), facts.commitment)) throw otherCapsule();
  const field = mismatch(chain, chart, committee, facts, salted.capsule.label);
  if (field === null) return salted;
  const text = `the label of record ${facts.name.position} is not the ledger's (${field}); its author committed a foreign capsule`;
  throw new ProofError('foreign_capsule', text);
}

function decodeOwn(bytes: Uint8Array): SaltedCapsule {
  try {
    return decodeSalted(bytes);
  } catch (error) {
    throw error instanceof DecodeError ? otherCapsule() : error;
  }
}

function otherCapsule(): ProofError {
  return new ProofError(
    'capsule',
    'this is not the capsule that the ledger commits to; fetch it from another custodian',
  );
}

/** The first field of a label that is not the ledger's. The content root is in the capsule alone. */
function mismatch(
  chain: ChainId,
  chart: ChartId,
  committee: CommitteeId,
  facts: RecordFacts,
  label: Label,
): string | null {
  const fields: readonly (readonly [string, boolean])[] = [
    ['chain', equal(label.chain, chain)],
    ['chart', equal(label.chart, chart)],
    ['record', equal(label.record, facts.name.record)],
    ['version', label.version === facts.version],
    ['compartment', label.compartment === facts.compartment],
    ['epoch', label.epoch === facts.epoch],
    ['committee', equal(label.committee, committee)],
    ['sealed bytes', label.sealedBytes === facts.sealedBytes],
  ];
  return fields.find(([, fits]) => !fits)?.[0] ?? null;
}
