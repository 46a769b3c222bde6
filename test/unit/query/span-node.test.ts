/** The cases of Zipkin's SpanNodeTest. */
import { describe, expect, test } from 'vitest';
import type { Span } from '../../../src/model/span.ts';
import { breadthFirst, buildSpanTree } from '../../../src/query/span-node.ts';
import { linkSpanOf, mergeTrace } from '../../../src/query/trace-merge.ts';

const id = (short: string): string => short.padStart(16, '0');

function span(short: string, parent?: string, more: Partial<Span> = {}): Span {
  const made: Span = { traceId: id('a'), id: id(short), ...more };
  if (parent !== undefined) made.parentId = id(parent);
  return made;
}

const tree = (spans: readonly Span[]) =>
  buildSpanTree(mergeTrace(spans.toReversed()).map((one) => linkSpanOf(one)));

const reached = (spans: readonly Span[]): Span[] =>
  breadthFirst(tree(spans)).map((node) => node.span!.source);

/** The digit of the id, s for shared, the service. */
function nameOf(one: Span | undefined): string {
  if (one === undefined) return '-';
  const mark = one.shared === true ? 's' : '';
  return `${one.id.slice(-1)}${mark}${one.localEndpoint?.serviceName ?? ''}`;
}

/** `child<parent` of every node in breadth-first order. */
const shape = (spans: readonly Span[]): string[] =>
  breadthFirst(tree(spans)).map(
    ({ span: own, parent }) => `${nameOf(own?.source)}<${nameOf(parent?.span?.source)}`,
  );

const shared = { shared: true } as const;
const on = (serviceName: string): Partial<Span> => ({ localEndpoint: { serviceName } });

describe('buildSpanTree', () => {
  test('breadth first', () => {
    const spans = [
      span('1'),
      ...['2', '3', '4'].map((one) => span(one, '1')),
      ...['5', '6', '7'].map((one) => span(one, '2')),
      span('8', '7'),
    ];
    expect(reached(spans)).toEqual(spans);
  });

  test.each([
    ['by parent', [span('a'), span('b', 'a'), span('c', 'b')], ['a<-', 'b<a', 'c<b']],
    [
      'a shared id: the server is below its client, its children below it',
      [span('a'), span('b', 'a'), span('b', 'a', shared), span('c', 'b')],
      ['a<-', 'b<a', 'bs<b', 'c<bs'],
    ],
    [
      'a shared id at the root',
      [span('a'), span('a', undefined, shared), span('b', 'a'), span('c', 'b')],
      ['a<-', 'as<a', 'b<as', 'c<b'],
    ],
    [
      'children of two servers with one id, by endpoint',
      [
        span('a'),
        span('b', 'a'),
        span('b', 'a', { ...shared, ...on('foo') }),
        span('b', 'a', { ...shared, ...on('bar') }),
        span('c', 'b', on('bar')),
        span('d', 'b', on('foo')),
        span('e', 'b', on('baz')),
      ],
      ['a<-', 'b<a', 'bsbar<b', 'bsfoo<b', 'ebaz<b', 'cbar<bsbar', 'dfoo<bsfoo'],
    ],
    [
      'only one of the servers is shared',
      [
        span('a'),
        span('b', 'a'),
        span('c', 'b', on('foo')),
        span('b', 'a', { ...shared, ...on('bar') }),
        span('d', 'b', on('bar')),
        span('e', 'c', on('foo')),
      ],
      ['a<-', 'b<a', 'bsbar<b', 'cfoo<b', 'dbar<bsbar', 'efoo<cfoo'],
    ],
    ['duplicates', [span('a'), span('a'), span('a')], ['a<-']],
    ['two roots: the first by id is the root', [span('a'), span('b')], ['a<-', 'b<a']],
    [
      'no child left behind',
      [span('b'), span('c', 'b'), span('d', 'b'), span('e'), span('f', '9')],
      ['b<-', 'c<b', 'd<b', 'e<b', 'f<b'],
    ],
    ['without a root', [span('b', 'a'), span('c', 'a'), span('d', 'c')], ['b<-', 'c<-', 'd<c']],
    ['a shared span without its client', [span('b', 'a', shared)], ['bs<-']],
    ['a cycle is in no tree', [span('a', 'b'), span('b', 'a')], []],
    ['a cycle beside a root', [span('c'), span('a', 'b'), span('b', 'a')], ['c<-']],
    [
      'of two spans in one place the last has it',
      [span('a'), span('b', 'a', on('x')), span('b', 'a', on('y')), span('c', 'b')],
      ['a<-', 'by<a', 'c<by'],
    ],
    [
      'another span with the id of the root takes the children along',
      [span('a', undefined, on('x')), span('a', undefined, on('y')), span('b', 'a')],
      ['ax<-'],
    ],
    [
      'but is found below a server',
      [
        span('a', undefined, on('x')),
        span('a', '9', on('y')),
        span('9', '8', { ...shared, ...on('y') }),
      ],
      ['ax<-', '9sy<ax', 'ay<9sy'],
    ],
  ])('%s', (_name, spans, expected) => {
    expect(shape(spans)).toEqual(expected);
  });

  test('no spans: a root without one', () => {
    expect(breadthFirst(buildSpanTree([]))).toEqual([]);
    expect(buildSpanTree([]).span).toBeUndefined();
  });

  test('children by timestamp, those without one first, numbers beyond 2^53 too', () => {
    const root = span('1');
    const children = [
      span('c', '1'),
      span('b', '1', { timestamp: 1 }),
      span('a', '1', { timestamp: 2 }),
      span('9', '1', { timestamp: 9_007_199_254_740_993n }),
      span('8', '1', { timestamp: 9_007_199_254_740_995n }),
    ];
    expect(reached([root, ...children])).toEqual([root, ...children]);
  });

  test('one service on changing addresses', () => {
    const local = (ipv4: string): Partial<Span> => ({
      localEndpoint: { serviceName: 'my-service', ipv4 },
    });
    const spans = [
      span('c', 'a', { kind: 'SERVER', timestamp: 1, ...shared, ...local('10.2.3.4') }),
      span('b', 'c', { kind: 'CLIENT', timestamp: 2, ...local('169.2.3.4') }),
      span('a', 'c', { timestamp: 3, ...local('10.2.3.4') }),
    ];
    expect(reached(spans)).toEqual(spans);
  });
});
