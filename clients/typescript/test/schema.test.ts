/** The schemas are what the Rust says today, and every file of vectors is either tried or named as of no use here. */

import assert from 'node:assert/strict';
import { readFile, readdir } from 'node:fs/promises';
import { test } from 'node:test';

import { NOT_HERE, VECTORS } from './vectors/all.js';

const PACKAGE = new URL('../../', import.meta.url);
const FOLDER = new URL('../../vectors/', PACKAGE);

test('the schemas are those of the Rust', async () => {
  const { files } = (await import(new URL('tools/schema.mjs', PACKAGE).href)) as { files(): Map<string, string> };
  for (const [name, text] of files()) {
    const kept = await readFile(new URL(`src/${name}`, PACKAGE), 'utf8');
    assert.ok(kept === text, `src/${name} is not what the Rust says; run \`npm run schema\``);
  }
});

test('every file of vectors is tried', async () => {
  const tried = new Set([...VECTORS.map((it) => it.name), ...NOT_HERE]);
  for (const folder of ['types', 'ledger', 'crypto', 'merkle']) {
    for (const file of await readdir(new URL(`${folder}/`, FOLDER))) {
      assert.ok(tried.has(`${folder}/${file}`), `nothing is tried with vectors/${folder}/${file}`);
    }
  }
});

test('nothing secret is kept where a page keeps things', async () => {
  for (const file of await readdir(new URL('src/', PACKAGE))) {
    const text = await readFile(new URL(`src/${file}`, PACKAGE), 'utf8');
    assert.doesNotMatch(text, /localStorage|sessionStorage|indexedDB|document\.cookie|console\./, file);
    assert.doesNotMatch(text, /Math\.random|innerHTML|\beval\(/, file);
  }
});
