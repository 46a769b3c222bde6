/**
 * Zipkin's API once more under /grafana, for Grafana's Zipkin data source: the same queries, with
 * answers that its decoder and its pages can do with (query/grafana-profile.ts). Other paths of the
 * API it never asks for. `?annotationUnit=us` behind the URL of the data source leaves the times of
 * annotations as Zipkin has them, for a Grafana that reads them right.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Clock } from '../base/clock.ts';
import { spansJson } from '../codec/json-v2-writer.ts';
import { traceIdOfReference } from '../codec/trace-reference.ts';
import { firstHeader } from '../http/headers.ts';
import { addRoute } from '../http/paths.ts';
import type { Span } from '../model/span.ts';
import { GrafanaList, grafanaTrace } from '../query/grafana-profile.ts';
import type { GrafanaProfile } from '../query/grafana-profile.ts';
import type { SearchRequest } from '../query/search-match.ts';
import type { NameAnswer } from '../query/tenant-names.ts';
import { JSON_TYPE, abortSignalOf, answerBytes } from './answers.ts';
import { compressJson } from './compression.ts';
import { QueryParameters } from './query-parameters.ts';
import { readSearch } from './search-parameters.ts';
import { answerTraces } from './traces.ts';

export interface GrafanaQuery {
  /** @throws CodedError SCRUBJAY_ERR_BAD_QUERY, SCRUBJAY_ERR_NOT_FOUND, and as queries do */
  trace(rawId: string, tenant: string, signal: AbortSignal): Promise<Span[]>;
  /** Newest first. */
  search(request: SearchRequest, tenant: string, signal: AbortSignal): AsyncIterable<Span[]>;
}

export interface GrafanaNames {
  services(tenant: string): Promise<NameAnswer>;
  spanNames(tenant: string, service: string): Promise<NameAnswer>;
}

export interface GrafanaDependencies {
  readonly query: GrafanaQuery;
  /** Undefined when search is disabled: the lists are empty then. */
  readonly names: GrafanaNames | undefined;
  readonly clock: Clock;
  /** QUERY_LOOKBACK. */
  readonly lookbackMs: number;
  /** @throws CodedError SCRUBJAY_ERR_TENANT_MISSING, SCRUBJAY_ERR_TENANT_MALFORMED */
  readonly tenantOf: (header: string | undefined) => string;
}

/** Grafana asks for a list without saying how long. */
const LIST_LIMIT = 100;
const NO_NAMES = Buffer.from('[]');
const UUID = /^[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}$/;

/**
 * The trace id in what a user pasted: with blanks, which arrive as `+`, in upper case, behind 0x,
 * as a UUID, with more zeros than an id has, or within a header.
 */
export function pastedTraceId(text: string): string {
  const reference = traceIdOfReference(text.replaceAll('+', ' ')).trim().toLowerCase();
  const digits = reference.replace(/^0x/, '');
  const id = UUID.test(digits) ? digits.replaceAll('-', '') : digits;
  return id.length > 32 ? id.replace(/^0+(?=.)/, '') : id;
}

const profileOf = (parameters: QueryParameters): GrafanaProfile => ({
  annotationUnit: parameters.text('annotationUnit') === 'us' ? 'us' : 'ms',
});

async function* listed(
  traces: AsyncIterable<Span[]>,
  profile: GrafanaProfile,
): AsyncGenerator<Span[], void> {
  const list = new GrafanaList(profile);
  for await (const spans of traces) yield list.entry(spans);
}

export function registerGrafana(app: FastifyInstance, dependencies: GrafanaDependencies): void {
  const { query, names, clock, lookbackMs, tenantOf } = dependencies;
  const tenantIn = (request: FastifyRequest): string =>
    tenantOf(firstHeader(request.raw, 'x-scope-orgid'));

  const trace = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const tenant = tenantIn(request);
    const { traceId } = request.params as { traceId: string };
    const spans = await query.trace(pastedTraceId(traceId), tenant, abortSignalOf(reply));
    const profile = profileOf(new QueryParameters(request.url));
    return answerBytes(reply, 200, JSON_TYPE, spansJson(grafanaTrace(spans, profile)));
  };
  const traces = (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const tenant = tenantIn(request);
    const parameters = new QueryParameters(request.url);
    const asked = readSearch(parameters, { nowMs: clock.nowMs(), lookbackMs });
    const search = parameters.text('limit') === undefined ? { ...asked, limit: LIST_LIMIT } : asked;
    const found = query.search(search, tenant, abortSignalOf(reply));
    return answerTraces(reply, listed(found, profileOf(parameters)));
  };
  const services = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const answer = await names?.services(tenantIn(request));
    return answerBytes(reply, 200, JSON_TYPE, answer?.json ?? NO_NAMES);
  };
  const spanNames = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const tenant = tenantIn(request);
    const service = new QueryParameters(request.url).mandatoryText('serviceName').toLowerCase();
    const answer = await names?.spanNames(tenant, service);
    return answerBytes(reply, 200, JSON_TYPE, answer?.json ?? NO_NAMES);
  };

  addRoute(app, 'GET', '/grafana/api/v2/trace/{traceId}', trace, [compressJson]);
  addRoute(app, 'GET', '/grafana/api/v2/traces', traces, [compressJson]);
  addRoute(app, 'GET', '/grafana/api/v2/services', services, [compressJson]);
  addRoute(app, 'GET', '/grafana/api/v2/spans', spanNames, [compressJson]);
}
