/**
 * Knows what is open on each connection: for the drain, and for bytes that are no HTTP. Those are
 * answered once, in short, and never in the place of an answer that is still to come.
 */
import { STATUS_CODES } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Clock } from '../base/clock.ts';

interface Exchange {
  open: number;
  last: { readonly request: IncomingMessage; readonly response: ServerResponse };
}

const STATUS_BY_CODE: Readonly<Record<string, number>> = {
  HPE_HEADER_OVERFLOW: 431,
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 413,
  ERR_HTTP_REQUEST_TIMEOUT: 408,
};

/** How long a client that was told to go may take to stop sending. */
const LINGER_MS = 500;

export class Sockets {
  readonly #clock: Clock;
  readonly #exchanges = new WeakMap<Socket, Exchange>();
  readonly #ending = new WeakSet<Socket>();
  #requests = 0;
  #connections = 0;
  #lastRequestMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get requests(): number {
    return this.#requests;
  }

  get connections(): number {
    return this.#connections;
  }

  /** Monotonic, of the last request that began. */
  get lastRequestMs(): number {
    return this.#lastRequestMs;
  }

  onConnection(socket: Socket): void {
    this.#connections++;
    socket.once('close', () => {
      this.#connections--;
    });
  }

  onRequest(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request;
    const last = { request, response };
    const exchange = this.#exchanges.get(socket) ?? { open: 0, last };
    exchange.open++;
    exchange.last = last;
    this.#exchanges.set(socket, exchange);
    this.#requests++;
    this.#lastRequestMs = this.#clock.monotonicMs();
    response.once('close', () => {
      exchange.open--;
      this.#requests--;
      if (exchange.open === 0 && this.#ending.has(socket)) socket.destroySoon();
    });
  }

  /** For 'clientError': bytes that are no HTTP, or a client that is too slow. */
  onClientError(error: Error & { code?: string }, socket: Socket): void {
    if (error.code === 'ECONNRESET' || !socket.writable) {
      socket.destroy();
      return;
    }
    // The parser reports every further chunk: one answer is enough.
    if (this.#ending.has(socket)) return;
    this.#ending.add(socket);
    const exchange = this.#exchanges.get(socket);
    const open = exchange?.open ?? 0;
    if (exchange === undefined || open === 0) this.#end(socket, error.code);
    else if (exchange.last.request.complete) {
      // It came after a good request: that one is answered, this one only ends the connection.
      exchange.last.response.shouldKeepAlive = false;
    } else if (open === 1 && !exchange.last.response.headersSent) this.#end(socket, error.code);
    else socket.destroy();
  }

  #end(socket: Socket, code = ''): void {
    const status = STATUS_BY_CODE[code] ?? 400;
    const text = STATUS_CODES[status] ?? '';
    socket.end(
      `HTTP/1.1 ${status} ${text}\r\nConnection: close\r\n` +
        'Content-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n' +
        `Content-Length: ${text.length}\r\n\r\n${text}`,
    );
    void this.#clock.sleep(LINGER_MS).then(() => socket.destroy());
  }
}
