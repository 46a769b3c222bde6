/**
 * Names for the lists of Zipkin's UI: GET services, spans, remoteServices, autocompleteKeys and
 * autocompleteValues under /api/v2. Source: zipkin-server ZipkinQueryApiV2.java.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { CodedError } from '../base/errors.ts';
import { firstHeader } from '../http/headers.ts';
import { addRoute } from '../http/paths.ts';
import type { NameAnswer } from '../query/tenant-names.ts';
import { JSON_TYPE, answerBytes } from './answers.ts';
import { compressJson } from './compression.ts';

export interface NameQuery {
  services(tenant: string): Promise<NameAnswer>;
  spanNames(tenant: string, service: string): Promise<NameAnswer>;
  remoteServices(tenant: string, service: string): Promise<NameAnswer>;
  tagValues(tenant: string, key: string): Promise<NameAnswer>;
}

export interface NameDependencies {
  /** Undefined when search is disabled: the lists are empty then. */
  readonly query: NameQuery | undefined;
  /** JSON list of the keys that have values; answered whether search is enabled or not. */
  readonly autocompleteKeys: Uint8Array;
  readonly maxAgeSeconds: number;
  /** @throws CodedError SCRUBJAY_ERR_TENANT_MISSING, SCRUBJAY_ERR_TENANT_MALFORMED */
  readonly tenantOf: (header: string | undefined) => string;
}

const NONE: NameAnswer = { json: Buffer.from('[]'), cacheable: false };

/** The first one counts. @throws {SCRUBJAY_ERR_BAD_QUERY} when it is not there */
function mandatory(request: FastifyRequest, name: string): string {
  const given = (request.query as Readonly<Record<string, string | string[] | undefined>>)[name];
  const value = typeof given === 'string' ? given : given?.[0];
  if (value !== undefined) return value;
  const detail = `Mandatory parameter/header/attribute is missing: ${name}`;
  throw new CodedError('SCRUBJAY_ERR_BAD_QUERY', { detail });
}

const serviceOf = (request: FastifyRequest): string =>
  mandatory(request, 'serviceName').toLowerCase();

function keyOf(request: FastifyRequest): string {
  const key = mandatory(request, 'key');
  if (key === '') throw new CodedError('SCRUBJAY_ERR_BAD_QUERY', { detail: 'key was empty' });
  return key;
}

export function registerNames(app: FastifyInstance, dependencies: NameDependencies): void {
  const { query, autocompleteKeys, maxAgeSeconds, tenantOf } = dependencies;
  const cacheControl = `max-age=${maxAgeSeconds}, must-revalidate`;

  const send = (reply: FastifyReply, { json, cacheable }: NameAnswer): FastifyReply => {
    if (cacheable) reply.header('cache-control', cacheControl);
    return answerBytes(reply, 200, JSON_TYPE, json);
  };
  /** @param read what is asked for, out of the request; judged even when search is disabled */
  const list =
    <Q>(
      read: (request: FastifyRequest) => Q,
      find: (names: NameQuery, tenant: string, question: Q) => Promise<NameAnswer>,
    ) =>
    async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
      const tenant = tenantOf(firstHeader(request.raw, 'x-scope-orgid'));
      const question = read(request);
      return send(reply, query === undefined ? NONE : await find(query, tenant, question));
    };

  const services = list(
    () => undefined,
    (names, tenant) => names.services(tenant),
  );
  const spans = list(serviceOf, (names, tenant, service) => names.spanNames(tenant, service));
  const remotes = list(serviceOf, (names, tenant, service) =>
    names.remoteServices(tenant, service),
  );
  const values = list(keyOf, (names, tenant, key) => names.tagValues(tenant, key));
  const keys = (_request: FastifyRequest, reply: FastifyReply): FastifyReply =>
    send(reply, { json: autocompleteKeys, cacheable: true });

  addRoute(app, 'GET', '/api/v2/services', services, [compressJson]);
  addRoute(app, 'GET', '/api/v2/spans', spans, [compressJson]);
  addRoute(app, 'GET', '/api/v2/remoteServices', remotes, [compressJson]);
  addRoute(app, 'GET', '/api/v2/autocompleteKeys', keys, [compressJson]);
  addRoute(app, 'GET', '/api/v2/autocompleteValues', values, [compressJson]);
}
