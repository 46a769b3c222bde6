/** The cases of Zipkin's TraceTest and SpanTest.merge, and the order of pieces. */
import { describe, expect, test } from 'vitest';
import type { Endpoint, Span } from '../../../src/model/span.ts';
import { linkSpanOf, mergeLinkSpans, mergeTrace } from '../../../src/query/trace-merge.ts';

const TRACE = '000000000000000a';
const A = '000000000000000a';
const B = '000000000000000b';
const C = '000000000000000c';

const span = (id: string, more: Partial<Span> = {}): Span => ({ traceId: TRACE, id, ...more });
const at = (serviceName: string, ipv4?: string): Endpoint =>
  ipv4 === undefined ? { serviceName } : { serviceName, ipv4 };

const root = span(A, { kind: 'SERVER', localEndpoint: { serviceName: 'frontend' } });
const client = span(B, {
  parentId: A,
  kind: 'CLIENT',
  localEndpoint: { serviceName: 'frontend' },
});
const server = span(B, {
  parentId: A,
  kind: 'SERVER',
  localEndpoint: { serviceName: 'backend' },
  shared: true,
});

describe('mergeTrace', () => {
  test('no span and one span are left as they are', () => {
    expect(mergeTrace([])).toEqual([]);
    const only = span(B, { traceId: '1'.repeat(32) });
    expect(mergeTrace([only])).toEqual([only]);
  });

  test('orders by id, clients before servers, and keeps spans that need no change', () => {
    const given = [server, client, root];
    const merged = mergeTrace(given);
    expect(merged).toEqual([root, client, server]);
    expect(merged[0]).toBe(root);
    expect(given).toEqual([server, client, root]);
  });

  test('gives a server the parent that was not propagated', () => {
    const { parentId, ...orphan } = server;
    expect(parentId).toBe(A);
    expect(mergeTrace([root, client, orphan])).toEqual([root, client, server]);
  });

  test('gives a server the shared flag that was forgotten', () => {
    const { shared, ...unmarked } = server;
    expect(shared).toBe(true);
    expect(mergeTrace([unmarked, root, client])).toEqual([root, client, server]);
    const other = span(B, { ...unmarked, kind: 'CONSUMER' });
    expect(mergeTrace([other, client])).toEqual([client, other]);
    const rival = span(B, { ...unmarked, localEndpoint: at('other') });
    expect(mergeTrace([rival, unmarked]), 'no client').toEqual([unmarked, rival]);
    expect(mergeTrace([rival, unmarked, client]), 'one server').toEqual([client, server, rival]);
  });

  test.each([
    ['the first of 128 bits', ['1', '2'.repeat(32), '3'.repeat(32)], '2'.repeat(32)],
    ['none of 128 bits: nothing to change', ['1', '2', '3'], undefined],
  ])('trace id: %s', (_name, ids, expected) => {
    const spans = ids.map((id, i) => span([A, B, C][i]!, { traceId: id.padStart(16, '0') }));
    const wanted = spans.map(({ traceId }) => {
      if (expected === undefined || traceId.length === 32) return traceId;
      return expected;
    });
    expect(mergeTrace(spans).map(({ traceId }) => traceId)).toEqual(wanted);
  });

  test('joins pieces without endpoint', () => {
    const tags = new Map([['service', 'frontend']]);
    const first = span(B, { parentId: A, tags, timestamp: 1 });
    const late = span(B, { parentId: A, duration: 10 });
    expect(mergeTrace([first, server, late])).toEqual([
      span(B, { parentId: A, tags, timestamp: 1, duration: 10 }),
      server,
    ]);
  });

  test('two servers that answer one client stay apart', () => {
    const one = { ...server, localEndpoint: at('backend', '1.2.3.4') };
    const two = { ...server, localEndpoint: at('backend', '1.2.3.5') };
    const late = { ...client, duration: 10 };
    expect(mergeTrace([two, client, one, late])).toEqual([late, one, two]);
  });

  test('data without kind and endpoint goes to the first span of the id', () => {
    const bare = span(B, { kind: 'CLIENT', parentId: A });
    const named = span(B, { localEndpoint: { serviceName: 'frontend' }, timestamp: 1 });
    const late = span(B, { duration: 10 });
    expect(mergeTrace([late, named, bare])).toEqual([{ ...client, timestamp: 1, duration: 10 }]);
  });

  test('joins the parts of an endpoint', () => {
    const parts: Span[] = [
      span(B, { kind: 'CLIENT', localEndpoint: { ipv4: '1.2.3.4' } }),
      span(B, { kind: 'CLIENT', localEndpoint: { serviceName: 'frontend' } }),
      span(B, { kind: 'CLIENT', localEndpoint: { ipv6: '::1', port: 80 } }),
      span(B, { kind: 'CLIENT', remoteEndpoint: { serviceName: 'db' } }),
      span(B, { kind: 'CLIENT', remoteEndpoint: { serviceName: 'other', port: 1 } }),
    ];
    expect(mergeTrace(parts)).toEqual([
      span(B, {
        kind: 'CLIENT',
        localEndpoint: { serviceName: 'frontend', ipv4: '1.2.3.4', ipv6: '::1', port: 80 },
        remoteEndpoint: { serviceName: 'db', port: 1 },
      }),
    ]);
  });

  test.each([
    ['service', { serviceName: 'a' }, { serviceName: 'b' }],
    ['IPv4', { ipv4: '1.2.3.4' }, { ipv4: '1.2.3.5' }],
    ['IPv6', { ipv6: '2001:db8::1' }, { ipv6: '2001:db8::2' }],
    ['port', { port: 80 }, { port: 81 }],
  ])('another %s is another span', (_name, one, two) => {
    const spans = [span(B, { localEndpoint: one }), span(B, { localEndpoint: two })];
    expect(mergeTrace(spans)).toEqual(spans);
  });

  test('endpoints: absent first, then by service, IPv4, IPv6, absent parts last', () => {
    const endpoints: Endpoint[] = [
      { serviceName: 'a', ipv4: '1.2.3.4', port: 1 },
      { serviceName: 'a', ipv4: '1.2.3.5', port: 2 },
      { serviceName: 'a', ipv6: '2001:db8::1', port: 3 },
      { serviceName: 'a', port: 4 },
      { serviceName: 'b', port: 5 },
      { ipv4: '1.1.1.1', port: 6 },
    ];
    const spans = endpoints.map((localEndpoint) => span(B, { localEndpoint }));
    expect(mergeTrace(spans.toReversed())).toEqual(spans);
    const bare = span(B, { name: 'bare' });
    expect(mergeTrace([...spans.toReversed(), bare])[0]).toEqual({ ...spans[0], name: 'bare' });
  });

  test('the first piece wins, but for tags; annotations are joined, flags too', () => {
    const first = span(B, {
      name: 'get',
      timestamp: 2,
      annotations: [{ timestamp: 2, value: 'b' }],
      tags: new Map([
        ['b', '1'],
        ['c', '1'],
      ]),
    });
    const second = span(B, {
      parentId: A,
      name: 'post',
      timestamp: 1,
      duration: 9_223_372_036_854_775_807n,
      debug: true,
      annotations: [
        { timestamp: 1, value: 'z' },
        { timestamp: 2, value: 'a' },
        { timestamp: 2, value: 'b' },
      ],
      tags: new Map([
        ['a', '2'],
        ['b', '2'],
      ]),
    });
    const [merged, ...rest] = mergeTrace([first, second]);
    expect(rest).toEqual([]);
    expect(merged).toEqual({
      ...second,
      name: 'get',
      timestamp: 2,
      tags: new Map([
        ['a', '2'],
        ['b', '2'],
        ['c', '1'],
      ]),
    });
    expect([...merged!.tags!.keys()]).toEqual(['a', 'b', 'c']);
    expect(first.tags!.get('b')).toBe('1');
  });
});

test('the narrow form keeps what links need', () => {
  const whole: Span = {
    ...server,
    timestamp: 5,
    localEndpoint: { serviceName: 'a', ipv4: '1.2.3.4', ipv6: '::1', port: 80 },
    remoteEndpoint: { serviceName: 'b' },
    tags: new Map([['error', 'false']]),
  };
  expect(linkSpanOf(whole)).toEqual({
    id: B,
    parentId: A,
    kind: 'SERVER',
    shared: true,
    timestamp: 5,
    localService: 'a',
    localIpv4: '1.2.3.4',
    localIpv6: '::1',
    localPort: 80,
    remoteService: 'b',
    error: true,
    source: whole,
  });
  const annotated = span(B, { annotations: [{ timestamp: 1, value: 'error' }] });
  expect(linkSpanOf(annotated)).toMatchObject({ error: false, shared: false });
  expect(mergeLinkSpans([linkSpanOf(whole)])).toHaveLength(1);
});
