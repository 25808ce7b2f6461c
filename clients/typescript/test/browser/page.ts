/** A page with a vault in a worker: what a test calls, by name. */

import { ChartId, Vault, Wallet, hex, newSalt, randomBytes, unhex } from '../../src/index.js';

/** What the page found out. */
interface Told {
  readonly charts: number;
  readonly wrong: string;
  readonly afterwards: string;
  readonly stored: number;
  readonly byPasskey: number;
}

const started = (): { vault: Vault; locked: Promise<void> } => {
  const worker = new Worker('/dist/test/browser/vault.js', { type: 'module' });
  let tell = (): void => undefined;
  const locked = new Promise<void>((resolve) => (tell = resolve));
  return { vault: new Vault(worker, tell), locked };
};

const codeOf = async (attempt: Promise<unknown>): Promise<string> =>
  attempt.then(
    () => 'nothing refused it',
    (error: { code: string }) => error.code,
  );

async function stored(): Promise<number> {
  const databases = await indexedDB.databases();
  return localStorage.length + sessionStorage.length + databases.length + document.cookie.length;
}

/** Unlocks with a recovery file, lets the vault lock itself, and unlocks another with a passkey's answer. */
async function tour(genesis: string): Promise<Told> {
  const settings = { genesis: unhex(genesis), nodes: [{ organisation: '00'.repeat(16), url: location.origin }] };
  const passphrase = 'correct horse battery staple';
  const recovery = await Wallet.create(true).backup(passphrase);
  const { vault, locked } = started();
  const wrong = await codeOf(vault.call('unlock', settings, { recovery, passphrase: 'wrong' }));
  const charts = await vault.call('unlock', { ...settings, idleMs: 300 }, { recovery, passphrase });
  const [credential, salt, prf] = [randomBytes(16), newSalt(), randomBytes(32)];
  const passkey = await vault.call('passkeyFile', credential, salt, prf);
  await locked;
  const afterwards = await codeOf(vault.call('log', hex(ChartId.of(new Uint8Array(32)))));
  const other = started();
  const again = await other.vault.call('unlock', settings, { passkey, prf });
  await other.vault.call('lock');
  return { charts: charts.length, wrong, afterwards, stored: await stored(), byPasskey: again.length };
}

Object.assign(globalThis, { tour });
