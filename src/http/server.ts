/**
 * The HTTP shell: limits, timeouts, paths, CORS, errors, drain. It knows no spans; routes are
 * registered on `app` by receiver/ and api/, which read bodies themselves (body.ts).
 *
 * Nothing here may listen for 'upgrade': the JDK's HTTP client offers h2c with every POST, and
 * Node takes such a request as a plain one only as long as nobody listens.
 */
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import { Server as NetServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import fastify from 'fastify';
import type { FastifyInstance, FastifyServerFactoryHandler } from 'fastify';
import type { Clock } from '../base/clock.ts';
import type { SettingValues } from '../base/settings.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { Admission } from './admission.ts';
import { ErrorAnswers, answerUnknown } from './answers.ts';
import type { httpSettings } from './config.ts';
import { Cors } from './cors.ts';
import { normalizeUrl } from './paths.ts';
import { RequestMetrics } from './request-metrics.ts';
import { Sockets } from './sockets.ts';

export type HttpConfig = SettingValues<typeof httpSettings>;

export interface HttpServerOptions {
  readonly config: HttpConfig;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly clock: Clock;
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Content-Type as sent; Fastify is not shown it, since it refuses what is no media type. */
    sentContentType: string;
  }
}

/** A request, body included, must be here by then; looked at every CHECK_MS. */
const REQUEST_MS_MAX = 60_000;
const CHECK_MS = 5000;
/** A connection without a byte in either direction: a client that does not read its answer. */
const SILENCE_MS_MAX = 120_000;
const HEADER_BYTES_MAX = 16 * 1024;
/** A path is part of the headers; the ids in it are judged by those who read them. */
const PARAMETER_CHARS_MAX = HEADER_BYTES_MAX;

/**
 * Drain: how long a connection that was not yet told to close may stay idle, and how long requests
 * in flight may take.
 */
const DRAIN_IDLE_MS = 1000;
const DRAIN_MS_MAX = 10_000;
const DRAIN_STEP_MS = 20;

export class HttpServer {
  readonly app: FastifyInstance;
  readonly admission: Admission;
  readonly #config: HttpConfig;
  readonly #clock: Clock;
  readonly #sockets: Sockets;
  #draining = false;

  constructor({ config, logger, metrics, clock }: HttpServerOptions) {
    this.#config = config;
    this.#clock = clock;
    this.#sockets = new Sockets(clock);
    this.admission = new Admission(config, metrics);
    const errors = new ErrorAnswers(logger, clock);
    this.app = createApp(config, this.#sockets, errors);
    this.#addHooks(new Cors(config.allowedOrigins), new RequestMetrics(metrics.httpRequests));
    this.app.setErrorHandler((error, request, reply) => {
      errors.answer(error, request, reply);
    });
    this.app.setNotFoundHandler((request, reply) => {
      answerUnknown(request, reply, clock);
    });
  }

  /** True from the start of drain() on: readiness is 503 then. */
  get draining(): boolean {
    return this.#draining;
  }

  /** @returns the port, also when the configured one is 0 */
  async listen(): Promise<number> {
    await this.app.listen({ port: this.#config.port, host: this.#config.host });
    return (this.app.server.address() as AddressInfo).port;
  }

  /**
   * Ends the service without losing a request: for the configured delay everything is served and
   * every answer says `Connection: close`; then no new connections; then, when no request is in
   * flight and those still connected have been silent, the rest is closed. Resolves when all is.
   */
  async drain(): Promise<void> {
    this.#draining = true;
    await this.#clock.sleep(this.#config.drainDelayMs);
    // Node's own close() would cut idle connections at once, with requests on their way to them.
    if (this.app.server.listening) NetServer.prototype.close.call(this.app.server);
    const until = this.#clock.monotonicMs() + DRAIN_MS_MAX;
    while (!this.#isQuiet() && this.#clock.monotonicMs() < until) {
      await this.#clock.sleep(DRAIN_STEP_MS);
    }
    this.admission.close();
    this.app.server.closeAllConnections();
    await this.app.close();
  }

  #isQuiet(): boolean {
    if (this.#sockets.requests > 0) return false;
    if (this.#sockets.connections === 0) return true;
    return this.#clock.monotonicMs() - this.#sockets.lastRequestMs >= DRAIN_IDLE_MS;
  }

  #addHooks(cors: Cors, requestMetrics: RequestMetrics): void {
    this.app.decorateRequest('sentContentType', '');
    this.app.addHook('onRequest', (request, reply, done) => {
      const { headers } = request.raw;
      request.sentContentType = headers['content-type'] ?? '';
      // Typed as a text or absent; present and undefined is what Fastify takes for absent.
      (headers as Record<string, unknown>)['content-type'] = undefined;
      // Known before the answer is made: an unread body is then waited for.
      if (this.#draining) reply.header('connection', 'close');
      if (Cors.isPreflight(request)) cors.answerPreflight(request, reply);
      else done();
    });
    this.app.addHook('onSend', (request, reply, payload, done) => {
      const { origin } = request.headers;
      if (origin !== undefined) cors.allow(origin, reply);
      if (reply.statusCode !== 202) reply.header('x-content-type-options', 'nosniff');
      if (this.#draining) reply.header('connection', 'close');
      done(null, payload);
    });
    this.app.addHook('onResponse', (request, reply, done) => {
      requestMetrics.observe(request, reply);
      done();
    });
  }
}

/** @see HttpServer */
export const createHttpServer = (options: HttpServerOptions): HttpServer => new HttpServer(options);

function createApp(config: HttpConfig, sockets: Sockets, errors: ErrorAnswers): FastifyInstance {
  const app = fastify({
    logger: false,
    exposeHeadRoutes: false,
    return503OnClosing: false,
    // Drain decides when connections are closed.
    forceCloseConnections: false,
    rewriteUrl: (request) => normalizeUrl(request.url ?? '/'),
    routerOptions: { maxParamLength: PARAMETER_CHARS_MAX },
    clientErrorHandler: (error, socket) => {
      sockets.onClientError(error, socket);
    },
    // Thrown before there is a route: a path that cannot be decoded.
    frameworkErrors: (error, request, reply) => {
      reply.header('x-content-type-options', 'nosniff');
      errors.answer(error, request, reply);
    },
    serverFactory: (handler) => createNodeServer(config, sockets, handler),
  });
  app.removeAllContentTypeParsers();
  // The body stays on the socket: whoever wants it reads it from request.raw, bounded.
  app.addContentTypeParser('*', (_request, _payload, done) => {
    done(null);
  });
  return app;
}

function createNodeServer(
  config: HttpConfig,
  sockets: Sockets,
  handler: FastifyServerFactoryHandler,
): Server {
  const server = createServer(
    {
      maxHeaderSize: HEADER_BYTES_MAX,
      headersTimeout: REQUEST_MS_MAX,
      requestTimeout: REQUEST_MS_MAX,
      connectionsCheckingInterval: CHECK_MS,
      keepAliveTimeout: config.keepAliveMs,
      noDelay: true,
    },
    (request, response) => {
      sockets.onRequest(request, response);
      handler(request, response);
    },
  );
  // Longer than keep-alive, which an idle connection may use up.
  server.timeout = Math.max(SILENCE_MS_MAX, 2 * config.keepAliveMs);
  server.on('connection', (socket) => {
    sockets.onConnection(socket);
  });
  return server;
}
