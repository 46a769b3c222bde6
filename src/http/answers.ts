/** Answers that are not the result of a route: errors, unknown paths, wrong methods. */
import { STATUS_CODES } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Clock } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import type { Logger } from '../telemetry/logger.ts';
import { discardBody, isUnread } from './body.ts';

const TEXT = 'text/plain; charset=utf-8';

/** The answer, and then nothing until the client has stopped sending. */
async function* lingering(
  text: Buffer,
  raw: IncomingMessage,
  clock: Clock,
): AsyncGenerator<Buffer> {
  yield text;
  await discardBody(raw, clock);
}

/** A line of text. A connection that closes after it is closed only when the body has been read. */
export function answerText(
  request: FastifyRequest,
  reply: FastifyReply,
  status: number,
  text: string,
  clock: Clock,
): void {
  reply.code(status).header('content-type', TEXT);
  const closes = reply.hasHeader('connection') || !reply.raw.shouldKeepAlive;
  if (!closes || !isUnread(request.raw)) {
    reply.send(text);
    return;
  }
  const bytes = Buffer.from(text);
  reply.header('content-length', bytes.length);
  reply.send(Readable.from(lingering(bytes, request.raw, clock), { objectMode: false }));
}

/** `404 Not Found` for everything unknown, wrong methods on known paths included (contract §0). */
export function answerUnknown(request: FastifyRequest, reply: FastifyReply, clock: Clock): void {
  const status = request.method === 'TRACE' ? 405 : 404;
  answerText(request, reply, status, `${status} ${STATUS_CODES[status] ?? ''}`, clock);
}

/** The status that Fastify itself gave an error, if it is the client's fault. */
function clientStatus(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('statusCode' in error)) return undefined;
  const { statusCode } = error;
  return typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500
    ? statusCode
    : undefined;
}

export class ErrorAnswers {
  readonly #logger: Logger;
  readonly #clock: Clock;

  constructor(logger: Logger, clock: Clock) {
    this.#logger = logger;
    this.#clock = clock;
  }

  /** Never puts more into the answer than a CodedError's own message. */
  answer(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
    // Nobody is there to read it.
    if (request.raw.socket.destroyed) {
      reply.hijack();
      return;
    }
    if (error instanceof CodedError) {
      this.#answerCoded(error, request, reply);
      return;
    }
    const status = clientStatus(error);
    if (status === undefined) {
      this.#logger.error(
        { err: error, method: request.method, uri: request.routeOptions.url ?? '' },
        'Request failed unexpectedly: this is a bug, please report it',
      );
    }
    const text = status === undefined ? 'Internal error' : (STATUS_CODES[status] ?? 'Bad request');
    answerText(request, reply, status ?? 500, text, this.#clock);
  }

  #answerCoded(error: CodedError, request: FastifyRequest, reply: FastifyReply): void {
    reply.header('x-scrubjay-error', error.code);
    if (error.status === 503 || error.status === 429) {
      reply.header('retry-after', String(error.retryAfterS));
    }
    // More of the body may be on its way than anybody wants to read.
    if (error.code === 'SCRUBJAY_ERR_BODY_TOO_LARGE') reply.header('connection', 'close');
    answerText(request, reply, error.status, error.message, this.#clock);
  }
}
