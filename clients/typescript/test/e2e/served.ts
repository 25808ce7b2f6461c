/** Serves this package, its libraries and the vectors to a browser, on loopback. */

import { readFile } from 'node:fs/promises';
import { type Server, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { join, normalize } from 'node:path';

const PACKAGE = fileURLToPath(new URL('../../../', import.meta.url));
const VECTORS = join(PACKAGE, '../../vectors');

/** What a portal should send: nothing from elsewhere, no inline script, no evaluation. */
const POLICY = "default-src 'none'; script-src 'self'; connect-src 'self'; worker-src 'self'";

function fileOf(path: string): string {
  const [, first, ...rest] = normalize(path).split('/');
  return first === 'vectors' ? join(VECTORS, ...rest) : join(PACKAGE, first!, ...rest);
}

/** Import maps do not reach into workers, so names of packages become paths here, as a bundler does it elsewhere. */
function withPaths(script: string): string {
  return script.replaceAll(/(from\s*|import\s*\(?)(['"])(@noble\/[^'"]+)\2/g, '$1$2/node_modules/$3$2');
}

/** Serves `pages` beside the files of the package; returns the server and its origin. */
export async function serve(pages: Readonly<Record<string, string>>): Promise<{ server: Server; origin: string }> {
  const server = createServer((request, response) => {
    const path = new URL(request.url!, 'http://localhost').pathname;
    const headers = { 'content-security-policy': POLICY, 'x-content-type-options': 'nosniff' };
    const page = pages[path];
    if (page !== undefined) {
      response.writeHead(200, { ...headers, 'content-type': 'text/html; charset=utf-8' }).end(page);
      return;
    }
    readFile(fileOf(path), 'utf8').then(
      (text) => {
        const script = path.endsWith('.js');
        const type = script ? 'text/javascript' : 'text/plain';
        response
          .writeHead(200, { ...headers, 'content-type': `${type}; charset=utf-8` })
          .end(script ? withPaths(text) : text);
      },
      () => response.writeHead(404, headers).end(),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}
