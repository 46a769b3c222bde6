/** Search and traces over the real engine: Zipkin's own scenarios, and any trace and any query. */
import { readFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TraceServer } from './trace-server.ts';
import type { QueryConfig } from './trace-server.ts';
import { answerOf, queryText, searches, traces } from './random-searches.ts';

interface Step {
  readonly post?: string;
  readonly body?: unknown;
  readonly get?: string;
  readonly expectStatus: number;
  readonly expectText?: string;
  readonly expectJson?: unknown;
}
interface Scenario {
  readonly name: string;
  readonly config: { readonly strict?: string; readonly search?: string };
  readonly steps: readonly Step[];
}
type JsonSpan = Record<string, unknown>;

const FIXTURE = new URL('../../fixtures/scenarios.json', import.meta.url);
const SCENARIOS = JSON.parse(readFileSync(FIXTURE, 'utf8')) as Scenario[];
const STRICT: QueryConfig = { strict: true, enabled: true };

/** Spans of a trace and traces of a list have no order that Zipkin promises. */
function inOrder(json: unknown): unknown {
  if (!Array.isArray(json)) return json;
  return json.map(inOrder).toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
}

const T_US = 1_700_006_400_000_000;
const WIDE = `endTs=${T_US / 1000 + 86_400_000}&lookback=172800000`;
const span = (n: number, more: JsonSpan = {}): JsonSpan => ({
  traceId: (n + 1).toString(16).padStart(16, '0'),
  id: '0000000000000001',
  name: 'get',
  timestamp: T_US + n * 1000,
  localEndpoint: { serviceName: 'web' },
  ...more,
});

describe.each([
  ['all in storage', false],
  ['half of them in the log', true],
])('Spans, %s:', (_where, keepsHalf) => {
  const server = new TraceServer(keepsHalf);
  beforeAll(() => server.start());
  afterAll(() => server.stop());

  const get = async (tenant: string, path: string, config = STRICT): Promise<unknown> => {
    const answer = await server.get(config, tenant, path);
    expect([path, answer.status]).toEqual([path, 200]);
    return answer.json();
  };

  describe("Zipkin's scenarios", () => {
    test.each(SCENARIOS)('$name', async ({ name, config, steps }) => {
      const query = { strict: config.strict !== 'false', enabled: config.search !== 'false' };
      for (const step of steps) {
        if (step.get === undefined) {
          const { body } = step;
          await server.store(name, typeof body === 'string' ? body : JSON.stringify(body));
          continue;
        }
        const answer = await server.get(query, name, step.get);
        const text = await answer.text();
        expect([step.get, answer.status]).toEqual([step.get, step.expectStatus]);
        const isList = answer.status === 200;
        const expected = isList ? inOrder(step.expectJson) : step.expectText;
        expect(isList ? inOrder(JSON.parse(text)) : text).toEqual(expected);
        expect(answer.headers.get('cache-control')).toBeNull();
      }
    });
  });

  describe('Search', () => {
    test('finds each of 1,000 traces, by whatever it is asked, newest first', async () => {
      const spans = Array.from({ length: 1000 }, (_, n) =>
        span(n, { remoteEndpoint: { serviceName: 'db' }, tags: { k: 'v' } }),
      );
      await server.store('many', JSON.stringify(spans));
      const expected = spans.toReversed().map((one) => [one]);
      for (const criterion of [
        '',
        '&serviceName=web',
        '&serviceName=web&remoteServiceName=db',
        '&serviceName=web&spanName=get',
        '&serviceName=web&annotationQuery=k%3Dv',
      ]) {
        expect(await get('many', `/api/v2/traces?${WIDE}&limit=1000${criterion}`)).toEqual(
          expected,
        );
        const some = `/api/v2/traces?${WIDE}&limit=123${criterion}`;
        expect(await get('many', some)).toEqual(expected.slice(0, 123));
      }
    });

    test('finds all of many traces that began in the same microsecond', async () => {
      const spans = Array.from({ length: 1200 }, (_, n) => span(n, { timestamp: T_US }));
      await server.store('same', JSON.stringify(spans));
      const found = await get('same', `/api/v2/traces?${WIDE}&limit=5000&serviceName=web`);
      expect(inOrder(found)).toEqual(inOrder(spans.map((one) => [one])));
    });

    test('gives a large trace whole', async () => {
      const children = Array.from({ length: 300 }, (_, n) =>
        span(0, { id: (n + 2).toString(16).padStart(16, '0'), parentId: '0000000000000001' }),
      );
      const spans = [span(0), ...children];
      await server.store('large', JSON.stringify(spans));
      expect(inOrder(await get('large', `/api/v2/traces?${WIDE}&limit=1`))).toEqual(
        inOrder([spans]),
      );
      expect(inOrder(await get('large', '/api/v2/trace/1'))).toEqual(inOrder(spans));
    });

    test('finds a trace by a service whose spans are all after the end of the search', async () => {
      const late = span(0, {
        id: '0000000000000002',
        parentId: '0000000000000001',
        timestamp: T_US + 5_000_000,
        localEndpoint: { serviceName: 'late' },
      });
      await server.store('late', JSON.stringify([span(0), late, span(9000)]));
      const path = `/api/v2/traces?endTs=${T_US / 1000 + 1}&lookback=2&serviceName=late`;
      expect(await get('late', path)).toEqual([[span(0), late]]);
    });

    test.each([3, 12])('tells %i traces in the window by their other spans', async (count) => {
      const spans = Array.from({ length: 2 * count }, (_, n) => {
        const late = span(n, {
          id: '0000000000000002',
          timestamp: T_US + 600_000_000 + n,
          tags: { k: 'v' },
        });
        return n < count ? [span(n), late] : [late];
      });
      const tenant = `around-${count}`;
      await server.store(tenant, JSON.stringify(spans.flat()));
      const endTs = T_US / 1000 + 1000;
      const path = `/api/v2/traces?endTs=${endTs}&lookback=36000000&limit=100&annotationQuery=k%3Dv`;
      const expected = spans.slice(0, count).toReversed();
      expect(await get(tenant, path)).toEqual(expected);
    });

    test('gives traces of several days whole', async () => {
      const days = Array.from({ length: 5 }, (_, n) =>
        span(0, { id: `000000000000000${n + 1}`, timestamp: T_US + n * 86_400_000_000 }),
      );
      await server.store('days', JSON.stringify(days));
      expect(await get('days', `/api/v2/traces?${WIDE}`)).toEqual([days]);
    });

    test('answers a large result in parts, compressed if asked', async () => {
      const spans = Array.from({ length: 600 }, (_, n) =>
        span(n, { tags: { text: String(n).repeat(5000) } }),
      );
      for (let at = 0; at < spans.length; at += 100)
        await server.store('parts', JSON.stringify(spans.slice(at, at + 100)));
      const answer = await server.get(STRICT, 'parts', `/api/v2/traces?${WIDE}&limit=1000`);
      expect(answer.headers.get('transfer-encoding')).toBe('chunked');
      expect(answer.headers.get('content-encoding')).toBe('gzip');
      expect(await answer.json()).toEqual(spans.toReversed().map((one) => [one]));
    });

    test('is of one tenant', async () => {
      await server.store('mine', JSON.stringify([span(0)]));
      expect(await get('yours', `/api/v2/traces?${WIDE}`)).toEqual([]);
      expect(await get('yours', '/api/v2/traceMany?traceIds=1,2')).toEqual([]);
    });

    test('traceMany answers in the order of its ids', async () => {
      await server.store('order', JSON.stringify(Array.from({ length: 120 }, (_, n) => span(n))));
      const ids = Array.from({ length: 120 }, (_, n) => ((n * 7) % 120) + 1);
      const path = `/api/v2/traceMany?traceIds=${ids.map((id) => id.toString(16)).join(',')},ffff`;
      expect(await get('order', path)).toEqual(ids.map((id) => [span(id - 1)]));
    });
  });

  describe('Any search', () => {
    test.each([true, false])('answers as a look at all traces does, strict %s', async (strict) => {
      const all = fc.sample(traces, { numRuns: 150, seed: 5 }).flat();
      const tenant = `any-${strict}`;
      for (let at = 0; at < all.length; at += 97)
        await server.store(tenant, JSON.stringify(all.slice(at, at + 97)));
      await fc.assert(
        fc.asyncProperty(searches, async (search) => {
          const path = `/api/v2/traces?${queryText(search)}`;
          const found = (await get(tenant, path, { strict, enabled: true })) as JsonSpan[][];
          const expected = answerOf(all, search, strict);
          const ids = found.map((spans) => idsOf(spans, strict));
          expect(new Set(ids).size).toBe(ids.length);
          expect(found.length).toBe(Math.min(search.limit, expected.length));
          const byId = new Map(expected.map((trace) => [trace.id, trace]));
          for (const [n, id] of ids.entries()) {
            expect(inOrder(found[n])).toEqual(inOrder(byId.get(id)?.json));
          }
          // All, in their order; of some, which ones are newest is known but for skewed clocks.
          const times = ids.map((id) => byId.get(id)!.timestampUs);
          const inTime = times.toSorted((a, b) => b - a);
          expect(times).toEqual(found.length === expected.length ? inTime : times);
        }),
        { numRuns: 50 },
      );
    });
  });

  const idsOf = (spans: readonly JsonSpan[], strict: boolean): string => {
    const id = String(spans[0]!['traceId']);
    return strict ? id : id.slice(-16);
  };
});
