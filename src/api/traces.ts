/**
 * GET /api/v2/traces and /api/v2/traceMany: lists of traces, each a list of spans as they are
 * stored. Large answers leave trace by trace. Source: zipkin-server ZipkinQueryApiV2.java.
 */
import { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Clock } from '../base/clock.ts';
import { spansJson } from '../codec/json-v2-writer.ts';
import { firstHeader } from '../http/headers.ts';
import { addRoute } from '../http/paths.ts';
import type { Span } from '../model/span.ts';
import type { SearchRequest } from '../query/search-match.ts';
import { JSON_TYPE, abortSignalOf, answerBytes } from './answers.ts';
import { compressJson } from './compression.ts';
import { QueryParameters } from './query-parameters.ts';
import { readSearch } from './search-parameters.ts';

/** Both end early with a CodedError, and with the signal's reason when it aborts. */
export interface TracesQuery {
  search(request: SearchRequest, tenant: string, signal: AbortSignal): AsyncGenerator<Span[], void>;
  /** @param rawIds as the client wrote them; judged there */
  many(rawIds: string, tenant: string, signal: AbortSignal): AsyncGenerator<Span[], void>;
}

export interface TracesDependencies {
  readonly query: TracesQuery;
  readonly clock: Clock;
  /** QUERY_LOOKBACK. */
  readonly lookbackMs: number;
  /** @throws CodedError SCRUBJAY_ERR_TENANT_MISSING, SCRUBJAY_ERR_TENANT_MALFORMED */
  readonly tenantOf: (header: string | undefined) => string;
}

/** Up to here an answer is made whole: its length is known and an error is still an error. */
const WHOLE_BYTES_MAX = 4 * 1024 * 1024;

const OPEN = Buffer.from('[');
const COMMA = Buffer.from(',');
const CLOSE = Buffer.from(']');

async function* listJson(traces: AsyncIterable<Span[]>): AsyncGenerator<Buffer, void> {
  yield OPEN;
  let first = true;
  for await (const spans of traces) {
    if (!first) yield COMMA;
    first = false;
    yield spansJson(spans);
  }
  yield CLOSE;
}

async function* chained(
  head: readonly Buffer[],
  tail: AsyncIterable<Buffer>,
): AsyncGenerator<Buffer, void> {
  yield* head;
  yield* tail;
}

/** The whole list when it is not large, else as a stream that cuts the answer when it fails. */
export async function answerTraces(
  reply: FastifyReply,
  traces: AsyncIterable<Span[]>,
): Promise<FastifyReply> {
  const json = listJson(traces);
  const chunks: Buffer[] = [];
  let bytes = 0;
  while (bytes <= WHOLE_BYTES_MAX) {
    const next = await json.next();
    if (next.done === true) return answerBytes(reply, 200, JSON_TYPE, Buffer.concat(chunks));
    chunks.push(next.value);
    bytes += next.value.length;
  }
  const body = Readable.from(chained(chunks, json), { objectMode: false });
  return reply.code(200).header('content-type', JSON_TYPE).send(body);
}

export function registerTraces(app: FastifyInstance, dependencies: TracesDependencies): void {
  const { query, clock, lookbackMs, tenantOf } = dependencies;
  const tenantIn = (request: FastifyRequest): string =>
    tenantOf(firstHeader(request.raw, 'x-scope-orgid'));

  const traces = (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const tenant = tenantIn(request);
    const defaults = { nowMs: clock.nowMs(), lookbackMs };
    const search = readSearch(new QueryParameters(request.url), defaults);
    return answerTraces(reply, query.search(search, tenant, abortSignalOf(reply)));
  };
  const traceMany = (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const tenant = tenantIn(request);
    const ids = new QueryParameters(request.url).mandatoryText('traceIds');
    return answerTraces(reply, query.many(ids, tenant, abortSignalOf(reply)));
  };
  addRoute(app, 'GET', '/api/v2/traces', traces, [compressJson]);
  addRoute(app, 'GET', '/api/v2/traceMany', traceMany, [compressJson]);
}
