import { describe, expect, test } from 'vitest';
import type { Span } from '../../../src/model/span.ts';
import { GrafanaList, grafanaTrace } from '../../../src/query/grafana-profile.ts';

const TRACE = '000000000000000a';
const T = 1_700_000_000_000_000;
const MS = { annotationUnit: 'ms' } as const;
/** First 8 bytes of SHA-256 of trace id, span id and `s`. */
const SERVER_OF_2 = '74eb342a0f779744';

const idOf = (digit: number | string): string => String(digit).padStart(16, '0');
const span = (id: number, members: Partial<Span> & { service?: string } = {}): Span => {
  const { service, ...others } = members;
  const local = service === undefined ? {} : { localEndpoint: { serviceName: service } };
  return { traceId: TRACE, id: idOf(id), timestamp: T, ...local, ...others };
};
const edges = (spans: readonly Span[]): string[] =>
  spans.map(({ id, parentId = '', localEndpoint }) =>
    [parentId, id, localEndpoint?.serviceName ?? '']
      .map((text) => text.replace(/^0+/, ''))
      .join(' '),
  );
const profile = (...spans: Span[]): Span[] => grafanaTrace(spans, MS);

describe('Ids', () => {
  const root = span(1, { service: 'web', kind: 'SERVER' });
  const client = span(2, { service: 'web', kind: 'CLIENT', parentId: idOf(1) });
  const server = span(2, { service: 'app', kind: 'SERVER', parentId: idOf(1), shared: true });

  test('a shared span becomes the child of its client, and its children follow it', () => {
    const local = span(3, { service: 'web', parentId: idOf(2) });
    const work = span(4, { service: 'app', parentId: idOf(2) });
    const third = span(5, { service: 'db', parentId: idOf(2) });
    const silent = span(6, { parentId: idOf(2) });
    expect(edges(profile(root, client, server, local, work, third, silent))).toEqual([
      ' 1 web',
      '1 2 web',
      `2 ${SERVER_OF_2} app`,
      '2 3 web',
      '2 6 ',
      `${SERVER_OF_2} 4 app`,
      `${SERVER_OF_2} 5 db`,
    ]);
  });

  test('the flag that a server forgot to send makes no difference', () => {
    const { shared: _, ...unflagged } = server;
    expect(edges(profile(root, client, unflagged))).toEqual(edges(profile(root, client, server)));
  });

  test('a server whose client was never sent keeps its id and its parent', () => {
    expect(edges(profile(root, server))).toEqual([' 1 web', '1 2 app']);
    expect(profile(root, server).map(({ shared }) => shared)).toEqual([undefined, undefined]);
  });

  test('two servers of one client both become its children', () => {
    const other = span(2, { service: 'sms', kind: 'SERVER', shared: true });
    const work = span(4, { service: 'sms', parentId: idOf(2) });
    const found = profile(root, client, server, other, work);
    const smsId = found.find(({ localEndpoint }) => localEndpoint?.serviceName === 'sms')!.id;
    expect(edges(found)).toEqual([
      ' 1 web',
      '1 2 web',
      `2 ${SERVER_OF_2} app`,
      `2 ${smsId} sms`,
      `${smsId} 4 sms`,
    ]);
  });

  test('a service that calls itself has its children by their address', () => {
    const at = (port: number): Span['localEndpoint'] => ({ serviceName: 'web', port });
    const caller = { ...client, localEndpoint: at(1)! };
    const called = { ...server, localEndpoint: at(2)! };
    const child = (id: number, port: number): Span =>
      span(id, { parentId: idOf(2), localEndpoint: at(port)! });
    const found = profile(root, caller, called, child(3, 1), child(4, 2));
    const parents = Object.fromEntries(found.map(({ id, parentId }) => [id, parentId]));
    expect(parents).toEqual({
      [idOf(1)]: undefined,
      [idOf(2)]: idOf(1),
      [SERVER_OF_2]: idOf(2),
      [idOf(3)]: idOf(2),
      [idOf(4)]: SERVER_OF_2,
    });
  });

  test('pieces of one span are one span', () => {
    const { timestamp: _, ...late } = span(1, { tags: new Map([['late', 'yes']]) });
    expect(profile(root, late)).toEqual([
      {
        ...root,
        tags: new Map([
          ['late', 'yes'],
          ['service.name', 'web'],
          ['span.kind', 'server'],
        ]),
      },
    ]);
  });

  test('the id zero, which Zipkin lets pass, becomes one that can be read', () => {
    const [zero] = profile(span(0));
    expect(zero!.id).toMatch(/^(?!0{16})[\da-f]{16}$/);
  });

  test('a circle of parents is cut where it began', () => {
    const circle = [
      span(1, { parentId: idOf(3), timestamp: T + 2 }),
      span(2, { parentId: idOf(1), timestamp: T + 1 }),
      span(3, { parentId: idOf(2), timestamp: T + 3 }),
      span(4, { parentId: idOf(3) }),
    ];
    expect(edges(profile(...circle))).toEqual([' 2 ', '2 3 ', '3 1 ', '3 4 ']);
  });

  test('what is given is not changed', () => {
    const given = [root, client, server, span(4, { service: 'app', parentId: idOf(2) })];
    const before = structuredClone(given);
    profile(...given);
    expect(given).toEqual(before);
  });
});

describe('Times', () => {
  const untimed = (id: number, members: Partial<Span> = {}): Span => {
    const { timestamp: _, ...others } = span(id, members);
    return others;
  };

  test('are those of the first annotation, the parent, or the earliest span', () => {
    const found = profile(
      span(1, { timestamp: T + 50 }),
      untimed(2, { parentId: idOf(1), annotations: [{ timestamp: T + 70, value: 'a' }] }),
      untimed(3, { parentId: idOf(2) }),
      untimed(4, { parentId: idOf(9) }),
      span(5, { parentId: idOf(9), timestamp: T + 60 }),
    );
    expect(
      Object.fromEntries(found.map((one) => [Number(one.id), Number(one.timestamp) - T])),
    ).toEqual({
      1: 50,
      2: 70,
      3: 70,
      4: 50,
      5: 60,
    });
  });

  test('of a trace that tells none are one second after the epoch', () => {
    expect(profile(untimed(1)).map(({ timestamp }) => timestamp)).toEqual([1_000_000]);
  });

  test('beyond what nanoseconds can tell are the last that they can', () => {
    const [one] = profile(span(1, { timestamp: 2n ** 63n - 1n, duration: 2n ** 63n - 1n }));
    const last = 9_223_372_036_854_774n;
    expect([one!.timestamp, one!.duration]).toEqual([last, last]);
  });

  test('of annotations are milliseconds, or microseconds when so asked', () => {
    const one = span(1, {
      annotations: [-5, 0, T + 1999].map((timestamp) => ({ timestamp, value: 'x' })),
    });
    const times = (unit: 'ms' | 'us'): unknown =>
      grafanaTrace([one], { annotationUnit: unit })[0]!.annotations!.map((a) => a.timestamp);
    expect(times('ms')).toEqual([1, 1, T / 1000 + 1]);
    expect(times('us')).toEqual([1, 1, T + 1999]);
  });
});

test('tags say service, peer and kind, unless the sender says so itself', () => {
  const [one] = profile(
    span(1, {
      service: 'web',
      kind: 'CLIENT',
      remoteEndpoint: { serviceName: 'db', ipv4: '010.2.03.4' },
      tags: new Map([
        ['error', ''],
        ['span.kind', 'producer'],
      ]),
    }),
  );
  expect(one!.remoteEndpoint).toEqual({ serviceName: 'db', ipv4: '10.2.3.4' });
  expect([...one!.tags!]).toEqual([
    ['error', ''],
    ['span.kind', 'producer'],
    ['peer.service', 'db'],
    ['service.name', 'web'],
  ]);
});

describe('Lists', () => {
  const entryOf = (list: GrafanaList, ...spans: Span[]): unknown => {
    const [{ id, parentId, name, duration }] = list.entry(spans) as [Span];
    return { id: Number(id), parentId, name, duration };
  };

  test('begin with the root', () => {
    const list = new GrafanaList(MS);
    const spans = [span(2, { parentId: idOf(1) }), span(1, { name: 'get', duration: 3000 })];
    expect(entryOf(list, ...spans)).toEqual({ id: 1, name: 'get', duration: 3000 });
  });

  test('make the earliest span the root of a trace without one, and give it a length', () => {
    const list = new GrafanaList(MS);
    const spans = [
      span(2, { parentId: idOf(9), timestamp: T + 100, duration: 900 }),
      span(3, { parentId: idOf(8), name: 'first' }),
    ];
    expect(entryOf(list, ...spans)).toEqual({ id: 3, name: 'first', duration: 1000 });
    expect(entryOf(list, span(4))).toEqual({ id: 4, name: 'unknown', duration: 1 });
  });

  test('have no two entries that read the same', () => {
    const list = new GrafanaList(MS);
    const one = span(1, { name: 'get', duration: 3100 });
    const names = [one, { ...one, duration: 3900 }, { ...one, duration: 4000 }, one].map(
      (root) => list.entry([root])[0]!.name,
    );
    expect(names).toEqual([
      'get',
      'get at 2023-11-14 22:13:20.000',
      'get',
      `get at 2023-11-14 22:13:20.000 ${TRACE}`,
    ]);
  });
});
