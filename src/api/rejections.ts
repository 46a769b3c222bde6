/** GET /api/v1/rejections: which clients and services send spans that are not kept, and why. */
import type { FastifyInstance, FastifyReply } from 'fastify';
import { firstHeader } from '../http/headers.ts';
import { addRoute } from '../http/paths.ts';
import type { Rejections } from '../telemetry/rejections.ts';
import { JSON_TYPE, answerBytes } from './answers.ts';

export interface RejectionsDependencies {
  readonly rejections: Pick<Rejections, 'summaries'>;
  /** @throws CodedError SCRUBJAY_ERR_TENANT_MISSING, SCRUBJAY_ERR_TENANT_MALFORMED */
  readonly tenantOf: (header: string | undefined) => string;
}

export function registerRejections(
  app: FastifyInstance,
  { rejections, tenantOf }: RejectionsDependencies,
): void {
  addRoute(app, 'GET', '/api/v1/rejections', (request, reply): FastifyReply => {
    const tenant = tenantOf(firstHeader(request.raw, 'x-scope-orgid'));
    const body = Buffer.from(JSON.stringify({ reasons: rejections.summaries(tenant) }));
    return answerBytes(reply, 200, JSON_TYPE, body);
  });
}
