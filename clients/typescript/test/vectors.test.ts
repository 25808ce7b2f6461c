/** All vectors, in Node. */

import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

import { VECTORS } from './vectors/all.js';

const FOLDER = new URL('../../../../vectors/', import.meta.url);

for (const it of VECTORS) {
  test(it.name, () => it.run((path) => readFile(new URL(path, FOLDER), 'utf8')));
}
