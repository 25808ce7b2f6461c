/**
 * The words of a case, sealed to the case's own key.
 *
 * ```text
 * CaseWords = [suite, key check, encapsulated (1120), ciphertext, handed, attached]      ledger: its digest
 * plaintext = length of the text (4, big endian) ‖ text ‖ zeros up to Padmé(4 + length), 256 at least
 * handed    = [[member, encapsulated (1120), sealed case key (48)], ...]
 * attached  = [[record, sealed case key (48)], ...]
 * ```
 *
 * # Invariants
 *
 * * The key check fixes the key: one object has one plaintext, whoever made it.
 * * Words open in their own case of their own chart alone, and what is attached to a record with the data key of that
 *   record alone.
 *
 * Not here: who said it. The command that names the digest is signed.
 */

import { bigEndian, equal, equalSecrets, fromBigEndian, utf8 } from './bytes.js';
import { decode, encode } from './encoding.js';
import { OpenError, UsageError } from './errors.js';
import { derive, digest } from './hash.js';
import { CaseKey } from './keys.js';
import { LIMITS } from './limits.js';
import { CaseWords } from './objects.js';
import { paddedLen } from './padding.js';
import { type SealingKey, type SealingPublic, decryptOnce, encryptOnce, open, seal, wrongKey } from './seal.js';
import type { CaseId, ChainId, ChartId, Digest, MemberId, RecordId } from './types.js';

const WORDS_DOMAIN = 'keepwell/words/text/v1';
const HANDED_DOMAIN = 'keepwell/words/handed/v1';
const LENGTH_BYTES = 4;
/** Shorter texts are as long as this: "no" and "yes, gladly" look alike. */
const PLAIN_BYTES_MIN = 256;
const TEXTS = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** What words are about. */
export interface Subject {
  readonly chain: ChainId;
  readonly chart: ChartId;
  readonly case: CaseId;
}

/** Who gets a case's key with words of it. */
export interface Readers {
  /** Members that it is handed to. */
  readonly members?: readonly { readonly member: MemberId; readonly key: SealingPublic }[];
  /** Versions of a record that it is attached to. */
  readonly records?: readonly { readonly record: RecordId; readonly dataKey: Uint8Array }[];
}

/** Seals a text to a case's key; hands the key to members, and attaches it to versions of a record. */
export function sealWords(subject: Subject, key: CaseKey, text: string, readers: Readers = {}): CaseWords {
  const { members = [], records = [] } = readers;
  const about = partsOf(subject);
  const handed = members.map(({ member, key: to }) => {
    const { encapsulated, ciphertext } = seal(to, HANDED_DOMAIN, [...about, member], key.toBytes());
    return { member, encapsulated, sealedKey: ciphertext };
  });
  const attached = records.map(({ record, dataKey }) => ({
    record,
    sealedKey: encryptOnce(attachedKey(subject, record, dataKey), key.toBytes()),
  }));
  const sealed = seal(key.sealing().publicKey(), WORDS_DOMAIN, about, pad(text));
  const words: CaseWords = { suite: 'one', keyCheck: keyCheck(key), ...sealed, handed, attached };
  encode(CaseWords, words);
  return words;
}

/** Decodes words of a case. */
export function decodeWords(bytes: Uint8Array): CaseWords {
  return decode(CaseWords, bytes, LIMITS.SEALED_SEEDS_BYTES_MAX);
}

/** What stands on the ledger. */
export function wordsDigest(words: CaseWords): Digest {
  return digest('keepwell/words/sealed/v1', [encode(CaseWords, words)]);
}

/** The text, with the case's key. */
export function openWords(words: CaseWords, subject: Subject, key: CaseKey): string {
  checkKey(words, key);
  return unpad(open(key.sealing(), WORDS_DOMAIN, partsOf(subject), words));
}

/** The case's key, for a member that it was handed to. */
export function keyOfMember(words: CaseWords, subject: Subject, member: MemberId, key: SealingKey): CaseKey {
  const handed = words.handed.find((it) => equal(it.member, member));
  if (handed === undefined) throw wrongKey();
  const { encapsulated, sealedKey: ciphertext } = handed;
  return checkedKey(words, open(key, HANDED_DOMAIN, [...partsOf(subject), member], { encapsulated, ciphertext }));
}

/** The case's key, for whoever has opened a version of the record that it is attached to. */
export function keyOfRecord(words: CaseWords, subject: Subject, record: RecordId, dataKey: Uint8Array): CaseKey {
  const attached = words.attached.find((it) => equal(it.record, record));
  if (attached === undefined) throw wrongKey();
  return checkedKey(words, decryptOnce(attachedKey(subject, record, dataKey), attached.sealedKey));
}

function checkedKey(words: CaseWords, bytes: Uint8Array): CaseKey {
  if (bytes.length !== 32) throw wrongKey();
  const key = new CaseKey(bytes);
  checkKey(words, key);
  return key;
}

/** A case has one key, whoever speaks in it. */
function checkKey(words: CaseWords, key: CaseKey): void {
  if (!equalSecrets(keyCheck(key), words.keyCheck)) throw wrongKey();
}

function keyCheck(key: CaseKey): Digest {
  return digest('keepwell/words/key-check/v1', [key.toBytes()]);
}

/** The key of one record in one case. It encrypts one value, the case's key. */
function attachedKey(subject: Subject, record: RecordId, dataKey: Uint8Array): Uint8Array {
  return derive(dataKey, 'keepwell/words/attached/v1', [...partsOf(subject), record]);
}

function partsOf({ chain, chart, case: id }: Subject): Uint8Array[] {
  return [chain, chart, id];
}

function pad(text: string): Uint8Array {
  const bytes = utf8(text);
  if (bytes.length > LIMITS.CASE_TEXT_BYTES_MAX) {
    const words = `${bytes.length} bytes of text are more than the ${LIMITS.CASE_TEXT_BYTES_MAX} that one statement may have`;
    throw new UsageError('text_too_long', `${words}; shorten it, or add a record and refer to it`);
  }
  const plain = new Uint8Array(Math.max(PLAIN_BYTES_MIN, paddedLen(LENGTH_BYTES + bytes.length)));
  plain.set(bigEndian(bytes.length, LENGTH_BYTES));
  plain.set(bytes, LENGTH_BYTES);
  return plain;
}

/** The text. Another padding than {@link pad}'s is its author's fault. */
function unpad(plain: Uint8Array): string {
  const wrong = new OpenError('padding', "the words are padded wrongly; their author's software is at fault");
  const len = Number(fromBigEndian(plain.subarray(0, LENGTH_BYTES)));
  if (plain.length < LENGTH_BYTES || len > plain.length - LENGTH_BYTES) throw wrong;
  let text: string;
  try {
    text = TEXTS.decode(plain.subarray(LENGTH_BYTES, LENGTH_BYTES + len));
  } catch {
    throw wrong;
  }
  if (len > LIMITS.CASE_TEXT_BYTES_MAX || !equal(pad(text), plain)) throw wrong;
  return text;
}
