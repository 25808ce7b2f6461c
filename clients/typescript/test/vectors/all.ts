/** Every file of `vectors/` that this package has a use for. */

import type { Case } from './check.js';
import { CRYPTO } from './crypto.js';
import { MERKLE } from './merkle.js';
import { STATE } from './state.js';
import { TYPES } from './types.js';

/**
 * Files that no case is made of: `index` is a gateway's own store; `ceremony` and `resharing` are between validators.
 */
export const NOT_HERE = ['crypto/index.json', 'crypto/ceremony.json', 'crypto/resharing.json'] as const;

export const VECTORS: readonly Case[] = [...TYPES, STATE, ...CRYPTO, ...MERKLE];
