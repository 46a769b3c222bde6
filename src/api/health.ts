/**
 * GET /health in Zipkin's shape. It is the readiness of the node: 503 takes it out of rotation, so
 * only what stops it from acknowledging spans does that. A storage that is away is shown, and the
 * answer stays 200: spans are safe in the log meanwhile.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { addRoute } from '../http/paths.ts';
import { ACTUATOR_TYPE, JSON_UTF8_TYPE, answerBytes } from './answers.ts';
import { prettyJson } from './pretty-json.ts';
import type { Json } from './pretty-json.ts';

export type HealthStatus = 'UP' | 'DOWN' | 'UNKNOWN';

export interface HealthComponent {
  /** Key in the answer, e.g. `ClickHouse 26.7.2 (embedded)`. */
  readonly name: string;
  readonly status: HealthStatus;
  /** Why it is not up, for an operator. */
  readonly error?: string;
  /** Without it no span can be acknowledged: DOWN makes the whole node DOWN. */
  readonly essential: boolean;
}

export interface HealthDependencies {
  /** Storage and log, as they are now; must not wait. */
  readonly components: () => readonly HealthComponent[];
  readonly draining: () => boolean;
}

const DRAINING: HealthComponent = {
  name: 'HttpServer',
  status: 'DOWN',
  error: 'Shutting down',
  essential: true,
};

function componentJson({ status, error }: HealthComponent): Json {
  return error === undefined ? { status } : { status, details: { error } };
}

export function registerHealth(app: FastifyInstance, dependencies: HealthDependencies): void {
  const answer = (type: string) => (_request: FastifyRequest, reply: FastifyReply) => {
    const components = [...dependencies.components()];
    if (dependencies.draining()) components.push(DRAINING);
    const down = components.some((part) => part.essential && part.status === 'DOWN');
    const status = down ? 'DOWN' : 'UP';
    const details = Object.fromEntries(components.map((part) => [part.name, componentJson(part)]));
    const body = prettyJson({ status, zipkin: { status, details } });
    return answerBytes(reply, down ? 503 : 200, type, Buffer.from(body));
  };
  addRoute(app, 'GET', '/health', answer(JSON_UTF8_TYPE));
  addRoute(app, 'GET', '/actuator/health', answer(ACTUATOR_TYPE));
}
