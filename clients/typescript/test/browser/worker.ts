/** In a worker of a browser: runs all vectors, and says how each went. */

import { VECTORS } from '../vectors/all.js';

const load = async (path: string): Promise<string> => {
  const response = await fetch(`/vectors/${path}`);
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response.text();
};

for (const it of VECTORS) {
  try {
    await it.run(load);
    self.postMessage({ name: it.name, error: null });
  } catch (error) {
    self.postMessage({ name: it.name, error: String((error as Error).stack) });
  }
}
self.postMessage({ name: 'end', error: null });
