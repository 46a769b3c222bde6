import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { NameIndex, type NameIndexOptions } from '../../../src/query/name-index.ts';
import type { NameAnswer } from '../../../src/query/tenant-names.ts';
import { FakeClock, FakeLogger } from '../ingester/fakes.ts';
import { batchOf, type NamedSpan } from './name-batches.ts';
import { FakeNameStore } from './name-store-fake.ts';

const DAY_MS = 86_400_000;
const T = 'default';

function setUp(options: Partial<NameIndexOptions> = {}) {
  const store = new FakeNameStore();
  const clock = new FakeClock();
  const logger = new FakeLogger();
  const index = new NameIndex({
    store,
    clock,
    logger,
    seed: 7,
    retentionDays: 0,
    autocompleteKeys: ['http.host'],
    autocompleteCardinality: 100,
    autocompleteTtlMs: 3_600_000,
    shared: false,
    ...options,
  });
  let batch = 0n;
  const observe = (...spans: NamedSpan[]): void => index.observe(batchOf(spans), ++batch);
  return { index, store, clock, logger, observe };
}

const texts = async (answer: Promise<NameAnswer>): Promise<string[]> =>
  JSON.parse(Buffer.from((await answer).json).toString()) as string[];

describe('NameIndex', () => {
  test('lists local services, not remote ones', async () => {
    const { index, observe } = setUp();
    expect(await texts(index.services(T))).toEqual([]);
    observe({ service: 'frontend', remote: 'backend', name: 'get' }, { remote: 'db', name: 'x' });
    expect(await texts(index.services(T))).toEqual(['frontend']);
    expect(await texts(index.spanNames(T, 'frontend'))).toEqual(['get']);
    expect(await texts(index.spanNames(T, 'backend'))).toEqual([]);
    expect(await texts(index.spanNames(T, ''))).toEqual([]);
    expect(await texts(index.remoteServices(T, 'frontend'))).toEqual(['backend']);
  });

  test('lists names and remote services of 51 spans once each', async () => {
    const { index, observe } = setUp();
    const spans = Array.from({ length: 51 }, (_, i) => ({
      service: 'frontend',
      name: `yak${i}`,
      remote: `remote${i % 7}`,
    }));
    observe(...spans, ...spans);
    expect(await texts(index.spanNames(T, 'frontend'))).toHaveLength(51);
    expect(await texts(index.remoteServices(T, 'frontend'))).toHaveLength(7);
  });

  test('keeps tenants apart', async () => {
    const { index, observe } = setUp();
    observe(
      { tenant: 'a', service: 's', name: 'one', tags: { 'http.host': 'x' } },
      { tenant: 'b', service: 's', name: 'two' },
      { tenant: 'a', service: 't' },
    );
    expect(await texts(index.services('a'))).toEqual(['s', 't']);
    expect(await texts(index.spanNames('b', 's'))).toEqual(['two']);
    expect(await texts(index.tagValues('a', 'http.host'))).toEqual(['x']);
    expect(await texts(index.tagValues('b', 'http.host'))).toEqual([]);
    expect(await texts(index.services('c'))).toEqual([]);
  });

  test('lists values of configured keys only, to the cardinality', async () => {
    const { index, observe, logger } = setUp({ autocompleteCardinality: 3 });
    const span = (host: string): NamedSpan => ({ tags: { 'a.b': 'no', 'http.host': host } });
    observe(span('h1'), span('h1'), span(''), { tags: { other: 'x' } });
    expect(await texts(index.tagValues(T, 'http.host'))).toEqual(['', 'h1']);
    expect(await texts(index.tagValues(T, 'a.b'))).toEqual([]);
    observe(span('h2'), span('h3'), span('x'.repeat(2000)));
    observe(span('h1'));
    expect(await texts(index.tagValues(T, 'http.host'))).toEqual(['', 'h1', 'h2']);
    expect(logger.count('warn', 'more names')).toBe(1);
  });

  test('lets clients keep answers from four services on, and from four values on', async () => {
    const { index, observe } = setUp();
    const span = (i: number): NamedSpan => ({ service: `s${i}`, tags: { 'http.host': `h${i}` } });
    observe(span(1), span(2), span(3));
    expect((await index.services(T)).cacheable).toBe(false);
    expect((await index.spanNames(T, 'none')).cacheable).toBe(false);
    expect((await index.tagValues(T, 'http.host')).cacheable).toBe(false);
    observe(span(4));
    expect((await index.services(T)).cacheable).toBe(true);
    expect((await index.spanNames(T, 'none')).cacheable).toBe(true);
    expect((await index.remoteServices(T, 's1')).cacheable).toBe(true);
    expect((await index.tagValues(T, 'http.host')).cacheable).toBe(true);
    expect((await index.tagValues(T, 'none')).cacheable).toBe(false);
  });

  test('gives the same bytes again until a name comes', async () => {
    const { index, observe } = setUp();
    observe({ service: 's', name: 'a' });
    const first = await index.spanNames(T, 's');
    observe({ service: 's', name: 'a' });
    expect(await index.spanNames(T, 's')).toBe(first);
    observe({ service: 's', name: 'b' });
    expect(await texts(index.spanNames(T, 's'))).toEqual(['a', 'b']);
  });

  test('answers what any spans in any batches say', async () => {
    const word = fc.constantFrom('', 'a', 'b', 'c', 'dd', '个');
    const span = fc.record({
      tenant: fc.constantFrom('t1', 't2'),
      service: word,
      name: word,
      remote: word,
      kind: fc.nat(4),
      day: fc.integer({ min: 10, max: 20 }),
      tags: fc.dictionary(fc.constantFrom('http.host', 'x', 'env'), word),
    });
    let answers = 0;
    const run = async (batches: readonly (readonly NamedSpan[])[], firstDay: number) => {
      const keys = ['http.host', 'env'];
      const retentionDays = 5;
      const { index, clock, observe, store } = setUp({ autocompleteKeys: keys, retentionDays });
      await clock.advance((firstDay + retentionDays - 1) * DAY_MS);
      for (const [i, batch] of batches.entries()) {
        observe(...batch);
        if (i % 2 === 0) await store.record(index.takeUnrecorded(5));
        if (i % 3 === 0) index.tidy();
      }
      await store.record(index.takeUnrecorded(1e6));
      const restarted = setUp({ autocompleteKeys: keys, retentionDays, store, clock });
      const all = batches.flat().filter(({ day = 0 }) => day >= firstDay);
      for (const one of [index, restarted.index]) {
        answers += await compare(one, all, keys);
      }
    };
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(span)), fc.integer({ min: 8, max: 22 }), run),
    );
    expect(answers).toBeGreaterThan(0);
  });

  test('grows without losing a name', async () => {
    const { index, observe } = setUp();
    const names = Array.from({ length: 5000 }, (_, i) => `n${i}`);
    for (let i = 0; i < names.length; i += 250) {
      observe(...names.slice(i, i + 250).map((name) => ({ service: 's', name })));
    }
    expect(await texts(index.spanNames(T, 's'))).toEqual(names.toSorted());
  });

  test('lists services and remote services also beyond the limit of span names', async () => {
    const { index, observe, logger } = setUp();
    for (let i = 0; i < 105; i++) {
      observe(
        ...Array.from({ length: 1000 }, (_, j) => ({ service: 'loud', name: `id ${i} ${j}` })),
      );
    }
    observe({ service: 'quiet', remote: 'db', name: 'get', kind: 1 });
    expect(await texts(index.services(T))).toEqual(['loud', 'quiet']);
    expect(await texts(index.remoteServices(T, 'quiet'))).toEqual(['db']);
    expect((await texts(index.spanNames(T, 'loud'))).length).toBeLessThanOrEqual(100_000);
    expect(logger.count('warn', 'more names')).toBe(1);
  });
});

/** @returns how many lists were compared */
async function compare(
  index: NameIndex,
  all: readonly NamedSpan[],
  keys: readonly string[],
): Promise<number> {
  let lists = 0;
  const sorted = (found: readonly (string | undefined)[]): string[] =>
    [...new Set(found.filter((text) => text !== undefined))].toSorted();
  const named = (found: readonly (string | undefined)[]): string[] =>
    sorted(found).filter((text) => text !== '');
  for (const tenant of ['t1', 't2']) {
    const own = all.filter((span) => span.tenant === tenant);
    expect(await texts(index.services(tenant))).toEqual(named(own.map((s) => s.service)));
    for (const service of ['a', 'b', 'c', 'dd', '个']) {
      const its = own.filter((span) => span.service === service);
      expect(await texts(index.spanNames(tenant, service))).toEqual(named(its.map((s) => s.name)));
      const remotes = named(its.map((s) => s.remote));
      expect(await texts(index.remoteServices(tenant, service))).toEqual(remotes);
    }
    for (const key of keys) {
      expect(await texts(index.tagValues(tenant, key))).toEqual(
        sorted(own.map(({ tags }) => tags?.[key])),
      );
      lists++;
    }
  }
  return lists;
}

describe('NameIndex and storage', () => {
  test('lists what earlier runs recorded', async () => {
    const { index, store, observe } = setUp();
    const entry = { service: 'old', kind: 2, name: 'get', remote: '', day: 1 };
    const value = { key: 'http.host', value: 'h', day: 1 };
    await store.record([{ tenant: T, names: [entry], values: [value] }]);
    observe({ service: 'new' });
    expect(await texts(index.services(T))).toEqual(['new', 'old']);
    expect(await texts(index.tagValues(T, 'http.host'))).toEqual(['h']);
    expect(store.loads).toBe(1);
  });

  test('takes back what could not be recorded, and gives nothing twice', () => {
    const { index, observe } = setUp();
    observe({ service: 's', name: 'n', day: 3, tags: { 'http.host': 'h' } });
    const taken = index.takeUnrecorded(10);
    expect(taken).toEqual([
      {
        tenant: T,
        names: [{ service: 's', kind: 0, name: 'n', remote: '', day: 3 }],
        values: [{ key: 'http.host', value: 'h', day: 3 }],
      },
    ]);
    expect(index.takeUnrecorded(10)).toEqual([]);
    index.restoreUnrecorded(taken);
    expect(index.takeUnrecorded(10)).toEqual(taken);
    observe({ service: 's', name: 'n', day: 2, tags: { 'http.host': 'h' } });
    expect(index.takeUnrecorded(10)).toEqual([]);
    observe({ service: 's', name: 'n', day: 4, tags: { 'http.host': 'h' } });
    expect(index.takeUnrecorded(10)).toMatchObject([{ names: [{ day: 4 }], values: [{ day: 4 }] }]);
  });

  test('records a value seen again no sooner than the TTL says', () => {
    const { index, observe } = setUp({ autocompleteTtlMs: 3 * DAY_MS });
    const recordedOn = [10, 11, 12, 13, 14, 15, 16].filter((day) => {
      observe({ day, tags: { 'http.host': 'h' } });
      return index.takeUnrecorded(10).length > 0;
    });
    expect(recordedOn).toEqual([10, 13, 16]);
  });

  test('drops names when the spans that had them are dropped', async () => {
    const { index, clock, observe } = setUp({ retentionDays: 8 });
    await clock.advance(100 * DAY_MS);
    observe(
      { service: 'old', name: 'a', day: 95, tags: { 'http.host': 'h' } },
      { service: 'kept', name: 'a', day: 96 },
    );
    await clock.advance(2 * DAY_MS);
    expect(await texts(index.services(T))).toEqual(['kept', 'old']);
    await clock.advance(DAY_MS);
    for (const tidied of [false, true]) {
      if (tidied) index.tidy();
      expect(await texts(index.services(T))).toEqual(['kept']);
      expect(await texts(index.spanNames(T, 'old'))).toEqual([]);
      expect(await texts(index.tagValues(T, 'http.host'))).toEqual([]);
    }
    observe({ service: 'old', name: 'b', day: 103 });
    expect(await texts(index.services(T))).toEqual(['kept', 'old']);
    expect(await texts(index.spanNames(T, 'old'))).toEqual(['b']);
  });

  test('is 503 while nothing was ever read, and goes on with what it has later', async () => {
    const { index, store, clock, logger, observe } = setUp({ shared: true });
    store.away = true;
    observe({ service: 's' });
    await expect(index.services(T)).rejects.toMatchObject({
      code: 'SCRUBJAY_ERR_STORAGE_UNAVAILABLE',
      message: expect.not.stringContaining('refused') as unknown,
    });
    store.away = false;
    expect(await texts(index.services(T))).toEqual(['s']);
    store.away = true;
    await clock.advance(60_000);
    for (let i = 0; i < 5; i++) {
      expect(await texts(index.services(T))).toEqual(['s']);
      await clock.advance(1000);
    }
    expect(logger.count('warn', 'other collectors')).toBe(1);
  });

  test('does not wait for storage with every answer while it is away', async () => {
    const { index, store, clock, observe } = setUp({ shared: true });
    observe({ service: 's' });
    await index.services(T);
    await clock.advance(60_000);
    let fail: (error: Error) => void = () => undefined;
    store.recorded = () => new Promise((_, reject) => (fail = reject));
    const first = index.services(T);
    await clock.advance(0);
    fail(new Error('away'));
    expect(await texts(first)).toEqual(['s']);
    // The next try is under way and has no answer.
    expect(await texts(index.services(T))).toEqual(['s']);
    index.reload();
    fail(new Error('away'));
    await clock.advance(0);
  });

  test('shows what other collectors saw after 10 s at most', async () => {
    const { index, store, clock } = setUp({ shared: true });
    expect(await texts(index.services(T))).toEqual([]);
    const entry = { service: 'theirs', kind: 0, name: '', remote: '', day: 1 };
    await store.record([{ tenant: T, names: [entry], values: [] }]);
    expect(await texts(index.services(T))).toEqual([]);
    await clock.advance(10_000);
    expect(await texts(index.services(T))).toEqual(['theirs']);
    await Promise.all([index.services(T), index.spanNames(T, 'theirs')]);
    expect(store.loads).toBe(2);
    await clock.advance(5000);
    await index.services(T);
    await clock.advance(0);
    expect(store.loads).toBe(3);
  });

  test('lets go of tenants that are not used, once storage knows them', async () => {
    const { index, store, clock, observe } = setUp();
    for (let i = 0; i < 2500; i++) {
      await store.record(index.takeUnrecorded(1e6));
      observe({ tenant: `t${i}`, service: `s${i}` });
      if (i % 500 === 0) await clock.advance(1);
    }
    await store.record(index.takeUnrecorded(1e6));
    expect(await texts(index.services('t0'))).toEqual(['s0']);
    expect(await texts(index.services('t2499'))).toEqual(['s2499']);
    expect(index.lastBatch).toBe(2500n);
  });

  test('gives no mark any more when it had to forget what nobody recorded', () => {
    const { index, observe } = setUp();
    for (let i = 0; i < 4500; i++) observe({ tenant: `t${i}`, service: 's' });
    expect(index.lastBatch).toBeUndefined();
  });
});
