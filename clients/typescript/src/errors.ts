/**
 * Errors, by whose fault they are. Every message says what to do next; none has a secret or a plaintext in it.
 *
 * | class | whose fault |
 * |---|---|
 * | {@link UsageError} | whoever calls: a value that does not exist, a key that is not here |
 * | {@link DecodeError} | whoever sent the bytes: they are no value |
 * | {@link OpenError} | whoever sealed, or whoever tries with a wrong key |
 * | {@link ProofError} | whoever showed a proof that does not hold |
 * | {@link NodeError} | a node, or the way to it |
 * | {@link RejectedError} | nobody's: the ledger decided against the command |
 */

/** What all errors of this package are. `code` is for programs, `message` for people. */
export abstract class KeepwellError extends Error {
  constructor(
    /** What is wrong, in one word that does not change. */
    readonly code: string,
    message: string,
  ) {
    super(message);
    this.name = new.target.name;
  }
}

/** The caller's fault. */
export class UsageError extends KeepwellError {}

/** What a key that was erased answers. */
export function locked(): UsageError {
  return new UsageError('locked', 'the key was erased; unlock again');
}

/** Bytes that are no value in its one encoding. `at` is the first byte that could not be read. */
export class DecodeError extends KeepwellError {
  constructor(
    code: 'too_long' | 'malformed' | 'trailing' | 'not_canonical' | 'version',
    message: string,
    readonly at: number,
  ) {
    super(code, message);
  }
}

/** A sealed object that does not open: a wrong key, or an object that is not what it should be. */
export class OpenError extends KeepwellError {}

/** A signature, certificate, path or share that does not hold. */
export class ProofError extends KeepwellError {}

/** A node, or the way to it. */
export class NodeError extends KeepwellError {
  constructor(
    code: string,
    message: string,
    /** The node's address, without a key that may stand behind it. */
    readonly node: string,
    /** The status of its answer, if it gave one. */
    readonly status: number | null = null,
  ) {
    super(code, message);
  }

  /** Whether another node, or the same one later, may do better. */
  get mayPass(): boolean {
    if (this.status === null || this.code === 'garbled' || this.code === 'too_long') return true;
    return [425, 429, 502, 503, 504].includes(this.status) && this.code !== 'missed';
  }
}

/** The ledger's decision against a command: verified, and final. */
export class RejectedError extends KeepwellError {
  constructor(
    code: string,
    message: string,
    /** The receipt's outcome. */
    readonly rejection: unknown,
  ) {
    super(code, message);
  }
}
