/** The vault over a line of messages: what goes over it, and when it locks. */

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { type TestContext, test } from 'node:test';

import * as k from '../src/index.js';

const VECTORS = new URL('../../../../vectors/', import.meta.url);
const CHART = k.ChartId.of(new Uint8Array(32).fill(3));
const CREDENTIAL = k.utf8('a passkey');
const CHEAP = { passphrase: 'correct horse battery staple' };

/** Two ends of a line, and all that went over it. */
function line(): { page: k.Line; worker: k.Line; sent: unknown[]; close(): void } {
  const { port1, port2 } = new MessageChannel();
  const sent: unknown[] = [];
  const end = (port: MessagePort): k.Line => ({
    postMessage: (message) => (sent.push(message), port.postMessage(message)),
    addEventListener: (_, hear) => {
      port.addEventListener('message', hear as never);
      port.start();
    },
  });
  return { page: end(port1), worker: end(port2), sent, close: () => port1.close() };
}

async function settings(idleMs?: number): Promise<k.Settings> {
  const text = await readFile(new URL('crypto/ceremony.json', VECTORS), 'utf8');
  const genesis = k.unhex(JSON.parse(text).genesis);
  const nodes = [{ organisation: '00'.repeat(16), url: 'http://127.0.0.1:9' }];
  return idleMs === undefined ? { genesis, nodes } : { genesis, nodes, idleMs };
}

async function wallet(): Promise<{ wallet: k.Wallet; recovery: Uint8Array }> {
  const known: k.KnownChart = {
    chart: CHART,
    organisation: k.OrganisationId.of(new Uint8Array(16).fill(2)),
    meanings: [{ name: 'normal', compartment: 8 }],
    inherited: null,
    log: k.LOG_START,
    handed: null,
    proxy: null,
  };
  const made = k.Wallet.create(true).with(known);
  return { wallet: made, recovery: await made.backup(CHEAP.passphrase) };
}

function started(t: TestContext): { vault: k.Vault; sent: unknown[]; locked: Promise<void>; ended: () => boolean } {
  const { page, worker, sent, close } = line();
  let hasEnded = false;
  k.serveVault(worker, () => (hasEnded = true));
  let tell = (): void => undefined;
  const locked = new Promise<void>((resolve) => (tell = resolve));
  const vault = new k.Vault(page, tell);
  // A vault that stays unlocked keeps its clock.
  t.after(async () => {
    if (!vault.isLocked) await vault.call('lock').catch(() => undefined);
    close();
  });
  return { vault, sent, locked, ended: () => hasEnded };
}

const has = (code: string) => (error: unknown) => error instanceof k.KeepwellError && error.code === code;

test('a recovery file opens with its passphrase alone, and survives being read', async () => {
  const { wallet: made, recovery } = await wallet();
  const again = await k.Wallet.restore(recovery, CHEAP.passphrase);
  assert.deepEqual(again.chart(CHART).actor().key.publicKey, made.chart(CHART).actor().key.publicKey);
  assert.deepEqual(again.index, made.index);
  await assert.rejects(k.Wallet.restore(recovery, 'incorrect horse'), has('wrong'));
  for (const at of [1, 40, recovery.length - 1]) {
    const changed = recovery.map((byte, place) => (place === at ? byte ^ 1 : byte));
    await assert.rejects(k.Wallet.restore(changed, CHEAP.passphrase), k.KeepwellError);
  }
});

test('a vault unlocks, says no secret, and locks', async (t) => {
  const { wallet: made, recovery } = await wallet();
  const { vault, sent, locked, ended } = started(t);
  await assert.rejects(vault.call('log', k.hex(CHART)), has('locked'));
  await assert.rejects(vault.call('unlock', await settings(), { recovery, passphrase: 'wrong' }), has('wrong'));
  const charts = await vault.call('unlock', await settings(), { recovery, ...CHEAP });
  assert.deepEqual(
    charts.map((it) => it.chart),
    [k.hex(CHART)],
  );
  await assert.rejects(vault.call('unlock', await settings(), { recovery, ...CHEAP }), has('unlocked'));
  await assert.rejects(vault.call('content', 1), has('handle'));
  const anything = vault.call.bind(vault) as unknown as (...words: unknown[]) => Promise<unknown>;
  await assert.rejects(anything('constructor'), has('method'));
  await assert.rejects(anything('call', 'lock'), has('method'));
  const again = await vault.call('recoveryFile', 'another passphrase');
  const restored = await k.Wallet.restore(again, 'another passphrase');
  assert.deepEqual(restored.rootBytes(), made.rootBytes());
  const said = JSON.stringify(sent, (_, it) => (it instanceof Uint8Array ? k.hex(it) : it));
  for (const secret of [made.rootBytes(), made.chart(CHART).secret.toBytes()]) assert.ok(!said.includes(k.hex(secret)));
  await vault.call('lock');
  await locked;
  assert.ok(vault.isLocked && ended());
  await assert.rejects(vault.call('log', k.hex(CHART)), has('locked'));
});

test('a vault that is idle locks itself', async (t) => {
  const { recovery } = await wallet();
  const { vault, locked, ended } = started(t);
  await vault.call('unlock', await settings(40), { recovery, ...CHEAP });
  await locked;
  assert.ok(vault.isLocked && ended());
});

test('a passkey opens its own file', async (t) => {
  const { wallet: made, recovery } = await wallet();
  const { vault } = started(t);
  await vault.call('unlock', await settings(), { recovery, ...CHEAP });
  const [salt, prf] = [k.newSalt(), k.randomBytes(32)];
  const file = await vault.call('passkeyFile', CREDENTIAL, salt, prf.slice());
  const other = started(t);
  await assert.rejects(
    other.vault.call('unlock', await settings(), { passkey: file, prf: k.randomBytes(32) }),
    has('wrong'),
  );
  const charts = await other.vault.call('unlock', await settings(), { passkey: file, prf });
  assert.equal(charts.length, 1);
  assert.ok(!k.hex(file).includes(k.hex(made.rootBytes())));
  await assert.rejects(
    started(t).vault.call('unlock', await settings(), { passkey: file.subarray(1), prf }),
    k.KeepwellError,
  );
});
