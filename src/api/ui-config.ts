/**
 * GET /zipkin/config.json: what Zipkin's UI asks its server before anything else. Members, order
 * and layout of zipkin-server ZipkinUiConfiguration.java and ZipkinUiProperties.java.
 */
import { createHash } from 'node:crypto';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { addRoute } from '../http/paths.ts';
import { JSON_UTF8_TYPE, answerBytes } from './answers.ts';
import { prettyJson } from './pretty-json.ts';

export interface UiConfig {
  /** Shown in the header of the page. */
  readonly environment: string;
  /** Traces of a search unless the user says otherwise. */
  readonly queryLimit: number;
  /** How far a search reaches back unless the user says otherwise. */
  readonly defaultLookbackMs: number;
  readonly searchEnabled: boolean;
  /** Links, of which an empty one is none; `{traceId}` stands for the trace. */
  readonly logsUrl: string;
  readonly supportUrl: string;
  readonly archivePostUrl: string;
  readonly archiveUrl: string;
  readonly dependencyEnabled: boolean;
  /** Shares of calls that failed from which on a line is yellow, and red. */
  readonly lowErrorRate: number;
  readonly highErrorRate: number;
}

const MAX_AGE_SECONDS = 600;

const linkOrNull = (url: string): string | null => (url === '' ? null : url);

function configJson(config: UiConfig): string {
  return prettyJson({
    environment: config.environment,
    queryLimit: config.queryLimit,
    defaultLookback: config.defaultLookbackMs,
    searchEnabled: config.searchEnabled,
    logsUrl: linkOrNull(config.logsUrl),
    supportUrl: linkOrNull(config.supportUrl),
    archivePostUrl: linkOrNull(config.archivePostUrl),
    archiveUrl: linkOrNull(config.archiveUrl),
    dependency: {
      enabled: config.dependencyEnabled,
      lowErrorRate: config.lowErrorRate,
      highErrorRate: config.highErrorRate,
    },
  });
}

/** If-None-Match of RFC 9110: any of a list, weak or strong; `*` is whatever there is. */
function hasTag(header: string | undefined, etag: string): boolean {
  const tags = header?.split(',').map((tag) => tag.trim().replace(/^W\//, '')) ?? [];
  return tags.includes(etag) || tags.includes('*');
}

export function registerUiConfig(app: FastifyInstance, config: UiConfig): void {
  const body = Buffer.from(configJson(config));
  const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`;
  const answer = (request: FastifyRequest, reply: FastifyReply): FastifyReply => {
    reply.header('cache-control', `max-age=${MAX_AGE_SECONDS}`).header('etag', etag);
    if (hasTag(request.headers['if-none-match'], etag)) return reply.code(304).send();
    return answerBytes(reply, 200, JSON_UTF8_TYPE, body);
  };
  addRoute(app, 'GET', '/zipkin/config.json', answer);
}
