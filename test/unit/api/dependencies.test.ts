import { describe, expect, test } from 'vitest';
import { registerDependencies } from '../../../src/api/dependencies.ts';
import { CodedError } from '../../../src/base/errors.ts';
import type { DependencyLink } from '../../../src/model/dependency-link.ts';
import type { DependencyRequest } from '../../../src/query/dependencies.ts';
import { send, startServer } from '../http/test-server.ts';

const LINKS: DependencyLink[] = [
  { parent: 'a', child: 'b', callCount: 2 },
  { parent: 'b', child: 'c', callCount: 3, errorCount: 1 },
];

async function setUp() {
  const asked: [DependencyRequest, string][] = [];
  const { port } = await startServer({
    register: ({ app }) => {
      registerDependencies(app, {
        lookbackMs: 5000,
        query: {
          find: (request, tenant) => {
            asked.push([request, tenant]);
            return Promise.resolve(LINKS);
          },
        },
        tenantOf: (header) => {
          if (header === undefined) throw new CodedError('SCRUBJAY_ERR_TENANT_MISSING');
          return header;
        },
      });
    },
  });
  const get = (query: string, headers = { 'x-scope-orgid': 'team' }) =>
    send(port, 'GET', `/zipkin/api/v2/dependencies${query}`, { headers });
  return { asked, get };
}

describe('GET /api/v2/dependencies', () => {
  test('answers the links of the window', async () => {
    const { asked, get } = await setUp();
    const answer = await get('?endTs=100&lookback=30');
    expect(answer).toMatchObject({ status: 200, body: JSON.stringify(LINKS) });
    expect(answer.headers['content-type']).toBe('application/json');
    expect(asked).toEqual([[{ endTsMs: 100, lookbackMs: 30 }, 'team']]);
  });

  test.each(['?endTs=100', '?endTs=100&lookback='])(
    '%s looks back as far as QUERY_LOOKBACK',
    async (query) => {
      const { asked, get } = await setUp();
      await get(query);
      expect(asked).toEqual([[{ endTsMs: 100, lookbackMs: 5000 }, 'team']]);
    },
  );

  test.each([
    ['', 'Mandatory parameter/header/attribute is missing: endTs'],
    ['?lookback=0', 'Mandatory parameter/header/attribute is missing: endTs'],
    ['?endTs=', 'Cannot set null to primitive type parameter: endTs'],
    ['?endTs=x', 'For input string: "x"'],
    ['?endTs=1&lookback=1d', 'For input string: "1d"'],
    ['?endTs=0&lookback=0', 'endTs <= 0'],
    ['?endTs=1&lookback=0', 'lookback <= 0'],
  ])('%s is refused in the words of Zipkin', async (query, body) => {
    const { asked, get } = await setUp();
    expect(await get(query)).toMatchObject({ status: 400, body });
    expect(asked).toEqual([]);
  });

  test('asks for the tenant first', async () => {
    const { get } = await setUp();
    expect(await get('', {} as { 'x-scope-orgid': string })).toMatchObject({ status: 401 });
  });
});
