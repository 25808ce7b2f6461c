/**
 * Commands: their digests, their signatures, and the ids that follow from them.
 *
 * # Invariants
 *
 * * Each signer's signature is over the digest of the same bytes: command, chain, id, window and the list of all
 *   signers.
 * * A `record.add` counts as verified only with every acknowledgement of custody in it.
 *
 * Not here: whether the keys are the signers'. The ledger checks that when it decides.
 */

import { littleEndian } from './bytes.js';
import { encode } from './encoding.js';
import { ProofError, UsageError } from './errors.js';
import { digest } from './hash.js';
import { LIMITS } from './limits.js';
import { type SigningKey, verify as verifySignature } from './sign.js';
import {
  BlockTime,
  ChainId,
  ChartId,
  Command,
  CommandDigest,
  CommandId,
  CustodyStatement,
  Digest,
  Entry,
  Genesis,
  Party,
  Payload,
  RecordAdd,
  RecordId,
  SignedCommand,
  ValidatorSet,
} from './types.js';

const SIGNATURE_DOMAIN = 'keepwell/command/signature/v1';

/** The one version of commands. */
export const COMMAND_VERSION = 1;
/** The version of a record that amends nothing. */
export const FIRST_VERSION = 1;

/** The id of the consortium that a genesis file founds. */
export function chainId(genesis: Genesis): ChainId {
  return ChainId.of(digest('keepwell/command/chain/v1', [encode(Genesis, genesis)]));
}

/** The digest of a set of validators, which the last block before it commits to. */
export function validatorsDigest(set: ValidatorSet): Digest {
  return digest('keepwell/command/validators/v1', [encode(ValidatorSet, set)]);
}

/** The digest of a command, without its signatures. */
export function commandDigest(command: Command): CommandDigest {
  return CommandDigest.of(digest('keepwell/command/digest/v1', [encode(Command, command)]));
}

/** The digest of the entry of the genesis file at place `index`, counted from 0. */
export function genesisDigest(payload: Payload, index: number): CommandDigest {
  const parts = [littleEndian(index, 4), encode(Payload, payload)];
  return CommandDigest.of(digest('keepwell/command/genesis/v1', parts));
}

/** The digest of an entry that stands at place `index` of its block. */
export function entryDigest(entry: Entry, index: number): CommandDigest {
  return entry.kind === 'genesis' ? genesisDigest(entry.value, index) : commandDigest(entry.value.command);
}

/** What an entry asks. */
export function payloadOf(entry: Entry): Payload {
  return entry.kind === 'genesis' ? entry.value : entry.value.command.payload;
}

/** The chart that a payload touches, if it touches one. */
export function chartOf(payload: Payload): ChartId | null {
  return 'chart' in payload.value ? payload.value.chart : null;
}

/** The id of the record that a `record.add` adds. */
export function recordId(chain: ChainId, chart: ChartId, signer: Party, id: CommandId, until: BlockTime): RecordId {
  const parts = [chain, chart, encode(Party, signer), id, littleEndian(until, 8)];
  return RecordId.of(digest('keepwell/command/record/v1', parts));
}

/** The id of the record that `command` adds, if it adds one. */
export function recordIdOf(command: Command): RecordId | null {
  const { payload, signers } = command;
  if (payload.kind !== 'record_add' || signers[0] === undefined) return null;
  return recordId(command.chain, payload.value.chart, signers[0], command.id, command.window.until);
}

/** The version that a `record.add` makes. */
export function versionOf(add: RecordAdd): number {
  return add.amends?.version ?? FIRST_VERSION;
}

/** Signs a command with the keys of its signers, in their order. */
export function signCommand(command: Command, keys: readonly SigningKey[]): SignedCommand {
  if (keys.length === 0 || keys.length > LIMITS.SIGNERS_MAX) {
    throw new UsageError('signers', `a command has 1 to ${LIMITS.SIGNERS_MAX} signers`);
  }
  const signed = commandDigest(command);
  const signatures = keys.map((key) => ({
    suite: 'one' as const,
    key: key.publicKey,
    signature: key.sign(SIGNATURE_DOMAIN, signed),
  }));
  return { command, signatures };
}

/** Verifies every signature of a command. */
export function verifyCommand(signed: SignedCommand): void {
  const { command, signatures } = signed;
  if (command.signers.length === 0) {
    throw new ProofError('unsigned', 'the command names no signer; name whoever acts first');
  }
  if (command.signers.length !== signatures.length) {
    const text = `${command.signers.length} signers are named and ${signatures.length} signatures given; each signer signs once`;
    throw new ProofError('count', text);
  }
  const message = commandDigest(command);
  for (const by of signatures) verifySignature(by.key, SIGNATURE_DOMAIN, message, by.signature);
  verifyCustody(command);
}

/** Verifies what custodians say in a `record.add` that they have stored. */
function verifyCustody(command: Command): void {
  const record = recordIdOf(command);
  if (record === null || command.payload.kind !== 'record_add') return;
  const add = command.payload.value;
  for (const by of add.custody) {
    const statement: CustodyStatement = {
      chain: command.chain,
      custodian: by.custodian,
      record,
      version: versionOf(add),
      commitment: add.commitment,
      sealedBytes: add.sealedBytes,
      until: by.until,
    };
    verifySignature(by.key, 'keepwell/custody/statement/v1', encode(CustodyStatement, statement), by.signature);
  }
}
