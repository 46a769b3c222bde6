/** GET /api/v2/dependencies: who called whom. Source: zipkin-server ZipkinQueryApiV2.java. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { firstHeader } from '../http/headers.ts';
import { addRoute } from '../http/paths.ts';
import type { DependencyLink } from '../model/dependency-link.ts';
import type { DependencyRequest } from '../query/dependencies.ts';
import { JSON_TYPE, abortSignalOf, answerBytes } from './answers.ts';
import { compressJson } from './compression.ts';
import { QueryParameters, badQuery } from './query-parameters.ts';

export interface DependencyQuery {
  /** @throws CodedError, and the signal's reason when it aborts */
  find(request: DependencyRequest, tenant: string, signal: AbortSignal): Promise<DependencyLink[]>;
}

export interface DependencyDependencies {
  readonly query: DependencyQuery;
  /** QUERY_LOOKBACK. */
  readonly lookbackMs: number;
  /** @throws CodedError SCRUBJAY_ERR_TENANT_MISSING, SCRUBJAY_ERR_TENANT_MALFORMED */
  readonly tenantOf: (header: string | undefined) => string;
}

/** @throws {SCRUBJAY_ERR_BAD_QUERY} in Zipkin's words */
function readRequest(parameters: QueryParameters, lookbackDefaultMs: number): DependencyRequest {
  const endTsMs = parameters.mandatoryLong('endTs');
  const lookbackMs = parameters.long('lookback') ?? lookbackDefaultMs;
  if (endTsMs <= 0) throw badQuery('endTs <= 0');
  if (lookbackMs <= 0) throw badQuery('lookback <= 0');
  return { endTsMs, lookbackMs };
}

export function registerDependencies(
  app: FastifyInstance,
  { query, lookbackMs, tenantOf }: DependencyDependencies,
): void {
  const answer = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const tenant = tenantOf(firstHeader(request.raw, 'x-scope-orgid'));
    const asked = readRequest(new QueryParameters(request.url), lookbackMs);
    const links = await query.find(asked, tenant, abortSignalOf(reply));
    return answerBytes(reply, 200, JSON_TYPE, Buffer.from(JSON.stringify(links)));
  };
  addRoute(app, 'GET', '/api/v2/dependencies', answer, [compressJson]);
}
