/** The cases of Zipkin's QueryRequestTest that are about matching and the annotation query. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Span } from '../../../src/model/span.ts';
import {
  matches,
  parseAnnotationQuery,
  traceTimestampUs,
} from '../../../src/query/search-match.ts';
import type { SearchRequest } from '../../../src/query/search-match.ts';

const TODAY = 1_700_000_000_000;
const DAY = 86_400_000;

const span: Span = {
  traceId: '0000000000000010',
  id: '0000000000000010',
  name: 'receive',
  kind: 'CONSUMER',
  localEndpoint: { serviceName: 'app' },
  timestamp: TODAY * 1000,
};

const { timestamp: _timestamp, ...untimed } = span;
const child = (id: string, base: Span): Span => ({ ...base, id, parentId: span.id });

function search(more: Partial<SearchRequest> = {}, annotationQuery = ''): SearchRequest {
  return {
    annotationQuery: parseAnnotationQuery(annotationQuery),
    endTsMs: TODAY,
    lookbackMs: 60,
    limit: 10,
    ...more,
  };
}

describe('parseAnnotationQuery', () => {
  test.each<[string, Record<string, string>]>([
    ['', {}],
    ['http.method=GET and error', { 'http.method': 'GET', error: '' }],
    ['http.method=', { 'http.method': '' }],
    ['fo and o and bar and http.path = /a ', { fo: '', o: '', bar: '', 'http.path': '/a' }],
    [' http.path = /a   and fo and o   and bar', { 'http.path': '/a', fo: '', o: '', bar: '' }],
    ['L O L', { 'L O L': '' }],
    ['L O L and http.path = /a', { 'L O L': '', 'http.path': '/a' }],
    [
      'bar =123 and L O L and http.path = /a and A B C',
      { bar: '123', 'L O L': '', 'http.path': '/a', 'A B C': '' },
    ],
    ['a=123 and a', { a: '123' }],
    ['a and a=123', { a: '123' }],
    ['a=123 and a=456', { a: '456' }],
    ['a and a=123 and a=456', { a: '456' }],
    ['a=1 and a=', { a: '' }],
    ['a=b=c', { a: 'b=c' }],
    ['=x', { '': 'x' }],
    ['foo and ', { foo: '', '': '' }],
    [' and foo', { '': '', foo: '' }],
    ['a AND b or c', { 'a AND b or c': '' }],
    ['a and and b', { a: '', 'and b': '' }],
    ['\u0000\t a\u0001', { a: '' }],
    ['\u00a0a', { '\u00a0a': '' }],
  ])('%j', (text, expected) => {
    expect(Object.fromEntries(parseAnnotationQuery(text))).toEqual(expected);
  });

  test('the 100th part keeps the rest', () => {
    const parts = Array.from({ length: 103 }, (_, i) => `k${i}`);
    const keys = [...parseAnnotationQuery(parts.join(' and ')).keys()];
    expect(keys).toEqual([...parts.slice(0, 99), parts.slice(99).join(' and ')]);
    expect(parseAnnotationQuery(parts.slice(0, 100).join(' and ')).size).toBe(100);
  });
});

describe('traceTimestampUs', () => {
  test.each<[string, Span[], number | bigint | undefined]>([
    ['no spans', [], undefined],
    ['none has one', [untimed], undefined],
    ['the root, wherever it is', [{ ...child('2', span), timestamp: 1 }, span], TODAY * 1000],
    ['the first root', [{ ...span, timestamp: 5 }, span], 5],
    ['a root without one', [untimed, { ...child('2', span), timestamp: 7 }], 7],
    [
      'no root: the least',
      [
        { ...child('2', span), timestamp: 9_007_199_254_740_993n },
        { ...child('3', span), timestamp: 4 },
        { ...child('4', span), timestamp: 6 },
      ],
      4,
    ],
  ])('%s', (_name, spans, expected) => {
    expect(traceTimestampUs(spans)).toBe(expected);
  });
});

describe('matches', () => {
  test('the time of the trace', () => {
    expect(matches([span], search())).toBe(true);
    expect(matches([child('2', untimed), span], search())).toBe(true);
    const late = { ...child('2', span), timestamp: (TODAY + DAY) * 1000 };
    expect(matches([late, child('3', span)], search())).toBe(true);
    expect(matches([late], search())).toBe(false);
    expect(matches([untimed], search())).toBe(false);
    expect(matches([], search())).toBe(false);
  });

  test('both ends of the window belong to it, by the microsecond', () => {
    const at = (timestamp: number): boolean => matches([{ ...span, timestamp }], search());
    expect(at(TODAY * 1000)).toBe(true);
    expect(at(TODAY * 1000 + 1)).toBe(false);
    expect(at((TODAY - 60) * 1000)).toBe(true);
    expect(at((TODAY - 60) * 1000 - 1)).toBe(false);
    expect(matches([span], search({ endTsMs: TODAY + 70 }))).toBe(false);
    const endless = search({ endTsMs: Number.MAX_SAFE_INTEGER, lookbackMs: Number.MAX_VALUE });
    expect(matches([{ ...span, timestamp: 9_223_372_036_854_775n }], endless)).toBe(true);
  });

  test('names', () => {
    expect(matches([span], search({ serviceName: 'app' }))).toBe(true);
    expect(matches([span], search({ serviceName: 'aloha' }))).toBe(false);
    expect(matches([span], search({ spanName: 'aloha' }))).toBe(false);
    expect(matches([{ ...span, name: 'aloha' }], search({ spanName: 'aloha' }))).toBe(true);
    const db = search({ remoteServiceName: 'db' });
    expect(matches([span], db)).toBe(false);
    expect(matches([{ ...span, remoteEndpoint: { serviceName: 'db' } }], db)).toBe(true);
  });

  test('duration', () => {
    const lasts = (duration: number | bigint, more: Partial<SearchRequest>): boolean =>
      matches([{ ...span, duration }], search(more));
    expect(lasts(99, { minDurationUs: 100 })).toBe(false);
    expect(lasts(100, { minDurationUs: 100 })).toBe(true);
    expect(lasts(9_223_372_036_854_775_807n, { minDurationUs: 100 })).toBe(true);
    const range = { minDurationUs: 100, maxDurationUs: 110 };
    expect(lasts(99, range)).toBe(false);
    expect(lasts(100, range)).toBe(true);
    expect(lasts(110, range)).toBe(true);
    expect(lasts(111, range)).toBe(false);
    expect(matches([span], search(range))).toBe(false);
  });

  const note = (value: string) => ({ timestamp: TODAY * 1000, value });
  const baz = new Map([['baz', 'qux']]);
  const foo = { ...span, annotations: [note('foo')] };
  const barAndFoo = { ...span, annotations: [note('bar'), note('foo')] };
  const fooAndBaz = { ...foo, tags: baz };
  const all = { ...barAndFoo, tags: baz };

  test.each([
    ['baz', [false, false, true, true]],
    ['foo', [true, true, true, true]],
    ['foo and bar', [false, true, false, true]],
    ['foo and bar and baz=qux', [false, false, false, true]],
    ['baz=quz', [false, false, false, false]],
    ['BAZ', [false, false, false, false]],
    ['foo=bar', [false, false, false, false]],
    ['foo and ', [false, false, false, false]],
    ['qux', [false, false, false, false]],
  ])('annotation query %j', (text, expected) => {
    const found = [foo, barAndFoo, fooAndBaz, all].map((one) => matches([one], search({}, text)));
    expect(found).toEqual(expected);
  });

  test('criteria may be met by different spans, but of the service asked for', () => {
    const request = search({ serviceName: 'app', spanName: 'get', minDurationUs: 5 }, 'baz');
    const get: Span = { ...child('2', span), name: 'get' };
    const long: Span = { ...child('3', span), duration: 5, tags: baz };
    const other = (one: Span): Span => ({ ...one, localEndpoint: { serviceName: 'other' } });
    expect(matches([span, get, long], request)).toBe(true);
    expect(matches([span, get, other(long)], request)).toBe(false);
    expect(matches([span, other(get), long], request)).toBe(false);
  });
});

function startsInWindow(spans: readonly Span[], { endTsMs, lookbackMs }: SearchRequest): boolean {
  const timed = spans.filter(({ timestamp }) => timestamp !== undefined);
  const root = timed.find(({ parentId }) => parentId === undefined);
  const startMs = Math.min(...(root ? [root] : timed).map((one) => Number(one.timestamp))) / 1000;
  return timed.length > 0 && startMs <= endTsMs && startMs >= endTsMs - lookbackMs;
}

function wordsMetBy({ annotations = [], tags = new Map() }: Span, query: SearchRequest): string[] {
  const wanted = query.annotationQuery;
  return [
    ...annotations.filter(({ value }) => wanted.get(value) === '').map(({ value }) => value),
    ...[...tags]
      .filter(([key, value]) => ['', value].includes(wanted.get(key) ?? 'no'))
      .map(([key]) => key),
  ].map((key) => `?${key}`);
}

/** What the span meets of a search without service. */
function metBy(one: Span, request: SearchRequest): string[] {
  const { minDurationUs = 0, maxDurationUs = Infinity } = request;
  const met = ['service', ...wordsMetBy(one, request)];
  if (one.remoteEndpoint?.serviceName === request.remoteServiceName) met.push('remote');
  if (one.name === request.spanName) met.push('name');
  const { duration = 0 } = one;
  if (duration >= minDurationUs && duration <= maxDurationUs) met.push('duration');
  return met;
}

/** The walk of the contract (section 3.3): each span of the service strikes off what it meets. */
function walk(spans: readonly Span[], request: SearchRequest): boolean {
  const { serviceName, remoteServiceName, spanName, minDurationUs } = request;
  const left = new Set<string>([...request.annotationQuery.keys()].map((key) => `?${key}`));
  if (serviceName !== undefined) left.add('service');
  if (remoteServiceName !== undefined) left.add('remote');
  if (spanName !== undefined) left.add('name');
  if (minDurationUs !== undefined) left.add('duration');
  for (const one of spans) {
    if (serviceName !== undefined && one.localEndpoint?.serviceName !== serviceName) continue;
    for (const met of metBy(one, request)) left.delete(met);
  }
  return startsInWindow(spans, request) && left.size === 0;
}

const word = fc.constantFrom('a', 'b');
const anySpan: fc.Arbitrary<Span> = fc.record(
  {
    traceId: fc.constant('0000000000000001'),
    id: fc.constantFrom('0000000000000001', '0000000000000002'),
    parentId: fc.constant('0000000000000003'),
    name: word,
    timestamp: fc.integer({ min: 1000, max: 4000 }),
    duration: fc.integer({ min: 1, max: 6 }),
    localEndpoint: fc.record({ serviceName: word }, { requiredKeys: [] }),
    remoteEndpoint: fc.record({ serviceName: word }, { requiredKeys: [] }),
    annotations: fc.array(fc.record({ timestamp: fc.constant(1), value: word }), { maxLength: 2 }),
    tags: fc.array(fc.tuple(word, word), { maxLength: 2 }).map((entries) => new Map(entries)),
  },
  { requiredKeys: ['traceId', 'id'] },
);

const anyRequest: fc.Arbitrary<SearchRequest> = fc
  .record(
    {
      serviceName: word,
      remoteServiceName: word,
      spanName: word,
      minDurationUs: fc.integer({ min: 1, max: 6 }),
      maxDurationUs: fc.integer({ min: 1, max: 6 }),
      annotationQuery: fc
        .constantFrom('', '', 'a', 'b', 'a and b', 'a=b', 'a=a and b', 'b=a', '=a', 'a and ')
        .map(parseAnnotationQuery),
      endTsMs: fc.integer({ min: 1, max: 5 }),
      lookbackMs: fc.integer({ min: 1, max: 5 }),
      limit: fc.constant(1),
    },
    { requiredKeys: ['annotationQuery', 'endTsMs', 'lookbackMs', 'limit'] },
  )
  .map(({ maxDurationUs, ...request }) => {
    if (request.minDurationUs === undefined || maxDurationUs === undefined) return request;
    return Object.assign(request, { maxDurationUs: maxDurationUs + request.minDurationUs });
  });

test('any trace and any request', () => {
  let found = 0;
  fc.assert(
    fc.property(fc.array(anySpan, { maxLength: 8 }), anyRequest, (spans, request) => {
      const answer = matches(spans, request);
      if (answer) found++;
      expect(answer).toBe(walk(spans, request));
    }),
    { numRuns: 5000 },
  );
  expect(found).toBeGreaterThan(200);
});
