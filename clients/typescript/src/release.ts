/**
 * Release: a reader's collecting of validators' answers to one request.
 *
 * Everything is bound to one context: the chain, the digest of the access command, the digest of the reader's fresh
 * key, and the commitments of the capsules in their order.
 *
 * # Invariants
 *
 * * Only a signed answer can be held against a validator: garbage that someone else sends is dropped and blames nobody.
 *
 * Not here: asking (`client.ts`), and whether the capsules are the ledger's (`records.ts`).
 */

import { equal, littleEndian } from './bytes.js';
import { commitmentOf, verifyReleaseLock } from './capsule.js';
import { encode } from './encoding.js';
import { KeepwellError, ProofError, UsageError } from './errors.js';
import { digest } from './hash.js';
import type { SaltedCapsule } from './objects.js';
import { type SealingKey, open } from './seal.js';
import { verify } from './sign.js';
import { type Committee, type ProvenPoint, VerifiedPartial, combine } from './threshold.js';
import { type ChainId, type CommandDigest, type Digest, Label, type PublicKey, type ReleaseAnswer } from './types.js';

/** An access, as far as a release depends on it. */
export interface ReleasedAccess {
  /** The consortium. */
  readonly chain: ChainId;
  /** The `access.open` that was accepted. */
  readonly command: CommandDigest;
  /** The digest of the reader's fresh key, which that command names. */
  readonly readerKey: Digest;
}

/** Why an answer does not count. `culprit` is the share whose validator's own signature shows that it is at fault. */
export class ShareFault extends ProofError {
  constructor(
    code: 'unsigned' | 'duplicate' | 'no_such_share' | 'sealed' | 'proof',
    readonly share: number,
    message: string,
  ) {
    super(code, message);
  }

  get culprit(): number | null {
    return this.code === 'sealed' || this.code === 'proof' ? this.share : null;
  }
}

/** A reader's collection of answers to one request. */
export class Collector {
  readonly #points: readonly ProvenPoint[];
  readonly #context: Digest;
  readonly #verified = new Map<number, VerifiedPartial>();

  /** Begins a collection for capsules in the order in which they are asked for. */
  constructor(
    private readonly committee: Committee,
    access: ReleasedAccess,
    private readonly capsules: readonly SaltedCapsule[],
    private readonly reader: SealingKey,
  ) {
    if (!equal(reader.publicKey().digest(), access.readerKey)) {
      throw new UsageError('reader_key', 'the access names another reader key; use the key made for that access');
    }
    this.#points = capsules.map((salted) => verifyReleaseLock(salted.capsule, committee));
    const parts = [access.chain, access.command, access.readerKey, ...capsules.map(commitmentOf)];
    this.#context = digest('keepwell/release/context/v1', parts);
  }

  /** Takes an answer of the validator whose release key is `validator`. */
  add(answer: ReleaseAnswer, validator: PublicKey): void {
    const { share } = answer;
    this.#checkSignature(answer, validator);
    if (this.committee.share(share) === null) {
      throw new ShareFault('no_such_share', share, `the committee has no share ${share}`);
    }
    if (this.#verified.has(share)) throw new ShareFault('duplicate', share, `share ${share} has answered already`);
    this.#verified.set(share, this.#verify(share, this.#open(answer)));
  }

  /** Whether there are enough shares. */
  get isComplete(): boolean {
    return this.#verified.size >= this.committee.threshold;
  }

  /** The secrets of the second lock, in the order of the capsules. */
  finish(): Uint8Array[] {
    const locks = this.capsules.map(({ capsule }) => ({
      label: encode(Label, capsule.label),
      ciphertext: capsule.release,
    }));
    const inOrder = [...this.#verified.values()].sort((one, other) => one.share - other.share);
    return combine(this.committee, locks, inOrder);
  }

  #checkSignature(answer: ReleaseAnswer, validator: PublicKey): void {
    const { share, encapsulated, sealed } = answer;
    const parts = [this.#context, littleEndian(share, 2), encapsulated, sealed];
    const message = digest('keepwell/release/message/v1', parts);
    blame(
      () => verify(validator, 'keepwell/release/answer/v1', message, answer.signature),
      new ShareFault(
        'unsigned',
        share,
        `an answer for share ${share} is not signed by its validator for this request; ask again`,
      ),
    );
  }

  #open({ share, encapsulated, sealed: ciphertext }: ReleaseAnswer): Uint8Array {
    const parts = [this.#context, littleEndian(share, 2)];
    return blame(
      () => open(this.reader, 'keepwell/release/share/v1', parts, { encapsulated, ciphertext }),
      new ShareFault(
        'sealed',
        share,
        `validator of share ${share} signed an answer that does not open; report its operator`,
      ),
    );
  }

  #verify(share: number, partial: Uint8Array): VerifiedPartial {
    return blame(
      () => VerifiedPartial.verify(this.committee, share, this.#points, partial, this.#context),
      new ShareFault(
        'proof',
        share,
        `validator of share ${share} signed a share that is not its own; report its operator`,
      ),
    );
  }
}

/** What `attempt` returns; an error of ours becomes the one that says whose fault it is. */
function blame<T>(attempt: () => T, fault: ShareFault): T {
  try {
    return attempt();
  } catch (error) {
    throw error instanceof KeepwellError ? fault : error;
  }
}
