/** When links are counted, from what, and what is read for it. */
import { describe, expect, test } from 'vitest';
import type { DependencyLink } from '../../../src/model/dependency-link.ts';
import type { LinkRow } from '../../../src/storage/contract.ts';
import { StorageError } from '../../../src/storage/contract.ts';
import { LinkIndex } from '../../../src/query/link-index.ts';
import type { LinkIndexOptions } from '../../../src/query/link-index.ts';
import { createLogger } from '../../../src/telemetry/logger.ts';
import { FakeClock, settle } from '../ingester/fakes.ts';
import { FakeLinks, START_MS, linkRow } from './link-store-fake.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const A_TO_B = [{ parent: 'a', child: 'b', callCount: 1 }];

/** A client and its server, `lengthMs` apart. */
const call = (trace: number, atMs: number, lengthMs = 10): LinkRow[] => [
  linkRow({ trace, id: 1, atMs, kind: 'CLIENT', localService: 'a', remoteService: 'x' }),
  linkRow({ trace, id: 1, atMs: atMs + lengthMs, kind: 'SERVER', shared: true, localService: 'b' }),
];

function setUp(options: Partial<LinkIndexOptions> = {}) {
  const links = new FakeLinks();
  const clock = new FakeClock();
  const create = (): LinkIndex =>
    new LinkIndex({
      reader: links,
      store: links,
      clock,
      logger: createLogger('silent', false),
      busy: () => false,
      arrivals: () => 0,
      ...options,
    });
  const { signal } = new AbortController();
  const ask = (
    index: LinkIndex,
    fromMs = 0,
    toMs = 10 * DAY_MS,
    tenant = 'default',
  ): Promise<DependencyLink[]> =>
    index.links(tenant, { fromMs: START_MS + fromMs, toMs: START_MS + toMs }, signal);
  return { links, clock, create, ask, index: create() };
}

describe('Links of a window', () => {
  test('have each trace as a whole, once, wherever it crosses hours and days', async () => {
    const { links, ask, index } = setUp();
    links.add(1n, call(1, 0, 30 * HOUR_MS));
    expect(await ask(index)).toEqual(A_TO_B);
    expect(await ask(index, 0, HOUR_MS)).toEqual(A_TO_B);
    expect(await ask(index, 29 * HOUR_MS, 31 * HOUR_MS)).toEqual(A_TO_B);
  });

  test('leave out a trace that has no span in it, though some before and after', async () => {
    const { links, ask, index } = setUp();
    links.add(1n, call(1, 0, 30 * HOUR_MS));
    expect(await ask(index, HOUR_MS, 29 * HOUR_MS)).toEqual([]);
    expect(await ask(index, 1, 30 * HOUR_MS - 1)).toEqual([]);
    expect(await ask(index, 1, 30 * HOUR_MS)).toEqual(A_TO_B);
  });

  test.each([
    [0, DAY_MS, 1],
    [10, DAY_MS, 1],
    [11, DAY_MS, 0],
    [-DAY_MS, 0, 1],
    [-DAY_MS, -1, 0],
    [5, 9, 0],
    [5, 10, 1],
  ])('from %i to %i ms are %i of a trace from 0 to 10', async (fromMs, toMs, traces) => {
    const { links, ask, index } = setUp();
    links.add(1n, call(1, 0));
    expect(await ask(index, fromMs, toMs)).toHaveLength(traces);
  });

  test('are those of the tenant', async () => {
    const { links, ask, index } = setUp();
    links.add(1n, call(1, 0));
    expect(await ask(index, 0, DAY_MS, 'other')).toEqual([]);
  });

  test('follow spans that come late, twice and one by one', async () => {
    const { links, ask, index } = setUp();
    const [client, server] = call(1, 0);
    links.add(5n, [client!]);
    expect(await ask(index)).toEqual([{ parent: 'a', child: 'x', callCount: 1 }]);
    links.add(6n, [server!]);
    expect(await ask(index)).toEqual(A_TO_B);
    links.add(2n, [client!, server!]);
    expect(await ask(index)).toEqual(A_TO_B);
    links.add(7n, [{ ...server!, error: true }]);
    expect(await ask(index)).toEqual([{ ...A_TO_B[0], errorCount: 1 }]);
  });

  test('go on to have a trace of which retention dropped the first day', async () => {
    const { links, ask, index } = setUp();
    links.add(1n, [...call(1, 0), ...call(2, DAY_MS - 5, DAY_MS), ...call(3, 3 * DAY_MS)]);
    expect(await ask(index)).toMatchObject([{ callCount: 3 }]);
    const kept = (START_MS + 6 * HOUR_MS) * 1000;
    links.stored = links.stored.filter(({ storedUs }) => storedUs > kept);
    expect(await ask(index, 2 * DAY_MS - HOUR_MS)).toMatchObject([{ callCount: 2 }]);
  });
});

describe('Counting', () => {
  test('reads new rows only, when their traces are new or came just before', async () => {
    const { links, ask, index } = setUp();
    links.add(1n, call(1, 0));
    await ask(index);
    links.add(2n, [...call(2, 5), ...call(1, 20)]);
    await ask(index);
    const day = Math.floor(START_MS / DAY_MS);
    expect(links.asked).toEqual([
      { of: 'segments', day, batches: [1n] },
      { of: 'segments', day, batches: [2n] },
    ]);
  });

  test('reads the other rows of old traces', async () => {
    const { links, ask, index } = setUp({ memory: { recentRowsMax: 0 } });
    const [client, server] = call(1, 0);
    links.add(1n, [client!]);
    await ask(index);
    links.add(2n, [server!]);
    expect(await ask(index)).toEqual(A_TO_B);
    expect(links.asked.at(-1)).toMatchObject({ of: 'traces', traces: [client!.trace] });
  });

  test('begins where the last run ended', async () => {
    const { links, ask, index, create } = setUp();
    links.add(1n, call(1, 0));
    await ask(index);
    await index.stop(1000);
    links.asked.length = 0;
    const next = create();
    expect(await ask(next, -HOUR_MS)).toEqual(A_TO_B);
    links.add(2n, call(2, 20));
    expect(await ask(next, -HOUR_MS)).toMatchObject([{ callCount: 2 }]);
    expect(links.asked).toEqual([
      { of: 'segments', day: Math.floor(START_MS / DAY_MS), batches: [2n] },
    ]);
  });

  test('begins anew when rows were removed, and forgets what was saved of them', async () => {
    const { links, ask, index, create } = setUp();
    links.add(1n, [...call(1, 0), ...call(2, 5)]);
    await ask(index);
    await index.stop(1000);
    const next = create();
    links.stored = links.stored.slice(2);
    expect(await ask(next)).toMatchObject([{ callCount: 1 }]);
    await next.stop(1000);
    expect(await ask(create())).toMatchObject([{ callCount: 1 }]);
  });

  test('of what storage refuses fails with its error, and works the next time', async () => {
    const { links, ask, index } = setUp();
    links.add(1n, call(1, 0));
    links.failure = new StorageError('retry', 241, 'memory');
    await expect(ask(index)).rejects.toThrow('memory');
    links.failure = undefined;
    expect(await ask(index)).toEqual(A_TO_B);
  });

  test('ends for a query that is aborted, not for others', async () => {
    const { links, ask, index } = setUp();
    links.add(1n, call(1, 0));
    const controller = new AbortController();
    const window = { fromMs: START_MS, toMs: START_MS + DAY_MS };
    const aborted = index.links('default', window, controller.signal);
    const other = ask(index);
    controller.abort(new Error('gone'));
    await expect(aborted).rejects.toThrow('gone');
    expect(await other).toEqual(A_TO_B);
  });
});

describe('Minutes that a window cuts', () => {
  const moments = (links: FakeLinks): number =>
    links.asked.filter((selection) => selection.of === 'moment').length;

  test('are read once as long as nothing changes in them', async () => {
    const { links, ask, index } = setUp({ memory: { recentRowsMax: 0 } });
    links.add(1n, [...call(1, 0), ...call(2, 5)]);
    for (let i = 0; i < 3; i++) expect(await ask(index, 12, DAY_MS)).toEqual(A_TO_B);
    expect(moments(links)).toBe(1);
    links.add(2n, call(3, 6));
    expect(await ask(index, 12, DAY_MS)).toMatchObject([{ callCount: 2 }]);
    expect(moments(links)).toBe(2);
  });

  test('are not read at the end of a window, when their traces came just now', async () => {
    const { links, ask, index } = setUp();
    links.add(1n, [...call(1, 0), ...call(2, 50)]);
    expect(await ask(index, -DAY_MS, 20)).toEqual(A_TO_B);
    expect(moments(links)).toBe(0);
  });
});

describe('The task', () => {
  test('counts when spans arrived, and saves every now and then', async () => {
    let arrived = 0;
    const { links, clock, index } = setUp({ arrivals: () => arrived });
    index.start();
    await settle();
    links.add(1n, call(1, 0));
    await clock.advance(1000);
    expect(links.asked).toHaveLength(0);
    arrived = 2;
    await clock.advance(1000);
    expect(links.asked).toHaveLength(1);
    expect(links.saves).toBe(0);
    await clock.advance(15_000);
    expect(links.saves).toBe(1);
    await index.stop(1000);
    expect(links.saves).toBe(1);
  });

  test('waits while there is no time to spare, not for ever', async () => {
    let arrived = 0;
    const { links, clock, index } = setUp({ busy: () => true, arrivals: () => arrived });
    index.start();
    await settle();
    links.add(1n, call(1, 0));
    arrived = 2;
    for (let s = 0; s < 15; s++) await clock.advance(1000);
    expect(links.asked).toHaveLength(0);
    for (let s = 0; s < 10; s++) await clock.advance(1000);
    expect(links.asked).toHaveLength(1);
    await index.stop(0);
  });

  test('goes on when storage was away, and saves what it could not', async () => {
    const { links, clock, index, ask } = setUp();
    links.add(1n, call(1, 0));
    await ask(index);
    index.start();
    links.failure = new StorageError('retry', 0, 'away');
    await clock.advance(20_000);
    expect(links.saves).toBe(0);
    links.failure = undefined;
    await clock.advance(20_000);
    await clock.advance(20_000);
    expect(links.saves).toBe(1);
    await index.stop(1000);
  });
});
