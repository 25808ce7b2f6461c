/** The way to a node, with a node that is at the edge of the machine: what it sends is made here. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as k from '../src/index.js';

const chain = k.ChainId.of(new Uint8Array(32).fill(1));
const organisation = k.OrganisationId.of(new Uint8Array(16).fill(2));
const url = 'https://node.example';
const actor: k.Actor = {
  party: { kind: 'member', value: k.MemberId.of(new Uint8Array(16).fill(3)) },
  key: k.SigningKey.fromSeed(new Uint8Array(32).fill(4)),
};

function nodes(send: k.Fetch, at = url): k.Nodes {
  return new k.Nodes(chain, [{ organisation, url: at }], send, () => 1_790_000_000_000);
}

async function ask(send: k.Fetch, bytesMax = 64): Promise<Uint8Array> {
  const way = nodes(send);
  return way.ask(way.endpoints[0]!, { method: 'GET', target: '/v1/tip', bytesMax, patienceMs: 50 });
}

function fails(code: string, send: k.Fetch): Promise<void> {
  return assert.rejects(ask(send), (error) => error instanceof k.NodeError && error.code === code);
}

const answer = (body: string, status = 200): Response => new Response(body, { status });

test('a request is signed for its node, path and body, and anew each time', async () => {
  const ids = new Set<string>();
  const send: k.Fetch = async (input, init) => {
    assert.equal(input, `${url}/v1/charts?x=1`);
    assert.equal(init.redirect, 'error');
    assert.equal(init.credentials, 'omit');
    const header = new Headers(init.headers).get('authorization')!;
    const bytes = Uint8Array.from(atob(header.slice(9).replaceAll('-', '+').replaceAll('_', '/')), (it) =>
      it.charCodeAt(0),
    );
    const signed = k.decode(k.SignedRequest, bytes, 2_048);
    k.verifyRequest(signed);
    assert.equal(signed.request.target, 'POST /v1/charts?x=1');
    assert.equal(signed.request.at, 1_790_000_000_000n);
    assert.deepEqual(signed.request.node, organisation);
    assert.deepEqual(signed.request.body, k.bodyDigest(k.utf8('body')));
    assert.throws(
      () => k.verifyRequest({ ...signed, request: { ...signed.request, target: 'POST /v1/other' } }),
      k.ProofError,
    );
    ids.add(k.hex(signed.request.id));
    return answer('ok');
  };
  const way = nodes(send);
  const request = { method: 'POST', target: '/v1/charts?x=1', actor, body: k.utf8('body'), bytesMax: 64 } as const;
  for (let at = 0; at < 3; at += 1) await way.ask(way.endpoints[0]!, request);
  assert.equal(ids.size, 3);
});

test('errors say whose fault it is', async () => {
  await fails('too_long', async () => answer('x'.repeat(65)));
  await fails('garbled', async () => answer('<html>', 502));
  await fails('garbled', async () => answer('{"error":1}', 403));
  await fails('unreachable', async () => {
    throw new TypeError('fetch failed');
  });
  await fails(
    'timed_out',
    (_, init) =>
      new Promise((_resolve, reject) => init.signal!.addEventListener('abort', () => reject(new Error('aborted')))),
  );
  const steering = async (): Promise<Response> =>
    answer('{"error":"busy","fault":"node","message":"try \\u001b[2Jagain\\n\\u202e"}', 429);
  await assert.rejects(ask(steering), (error) => {
    assert.ok(error instanceof k.NodeError && error.mayPass);
    return error.message === 'https://node.example refused: try [2Jagain (busy)';
  });
});

test('an endless answer is cut off', async () => {
  let sent = 0;
  const endless = new ReadableStream<Uint8Array>({
    pull(controller) {
      sent += 1;
      controller.enqueue(new Uint8Array(1_024));
    },
  });
  await fails('too_long', async () => new Response(endless));
  assert.ok(sent < 8, `${sent} pieces were read`);
});

test('nothing is said in the open beyond this computer', () => {
  for (const open of ['http://node.example', 'ftp://node.example', 'http://127.0.0.1.example.org']) {
    assert.throws(
      () => nodes(async () => answer(''), open),
      (error) => (error as k.UsageError).code === 'not_secure',
      open,
    );
  }
  assert.equal(
    nodes(async () => answer(''), 'https://node.example:7440/#sha256=00').endpoints[0]!.url,
    'https://node.example:7440',
  );
  assert.equal(
    nodes(async () => answer(''), 'http://127.0.0.1:7440/nodes/1/').endpoints[0]!.url,
    'http://127.0.0.1:7440/nodes/1',
  );
  assert.throws(() => new k.Nodes(chain, []), k.UsageError);
  assert.throws(() => nodes(async () => answer(''), 'node.example'), k.UsageError);
});
