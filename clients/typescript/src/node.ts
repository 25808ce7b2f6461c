/**
 * The way to nodes: HTTP, requests signed by who asks, and errors that say whose fault they are.
 *
 * # Invariants
 *
 * * A signed request gets a fresh id each time it is sent. A command keeps its own, and a node answers it with its
 *   first receipt, so sending it twice does what sending it once does.
 * * No answer is read beyond what its kind may have, and none is waited for beyond its time.
 * * A redirect is not followed: what was signed for one node is of no use to another.
 *
 * Not here: what answers mean (`client.ts`). Who is at the other end is the browser's to say: it knows certificate
 * authorities, not the keys that Keepwell's own programs pin.
 */

import { hex, randomBytes } from './bytes.js';
import { NodeError, UsageError } from './errors.js';
import { authorization, bodyDigest, signRequest } from './requests.js';
import type { SigningKey } from './sign.js';
import { type ChainId, CommandId, OrganisationId, type Party } from './types.js';

const ERROR_BYTES_MAX = 16 * 1024;
/** How long an answer may take, in milliseconds. */
export const ANSWER_MS = 20_000;
/** How long the decision of a command may take, in milliseconds: a node waits a minute for its block. */
export const DECISION_MS = 75_000;
const NO_BODY = new Uint8Array(0);

/** Who acts: a party of the ledger, and its key. */
export interface Actor {
  readonly party: Party;
  readonly key: SigningKey;
}

/** Where an organisation's node is. */
export interface Endpoint {
  readonly organisation: OrganisationId;
  /** Such as `https://node.hospital.example`. Of an address with `#sha256=`, the key is left out. */
  readonly url: string;
}

/** Sends requests: the platform's own `fetch`, unless a test or a proxy stands in. */
export type Fetch = (input: string, init: RequestInit) => Promise<Response>;

/** What is asked of a node. */
export interface Ask {
  readonly method: 'GET' | 'POST' | 'PUT';
  /** Path and query, such as `/v1/charts/..`. */
  readonly target: string;
  /** Who signs; nobody where the path answers anyone. */
  readonly actor?: Actor | null;
  readonly body?: Uint8Array;
  /** A stretch of what is there: its first byte, and the first one after it. */
  readonly range?: readonly [number, number];
  /** Bytes that the answer may have. */
  readonly bytesMax: number;
  readonly patienceMs?: number;
}

/** The nodes of a consortium that this client may ask. */
export class Nodes {
  readonly endpoints: readonly Endpoint[];

  constructor(
    private readonly chain: ChainId,
    endpoints: readonly Endpoint[],
    private readonly send: Fetch = (input, init) => fetch(input, init),
    /** Milliseconds since 1970. */
    private readonly now: () => number = Date.now,
  ) {
    if (endpoints.length === 0) throw new UsageError('no_nodes', 'no node is named; name at least one');
    this.endpoints = endpoints.map(({ organisation, url }) => ({ organisation, url: addressOf(url) }));
  }

  /** The node of one organisation, if it is known. */
  of(organisation: OrganisationId): Endpoint | null {
    return this.endpoints.find((it) => hex(it.organisation) === hex(organisation)) ?? null;
  }

  /** Asks one node once. */
  async ask(node: Endpoint, ask: Ask): Promise<Uint8Array> {
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(), ask.patienceMs ?? ANSWER_MS);
    try {
      const response = await this.send(node.url + ask.target, this.#request(node, ask, stop.signal));
      // A node that ignores the stretch would be read from the wrong place.
      const isWhat = ask.range === undefined ? response.ok : response.status === 206;
      if (!isWhat) throw await refusal(node, response);
      return await read(node, response, ask.bytesMax);
    } catch (error) {
      throw nodeError(node, error, stop.signal.aborted);
    } finally {
      clearTimeout(timer);
    }
  }

  #request(node: Endpoint, ask: Ask, signal: AbortSignal): RequestInit {
    const body = ask.body ?? NO_BODY;
    const headers: Record<string, string> = { accept: 'application/cbor' };
    if (ask.actor) headers['authorization'] = this.#authorization(node, ask, ask.actor, body);
    if (body.length > 0) headers['content-type'] = 'application/cbor';
    if (ask.range !== undefined) headers['range'] = `bytes=${ask.range[0]}-${ask.range[1] - 1}`;
    return {
      method: ask.method,
      headers,
      ...(body.length > 0 ? { body: body as Uint8Array<ArrayBuffer> } : {}),
      signal,
      redirect: 'error',
      credentials: 'omit',
      cache: 'no-store',
      referrerPolicy: 'no-referrer',
    };
  }

  #authorization(node: Endpoint, ask: Ask, actor: Actor, body: Uint8Array): string {
    const request = {
      chain: this.chain,
      node: node.organisation,
      party: actor.party,
      id: CommandId.of(randomBytes(CommandId.len)),
      at: BigInt(this.now()),
      target: `${ask.method} ${ask.target}`,
      body: bodyDigest(body),
    };
    return authorization(signRequest(actor.key, request));
  }
}

/** An address without the key that may stand behind it, and without a slash at its end. */
function addressOf(url: string): string {
  if (!URL.canParse(url))
    throw new UsageError('address', 'a node has an address such as https://node.hospital.example');
  const parsed = new URL(url);
  if (parsed.protocol !== 'https:' && !['localhost', '127.0.0.1', '[::1]'].includes(parsed.hostname)) {
    throw new UsageError(
      'not_secure',
      `${parsed.host} is asked through https:// alone; beyond this computer nothing is said in the open`,
    );
  }
  return (parsed.origin + parsed.pathname).replace(/\/+$/, '');
}

/** Reads an answer, and no more of it than there may be. */
async function read(node: Endpoint, response: Response, max: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let len = 0;
  const reader = response.body?.getReader();
  for (let piece = await reader?.read(); piece !== undefined && !piece.done; piece = await reader?.read()) {
    len += piece.value.length;
    if (len > max) {
      await reader?.cancel();
      throw new NodeError(
        'too_long',
        `${node.url} sent more than the ${max} bytes that such an answer may have; use another node`,
        node.url,
        response.status,
      );
    }
    parts.push(piece.value);
  }
  const whole = new Uint8Array(len);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** What a node said when it refused. Its words go to a person's screen: nothing in them may steer it. */
async function refusal(node: Endpoint, response: Response): Promise<NodeError> {
  const { status } = response;
  try {
    const said: unknown = JSON.parse(new TextDecoder().decode(await read(node, response, ERROR_BYTES_MAX)));
    const { error, message } = said as { error?: unknown; message?: unknown };
    if (typeof error === 'string' && typeof message === 'string') {
      return new NodeError(clean(error), `${node.url} refused: ${clean(message)} (${clean(error)})`, node.url, status);
    }
  } catch {
    // What is no refusal of a node is garbled, however it is.
  }
  const text = `${node.url} sent something that is no answer of a node (status ${status}); check the address`;
  return new NodeError('garbled', text, node.url, status);
}

function clean(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}]/gu, '');
}

function nodeError(node: Endpoint, error: unknown, timedOut: boolean): Error {
  if (error instanceof NodeError) return error;
  if (timedOut) return new NodeError('timed_out', `${node.url} did not answer in time; use another node`, node.url);
  if (!(error instanceof TypeError)) return error as Error;
  const text = `${node.url} cannot be reached, or its certificate is not to be trusted here; start it, or use another node`;
  return new NodeError('unreachable', text, node.url);
}
