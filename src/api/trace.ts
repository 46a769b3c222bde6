/** GET /api/v2/trace/{traceId}: the spans of one trace as they are stored. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { CodedError } from '../base/errors.ts';
import { firstHeader } from '../http/headers.ts';
import { addRoute } from '../http/paths.ts';
import { JSON_TYPE, abortSignalOf, answerBytes } from './answers.ts';
import { compressJson } from './compression.ts';

export interface TraceQuery {
  /**
   * The trace as a JSON v2 list.
   * @param rawId as the client wrote it; normalised and judged here
   * @returns undefined when there is none
   * @throws CodedError: SCRUBJAY_ERR_BAD_QUERY for an id that is none, SCRUBJAY_ERR_NOT_FOUND
   *   with the normalised id instead of returning undefined
   */
  trace(rawId: string, tenant: string, signal: AbortSignal): Promise<Uint8Array | undefined>;
}

export interface TraceDependencies {
  readonly query: TraceQuery;
  /** @throws CodedError SCRUBJAY_ERR_TENANT_MISSING, SCRUBJAY_ERR_TENANT_MALFORMED */
  readonly tenantOf: (header: string | undefined) => string;
}

export function registerTrace(app: FastifyInstance, dependencies: TraceDependencies): void {
  const { query, tenantOf } = dependencies;
  const answer = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const tenant = tenantOf(firstHeader(request.raw, 'x-scope-orgid'));
    const { traceId } = request.params as { traceId: string };
    const id = traceId.trim();
    const json = await query.trace(id, tenant, abortSignalOf(reply));
    if (json === undefined) {
      throw new CodedError('SCRUBJAY_ERR_NOT_FOUND', { detail: `${id} not found` });
    }
    return answerBytes(reply, 200, JSON_TYPE, json);
  };
  addRoute(app, 'GET', '/api/v2/trace/{traceId}', answer, [compressJson]);
}
