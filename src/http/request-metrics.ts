/** `http_server_requests_seconds` as Zipkin has it: of the API only, paths as templates. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Metrics } from '../telemetry/metrics.ts';
import { templateOf } from './paths.ts';

type Observer = Pick<ReturnType<Metrics['httpRequests']['labels']>, 'observe'>;

export class RequestMetrics {
  readonly #histogram: Metrics['httpRequests'];
  /** One per series: looking labels up costs more than observing. */
  readonly #observers = new Map<string, Observer>();

  constructor(histogram: Metrics['httpRequests']) {
    this.#histogram = histogram;
  }

  observe(request: FastifyRequest, reply: FastifyReply): void {
    const url = request.is404 ? request.url : (request.routeOptions.url ?? request.url);
    if (!url.startsWith('/api/') && !url.startsWith('/grafana/api/')) return;
    // A preflight: answered, and by no route.
    if (request.is404 && reply.statusCode !== 404) return;
    // Paths that nobody serves must not become series; nor methods that nobody knows.
    const uri = reply.statusCode === 404 ? 'NOT_FOUND' : url;
    const method = request.method === 'GET' || request.method === 'POST' ? request.method : 'OTHER';
    const key = `${method} ${reply.statusCode} ${uri}`;
    let observer = this.#observers.get(key);
    if (observer === undefined) {
      observer = this.#histogram.labels({
        method,
        status: String(reply.statusCode),
        uri: templateOf(uri),
      });
      this.#observers.set(key, observer);
    }
    observer.observe(reply.elapsedTime / 1000);
  }
}
