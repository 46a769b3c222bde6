/** One request as bytes on a socket, and the bytes that came back. */
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const ANSWER_MS_MAX = 20_000;
/** Behind the request under test: its answer shows where that of the first one ended. */
const NEXT = 'GET /info HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n';

export interface RawAnswer {
  /** As `HTTP/1.1 202 Accepted`. */
  readonly statusLine: string;
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

/** What an acknowledgement is, to the byte; `date` differs. */
export const ACKNOWLEDGED: RawAnswer = {
  statusLine: 'HTTP/1.1 202 Accepted',
  headers: new Map([
    ['content-length', '0'],
    ['connection', 'keep-alive'],
    ['keep-alive', 'timeout=75'],
  ]),
  body: '',
};

/** Without what differs from one answer to the next. */
export function comparable({ statusLine, headers, body }: RawAnswer): RawAnswer {
  const kept = [...headers].filter(([name]) => name !== 'date');
  return { statusLine, headers: new Map(kept), body };
}

export class RawExchange {
  readonly #socket: Socket;
  #received = Buffer.alloc(0);
  #closed = false;
  #onChange = (): void => undefined;

  constructor(port: number) {
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true });
    this.#socket.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#onChange();
    });
    for (const event of ['error', 'close']) {
      this.#socket.on(event, () => {
        this.#closed = true;
        this.#onChange();
      });
    }
  }

  async send(bytes: string | Uint8Array): Promise<void> {
    await new Promise((resolve) => {
      this.#socket.write(bytes, resolve);
    });
  }

  /** Waits for the end of some headers; @returns all that has come by then */
  async headersOf(what: RegExp): Promise<string> {
    return (await this.#waitFor(() => what.test(this.#received.toString('latin1')))).toString();
  }

  /**
   * The answer to what was sent: its headers, and the body up to where the answer to a further
   * request on the same connection begins.
   */
  async answer(): Promise<RawAnswer> {
    await this.#waitFor(() => headOf(withoutContinue(this.#received)) !== undefined);
    await this.send(NEXT);
    const received = withoutContinue(await this.#waitFor(() => this.#closed));
    const head = headOf(received)!;
    const rest = received.subarray(head.length + 4).toString();
    const next = rest.lastIndexOf('HTTP/1.1 200 OK\r\n');
    if (next < 0) throw new Error(`no answer to the next request: ${received.toString()}`);
    const [statusLine = '', ...lines] = head.split('\r\n');
    const headers = lines.map((line): [string, string] => {
      const colon = line.indexOf(': ');
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 2)];
    });
    return { statusLine, headers: new Map(headers), body: rest.slice(0, next) };
  }

  close(): void {
    this.#socket.destroy();
  }

  async #waitFor(isThere: () => boolean): Promise<Buffer> {
    const inTime = new AbortController();
    const late = sleep(ANSWER_MS_MAX, true, { signal: inTime.signal }).catch(() => false);
    while (!isThere()) {
      const changed = new Promise<boolean>((resolve) => {
        this.#onChange = () => {
          resolve(false);
        };
      });
      if (this.#closed || (await Promise.race([changed, late]))) {
        this.close();
        throw new Error(`no answer, but: ${this.#received.toString()}`);
      }
    }
    inTime.abort();
    return this.#received;
  }
}

const headOf = (received: Buffer): string | undefined => {
  const end = received.indexOf('\r\n\r\n');
  return end < 0 ? undefined : received.subarray(0, end).toString();
};

const CONTINUE = 'HTTP/1.1 100 Continue\r\n\r\n';
const withoutContinue = (received: Buffer): Buffer =>
  received.indexOf(CONTINUE) === 0 ? received.subarray(CONTINUE.length) : received;

/** Sends the pieces, each on its own, and answers what came back. */
export async function exchange(
  port: number,
  ...pieces: readonly (string | Uint8Array)[]
): Promise<RawAnswer> {
  const socket = new RawExchange(port);
  try {
    for (const piece of pieces) await socket.send(piece);
    return await socket.answer();
  } finally {
    socket.close();
  }
}

/** A POST of spans with Content-Length. */
export function rawPost(
  headers: Readonly<Record<string, string>>,
  body: string | Uint8Array,
  target = '/api/v2/spans',
): Buffer {
  const bytes = Buffer.from(body as string);
  const all = { Host: 'localhost', ...headers, 'Content-Length': String(bytes.length) };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.concat([Buffer.from(`POST ${target} HTTP/1.1\r\n${lines.join('')}\r\n`), bytes]);
}
