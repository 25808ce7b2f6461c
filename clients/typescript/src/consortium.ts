/**
 * What a client knows before it asks anyone: the genesis file, the hand-overs since, and all that follows from them.
 */

import { hex } from './bytes.js';
import { ProofError } from './errors.js';
import type { Handover } from './proofs.js';
import { Committee } from './threshold.js';
import type { ChainId, Genesis, OrganisationId, PublicKey } from './types.js';
import { Validators, decodeGenesis, quorum } from './verify.js';

/** A consortium, by its genesis file and the hand-overs that were followed since. */
export class Consortium {
  private constructor(
    readonly genesis: Genesis,
    readonly validators: Validators,
    readonly committee: Committee,
  ) {}

  /** Reads a genesis file. Get it from the consortium, by another way than from the node that is asked. */
  static read(bytes: Uint8Array): Consortium {
    const genesis = decodeGenesis(bytes);
    checkGenesis(genesis);
    return new Consortium(genesis, Validators.of(genesis), new Committee(genesis.committee));
  }

  get chain(): ChainId {
    return this.validators.chain;
  }

  /** This consortium after hand-overs; what is known here stays as it is. */
  followed(handovers: readonly Handover[]): Consortium {
    const validators = this.validators.clone();
    for (const handover of handovers) validators.advance(handover);
    return new Consortium(this.genesis, validators, new Committee(validators.newest.committee));
  }

  /** Who has the share of this number, counted from 1, and the key that signs its releases. */
  releaser(share: number): { readonly organisation: OrganisationId; readonly key: PublicKey } | null {
    const validator = this.validators.newest.seats[share - 1]?.validator;
    return validator === undefined ? null : { organisation: validator.organisation, key: validator.release };
  }
}

/** What a client relies on. Nodes and founders check the rest of the file. */
function checkGenesis({ validators, committee }: Genesis): void {
  const keys = validators.map((it) => hex(it.release));
  const twice = new Set(keys).size !== keys.length;
  const fits = committee.shares.length === validators.length && committee.threshold === quorum(validators.length);
  if (!twice && fits) return;
  const text = 'the genesis file names a release key twice, or a committee that does not fit its validators';
  throw new ProofError('genesis', `${text}; get the consortium's own file`);
}
