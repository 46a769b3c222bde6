/** Spans in any relation to each other, against the rules as plain statements. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { DependencyLink } from '../../../src/model/dependency-link.ts';
import type { Endpoint, Span } from '../../../src/model/span.ts';
import { DependencyLinker, mergeLinks } from '../../../src/query/dependency-linker.ts';
import { breadthFirst, buildSpanTree } from '../../../src/query/span-node.ts';
import { linkSpanOf, mergeTrace } from '../../../src/query/trace-merge.ts';
import type { LinkSpan, NarrowSpan } from '../../../src/query/trace-merge.ts';

const hex = (n: number): string => n.toString(16).padStart(16, '0');

const service = fc.constantFrom('a', 'b', 'c');
const anyEndpoint: fc.Arbitrary<Endpoint> = fc.record(
  {
    serviceName: service,
    ipv4: fc.constantFrom('1.2.3.4', '1.2.3.5'),
    port: fc.constantFrom(1, 2),
  },
  { requiredKeys: [] },
);

/** Few ids and names, so that all kinds of clashes come up. */
const anySpan: fc.Arbitrary<Span> = fc
  .record(
    {
      traceId: fc.constantFrom(hex(1), hex(1), hex(1), `${hex(7)}${hex(1)}`),
      id: fc.integer({ min: 1, max: 6 }).map(hex),
      parentId: fc.integer({ min: 1, max: 7 }).map(hex),
      kind: fc.constantFrom('CLIENT', 'SERVER', 'CLIENT', 'SERVER', 'PRODUCER', 'CONSUMER'),
      timestamp: fc.constantFrom<(number | bigint)[]>(1, 2, 9_007_199_254_740_993n),
      localEndpoint: anyEndpoint,
      remoteEndpoint: anyEndpoint,
      tags: fc.constantFrom(new Map([['error', '']]), new Map([['k', 'v']])),
      shared: fc.constant(true as const),
    },
    { requiredKeys: ['traceId', 'id'] },
  )
  .map(({ parentId, localEndpoint, shared, ...rest }) => {
    const span: Span = rest;
    if (parentId !== undefined && parentId !== rest.id) span.parentId = parentId;
    if (localEndpoint !== undefined && Object.keys(localEndpoint).length > 0)
      span.localEndpoint = localEndpoint;
    if (shared !== undefined && rest.kind !== 'CLIENT') span.shared = true;
    return span;
  });

const anyTrace = fc.array(anySpan, { maxLength: 14 });

const keyOf = ({ id, shared, localService, localIpv4, localPort }: LinkSpan): string =>
  shared === true ? JSON.stringify([id, localService, localIpv4, localPort]) : id;

/** The span above each span that has a place; the root's is undefined, as that of the headless. */
function parentsOf(spans: readonly NarrowSpan[]): Map<NarrowSpan, NarrowSpan | undefined> {
  const root = spans.find((span) => span.shared !== true && span.parentId === undefined);
  const others = spans.filter((span) => span !== root);
  const holders = new Map(others.map((span) => [keyOf(span), span]));
  const parents = new Map<NarrowSpan, NarrowSpan | undefined>();
  if (root !== undefined) parents.set(root, undefined);
  for (const [key, holder] of holders) {
    const ofRoot = root !== undefined && key === keyOf(root);
    const rivals = spans.filter((span) => keyOf(span) === key);
    const eligible = ofRoot ? rivals.slice(rivals.indexOf(root) + 1) : rivals;
    const serverKeys = eligible
      .filter((span) => span.shared !== true && span.parentId !== undefined)
      .map((span) => keyOf({ ...span, id: span.parentId!, shared: true }))
      .filter((server) => holders.has(server));
    const last = rivals.at(-1)!;
    const above = serverKeys.at(-1) ?? (last.shared === true ? last.id : last.parentId);
    if (ofRoot && serverKeys.length === 0) continue;
    parents.set(holder, (above === undefined ? undefined : holders.get(above)) ?? root);
  }
  return parents;
}

function climb<T>(start: T, parents: ReadonlyMap<T, T | undefined>): T[] | undefined {
  const path: T[] = [];
  for (let at = parents.get(start); at !== undefined; at = parents.get(at)) {
    if (path.includes(at) || at === start || !parents.has(at)) return undefined;
    path.push(at);
  }
  return path;
}

/** Rule 6 of the contract (section 3.10): the ancestor's say on a call. */
function withAncestor(span: LinkSpan, call: Call, ancestor: LinkSpan): Call[] {
  const { localService: A, kind, id, error } = ancestor;
  if (A === undefined) return [call];
  const L = span.localService;
  const isClient = span.kind !== 'SERVER';
  const missing = isClient && L !== undefined && L !== A; // 6a
  const parent = isClient ? (call.parent ?? A) : A; // 6b
  const failed = call.error || (kind === 'CLIENT' && span.parentId === id && error); // 6c
  const own = { ...call, parent, error: failed };
  return missing ? [{ parent: A, child: L, error: false }, own] : [own];
}

interface Call {
  parent: string | undefined;
  child: string | undefined;
  error: boolean;
}

/** The calls that one span tells of, by the numbers of the contract. */
function callsOf(
  span: LinkSpan,
  above: readonly LinkSpan[],
  { isRoot, isLeaf }: { isRoot: boolean; isLeaf: boolean },
): Call[] {
  const { localService: L, remoteService: R, kind, error } = span;
  const incoming = kind === 'SERVER' || kind === 'CONSUMER';
  if (kind === 'CLIENT' && !isLeaf) return []; // 1
  if (kind === undefined && (L === undefined || R === undefined)) return []; // 2
  if (incoming && isRoot && R === undefined) return []; // 3
  const call = incoming ? { parent: R, child: L, error } : { parent: L, child: R, error }; // 4
  const ancestor = above.find((one) => one.kind !== undefined);
  if (kind === 'PRODUCER' || kind === 'CONSUMER' || ancestor === undefined) return [call]; // 5
  return withAncestor(span, call, ancestor);
}

/** Rule 7: only between known names. */
const linkOf = ({ parent, child, error }: Call): DependencyLink[] =>
  parent === undefined || child === undefined
    ? []
    : [{ parent, child, callCount: 1, errorCount: error ? 1 : 0 }];

function treeOf(spans: readonly Span[]) {
  const merged = mergeTrace(spans).map((span) => linkSpanOf(span));
  const top = buildSpanTree(merged);
  return { merged, top, nodes: breadthFirst(top) };
}

describe('any spans', () => {
  test('each node is where its span belongs, and none is missing', () => {
    fc.assert(
      fc.property(anyTrace, (spans) => {
        const { merged, nodes } = treeOf(spans);
        const parents = parentsOf(merged);
        const reachable = [...parents.keys()].filter((span) => climb(span, parents) !== undefined);
        const placed = new Map(nodes.map((node) => [node.span!, node.parent?.span]));
        expect(placed.size).toBe(nodes.length);
        expect(new Set(placed.keys())).toEqual(new Set(reachable));
        for (const [span, parent] of placed) expect(parent).toBe(parents.get(span));
        for (const { children } of nodes) {
          const times = children.map(({ span }) => Number(span?.timestamp ?? 0));
          expect(times).toEqual(times.toSorted((left, right) => left - right));
        }
      }),
      { numRuns: 2000 },
    );
  });

  test('links of narrow rows are those of whole, merged spans', () => {
    fc.assert(
      fc.property(anyTrace, (spans) => {
        const { top, nodes } = treeOf(spans);
        const parents = new Map(
          nodes.map((node) => [node, node.parent?.span === undefined ? undefined : node.parent]),
        );
        const expected = nodes.flatMap((node) => {
          const above = (climb(node, parents) ?? []).flatMap(({ span }) => span ?? []);
          const place = { isRoot: node === top, isLeaf: node.children.length === 0 };
          return callsOf(node.span!, above, place).flatMap(linkOf);
        });
        const rows = spans.map((span): LinkSpan => {
          const { source, ...row } = linkSpanOf(span);
          return source.shared === true ? row : { ...row, shared: undefined };
        });
        const links = new DependencyLinker().putTrace(rows).link();
        expect(links).toStrictEqual(mergeLinks(expected));
      }),
      { numRuns: 3000 },
    );
  });

  test('merging loses no id, leaves one length of trace ids and no impossible span', () => {
    fc.assert(
      fc.property(anyTrace, (spans) => {
        const merged = mergeTrace(spans);
        expect(new Set(merged.map(({ id }) => id))).toEqual(new Set(spans.map(({ id }) => id)));
        const traceIds = new Set(merged.map(({ traceId }) => traceId.length));
        expect(traceIds.size).toBeLessThanOrEqual(1);
        for (const one of merged) {
          expect(one.parentId).not.toBe(one.id);
          expect(one.kind === 'CLIENT' && one.shared === true).toBe(false);
        }
      }),
    );
  });
});

const COUNT = 100_000;

const row = (id: number, parent: number | undefined, rest: Partial<LinkSpan> = {}): LinkSpan => ({
  id: hex(id),
  parentId: parent === undefined ? undefined : hex(parent),
  localService: `s${id % 7}`,
  error: false,
  ...rest,
});

describe(`${COUNT} spans`, () => {
  test.each<[string, (n: number) => LinkSpan]>([
    ['a chain', (n) => row(n + 1, n === 0 ? undefined : n, { kind: 'SERVER' })],
    ['a chain of local spans', (n) => row(n + 1, n === 0 ? undefined : n, { remoteService: 'x' })],
    ['a star', (n) => row(n + 1, n === 0 ? undefined : 1, { kind: 'CLIENT', timestamp: -n })],
    ['a cycle', (n) => row(n + 1, ((n + 1) % COUNT) + 1, { kind: 'SERVER' })],
    ['pieces of one span', () => row(1, undefined, { kind: 'CLIENT', localService: 'a' })],
    [
      'servers on one id',
      (n) => row(1, undefined, { kind: 'SERVER', shared: true, localService: `s${n}` }),
    ],
    [
      'servers on one id and a child of each',
      (n) =>
        n % 2 === 0
          ? row(1, undefined, { shared: true, localService: `s${n}` })
          : row(n + 1, 1, { localService: `s${n - 1}`, kind: 'CLIENT' }),
    ],
  ])('%s', (_name, make) => {
    const rows = Array.from({ length: COUNT }, (_, n) => make(n));
    const before = process.cpuUsage();
    new DependencyLinker().putTrace(rows).link();
    const { user, system } = process.cpuUsage(before);
    // The square of it would be minutes.
    expect((user + system) / 1e6).toBeLessThan(10);
  });

  test('pieces of one whole span', () => {
    const pieces = Array.from({ length: COUNT }, (_, n): Span => ({
      traceId: hex(1),
      id: hex(1),
      localEndpoint: { serviceName: 'a' },
      annotations: [{ timestamp: COUNT - n, value: 'x' }],
      tags: new Map([[`k${n}`, 'v']]),
    }));
    const [merged, ...others] = mergeTrace(pieces);
    expect(others).toEqual([]);
    expect(merged!.annotations).toHaveLength(COUNT);
    expect(merged!.tags!.size).toBe(COUNT);
  });
});
