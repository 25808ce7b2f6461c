/**
 * Bodies: content of any size, encrypted in chunks, readable from the middle.
 *
 * ```text
 * sealed body = header (40 bytes) ‖ chunk 0 ‖ chunk 1 ‖ ... ‖ last chunk
 * header      = version (1) ‖ algorithm (1) ‖ log2 of a chunk's plaintext (1) ‖ 0 (5) ‖ key commitment (32)
 * chunk       = AES-256-GCM(body key, nonce, plaintext) ‖ tag (16)
 * nonce       = 0 (7) ‖ number of the chunk (4, big endian) ‖ 1 for the last chunk, 0 for any other (1)
 * plaintext   = length of the content (8, big endian) ‖ content ‖ zeros up to Padmé(8 + length)
 * body key ‖ key commitment = HKDF(data key, record id, first 8 bytes of the header)
 * ```
 *
 * # Invariants
 *
 * * A data key encrypts one content once.
 * * A chunk opens only at its own place, of its own record, and the last one only as the last.
 * * The number of sealed bytes fixes the number and the lengths of all chunks.
 *
 * Not here: the Merkle tree over the chunks as they lie at a custodian (`merkle.ts`).
 */

import { bigEndian, concat, equalSecrets, fromBigEndian } from './bytes.js';
import { OpenError, UsageError } from './errors.js';
import { derive } from './hash.js';
import { LIMITS } from './limits.js';
import { paddedLen } from './padding.js';
import { TAG_BYTES, wrongKey } from './seal.js';
import type { RecordId } from './types.js';

/** Bytes of the header. */
export const HEADER_BYTES = 40;

const VERSION = 1;
const AES_256_GCM = 1;
const LENGTH_BYTES = 8;
const SMALL_LOG2 = 16;
const LARGE_LOG2 = 20;
const LARGE_FROM_SEALED_BYTES = 8 * 1024 * 1024;
const RECORD_BYTES_MAX = Number(LIMITS.RECORD_BYTES_MAX);
const SEALED_BYTES_MAX = Number(LIMITS.SEALED_BYTES_MAX);

/** Bytes of the sealed body of `contentBytes` bytes: header, padding and tags included. */
export function sealedLen(contentBytes: number): number {
  return Layout.ofPlain(paddedLen(contentBytes + LENGTH_BYTES)).sealedBytes;
}

/** How a sealed body is cut into chunks. */
export class Layout {
  private constructor(
    /** log2 of a chunk's plaintext. */
    readonly log2: number,
    readonly plainBytes: number,
  ) {}

  /** The layout of a content. */
  static ofContent(contentBytes: number): Layout {
    if (!Number.isInteger(contentBytes) || contentBytes < 0 || contentBytes > RECORD_BYTES_MAX) {
      throw new UsageError('too_long', `a record has at most ${RECORD_BYTES_MAX} bytes; split the content`);
    }
    return Layout.ofPlain(paddedLen(contentBytes + LENGTH_BYTES));
  }

  /** The layout of a sealed body of this many bytes, if there is one. */
  static ofSealed(sealedBytes: number): Layout {
    const chunks = sealedBytes - HEADER_BYTES;
    if (Number.isInteger(sealedBytes) && chunks > 0 && sealedBytes <= SEALED_BYTES_MAX) {
      for (const log2 of [SMALL_LOG2, LARGE_LOG2]) {
        const tags = TAG_BYTES * Math.ceil(chunks / (2 ** log2 + TAG_BYTES));
        const layout = Layout.ofPlain(paddedLen(Math.max(0, chunks - tags)));
        // Whichever guess was right gives the size back.
        if (layout.plainBytes >= LENGTH_BYTES && layout.sealedBytes === sealedBytes) return layout;
      }
    }
    throw new OpenError('size', `no sealed body has ${sealedBytes} bytes; take the number from the record's label`);
  }

  static ofPlain(plainBytes: number): Layout {
    const small = new Layout(SMALL_LOG2, plainBytes);
    return small.sealedBytes < LARGE_FROM_SEALED_BYTES ? small : new Layout(LARGE_LOG2, plainBytes);
  }

  /** Bytes of the whole sealed body. */
  get sealedBytes(): number {
    return HEADER_BYTES + this.plainBytes + TAG_BYTES * this.chunks;
  }

  /** How many chunks it has: at least one. */
  get chunks(): number {
    return Math.ceil(this.plainBytes / 2 ** this.log2);
  }

  /** Where chunk `index` lies in the sealed body: its first byte, and the first one after it. */
  sealedRange(index: number): readonly [number, number] {
    const [from, until] = this.plainRange(index);
    const start = HEADER_BYTES + from + TAG_BYTES * index;
    return [start, start + (until - from) + TAG_BYTES];
  }

  /** Where the plaintext of chunk `index` lies. */
  plainRange(index: number): readonly [number, number] {
    if (!Number.isInteger(index) || index < 0 || index >= this.chunks) {
      throw new OpenError('chunk', `the body has ${this.chunks} chunks; there is no chunk ${index}`);
    }
    const from = index * 2 ** this.log2;
    return [from, Math.min(this.plainBytes, from + 2 ** this.log2)];
  }

  fixedHeader(): Uint8Array {
    return Uint8Array.of(VERSION, AES_256_GCM, this.log2, 0, 0, 0, 0, 0);
  }

  nonce(index: number): Uint8Array {
    const last = index + 1 === this.chunks ? 1 : 0;
    return concat(new Uint8Array(7), bigEndian(index, 4), Uint8Array.of(last));
  }
}

/** Seals a content. */
export async function sealBody(dataKey: Uint8Array, record: RecordId, content: Uint8Array): Promise<Uint8Array> {
  const layout = Layout.ofContent(content.length);
  const { key, header } = await bodyKey(dataKey, record, layout, 'encrypt');
  const plain = new Uint8Array(layout.plainBytes);
  plain.set(bigEndian(content.length, LENGTH_BYTES));
  plain.set(content, LENGTH_BYTES);
  const sealed = new Uint8Array(layout.sealedBytes);
  sealed.set(header);
  for (let index = 0; index < layout.chunks; index += 1) {
    const chunk = plain.subarray(...layout.plainRange(index));
    const made = await crypto.subtle.encrypt(gcm(layout.nonce(index)), key, chunk as BufferSource);
    sealed.set(new Uint8Array(made), layout.sealedRange(index)[0]);
  }
  return sealed;
}

/** Opens a whole sealed body. */
export async function openBody(dataKey: Uint8Array, record: RecordId, sealed: Uint8Array): Promise<Uint8Array> {
  const opener = await BodyOpener.begin(dataKey, record, sealed.subarray(0, HEADER_BYTES), sealed.length);
  const { layout } = opener;
  const parts: Uint8Array[] = [];
  for (let index = 0; index < layout.chunks; index += 1) {
    parts.push(await opener.chunk(sealed.subarray(...layout.sealedRange(index))));
  }
  return concat(...parts);
}

/** Opens a body from its first chunk to its last. What a chunk yields is authentic at once; all of it is there once
 * {@link isComplete} says so. */
export class BodyOpener {
  #next = 0;
  #contentBytes = 0;

  private constructor(
    readonly layout: Layout,
    private readonly key: CryptoKey,
  ) {}

  /** Begins with the header of a body whose label says that it has `sealedBytes` bytes. */
  static async begin(
    dataKey: Uint8Array,
    record: RecordId,
    header: Uint8Array,
    sealedBytes: number,
  ): Promise<BodyOpener> {
    const layout = Layout.ofSealed(sealedBytes);
    const fixed = layout.fixedHeader();
    if (header.length !== HEADER_BYTES || fixed.some((byte, at) => byte !== header[at])) {
      const text = 'the header of the body is cut off or of an unknown version; fetch the body again';
      throw new OpenError('header', text);
    }
    const { key, header: expected } = await bodyKey(dataKey, record, layout, 'decrypt');
    if (!equalSecrets(expected, header)) throw wrongKey();
    return new BodyOpener(layout, key);
  }

  /** How many sealed bytes the next chunk has; 0 after the last. */
  get nextSealedBytes(): number {
    if (this.isComplete) return 0;
    const [from, until] = this.layout.sealedRange(this.#next);
    return until - from;
  }

  /** Whether every chunk was opened. */
  get isComplete(): boolean {
    return this.#next === this.layout.chunks;
  }

  /** Opens the next chunk; returns the content in it. After an error the same chunk may be tried from elsewhere. */
  async chunk(sealed: Uint8Array): Promise<Uint8Array> {
    const index = this.#next;
    const [from, until] = this.layout.plainRange(index);
    const plain = await this.#decrypt(index, sealed, until - from);
    if (index === 0) this.#contentBytes = this.#contentBytesOf(plain);
    const within = (at: number): number => Math.min(Math.max(at, from), until) - from;
    const end = within(LENGTH_BYTES + this.#contentBytes);
    if (plain.subarray(end).some((byte) => byte !== 0)) throw badPadding();
    this.#next += 1;
    return plain.subarray(within(LENGTH_BYTES), end);
  }

  async #decrypt(index: number, sealed: Uint8Array, plainBytes: number): Promise<Uint8Array> {
    if (sealed.length !== plainBytes + TAG_BYTES) {
      const text = `chunk ${index} has ${sealed.length} bytes and must have ${plainBytes + TAG_BYTES}; fetch it again`;
      throw new OpenError('chunk_length', text);
    }
    try {
      const nonce = this.layout.nonce(index);
      return new Uint8Array(await crypto.subtle.decrypt(gcm(nonce), this.key, sealed as BufferSource));
    } catch {
      throw new OpenError('chunk', `chunk ${index} is damaged or misplaced; fetch it from another custodian`);
    }
  }

  /** The length of the content, which must fit the size of the body. */
  #contentBytesOf(first: Uint8Array): number {
    const said = fromBigEndian(first.subarray(0, LENGTH_BYTES));
    if (said > LIMITS.RECORD_BYTES_MAX || Layout.ofContent(Number(said)).plainBytes !== this.layout.plainBytes) {
      throw badPadding();
    }
    return Number(said);
  }
}

function badPadding(): OpenError {
  return new OpenError('padding', "the body is padded wrongly; its author's software is at fault");
}

function gcm(nonce: Uint8Array): AesGcmParams {
  return { name: 'AES-GCM', iv: nonce as BufferSource, tagLength: 8 * TAG_BYTES };
}

/** One body's key, which WebCrypto lets nobody see, and the header that commits to it. */
async function bodyKey(
  dataKey: Uint8Array,
  record: RecordId,
  layout: Layout,
  use: 'encrypt' | 'decrypt',
): Promise<{ key: CryptoKey; header: Uint8Array }> {
  const fixed = layout.fixedHeader();
  const derived = derive(dataKey, 'keepwell/body/key/v1', [record, fixed], 64);
  const key = await crypto.subtle.importKey('raw', derived.slice(0, 32), 'AES-GCM', false, [use]);
  return { key, header: concat(fixed, derived.subarray(32)) };
}
