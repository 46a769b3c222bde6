/** A whole server on a free port with fakes behind it, and clients that see the bytes. */
import { request as httpRequest } from 'node:http';
import type { IncomingHttpHeaders } from 'node:http';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { onTestFinished } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import type { Clock } from '../../../src/base/clock.ts';
import { CodedError } from '../../../src/base/errors.ts';
import type { PushOutcome } from '../../../src/distributor/outcome.ts';
import { httpSettings } from '../../../src/http/config.ts';
import { createHttpServer } from '../../../src/http/server.ts';
import type { HttpConfig, HttpServer } from '../../../src/http/server.ts';
import { registerReceiver } from '../../../src/receiver/receiver.ts';
import type { Detect, Message, ReceiverConfig } from '../../../src/receiver/receiver.ts';
import type { Logger } from '../../../src/telemetry/logger.ts';
import { createMetrics } from '../../../src/telemetry/metrics.ts';
import type { Metrics } from '../../../src/telemetry/metrics.ts';
import { noTracer } from '../no-tracer.ts';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export class LogLines implements Logger {
  readonly errors: Array<{ fields: object; message: string }> = [];
  debug(): void {}
  info(): void {}
  warn(): void {}
  error(fields: object, message: string): void {
    this.errors.push({ fields, message });
  }
  child(): Logger {
    return this;
  }
}

/** Accepts every message unless told otherwise, and remembers it. */
export class FakeDistributor {
  readonly messages: Message[] = [];
  outcome: () => PushOutcome | Promise<PushOutcome> = () => ({ kind: 'accepted' });
  refused: CodedError | undefined;
  hasTenants = false;

  push(message: Message): PushOutcome | Promise<PushOutcome> {
    this.messages.push(message);
    return this.outcome();
  }

  refusal(): CodedError | undefined {
    return this.refused;
  }

  tenantOf(header: string | string[] | undefined): string {
    if (header === 'bad') throw new CodedError('SCRUBJAY_ERR_TENANT_MALFORMED');
    return typeof header === 'string' ? header : 'default';
  }
}

/** Takes everything for JSON except what starts with `x`. */
export const fakeDetect: Detect = (body) =>
  body[0] === 0x78
    ? { message: 'Expected a JSON_V2 encoded list\n' }
    : { format: 'json-v2', decode: () => undefined };

export interface TestServer {
  readonly server: HttpServer;
  readonly port: number;
  readonly metrics: Metrics;
  readonly log: LogLines;
  readonly distributor: FakeDistributor;
}

export interface TestServerOptions {
  readonly config?: Partial<HttpConfig>;
  readonly receiver?: Partial<ReceiverConfig>;
  readonly clock?: Clock;
  readonly detect?: Detect;
  /** Registers more routes before the server listens. */
  readonly register?: (server: HttpServer, metrics: Metrics) => void;
}

const defaults = Object.fromEntries(
  Object.entries(httpSettings).map(([key, setting]) => [key, setting.default]),
) as unknown as HttpConfig;

/** Is closed when the test is over. */
export async function startServer(options: TestServerOptions = {}): Promise<TestServer> {
  const config = { ...defaults, port: 0, host: '127.0.0.1', ...options.config };
  const log = new LogLines();
  const metrics = createMetrics();
  const distributor = new FakeDistributor();
  const clock = options.clock ?? systemClock;
  const server = createHttpServer({ config, logger: log, metrics, clock });
  registerReceiver(server.app, {
    tracer: noTracer,
    config: { httpEnabled: true, partialStatus: '400', ...options.receiver },
    limits: config,
    admission: server.admission,
    distributor,
    detect: options.detect ?? fakeDetect,
    metrics,
    clock,
  });
  options.register?.(server, metrics);
  const port = await server.listen();
  onTestFinished(async () => {
    server.app.server.closeAllConnections();
    await server.app.close();
  });
  return { server, port, metrics, log, distributor };
}

/** One request on a connection of its own. */
export function send(
  port: number,
  method: string,
  path: string,
  options: { headers?: Record<string, string>; body?: string | Uint8Array } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { headers = {}, body } = options;
    const request = httpRequest({ port, method, path, headers, agent: false });
    request.on('error', reject);
    request.on('response', (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => {
        const { statusCode: status = 0, headers: received } = response;
        resolve({ status, headers: received, body: Buffer.concat(chunks).toString() });
      });
    });
    request.end(body);
  });
}

export const post = (
  port: number,
  body: string | Uint8Array,
  headers: Record<string, string> = {},
  path = '/api/v2/spans',
): Promise<Answer> => send(port, 'POST', path, { headers, body });

/** A socket that remembers what it was sent. */
export class RawClient {
  readonly socket: Socket;
  received = '';
  closed = false;

  constructor(port: number) {
    this.socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    this.socket.on('data', (chunk: Buffer) => {
      this.received += chunk.toString('latin1');
    });
    const onClosed = (): void => {
      this.closed = true;
      this.socket.destroy();
    };
    this.socket.on('end', onClosed).on('error', onClosed).on('close', onClosed);
    onTestFinished(() => {
      this.socket.destroy();
    });
  }

  write(bytes: string | Uint8Array): this {
    this.socket.write(bytes);
    return this;
  }

  /** Resolves with all that was received, once it fits. */
  async until(pattern: RegExp): Promise<string> {
    while (!pattern.test(this.received)) {
      if (this.closed) throw new Error(`closed after: ${this.received}`);
      await this.#change();
    }
    return this.received;
  }

  async untilClosed(): Promise<string> {
    while (!this.closed) await this.#change();
    return this.received;
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.socket.off('data', done).off('close', done);
        resolve();
      };
      this.socket.on('data', done).on('close', done);
      if (this.socket.destroyed) done();
    });
  }
}

/** A request as text; Content-Length is added when there is a body. */
export const rawPost = (body: string, headers = ''): string =>
  `POST /api/v2/spans HTTP/1.1\r\nHost: a\r\n${headers}Content-Length: ${body.length}\r\n\r\n${body}`;

export const statuses = (received: string): number[] =>
  [...received.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map((match) => Number(match[1]));

/** The value of a metric, summed over its labels. */
export async function metricSum(metrics: Metrics, name: string): Promise<number> {
  const metric = (await metrics.registry.getMetricsAsJSON()).find((entry) => entry.name === name);
  return (metric?.values ?? []).reduce((sum, entry) => sum + entry.value, 0);
}

export interface Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
}

/** A promise to be kept later. */
export function deferred<T>(): Deferred<T> {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((keep) => {
    resolve = keep;
  });
  return { promise, resolve };
}
