/** Search over a storage that says what it is told to say. */
import { describe, expect, test } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import type { Span } from '../../../src/model/span.ts';
import { QueryLimiter } from '../../../src/query/limiter.ts';
import { QueryGate } from '../../../src/query/query-gate.ts';
import { parseAnnotationQuery } from '../../../src/query/search-match.ts';
import type { SearchRequest } from '../../../src/query/search-match.ts';
import { TraceSearch } from '../../../src/query/search.ts';
import { TraceMany } from '../../../src/query/trace-many.ts';
import type { Candidate, CandidateRequest, TraceSearcher } from '../../../src/storage/contract.ts';
import { createMetrics } from '../../../src/telemetry/metrics.ts';
import { LogLines } from '../http/test-server.ts';
import { storedBarrier } from './stored-barrier.ts';

const NOW_MS = 1_700_000_000_000;
const HOUR_MS = 3_600_000;

/** Traces of one span; `lateMs`: how much later than the trace the service's span is. */
class FakeSearcher implements TraceSearcher {
  readonly asked: CandidateRequest[] = [];
  readonly read: bigint[][] = [];
  readonly #spans = new Map<bigint, { span: Span; candidateUs: number }>();

  add(low: number, agoMs: number, lateMs = 0, service = 'web'): void {
    const timestamp = (NOW_MS - agoMs) * 1000;
    const traceId = low.toString(16).padStart(16, '0');
    const span: Span = {
      traceId,
      id: traceId,
      timestamp,
      localEndpoint: { serviceName: service },
    };
    this.#spans.set(BigInt(low), { span, candidateUs: timestamp + lateMs * 1000 });
  }

  candidates(request: CandidateRequest): Promise<Candidate[]> {
    this.asked.push(request);
    const { window, notAfterUs = Infinity, limit } = request;
    const all = Array.from(this.#spans, ([low, { candidateUs }]) => ({
      low,
      timestampUs: candidateUs,
    }));
    return Promise.resolve(
      all
        .filter(({ timestampUs: at }) => at >= window.fromUs && at <= notAfterUs)
        .toSorted((a, b) => b.timestampUs - a.timestampUs)
        .slice(0, limit),
    );
  }

  traces(lows: readonly bigint[]): Promise<Span[][]> {
    this.read.push([...lows]);
    const found = lows.flatMap((low) => this.#spans.get(low)?.span ?? []);
    return Promise.resolve(found.map((span) => [span]).toReversed());
  }
}

const gate = new QueryGate({
  barrier: storedBarrier,
  limiter: new QueryLimiter({ concurrency: 2, queueMax: 2, isShared: true }),
  timeoutMs: 0,
  slowMs: 0,
  clock: systemClock,
  logger: new LogLines(),
  metrics: createMetrics(),
});
const { signal } = new AbortController();

async function search(
  searcher: TraceSearcher,
  more: Partial<SearchRequest> = {},
  enabled = true,
): Promise<string[]> {
  const clock = { ...systemClock, nowMs: () => NOW_MS };
  const traces = new TraceSearch({ searcher, gate, strict: true, enabled, clock }).search(
    {
      annotationQuery: new Map(),
      endTsMs: NOW_MS,
      lookbackMs: 24 * HOUR_MS,
      limit: 10,
      ...more,
    },
    'default',
    signal,
  );
  return idsOf(traces);
}

async function idsOf(traces: AsyncIterable<Span[]>): Promise<string[]> {
  const ids: string[] = [];
  for await (const spans of traces) ids.push(spans[0]!.traceId.replace(/^0+/, ''));
  return ids;
}

describe('TraceSearch', () => {
  test('answers nothing and asks nothing when search is disabled', async () => {
    const searcher = new FakeSearcher();
    searcher.add(1, 5);
    expect(await search(searcher, {}, false)).toEqual([]);
    expect(searcher.asked).toEqual([]);
  });

  test('is content with the first window when it has enough', async () => {
    const searcher = new FakeSearcher();
    for (let i = 1; i <= 15; i++) searcher.add(i, i);
    expect(await search(searcher)).toEqual('123456789a'.split(''));
    expect(searcher.asked).toHaveLength(1);
    expect(searcher.read.map((lows) => lows.length)).toEqual([12]);
  });

  test('widens until there is enough, and reads no trace twice', async () => {
    const searcher = new FakeSearcher();
    searcher.add(1, 1000);
    searcher.add(2, 10 * 60_000);
    searcher.add(3, 23 * HOUR_MS);
    searcher.add(4, 25 * HOUR_MS);
    expect(await search(searcher)).toEqual(['1', '2', '3']);
    expect(searcher.read.flat()).toEqual([1n, 2n, 3n]);
    const widths = searcher.asked.map(({ window }) => window.toUs - window.fromUs);
    expect(widths).toEqual(widths.toSorted((a, b) => a - b));
    expect(widths.at(-1)).toBe(24 * HOUR_MS * 1000);
  });

  test('looks everywhere at once for a word that is rare', async () => {
    const searcher = new FakeSearcher();
    await search(searcher, { annotationQuery: parseAnnotationQuery('a=b and c and =d') });
    expect(searcher.asked.map(({ criteria }) => criteria.words)).toEqual([
      ['a=b', 'c', '=d'],
      ['a=b', 'c', '=d'],
    ]);
  });

  test('judges candidates exactly', async () => {
    const searcher = new FakeSearcher();
    for (let i = 1; i <= 40; i++) searcher.add(i, i, 0, i % 10 === 0 ? 'web' : 'other');
    expect(await search(searcher, { serviceName: 'web', limit: 3 })).toEqual(['a', '14', '1e']);
  });

  test('orders by the begin of traces, not of what was found of them', async () => {
    const searcher = new FakeSearcher();
    // The candidates come in the order 1, 2, 3, …; the trace of 1 began before the others.
    searcher.add(1, 300, 299);
    for (let i = 2; i <= 30; i++) searcher.add(i, 10 * i, 5);
    expect(await search(searcher, { limit: 4 })).toEqual(['2', '3', '4', '5']);
    expect(await search(searcher, { limit: 30 })).toHaveLength(30);
  });

  test('asks again from the oldest when there are more candidates than one answer', async () => {
    const searcher = new FakeSearcher();
    for (let i = 1; i <= 1300; i++) searcher.add(i, i, 0, i === 1300 ? 'web' : 'other');
    expect(await search(searcher, { serviceName: 'web', limit: 1 })).toEqual(['514']);
    expect(new Set(searcher.read.flat()).size).toBe(searcher.read.flat().length);
  });

  test('gives a thousand traces in the order of their begin', async () => {
    const searcher = new FakeSearcher();
    for (let i = 1; i <= 1500; i++) searcher.add(i, i);
    const ids = await search(searcher, { limit: 1000 });
    expect(ids).toEqual(Array.from({ length: 1000 }, (_, i) => (i + 1).toString(16)));
    expect(Math.max(...searcher.read.map((lows) => lows.length))).toBeLessThanOrEqual(100);
  });

  test('reads no further when the client wants no more', async () => {
    const searcher = new FakeSearcher();
    for (let i = 1; i <= 1000; i++) searcher.add(i, i);
    const clock = { ...systemClock, nowMs: () => NOW_MS };
    const request = {
      annotationQuery: new Map(),
      endTsMs: NOW_MS,
      lookbackMs: HOUR_MS,
      limit: 1000,
    };
    const traces = new TraceSearch({ searcher, gate, strict: true, enabled: true, clock });
    for await (const spans of traces.search(request, 'default', signal)) {
      expect(spans).toHaveLength(1);
      break;
    }
    expect(searcher.read).toHaveLength(1);
  });
});

describe('TraceMany', () => {
  const many = (rawIds: string, strict = true): Promise<string[]> => {
    const searcher = new FakeSearcher();
    for (let i = 1; i <= 2000; i++) searcher.add(i, i);
    return idsOf(new TraceMany(searcher, gate, strict).find(rawIds, 'default', signal));
  };

  test('has the order of the ids and leaves out unknown ones', async () => {
    expect(await many('3,1,ffff,2')).toEqual(['3', '1', '2']);
  });

  test('when not strict two ids of one trace are one', async () => {
    const wide = '463ac35c9f6413ad0000000000000001';
    expect(await many(`2,${wide},1`, false)).toEqual(['2', '1']);
    expect(await many(`2,${wide}`)).toEqual(['2']);
  });

  test('takes a thousand ids', async () => {
    const ids = Array.from({ length: 1000 }, (_, i) => (i + 1).toString(16));
    expect(await many(ids.join(','))).toEqual(ids);
    const rest = '1000,1001 should be lower-hex encoded with no prefix';
    const decimal = Array.from({ length: 1001 }, (_, i) => String(i + 1));
    await expect(many(decimal.join(','))).rejects.toThrow(rest);
  });

  test.each([
    ['', 'traceIds parameter is empty'],
    ['1', 'Use /api/v2/trace/{traceId} endpoint to retrieve a single trace'],
    ['1,1', 'redundant traceId: 1'],
    ['1,0001', 'redundant traceId: 0001'],
    ['1,', 'traceId is empty'],
    [',', 'traceId is empty'],
    ['1,x', 'x should be lower-hex encoded with no prefix'],
    ['1,0', 'traceId is all zeros'],
    ['1,1,x', 'redundant traceId: 1'],
  ])('refuses "%s": %s', async (rawIds, message) => {
    await expect(many(rawIds)).rejects.toThrow(message);
  });
});
