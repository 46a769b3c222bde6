import { describe, expect, test } from 'vitest';
import { registerTraces } from '../../../src/api/traces.ts';
import type { TracesQuery } from '../../../src/api/traces.ts';
import { systemClock } from '../../../src/base/clock.ts';
import { CodedError } from '../../../src/base/errors.ts';
import { spansJson } from '../../../src/codec/json-v2-writer.ts';
import type { Span } from '../../../src/model/span.ts';
import { send, startServer } from '../http/test-server.ts';

const trace = (n: number, text = ''): Span[] => [
  {
    traceId: n.toString(16).padStart(16, '0'),
    id: '0000000000000001',
    ...(text === '' ? {} : { tags: new Map([['text', text]]) }),
  },
];
const EMPTY: TracesQuery = { search: listOf([]), many: listOf([]) };

function listOf(traces: readonly Span[][], error?: Error): () => AsyncGenerator<Span[], void> {
  return async function* () {
    for (const one of traces) yield await Promise.resolve(one);
    if (error !== undefined) throw error;
  };
}

const serve = (query: Partial<TracesQuery> = {}) =>
  startServer({
    register: ({ app }) => {
      registerTraces(app, {
        query: { ...EMPTY, ...query },
        clock: { ...systemClock, nowMs: () => 5000 },
        lookbackMs: 600,
        tenantOf: (header) => {
          if (header === undefined) throw new CodedError('SCRUBJAY_ERR_TENANT_MISSING');
          return header;
        },
      });
    },
  });
const get = (port: number, path: string) =>
  send(port, 'GET', path, { headers: { 'x-scope-orgid': 'team' } });

describe('GET /api/v2/traces', () => {
  test.each(['/api/v2/traces', '/zipkin/api/v2/traces', '/api/v2/traces/?unknown=1'])(
    '%s is a list of lists, of any length',
    async (path) => {
      const { port } = await serve({ search: listOf([trace(1), trace(2)]) });
      const answer = await get(port, path);
      expect(JSON.parse(answer.body)).toEqual([trace(1), trace(2)]);
      expect(answer.headers).toMatchObject({
        'content-type': 'application/json',
        'content-length': String(answer.body.length),
      });
      expect(answer.headers['cache-control']).toBeUndefined();
      const { port: other } = await serve();
      expect(await get(other, path)).toMatchObject({ status: 200, body: '[]' });
    },
  );

  test('asks for what the parameters say, in the name of the tenant', async () => {
    const asked: unknown[] = [];
    const { port } = await serve({
      search: (request, tenant) => {
        asked.push([tenant, request]);
        return listOf([])();
      },
    });
    await get(port, '/api/v2/traces?serviceName=A&annotationQuery=x+and+y&limit=3');
    const annotationQuery = new Map([
      ['x', ''],
      ['y', ''],
    ]);
    const request = { serviceName: 'a', annotationQuery, endTsMs: 5000, lookbackMs: 600, limit: 3 };
    expect(asked).toEqual([['team', request]]);
  });

  test.each([
    ['/api/v2/traces?limit=', 'Cannot set null to primitive type parameter: limit'],
    ['/api/v2/traces?endTs=1.5', 'For input string: "1.5"'],
    ['/api/v2/traces?maxDuration=5', 'maxDuration is only valid with minDuration'],
    ['/api/v2/traceMany', 'Mandatory parameter/header/attribute is missing: traceIds'],
  ])('%s is refused: %s', async (path, body) => {
    const { port } = await serve();
    expect(await get(port, path)).toMatchObject({ status: 400, body });
  });

  test('an error before a large answer has begun is an error', async () => {
    const error = new CodedError('SCRUBJAY_ERR_QUERY_TIMEOUT', { limit: 11_000 });
    const { port } = await serve({ search: listOf([trace(1)], error) });
    expect(await get(port, '/api/v2/traces')).toMatchObject({
      status: 500,
      body: 'The query ran longer than 11000 ms (QUERY_TIMEOUT)',
    });
  });

  test('a missing tenant is a 401', async () => {
    const { port } = await serve();
    expect((await send(port, 'GET', '/api/v2/traces')).status).toBe(401);
  });
});

describe('a large answer', () => {
  const large = Array.from({ length: 60 }, (_, n) => trace(n + 1, String(n).repeat(100_000)));
  const json = large.map((spans) => JSON.parse(spansJson(spans).toString()) as unknown);
  const fetchFrom = (port: number, acceptEncoding: string) =>
    fetch(`http://127.0.0.1:${port}/api/v2/traceMany?traceIds=1,2`, {
      headers: { 'x-scope-orgid': 'team', 'accept-encoding': acceptEncoding },
    });

  test.each(['gzip', 'identity'])('leaves in parts: %s', async (encoding) => {
    const { port } = await serve({ many: listOf(large) });
    const answer = await fetchFrom(port, encoding);
    expect(answer.headers.get('transfer-encoding')).toBe('chunked');
    expect(answer.headers.get('content-encoding')).toBe(encoding === 'gzip' ? 'gzip' : null);
    expect(await answer.json()).toEqual(json);
  });

  test.each(['gzip', 'identity'])('that fails is cut, not ended: %s', async (encoding) => {
    const { port } = await serve({ many: listOf(large, new Error('storage is away')) });
    const answer = await fetchFrom(port, encoding);
    expect(answer.status).toBe(200);
    await expect(answer.text()).rejects.toThrow('terminated');
  });
});
