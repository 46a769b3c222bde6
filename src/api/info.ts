/** GET /info: Zipkin's shape first, so that what reads Zipkin's reads ours. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { addRoute } from '../http/paths.ts';
import { ACTUATOR_TYPE, JSON_UTF8_TYPE, answerBytes } from './answers.ts';

export interface InfoDependencies {
  readonly version: string;
  /** Abbreviated commit of the build, or `unknown`. */
  readonly commit: string;
}

export function registerInfo(app: FastifyInstance, { version, commit }: InfoDependencies): void {
  const body = Buffer.from(
    JSON.stringify({ zipkin: { version, commit }, scrubjay: { version, commit } }),
  );
  const answer = (type: string) => (_request: FastifyRequest, reply: FastifyReply) =>
    answerBytes(reply, 200, type, body);
  addRoute(app, 'GET', '/info', answer(JSON_UTF8_TYPE));
  addRoute(app, 'GET', '/actuator/info', answer(ACTUATOR_TYPE));
}
