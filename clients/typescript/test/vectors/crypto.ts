/** `vectors/crypto`: each file that a browser has a use for, with everything that it says must be refused. */

import * as k from '../../src/index.js';
import { type Case, type Json, eachRefused, fault, flipped, json, refused, same } from './check.js';

const { unhex, utf8 } = k;

function file(name: string, run: (vectors: Json) => Promise<void>): Case {
  return { name: `crypto/${name}.json`, run: async (load) => run(await json(load, name)) };
}

const hash = file('hash', async (v) => {
  for (const it of v.digest) same(k.digest(it.domain, it.parts.map(unhex)), it.digest, it.domain);
  for (const it of v.sha256) same(k.sha256(unhex(it.bytes)), it.digest, 'sha256');
  for (const [len, padded] of v.padded_len) same(k.paddedLen(len), padded, `padded ${len}`);
  for (const [len, sealed] of v.sealed_len) same(k.sealedLen(len), sealed, `sealed ${len}`);
});

const sign = file('sign', async (v) => {
  const key = k.SigningKey.fromSeed(unhex(v.seed));
  same(key.publicKey, v.key, 'key');
  const message = unhex(v.message);
  same(key.sign(v.domain, message), v.signature, 'signature');
  const [publicKey, signature] = [k.PublicKey.of(v.key), k.Signature.of(v.signature)];
  k.verify(publicKey, v.domain, message, signature);
  const codes: Record<string, string> = { Wrong: 'signature', Malformed: 'malformed', Key: 'key' };
  for (const { fault: name, input, error } of v.refused) {
    const attempt = (): void =>
      k.verify(
        k.PublicKey.of(input.key ?? v.key),
        input.domain ?? v.domain,
        input.message === undefined ? message : unhex(input.message),
        k.Signature.of(input.signature ?? v.signature),
      );
    await refused(name, attempt, codes[error.split('(')[0]]!);
  }
  for (let at = 0; at < 64; at += 1) {
    const changed = k.Signature.of(flipped(signature, at, at % 8));
    await refused(`signature with byte ${at} changed`, () => k.verify(publicKey, v.domain, message, changed));
  }
});

const command = file('command', async (v) => {
  const bytes = unhex(v.command);
  const decoded = k.decode(k.Command, bytes, k.LIMITS.COMMAND_BYTES_MAX);
  same(k.commandDigest(decoded), v.digest, 'digest');
  const signed = k.signCommand(decoded, [k.SigningKey.fromSeed(unhex(v.seed))]);
  same(k.encode(k.SignedCommand, signed), v.signed, 'signed');
  k.verifyCommand(signed);
  const payload = k.decode(k.Payload, unhex(v.genesis_payload), 1 << 16);
  v.genesis_digests.forEach((it: string, at: number) => same(k.genesisDigest(payload, at), it, `genesis digest ${at}`));
  const { chart, signer, record } = v.record_id;
  const by = k.decode(k.Party, unhex(signer), 64);
  same(k.recordId(decoded.chain, k.ChartId.of(chart), by, decoded.id, decoded.window.until), record, 'record id');
  const verify = (input: string): void => k.verifyCommand(k.decode(k.SignedCommand, unhex(input), 1 << 16));
  await eachRefused(v.refused, { 'another chain': verify, 'no signature': verify, 'no signer': verify });
});

const keys = file('keys', async (v) => {
  const chartId = k.ChartId.of(v.chart);
  const chart = new k.Root(unhex(v.root)).chart(chartId);
  same(chart.toBytes(), v.chart_secret, 'chart secret');
  same(chart.signing().publicKey, v.chart_signing, 'chart signing');
  same(chart.sealing().publicKey().digest(), v.chart_sealing, 'chart sealing');
  for (const it of v.epoch_seeds) {
    const seed = chart.epochSeed(it.compartment, it.epoch);
    same(seed.toBytes(), it.seed, 'seed');
    same(seed.sealing().publicKey().digest(), it.key, 'epoch key');
  }
  const sheet = k.makeSheet(chart, chartId, new Array(k.LIMITS.COMPARTMENTS).fill(0));
  same(k.sheetRoot(sheet), v.sheet_root, 'sheet root');
  same(k.lineDigests(sheet), v.sheet_lines, 'sheet lines');
  const root = k.Digest.of(v.sheet_root);
  k.verifySheet(sheet, root);
  same(k.verifyLine(chartId, sheet.lines[2]!, k.lineDigests(sheet), root).digest(), v.epoch_seeds[1].key, 'line');
  await refused('lines swapped', () => k.verifySheet({ ...sheet, lines: sheet.lines.toReversed() }, root), 'root');
  await refused(
    'a foreign line',
    () => k.verifyLine(chartId, { ...sheet.lines[2]!, epoch: 1 }, k.lineDigests(sheet), root),
    'line',
  );
  const member = new k.MemberSecret(unhex(v.member_secret));
  same(member.signing().publicKey, v.member_signing, 'member signing');
  same(member.sealing().publicKey().digest(), v.member_sealing, 'member sealing');
  const code = new k.ClaimCode(unhex(v.claim_code));
  same(code.print(), v.claim_code_printed, 'claim code');
  const typed = v.claim_code_printed.toLowerCase().replaceAll('-', ' ').replaceAll('0', 'o').replaceAll('1', 'l');
  same(k.ClaimCode.parse(typed).toBytes(), v.claim_code, 'typed code');
  same(
    code.signing(k.ChainId.of(v.claim_key.chain), k.ChartId.of(v.claim_key.chart)).publicKey,
    v.claim_key.key,
    'claim key',
  );
  for (const { fault: name, input } of v.claim_codes_refused) await refused(name, () => k.ClaimCode.parse(input));
  chart.erase();
  await refused('an erased secret', () => chart.signing(), 'locked');
});

const seal = file('seal', async (v) => {
  const key = k.SealingKey.fromSeed(unhex(v.seed));
  same(key.publicKey().toBytes(), v.key, 'key');
  same(key.publicKey().digest(), v.key_digest, 'key digest');
  const [encapsulated, ciphertext] = [unhex(v.encapsulated), unhex(v.ciphertext)];
  const parts = v.parts.map(unhex);
  const open = (sealed: Partial<k.Sealed> = {}, domain = v.domain, context = parts, by = key): Uint8Array =>
    k.open(by, domain, context, { encapsulated, ciphertext, ...sealed });
  same(open(), v.plaintext, 'plaintext');
  const again = k.seal(key.publicKey(), v.domain, parts, unhex(v.plaintext));
  same(open(again), v.plaintext, 'sealed here');
  await eachRefused(v.refused, {
    'another key': (input) => open({}, v.domain, parts, k.SealingKey.fromSeed(unhex(input.seed))),
    'another domain': (input) => open({}, input.domain),
    'the context cut into other parts': (input) => open({}, v.domain, input.parts.map(unhex)),
    'ciphertext damaged': (input) => open({ ciphertext: unhex(input.ciphertext) }),
    'encapsulation damaged': (input) => open({ encapsulated: flipped(encapsulated, input.byte) }),
    'encapsulation cut off': (input) => open({ encapsulated: encapsulated.subarray(0, input.bytes) }),
  });
  for (let at = 0; at < ciphertext.length; at += 1) {
    await refused(`ciphertext byte ${at}`, () => open({ ciphertext: flipped(ciphertext, at) }), 'wrong_key');
  }
  for (const at of [0, 31, 500, 1_087, 1_088, 1_100]) {
    await refused(`encapsulation byte ${at}`, () => open({ encapsulated: flipped(encapsulated, at) }), 'wrong_key');
  }
  // A share of X25519 of small order agrees on zeros, as X-Wing has it: another secret, and no error of its own.
  const small = encapsulated.slice();
  small.fill(0, 1_088);
  same(key.decapsulate(small).length, 32, 'a share of small order');
  await refused('a share of small order', () => open({ encapsulated: small }), 'wrong_key');
  await refused('no ciphertext', () => open({ ciphertext: new Uint8Array(0) }), 'wrong_key');
  await refused('a public key cut off', () => k.SealingPublic.fromBytes(unhex(v.key).subarray(1)), 'public_key');
  await refused(
    'coefficients above q',
    () => k.SealingPublic.fromBytes(new Uint8Array(1_216).fill(0xff)),
    'public_key',
  );
});

const body = file('body', async (v) => {
  const counting = (len: number): Uint8Array => Uint8Array.from({ length: len }, (_, at) => at);
  const [dataKey, record] = [unhex(v.data_key), k.RecordId.of(v.record)];
  for (const it of v.sealed) {
    same(await k.sealBody(dataKey, record, counting(it.content_bytes)), it.sealed, `${it.content_bytes} bytes sealed`);
    same(
      await k.openBody(dataKey, record, unhex(it.sealed)),
      counting(it.content_bytes),
      `${it.content_bytes} bytes opened`,
    );
  }
  for (const it of v.sealed_large) {
    const sealed = await k.sealBody(dataKey, record, counting(it.content_bytes));
    same(sealed.length, it.sealed_bytes, 'length');
    same(k.sha256(sealed), it.sha256, `digest of ${it.content_bytes}`);
    const opened = await k.openBody(dataKey, record, sealed);
    same(k.sha256(opened), k.sha256(counting(it.content_bytes)), `content of ${it.content_bytes}`);
  }
  for (const { fault: name, input } of v.refused) {
    await refused(name, () => k.openBody(unhex(input.data_key), k.RecordId.of(input.record), unhex(input.sealed)));
  }
  const sealed = unhex(v.sealed[2].sealed);
  for (let at = 0; at < sealed.length; at += 1) {
    await refused(`body byte ${at}`, () => k.openBody(dataKey, record, flipped(sealed, at, at % 8)));
    await refused(`body of ${at} bytes`, () => k.openBody(dataKey, record, sealed.subarray(0, at)));
  }
  for (const absurd of [Number.MAX_SAFE_INTEGER, 2 ** 60, -1, 0.5, Number.NaN]) {
    await refused(`a body of ${absurd} bytes`, () => k.Layout.ofSealed(absurd), 'size');
  }
});

const locks = file('locks', async (v) => {
  const keys = k.decode(k.CommitteeKeys, unhex(v.committee), 1 << 16);
  const committee = new k.Committee(keys);
  same(committee.id, v.committee_id, 'committee id');
  const salted = k.decodeSalted(unhex(v.salted_capsule));
  const { capsule } = salted;
  same(k.encode(k.Label, capsule.label), v.label, 'label');
  same(k.commitmentOf(salted), v.commitment, 'commitment');
  k.verifyReleaseLock(capsule, committee);
  const key = k.SealingKey.fromSeed(unhex(v.compartment_seed));
  const granted = k.openGrantLock(capsule, key);
  same(granted, v.grant_secret, 'grant secret');
  const released = unhex(v.release_secret);
  same(k.openCapsule(capsule, granted, released), v.data_key, 'data key');
  await answers(v, committee, salted);
  await eachRefused(v.capsules_refused_by_readers, {
    'without the first lock': (input) => k.openCapsule(capsule, unhex(input.grant_secret), released),
    'without the second lock': (input) => k.openCapsule(capsule, granted, unhex(input.release_secret)),
    'suite in two bytes': (input) => k.decodeSalted(unhex(input)),
  });
  // What validators refuse because of the ledger, a reader refuses because of the ledger too: see `records.ts`.
  const capsuleOf = (input: string): k.SaltedCapsule => k.decodeSalted(unhex(input));
  const resalted = capsuleOf(fault(v.capsules_refused_by_validators, 'another salt').input);
  same(k.hex(k.commitmentOf(resalted)) === v.commitment, false, 'the commitment of another salt');
  for (const name of ['the second lock of another capsule', 'no point in the second lock']) {
    const { input } = fault(v.capsules_refused_by_validators, name);
    await refused(
      name,
      () => k.verifyReleaseLock(capsuleOf(input).capsule, committee),
      'ciphertext_proof',
      'ciphertext_malformed',
    );
  }
  await eachByte(
    unhex(v.salted_capsule),
    (bytes) => {
      const changed = k.decodeSalted(bytes);
      k.verifyReleaseLock(changed.capsule, committee);
      return k.openCapsule(changed.capsule, k.openGrantLock(changed.capsule, key), released);
    },
    [2, 34],
  );
  const relabelled = k.sealCapsule(capsule.label, key.publicKey(), committee, unhex(v.data_key));
  k.verifyReleaseLock(relabelled, committee);
  same(k.decodeSalted(k.encode(k.SaltedCapsule, k.salted(relabelled))).capsule, relabelled, 'sealed here');
  const broken = { ...keys, shares: keys.shares.with(3, keys.shares[0]!) };
  await refused('a share of another polynomial', () => new k.Committee(broken), 'committee_share');
  await refused('a threshold of none', () => new k.Committee({ ...keys, threshold: 0 }), 'threshold');
});

/** Tries bytes with one bit changed, but for a stretch: the salt, which the commitment on the ledger covers. */
async function eachByte(
  bytes: Uint8Array,
  attempt: (bytes: Uint8Array) => unknown,
  [from, until]: readonly [number, number],
): Promise<void> {
  for (let at = 0; at < bytes.length; at += bytes.length > 600 ? 7 : 1) {
    if (at >= from && at < until) continue;
    await refused(`byte ${at} changed`, () => attempt(flipped(bytes, at, at % 8)));
  }
}

async function answers(v: Json, committee: k.Committee, salted: k.SaltedCapsule): Promise<void> {
  const access = {
    chain: k.ChainId.of(v.access.chain),
    command: k.CommandDigest.of(v.access.command),
    readerKey: k.Digest.of(v.access.reader_key),
  };
  same(k.SealingPublic.fromBytes(unhex(v.reader_key)).digest(), v.access.reader_key, 'reader key');
  // The reader's private key is not in the vectors: what needs it is tried with records of a live consortium.
  for (const hexed of v.answers) {
    const answer = k.decode(k.ReleaseAnswer, unhex(hexed), 1 << 16);
    same(k.encode(k.ReleaseAnswer, answer), hexed, 'answer');
    k.verify(
      k.PublicKey.of(v.release_keys[answer.share - 1]),
      'keepwell/release/answer/v1',
      message(v, access, salted, answer),
      answer.signature,
    );
  }
  const verify = (hexed: string, place?: number): void => {
    const answer = k.decode(k.ReleaseAnswer, unhex(hexed), 1 << 16);
    const key = k.PublicKey.of(v.release_keys[place ?? answer.share - 1]);
    k.verify(key, 'keepwell/release/answer/v1', message(v, access, salted, answer), answer.signature);
  };
  await eachRefused(v.answers_refused, {
    'signature damaged': verify,
    'claimed for another share': verify,
    "checked with another validator's key": (input) => verify(v.answers[0], input.key),
  });
  const stranger = k.SealingKey.fromSeed(new Uint8Array(32));
  await refused('another reader', () => new k.Collector(committee, access, [salted], stranger), 'reader_key');
}

function message(v: Json, access: k.ReleasedAccess, salted: k.SaltedCapsule, answer: k.ReleaseAnswer): Uint8Array {
  same(k.commitmentOf(salted), v.commitment, 'commitment');
  const context = k.digest('keepwell/release/context/v1', [
    access.chain,
    access.command,
    access.readerKey,
    k.commitmentOf(salted),
  ]);
  return k.digest('keepwell/release/message/v1', [
    context,
    k.littleEndian(answer.share, 2),
    answer.encapsulated,
    answer.sealed,
  ]);
}

const grant = file('grant', async (v) => {
  const terms = k.decode(k.GrantTerms, unhex(v.terms), 1 << 16);
  const binding = { chain: k.ChainId.of(v.chain), chart: k.ChartId.of(v.chart), grant: k.GrantId.of(v.grant), terms };
  const key = new k.MemberSecret(unhex(v.member_secret)).sealing();
  const sealed = k.decodeSeeds(unhex(v.sealed));
  same(k.seedsDigest(sealed), v.digest, 'digest');
  const shown = (seeds: readonly k.Seed[]): unknown =>
    seeds.map(({ compartment, epoch, seed }) => ({ compartment, epoch, seed: seed.toBytes() }));
  same(shown(k.openSeeds(binding, key, sealed)), v.seeds, 'seeds');
  const again = k.sealSeeds(binding, key.publicKey(), k.openSeeds(binding, key, sealed).toReversed());
  same(shown(k.openSeeds(binding, key, again)), v.seeds, 'sealed here');
  const twice = k.openSeeds(binding, key, sealed).slice(0, 1);
  await refused('a seed twice', () => k.sealSeeds(binding, key.publicKey(), [...twice, ...twice]), 'seeds');
  await eachRefused(v.refused, {
    'changed terms': (input) =>
      k.openSeeds({ ...binding, terms: k.decode(k.GrantTerms, unhex(input.terms), 1 << 16) }, key, sealed),
    'another grant': (input) => k.openSeeds({ ...binding, grant: k.GrantId.of(input.grant) }, key, sealed),
    'another grantee': (input) =>
      k.openSeeds(binding, new k.MemberSecret(unhex(input.member_secret)).sealing(), sealed),
    'seeds damaged': (input) => k.openSeeds(binding, key, k.decodeSeeds(unhex(input))),
  });
});

const words = file('words', async (v) => {
  const subject = { chain: k.ChainId.of(v.chain), chart: k.ChartId.of(v.chart), case: k.CaseId.of(v.case) };
  const [key, member] = [new k.CaseKey(unhex(v.case_key)), k.MemberId.of(v.member)];
  const sealing = new k.MemberSecret(unhex(v.member_secret)).sealing();
  const [record, dataKey, bytes] = [k.RecordId.of(v.record), unhex(v.data_key), unhex(v.sealed)];
  const sealed = k.decodeWords(bytes);
  same(k.wordsDigest(sealed), v.digest, 'digest');
  same(k.openWords(sealed, subject, key), v.text, 'text');
  same(k.keyOfMember(sealed, subject, member, sealing).toBytes(), v.case_key, 'key of member');
  same(k.keyOfRecord(sealed, subject, record, dataKey).toBytes(), v.case_key, 'key of record');
  const readers = { members: [{ member, key: sealing.publicKey() }], records: [{ record, dataKey }] };
  for (const text of ['', v.text, 'e\u0301 \u{1f9ec} \ufeff', 'x'.repeat(8_192)]) {
    const made = k.decodeWords(k.encode(k.CaseWords, k.sealWords(subject, key, text, readers)));
    same(k.openWords(made, subject, key), text, 'sealed here');
    same(k.keyOfMember(made, subject, member, sealing).toBytes(), v.case_key, 'handed here');
    same(k.keyOfRecord(made, subject, record, dataKey).toBytes(), v.case_key, 'attached here');
  }
  await refused('too long', () => k.sealWords(subject, key, 'x'.repeat(8_193)), 'text_too_long');
  await refused('half a character', () => k.sealWords(subject, key, '\ud83e'), 'text');
  const moved = (input: Json): k.Subject => ({ ...subject, case: k.CaseId.of(input.case) });
  await eachRefused(v.refused, {
    'another key': (input) => k.openWords(sealed, subject, new k.CaseKey(unhex(input))),
    'another case': (input) => k.openWords(sealed, moved(input), key),
    'handed in another case': (input) => k.keyOfMember(sealed, moved(input), member, sealing),
    'not handed to this member': (input) => k.keyOfMember(sealed, subject, k.MemberId.of(input.member), sealing),
    'another data key': (input) => k.keyOfRecord(sealed, subject, record, unhex(input)),
    'not attached to this record': (input) => k.keyOfRecord(sealed, subject, k.RecordId.of(input.record), dataKey),
    'another suite': (input) => k.decodeWords(unhex(input)),
    'cut off': (input) => k.decodeWords(unhex(input)),
  });
});

const guardians = file('guardians', async (v) => {
  const binding = { chain: k.ChainId.of(v.chain), chart: k.ChartId.of(v.chart) };
  const guardianKeys = v.guardian_secrets.map((it: string) => new k.MemberSecret(unhex(it)).sealing());
  const successor = new k.MemberSecret(unhex(v.successor_secret)).sealing();
  const escrow = k.decodeGuardians(unhex(v.escrow));
  same(k.guardiansDigest(escrow), v.digest, 'digest');
  const handed = v.handed.map((it: Json) => {
    const share = k.decode(k.HandedShare, unhex(it.handed), 1 << 16);
    same(k.handedDigest(share), it.digest, 'handed digest');
    return { at: { group: it.group, place: it.place }, handed: share };
  });
  const opened = handed.map((it: Json) => ({
    at: it.at,
    share: k.openHandedShare(it.handed, binding, it.at, successor),
  }));
  same(k.recoverFromGuardians(escrow, binding, opened), v.secret, 'secret');
  const [first, second, third] = opened;
  const swapped = { at: second.at, share: first.share };
  same(k.recoverFromGuardians(escrow, binding, [swapped, first, second, third]), v.secret, 'a false share passed over');
  const elsewhere = { group: 1, place: 1 };
  await eachRefused(v.refused, {
    'one group alone': () => k.recoverFromGuardians(escrow, binding, [first]),
    'one of two in a group': () => k.recoverFromGuardians(escrow, binding, [first, second]),
    'another chart': (input) =>
      k.recoverFromGuardians(escrow, { ...binding, chart: k.ChartId.of(input.chart) }, opened),
    "another guardian's key": () => k.handOver(escrow, binding, elsewhere, guardianKeys[0], successor.publicKey()),
    'handed at another place': (input) => k.openHandedShare(handed[1].handed, binding, input, successor),
    'handed to another successor': () => k.openHandedShare(handed[0].handed, binding, handed[0].at, guardianKeys[0]),
    'cut off': (input) => k.decodeGuardians(unhex(input)),
  });
  await dealtHere(v, binding, guardianKeys, successor);
});

/** Deals, hands over and recovers without the Rust: 1 of 2 friends and 2 of 3 of a clinic's. */
async function dealtHere(
  v: Json,
  binding: k.GuardianBinding,
  keys: k.SealingKey[],
  successor: k.SealingKey,
): Promise<void> {
  const publics = keys.map((key) => key.publicKey());
  const groups = [
    { threshold: 1, guardians: publics.slice(0, 2) },
    { threshold: 2, guardians: publics.slice(2) },
  ];
  const dealt = k.decodeGuardians(k.encode(k.GuardianEscrow, k.dealGuardians(binding, unhex(v.secret), 2, groups)));
  const shares = [
    [0, 0, 0],
    [1, 1, 3],
    [1, 2, 4],
  ].map(([group, place, key]) => {
    const at = { group: group!, place: place! };
    const handed = k.handOver(dealt, binding, at, keys[key!]!, successor.publicKey());
    return { at, share: k.openHandedShare(handed, binding, at, successor) };
  });
  same(k.recoverFromGuardians(dealt, binding, shares), v.secret, 'dealt here');
  await refused('too few', () => k.recoverFromGuardians(dealt, binding, shares.slice(1)), 'too_few');
  const unreachable = (): unknown => k.dealGuardians(binding, unhex(v.secret), 3, groups);
  await refused('a threshold that nobody reaches', unreachable, 'numbers');
}

const trustees = file('trustees', async (v) => {
  const group = k.decode(k.Trustees, unhex(v.trustees), 1 << 16);
  const escrow = k.decodeChartEscrow(unhex(v.escrow));
  same(k.chartEscrowDigest(escrow), v.digest, 'digest');
  const reader = new k.MemberSecret(unhex(v.reader_secret)).sealing();
  const access = {
    chain: k.ChainId.of(v.chain),
    command: k.CommandDigest.of(v.access.command),
    readerKey: k.Digest.of(v.access.reader_key),
  };
  const opens = { access, compartments: v.compartments, epochs: v.epochs };
  const collected = (answers: readonly string[]): k.AnswerCollector => {
    const collector = new k.AnswerCollector(group, opens, escrow, reader);
    for (const answer of answers) collector.add(k.decodeTrusteeAnswer(unhex(answer)));
    return collector;
  };
  const collector = collected(v.answers);
  same(collector.isComplete, true, 'complete');
  same(
    collector.finish().map(({ compartment, epoch, seed }) => ({ compartment, epoch, seed: seed.toBytes() })),
    v.seeds,
    'seeds',
  );
  await refused('an answer twice', () => collected([v.answers[0], v.answers[0]]), 'duplicate');
  await eachRefused(v.refused, {
    'one trustee alone': () => collected(v.answers.slice(0, 1)).finish(),
    'signature damaged': (input) => collected([input]),
    'escrow cut off': (input) => k.decodeChartEscrow(unhex(input)),
    'answer cut off': (input) => k.decodeTrusteeAnswer(unhex(input)),
  });
  const left = [{ compartment: 3, from: 4, seeds: [new k.EpochSeed(new Uint8Array(32).fill(9))] }];
  const made = k.leaveToTrustees(access.chain, k.ChartId.of(v.chart), group, left);
  same(k.decodeChartEscrow(k.encode(k.ChartEscrow, made)), made, 'left here');
});

const keyfile = file('keyfile', async (v) => {
  const open = (file: string, passphrase: string): Promise<Uint8Array> =>
    k.unlockWithPassphrase(k.decodeKeyFile(unhex(file)), passphrase);
  same(await open(v.by_passphrase, v.passphrase), v.secret, 'by passphrase');
  same(
    k.unlockWithOperatorKey(k.decodeKeyFile(unhex(v.by_operator_key)), unhex(v.operator_key)),
    v.secret,
    'by operator key',
  );
  for (const { fault: name, input } of v.refused) await refused(name, () => open(input.file, input.passphrase));
  const about = { kind: 'root' as const, label: 'Zoë \u{1f511}', demonstration: true };
  const cheap = { memoryKib: 64, passes: 1, lanes: 1 };
  const made = k.encodeKeyFile(await k.lockWithPassphrase(about, utf8('secret'), 'pässwörd', cheap));
  same(await k.unlockWithPassphrase(k.decodeKeyFile(made), 'pässwörd'), utf8('secret'), 'locked here');
  await refused(
    'a weak lock for a real key',
    () => k.lockWithPassphrase({ ...about, demonstration: false }, utf8('s'), 'p', cheap),
    'cost_too_low',
  );
  await refused('no passphrase', () => k.lockWithPassphrase(about, utf8('s'), '', cheap), 'empty_passphrase');
  const bytes = unhex(v.by_operator_key);
  for (let at = 0; at < bytes.length; at += 1) {
    const attempt = (): Uint8Array =>
      k.unlockWithOperatorKey(k.decodeKeyFile(flipped(bytes, at, at % 8)), unhex(v.operator_key));
    await refused(`key file byte ${at}`, attempt);
  }
});

const dealing = file('dealing', async (v) => {
  const bytes = unhex(v.dealing);
  const decoded = k.decode(k.Dealing, bytes, k.LIMITS.DEALING_BYTES_MAX);
  same(k.encode(k.Dealing, decoded), v.dealing, 'dealing');
  await refused('cut off', () => k.decode(k.Dealing, bytes.subarray(1), k.LIMITS.DEALING_BYTES_MAX));
});

export const CRYPTO: readonly Case[] = [
  hash,
  sign,
  command,
  keys,
  seal,
  body,
  locks,
  grant,
  words,
  guardians,
  trustees,
  keyfile,
  dealing,
];
