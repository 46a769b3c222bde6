import { describe, expect, test } from 'vitest';
import { pastedTraceId, registerGrafana } from '../../../src/api/grafana.ts';
import type { GrafanaDependencies, GrafanaQuery } from '../../../src/api/grafana.ts';
import { CodedError } from '../../../src/base/errors.ts';
import type { Span } from '../../../src/model/span.ts';
import type { SearchRequest } from '../../../src/query/search-match.ts';
import { send, startServer } from '../http/test-server.ts';

const NOW_MS = 1_700_000_000_000;
const ROOT: Span = {
  traceId: '000000000000000a',
  id: '0000000000000001',
  name: 'get',
  timestamp: 1_699_999_999_000_000,
  duration: 2000,
  annotations: [{ timestamp: 1_699_999_999_000_000, value: 'ws' }],
};

function withGrafana(query: Partial<GrafanaQuery>, others: Partial<GrafanaDependencies> = {}) {
  return startServer({
    register: ({ app, ...server }) => {
      registerGrafana(app, {
        query: {
          trace: () => Promise.resolve([ROOT]),
          async *search() {
            yield* [];
          },
          ...query,
        },
        names: undefined,
        clock: { nowMs: () => NOW_MS } as GrafanaDependencies['clock'],
        lookbackMs: 86_400_000,
        tenantOf: (header) => header ?? 'default',
        ...server,
        ...others,
      });
    },
  });
}

describe('pastedTraceId', () => {
  test.each([
    ['a', 'a'],
    ['+0A+', '0a'],
    [' 463AC35C9F6413AD48485A3953BB6124 ', '463ac35c9f6413ad48485a3953bb6124'],
    ['0x1F', '1f'],
    ['463ac35c-9f64-13ad-4848-5a3953bb6124', '463ac35c9f6413ad48485a3953bb6124'],
    ['0000000000000000000000000000000000000001', '1'],
    [
      'traceparent:+00-463ac35c9f6413ad48485a3953bb6124-00f067aa0ba902b7-01',
      '463ac35c9f6413ad48485a3953bb6124',
    ],
    ['b3=000000000000000a-000000000000000b-1', '000000000000000a'],
    ['0e8b46e1-81b', '0e8b46e1-81b'],
    ['../services', '../services'],
    ['', ''],
  ])('%s is %s', (text, id) => {
    expect(pastedTraceId(text)).toBe(id);
  });
});

describe('GET /grafana/api/v2/trace/{traceId}', () => {
  test.each(['/grafana/api/v2/trace/+0A+', '/grafana/api/v2/trace/%200a%20?x=y'])(
    '%s asks for the id and answers what Grafana can show',
    async (path) => {
      const asked: string[][] = [];
      const { port } = await withGrafana({
        trace: (id, tenant) => {
          asked.push([id, tenant]);
          return Promise.resolve([ROOT]);
        },
      });
      const answer = await send(port, 'GET', path, { headers: { 'x-scope-orgid': 'team' } });
      expect(answer.status).toBe(200);
      expect(answer.headers['content-type']).toBe('application/json');
      expect(JSON.parse(answer.body)).toEqual([
        { ...ROOT, annotations: [{ timestamp: 1_699_999_999_000, value: 'ws' }] },
      ]);
      expect(asked).toEqual([['0a', 'team']]);
    },
  );

  test('times of annotations stay as they are when asked for in microseconds', async () => {
    const { port } = await withGrafana({});
    const answer = await send(port, 'GET', '/grafana/api/v2/trace/a?annotationUnit=us');
    expect(JSON.parse(answer.body)).toEqual([ROOT]);
  });

  test('what is not there is a 404', async () => {
    const { port } = await withGrafana({
      trace: () => Promise.reject(new CodedError('SCRUBJAY_ERR_NOT_FOUND', { detail: 'no a' })),
    });
    const answer = await send(port, 'GET', '/grafana/api/v2/trace/a');
    expect(answer).toMatchObject({ status: 404, body: 'no a' });
  });
});

describe('GET /grafana/api/v2/traces', () => {
  const search = async (path: string) => {
    const asked: SearchRequest[] = [];
    const child: Span = { ...ROOT, id: '0000000000000002', parentId: ROOT.id };
    const { port } = await withGrafana({
      async *search(request) {
        asked.push(request);
        yield* [[child, ROOT], [{ ...ROOT, traceId: '000000000000000b' }]];
      },
    });
    return { answer: await send(port, 'GET', path), asked };
  };

  test('asks for 100 traces of the time before now', async () => {
    const { asked } = await search('/grafana/api/v2/traces?serviceName=Web&spanName=get+%2F');
    expect(asked).toEqual([
      {
        serviceName: 'web',
        spanName: 'get /',
        annotationQuery: new Map(),
        endTsMs: NOW_MS,
        lookbackMs: 86_400_000,
        limit: 100,
      },
    ]);
  });

  test('asks for as many as the URL of the data source says', async () => {
    const { asked } = await search('/grafana/api/v2/traces?serviceName=web&limit=7');
    expect(asked.map(({ limit }) => limit)).toEqual([7]);
  });

  test('answers traces that begin with their root, no two of which read the same', async () => {
    const { answer } = await search('/grafana/api/v2/traces?serviceName=web');
    const traces = JSON.parse(answer.body) as Span[][];
    expect(traces.map((trace) => trace.map(({ id, name }) => `${Number(id)} ${name}`))).toEqual([
      ['1 get', '2 get'],
      ['1 get at 2023-11-14 22:13:19.000'],
    ]);
  });

  test('a limit that is none is a 400', async () => {
    const { answer } = await search('/grafana/api/v2/traces?limit=0');
    expect(answer).toMatchObject({ status: 400, body: 'limit <= 0' });
  });
});

describe('names', () => {
  test('of services and spans are those of the plain API', async () => {
    const asked: string[][] = [];
    const { port } = await withGrafana(
      {},
      {
        names: {
          services: (tenant) => {
            asked.push([tenant]);
            return Promise.resolve({ json: Buffer.from('["a"]'), cacheable: true });
          },
          spanNames: (tenant, service) => {
            asked.push([tenant, service]);
            return Promise.resolve({ json: Buffer.from('["b"]'), cacheable: true });
          },
        },
      },
    );
    expect((await send(port, 'GET', '/grafana/api/v2/services')).body).toBe('["a"]');
    expect((await send(port, 'GET', '/grafana/api/v2/spans?serviceName=A')).body).toBe('["b"]');
    expect(asked).toEqual([['default'], ['default', 'a']]);
  });

  test('are empty lists when search is disabled', async () => {
    const { port } = await withGrafana({});
    expect((await send(port, 'GET', '/grafana/api/v2/services')).body).toBe('[]');
    expect((await send(port, 'GET', '/grafana/api/v2/spans?serviceName=a')).body).toBe('[]');
    expect((await send(port, 'GET', '/grafana/api/v2/spans')).status).toBe(400);
  });
});
