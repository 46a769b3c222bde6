/** GET /prometheus: every metric of the program in the text format. */
import type { FastifyInstance, FastifyReply } from 'fastify';
import { addRoute } from '../http/paths.ts';
import type { Ledger } from '../telemetry/ledger.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { answerBytes } from './answers.ts';

export interface PrometheusDependencies {
  readonly metrics: Pick<Metrics, 'registry'>;
  readonly ledger: Pick<Ledger, 'entries'>;
}

export function registerPrometheus(
  app: FastifyInstance,
  { metrics, ledger }: PrometheusDependencies,
): void {
  const { registry } = metrics;
  const answer = async (_request: unknown, reply: FastifyReply): Promise<FastifyReply> => {
    // Sets the gauge of the imbalance.
    ledger.entries();
    return answerBytes(reply, 200, registry.contentType, Buffer.from(await registry.metrics()));
  };
  addRoute(app, 'GET', '/prometheus', answer);
  addRoute(app, 'GET', '/actuator/prometheus', answer);
}
