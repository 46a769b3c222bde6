/** Cross-origin rules of Zipkin's server (contract §1.7): who is not allowed gets no header. */
import type { FastifyReply, FastifyRequest } from 'fastify';

const METHODS = 'GET,POST';
const REQUEST_HEADERS = 'content-type,x-grpc-web';
const ANSWER_HEADERS = 'x-accepted-spans,x-rejected-spans,x-scrubjay-error,retry-after';

export class Cors {
  readonly #any: boolean;
  readonly #origins: ReadonlySet<string>;

  /** @param origins `*` allows all; a word that is no origin, as `none`, allows nobody */
  constructor(origins: readonly string[]) {
    this.#any = origins.includes('*');
    this.#origins = new Set(origins);
  }

  static isPreflight(request: FastifyRequest): boolean {
    return (
      request.method === 'OPTIONS' &&
      request.headers.origin !== undefined &&
      request.headers['access-control-request-method'] !== undefined
    );
  }

  /** Headers of every answer to a request with an Origin. */
  allow(origin: string, reply: FastifyReply): void {
    if (this.#any) reply.header('access-control-allow-origin', '*');
    else if (this.#origins.has(origin)) {
      reply.header('access-control-allow-origin', origin);
      reply.header('vary', 'origin');
      reply.header('access-control-allow-headers', REQUEST_HEADERS);
      reply.header('access-control-expose-headers', ANSWER_HEADERS);
    }
  }

  /** Answers a preflight; the headers of `allow` come when it is sent. */
  answerPreflight(request: FastifyRequest, reply: FastifyReply): void {
    if (this.#any || this.#origins.has(request.headers.origin ?? '')) {
      reply.header('access-control-allow-methods', METHODS);
      reply.header('access-control-allow-headers', REQUEST_HEADERS);
    }
    reply.code(200).send();
  }
}
