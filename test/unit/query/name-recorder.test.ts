import { describe, expect, test } from 'vitest';
import { NameIndex } from '../../../src/query/name-index.ts';
import { NameRecorder } from '../../../src/query/name-recorder.ts';
import { FakeClock, FakeLogger } from '../ingester/fakes.ts';
import { batchOf } from './name-batches.ts';
import { FakeNameStore } from './name-store-fake.ts';

const T = 'default';
const OLD = { service: 'old', kind: 0, name: 'n', remote: '', day: 1 };

function setUp(recovered: readonly bigint[] = []) {
  const [store, clock, logger] = [new FakeNameStore(), new FakeClock(), new FakeLogger()];
  const index = new NameIndex({
    store,
    clock,
    logger,
    seed: 7,
    retentionDays: 0,
    autocompleteKeys: [],
    autocompleteCardinality: 1,
    autocompleteTtlMs: 0,
    shared: false,
  });
  const state = { unstored: recovered.length };
  const recorder = new NameRecorder({
    index,
    store,
    clock,
    logger,
    random: () => 0,
    recovered,
    unstored: () => state.unstored,
  });
  const observe = (batch: bigint, service: string): void =>
    index.observe(batchOf([{ service }]), batch);
  const services = async (): Promise<unknown> =>
    JSON.parse(Buffer.from((await index.services(T)).json).toString());
  return { store, clock, logger, index, recorder, state, observe, services };
}

const recordedServices = (store: FakeNameStore): string[] =>
  [...store.names.values()].map(({ entry }) => entry.service).toSorted();

describe('NameRecorder', () => {
  test('records what is new within a second, then moves the mark once a minute', async () => {
    const { store, clock, recorder, observe } = setUp();
    recorder.start();
    observe(5n, 'a');
    await clock.advance(1000);
    expect(recordedServices(store)).toEqual(['a']);
    expect(store.marks).toEqual([5n]);
    observe(6n, 'a');
    observe(7n, 'b');
    await clock.advance(1000);
    expect(recordedServices(store)).toEqual(['a', 'b']);
    expect(store.marks).toEqual([5n]);
    await clock.advance(60_000);
    expect(store.marks).toEqual([5n, 7n]);
    observe(8n, 'c');
    await recorder.stop(1000);
    expect(recordedServices(store)).toEqual(['a', 'b', 'c']);
    expect(store.marks).toEqual([5n, 7n, 8n]);
  });

  test('tries again while storage is away, and moves no mark before', async () => {
    const { store, clock, recorder, observe, logger } = setUp();
    recorder.start();
    await clock.advance(0);
    store.away = true;
    observe(5n, 'a');
    await clock.advance(5000);
    observe(6n, 'b');
    store.away = false;
    expect(store.marks).toEqual([]);
    await clock.advance(30_000);
    expect(recordedServices(store)).toEqual(['a', 'b']);
    expect(store.marks).toEqual([6n]);
    expect(logger.count('warn', 'Names are not recorded')).toBe(1);
    await recorder.stop(1000);
  });

  test('looks up names of killed runs again when their last segment is in storage', async () => {
    const { store, clock, recorder, state, observe, services } = setUp([3n, 4n]);
    recorder.start();
    observe(9n, 'new');
    const asked = services();
    await clock.advance(1000);
    expect(store.scans).toEqual([[3n, 4n]]);
    expect(store.marks).toEqual([]);
    state.unstored = 0;
    store.unmarked = [{ tenant: T, names: [OLD], values: [] }];
    await clock.advance(1000);
    expect(store.scans).toHaveLength(2);
    expect(await asked).toEqual(['new', 'old']);
    await clock.advance(1000);
    expect(store.marks).toEqual([9n]);
    await clock.advance(60_000);
    expect(store.scans).toHaveLength(2);
    await recorder.stop(1000);
  });

  test('lets questions wait for that two seconds at most', async () => {
    const { store, clock, recorder, state, observe, services } = setUp([3n]);
    recorder.start();
    observe(9n, 'new');
    const asked = services();
    await clock.advance(2000);
    expect(await asked).toEqual(['new']);
    state.unstored = 0;
    store.unmarked = [{ tenant: T, names: [OLD], values: [] }];
    await clock.advance(30_000);
    expect(await services()).toEqual(['new', 'old']);
    await recorder.stop(1000);
  });

  test('stops in time although storage does not answer', async () => {
    const { store, clock, recorder, observe } = setUp();
    recorder.start();
    await clock.advance(0);
    store.record = () => new Promise(() => undefined);
    observe(1n, 'a');
    const stopped = recorder.stop(3000);
    await clock.advance(3000);
    await stopped;
    expect(store.marks).toEqual([]);
  });
});
