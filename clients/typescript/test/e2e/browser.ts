/**
 * Runs all vectors in a worker of Chromium, and a page with a vault: `browser.js CHROMIUM`. What it prints last is JSON.
 */

import { readFile } from 'node:fs/promises';

import { chromium } from 'playwright-core';

import { serve } from './served.js';

const PAGE = '<!doctype html><meta charset="utf-8"><title>Vectors</title><p>Vectors run in a worker.</p>';

interface Told {
  readonly name: string;
  readonly error: string | null;
}

const VAULT =
  '<!doctype html><meta charset="utf-8"><title>Vault</title><script type="module" src="/dist/test/browser/page.js"></script>';
const CEREMONY = new URL('../../../../../vectors/crypto/ceremony.json', import.meta.url);

const { server, origin } = await serve({ '/': PAGE, '/vault': VAULT });
const browser = await chromium.launch({ executablePath: process.argv[2]!, args: ['--no-sandbox'] });
try {
  const page = await browser.newPage();
  await page.goto(origin);
  const told: Told[] = await page.evaluate(
    () =>
      new Promise<Told[]>((resolve, reject) => {
        const all: Told[] = [];
        const worker = new Worker('/dist/test/browser/worker.js', { type: 'module' });
        worker.onerror = (event) => reject(new Error(event.message || 'the worker did not start'));
        worker.onmessage = ({ data }) => {
          if (data.name === 'end') resolve(all);
          else all.push(data);
        };
      }),
  );
  const failed = told.filter((it) => it.error !== null);
  const { genesis } = JSON.parse(await readFile(CEREMONY, 'utf8'));
  await page.goto(`${origin}/vault`);
  await page.waitForFunction(() => 'tour' in globalThis);
  const vault: unknown = await page.evaluate((file) => (globalThis as any).tour(file), genesis);
  console.log(JSON.stringify({ passed: told.length - failed.length, failed, vault, version: browser.version() }));
} finally {
  await browser.close();
  server.close();
}
