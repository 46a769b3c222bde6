/** What Zipkin 3.6.1 answered for the traces of its DependencyLinkerTest, and each rule alone. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { DependencyLink } from '../../../src/model/dependency-link.ts';
import type { Annotation, Endpoint, Span, SpanKind } from '../../../src/model/span.ts';
import { DependencyLinker, mergeLinks } from '../../../src/query/dependency-linker.ts';
import { linkSpanOf, mergeTrace } from '../../../src/query/trace-merge.ts';
import type { LinkSpan } from '../../../src/query/trace-merge.ts';

interface RawSpan {
  traceId: string;
  id: string;
  parentId?: string;
  kind?: SpanKind;
  localEndpoint?: Endpoint;
  remoteEndpoint?: Endpoint;
  annotations?: Annotation[];
  tags?: Record<string, string>;
  shared?: true;
}

interface Recorded {
  name: string;
  spans: RawSpan[];
  links: DependencyLink[];
  merged: RawSpan[];
}

const FIXTURE = new URL('../../fixtures/linker.json', import.meta.url);
const recorded = JSON.parse(readFileSync(FIXTURE, 'utf8')) as Recorded[];

/** As the decoder would leave it. */
function normalized({ traceId, id, parentId, tags, ...rest }: RawSpan): Span {
  const span: Span = {
    ...rest,
    traceId: traceId.padStart(traceId.length > 16 ? 32 : 16, '0'),
    id: id.padStart(16, '0'),
  };
  if (parentId !== undefined && parentId !== id) span.parentId = parentId.padStart(16, '0');
  if (tags !== undefined) span.tags = new Map(Object.entries(tags));
  return span;
}

const linksOf = (spans: readonly LinkSpan[]): DependencyLink[] =>
  new DependencyLinker().putTrace(spans).link();

describe('recorded', () => {
  test('all of them', () => expect(recorded).toHaveLength(41));

  test.each(recorded)('$name', ({ spans, links, merged }) => {
    const whole = spans.map((span) => normalized(span));
    expect(mergeTrace(whole)).toEqual(merged.map((span) => normalized(span)));
    expect(linksOf(whole.map((span) => linkSpanOf(span)))).toStrictEqual(links);
    const ownTurn = mergeTrace(whole).map((span) => linkSpanOf(span));
    expect(linksOf(ownTurn), 'merging twice').toStrictEqual(links);
  });
});

type Rest = Partial<LinkSpan>;

const row = (id: string, parentId: string | undefined, kind: SpanKind | undefined, rest: Rest) => ({
  id,
  parentId,
  kind,
  error: false,
  ...rest,
});

const from = (localService: string | undefined, remoteService?: string): Rest => ({
  localService,
  remoteService,
});

/** `parent>child calls/errors` */
const said = (spans: readonly LinkSpan[]): string[] =>
  linksOf(spans).map(
    ({ parent, child, callCount, errorCount = 0 }) =>
      `${parent}>${child} ${callCount}/${errorCount}`,
  );

const failed = { error: true };

describe('rules', () => {
  test.each<[string, LinkSpan[], string[]]>([
    ['no spans', [], []],
    [
      'a client with children leaves the call to the server',
      [
        row('1', undefined, 'CLIENT', from('web', 'wrong')),
        row('2', '1', 'SERVER', from('app', 'wrong')),
      ],
      ['web>app 1/0'],
    ],
    ['no kind, one side', [row('1', undefined, undefined, from('web'))], []],
    ['no kind, both sides', [row('1', undefined, undefined, from('web', 'db'))], ['web>db 1/0']],
    [
      'no kind with children is no client that leaves it to the server',
      [
        row('1', undefined, undefined, from('web', 'db')),
        row('2', '1', undefined, from('web', 'db')),
      ],
      ['web>db 2/0'],
    ],
    ['a root server of unknown client', [row('1', undefined, 'SERVER', from('web'))], []],
    ['a root server', [row('1', undefined, 'SERVER', from('web', 'app'))], ['app>web 1/0']],
    ['a root server without name', [row('1', undefined, 'SERVER', from(undefined, 'app'))], []],
    [
      'the tree beats the name that the server has for its client',
      [
        row('1', undefined, 'SERVER', from('web', 'browser')),
        row('2', '1', 'SERVER', from('app', 'proxy')),
      ],
      ['browser>web 1/0', 'web>app 1/0'],
    ],
    [
      'an ancestor without name leaves it at that name',
      [
        row('1', undefined, 'CLIENT', from(undefined)),
        row('2', '1', 'SERVER', from('app', 'proxy')),
      ],
      ['proxy>app 1/0'],
    ],
    [
      'the nearest ancestor with a kind, not with a name',
      [
        row('1', undefined, 'SERVER', from('web', 'browser')),
        row('2', '1', 'CLIENT', from(undefined)),
        row('3', '2', undefined, from('local')),
        row('4', '3', 'SERVER', from('app')),
      ],
      ['browser>web 1/0'],
    ],
    [
      'local spans in between',
      [
        row('1', undefined, 'SERVER', from('web', 'browser')),
        row('2', '1', undefined, from('local')),
        row('3', '2', undefined, from('local')),
        row('4', '3', 'CLIENT', from('web', 'db')),
      ],
      ['browser>web 1/0', 'web>db 1/0'],
    ],
    [
      'a client of another name than its ancestor: the call between them is told',
      [
        row('1', undefined, 'SERVER', from('web', 'browser')),
        row('2', '1', 'CLIENT', { ...from('app', 'db'), ...failed }),
      ],
      ['browser>web 1/0', 'web>app 1/0', 'app>db 1/1'],
    ],
    [
      'a client without name has that of its ancestor',
      [
        row('1', undefined, 'SERVER', from('web', 'browser')),
        row('2', '1', 'CLIENT', from(undefined, 'db')),
      ],
      ['browser>web 1/0', 'web>db 1/0'],
    ],
    [
      'errors of the client count when the server has its own id',
      [
        row('1', undefined, 'CLIENT', { ...from('web'), ...failed }),
        row('2', '1', 'SERVER', from('app')),
      ],
      ['web>app 1/1'],
    ],
    [
      'not when it shares the id',
      [
        row('1', undefined, 'CLIENT', { ...from('web'), ...failed }),
        row('1', undefined, 'SERVER', { ...from('app'), shared: true }),
      ],
      ['web>app 1/0'],
    ],
    [
      'not over a local span',
      [
        row('1', undefined, 'CLIENT', { ...from('web'), ...failed }),
        row('2', '1', undefined, from('web')),
        row('3', '2', 'SERVER', from('app')),
      ],
      ['web>app 1/0'],
    ],
    [
      'messaging: both names, no ancestors',
      [
        row('1', undefined, 'PRODUCER', { ...from('shop', 'kafka'), ...failed }),
        row('2', '1', 'CONSUMER', from('mail', 'kafka')),
        row('3', '1', 'CONSUMER', from('stock')),
      ],
      ['shop>kafka 1/1', 'kafka>mail 1/0'],
    ],
    [
      'a producer with children still tells its link',
      [
        row('1', undefined, 'PRODUCER', from('shop', 'kafka')),
        row('2', '1', 'SERVER', from('app')),
      ],
      ['shop>kafka 1/0', 'shop>app 1/0'],
    ],
    ['loopback', [row('1', undefined, 'CLIENT', from('web', 'web'))], ['web>web 1/0']],
    [
      'without a root',
      [row('1', '0', 'SERVER', from('web', 'app')), row('2', '0', 'SERVER', from('app'))],
      ['app>web 1/0'],
    ],
  ])('%s', (_name, spans, expected) => {
    expect(said(spans)).toEqual(expected);
    expect(said(spans.toReversed())).toEqual(expected);
  });

  test('links of many traces are summed in the order of their first', () => {
    const linker = new DependencyLinker()
      .putTrace([row('1', undefined, 'CLIENT', from('b', 'c'))])
      .putTrace([row('1', undefined, 'CLIENT', from('a', 'b'))])
      .putTrace([row('1', undefined, 'CLIENT', { ...from('b', 'c'), ...failed })]);
    const links = [
      { parent: 'b', child: 'c', callCount: 2, errorCount: 1 },
      { parent: 'a', child: 'b', callCount: 1 },
    ];
    expect(linker.link()).toStrictEqual(links);
    expect(linker.link()).toStrictEqual(links);
  });
});

test('mergeLinks sums by pair', () => {
  const links = [
    { parent: 'foo', child: 'bar', callCount: 2, errorCount: 1 },
    { parent: 'foo', child: 'foo', callCount: 1 },
    { parent: 'foo', child: 'bar', callCount: 2, errorCount: 2 },
  ];
  expect(mergeLinks(links)).toStrictEqual([
    { parent: 'foo', child: 'bar', callCount: 4, errorCount: 3 },
    { parent: 'foo', child: 'foo', callCount: 1 },
  ]);
  expect(mergeLinks([])).toEqual([]);
});
