import { describe, expect, test } from 'vitest';
import type { ClosedSegment } from '../../../src/ingester/segment-log.ts';
import { StorageError, type StorageFailure } from '../../../src/storage/contract.ts';
import type { createMetrics } from '../../../src/telemetry/metrics.ts';
import { segmentOf, settle } from './fakes.ts';
import { inserterWith } from './inserter-bench.ts';

const error = (failure: StorageFailure) => new StorageError(failure, 0, failure);
const fail = (failure: StorageFailure, keep = 0) => ({ error: error(failure), keep });

function setUp(segments: readonly ClosedSegment[], storageReady = Promise.resolve()) {
  const bench = inserterWith(segments, { storageReady });
  const { inserter } = bench;
  const start = async (): Promise<void> => {
    inserter.start();
    await settle();
  };
  return { ...bench, start };
}

type Metrics = ReturnType<typeof createMetrics>;

async function outcomes(metrics: Metrics): Promise<Record<string, number>> {
  const result: Record<string, number> = {};
  const { values } = await metrics.insertInDoubt.get();
  for (const { labels, value } of values) result[String(labels.outcome)] = value;
  return result;
}

async function breakerState(metrics: Metrics): Promise<number> {
  return (await metrics.breakerState.get()).values[0]!.value;
}

describe('Inserter, a fresh segment', () => {
  test('is inserted, counted back, booked and removed', async () => {
    const { log, storage, ledger, metrics, start } = setUp([segmentOf(1, { 0: 5, 1: 7 })]);
    await start();
    expect(storage.calls).toEqual(['insert 1', 'count 1']);
    expect(log.removed).toEqual([1n]);
    expect(ledger.entries()).toMatchObject({ stored: 12, pending: 0, imbalance: 0 });
    expect(await outcomes(metrics)).toEqual({});
  });

  test('waits until storage is ready', async () => {
    let ready = (): void => undefined;
    const storageReady = new Promise<void>((resolve) => {
      ready = resolve;
    });
    const { storage, inserter, start } = setUp([segmentOf(1, { 0: 5 })], storageReady);
    await start();
    expect(storage.calls).toEqual([]);
    expect(inserter.idle).toBe(false);
    ready();
    await settle();
    expect(storage.calls).toEqual(['insert 1', 'count 1']);
    expect(inserter.idle).toBe(true);
  });

  test('is tried although storage did not start', async () => {
    const { storage, start } = setUp([segmentOf(1, { 0: 5 })], Promise.reject(error('retry')));
    await start();
    expect(storage.calls).toEqual(['insert 1', 'count 1']);
  });

  test('runs alone: one call at a time', async () => {
    const { storage, start } = setUp([segmentOf(1, { 0: 1 }), segmentOf(2, { 0: 1 })]);
    storage.hold = true;
    await start();
    for (const call of ['insert 1', 'count 1', 'insert 2', 'count 2']) {
      expect(storage.holds.map((hold) => hold.call)).toEqual([call]);
      storage.holds[0]!.go();
      await settle();
    }
  });

  test('is completed when the count misses days that the insert acknowledged', async () => {
    const { log, storage, metrics, clock, start } = setUp([segmentOf(1, { 0: 5, 1: 7 })]);
    const insert = storage.insert.bind(storage);
    storage.insert = async (source) => {
      storage.insert = insert;
      await insert(source, [0]);
    };
    await start();
    expect(log.removed).toEqual([]);
    await clock.advance(100);
    expect(storage.calls).toEqual(['insert 1 0', 'count 1', 'count 1', 'insert 1 1', 'count 1']);
    expect(log.removed).toEqual([1n]);
    expect(await outcomes(metrics)).toEqual({ partial: 2 });
  });
});

describe('Inserter, a segment in doubt', () => {
  test.each([
    ['complete: it is only removed', { 0: 5, 1: 7 }, ['count 9']],
    ['missing: it is inserted whole', {}, ['count 9', 'insert 9', 'count 9']],
    ['partial: only its missing days', { 1: 7 }, ['count 9', 'insert 9 0', 'count 9']],
  ])('%s', async (name, found, calls) => {
    const { log, storage, ledger, metrics, start } = setUp([segmentOf(9, { 0: 5, 1: 7 }, true)]);
    storage.rows.set(9n, new Map(Object.entries(found).map(([day, n]) => [Number(day), n])));
    await start();
    expect(storage.calls).toEqual(calls);
    expect(log.removed).toEqual([9n]);
    expect(Object.fromEntries(storage.rows.get(9n)!)).toEqual({ 0: 5, 1: 7 });
    expect(ledger.entries()).toMatchObject({ stored: 12, pending: 0 });
    expect(await outcomes(metrics)).toEqual({ [name.split(':')[0]!]: 1 });
  });

  test('torn: it is kept with an alarm, the next goes on, later it is counted again', async () => {
    const segments = [segmentOf(8, { 0: 5, 1: 7 }, true), segmentOf(9, { 0: 1 })];
    const { log, storage, ledger, metrics, logger, clock, start } = setUp(segments);
    storage.rows.set(8n, new Map([[0, 4]]));
    await start();
    expect(storage.calls).toEqual(['count 8', 'insert 9', 'count 9']);
    expect(log.removed).toEqual([9n]);
    expect(logger.count('error', 'another number of rows')).toBe(1);
    expect(await outcomes(metrics)).toEqual({ torn: 1 });
    expect(ledger.entries()).toMatchObject({ stored: 1, pending: 12, imbalance: 0 });
    storage.rows.set(8n, new Map([[1, 7]]));
    await clock.advance(9999);
    expect(storage.calls).toHaveLength(3);
    await clock.advance(1);
    expect(storage.calls.slice(3)).toEqual(['count 8', 'insert 8 0', 'count 8']);
    expect(log.disk.size).toBe(0);
  });

  test.each(['retry', 'aborted', 'schema', 'auth'] as const)(
    'after a failure of class %s it is counted back before anything else',
    async (failure) => {
      const { log, storage, metrics, clock, start } = setUp([segmentOf(1, { 0: 5, 1: 7 })]);
      storage.insertScript.push(fail(failure, 1));
      await start();
      expect(storage.calls).toEqual(['insert 1']);
      await clock.advance(100);
      expect(storage.calls).toEqual(['insert 1', 'count 1', 'insert 1 1', 'count 1']);
      expect(log.removed).toEqual([1n]);
      const { values } = await metrics.insertFailures.get();
      expect(values).toMatchObject([{ labels: { class: failure }, value: 1 }]);
    },
  );

  test('a failed count after the insert does not insert twice', async () => {
    const { log, storage, clock, start } = setUp([segmentOf(1, { 0: 5 })]);
    storage.countScript.push(error('retry'));
    await start();
    await clock.advance(100);
    expect(storage.calls).toEqual(['insert 1', 'count 1', 'count 1']);
    expect(log.removed).toEqual([1n]);
  });
});

describe('Inserter, failures', () => {
  test('bad credentials raise an alarm at most once a minute', async () => {
    const { storage, clock, start, logger, log } = setUp([segmentOf(1, { 0: 5 })]);
    storage.countScript.push(...Array.from({ length: 100 }, () => error('auth')));
    await start();
    await clock.advance(59_000);
    expect(logger.count('error', 'CLICKHOUSE_PASSWORD')).toBe(1);
    await clock.advance(60_000);
    expect(logger.count('error', 'CLICKHOUSE_PASSWORD')).toBe(2);
    expect(log.disk.size).toBe(1);
  });

  test('a row refused twice is set aside and the others go on', async () => {
    const { storage, clock, start, logger, log, ledger, metrics } = setUp([
      segmentOf(1, { 0: 1 }),
      segmentOf(2, { 0: 3 }),
    ]);
    storage.insertScript.push(fail('poison'), undefined, fail('poison'));
    await start();
    expect(log.removed).toEqual([2n]);
    expect(log.aside).toEqual([]);
    await clock.advance(1000);
    expect(log.aside).toHaveLength(1);
    expect(log.aside[0]!.why).toContain('poison');
    expect(logger.count('error', 'corrupt/')).toBe(1);
    expect(ledger.entries()).toMatchObject({ stored: 3, pending: 0, set_aside: 1, imbalance: 0 });
    expect(await breakerState(metrics)).toBe(0);
  });

  test('a count that is refused says nothing about the bytes', async () => {
    const { storage, clock, start, log } = setUp([segmentOf(1, { 0: 5 })]);
    storage.countScript.push(error('poison'), error('poison'), error('poison'));
    await start();
    await clock.advance(2000);
    expect(log.aside).toEqual([]);
    expect(log.removed).toEqual([1n]);
  });

  test('a segment that always fails does not hold up the others', async () => {
    const { storage, clock, start, add, log, metrics } = setUp([segmentOf(1, { 0: 5 })]);
    const insert = storage.insert.bind(storage);
    storage.insert = (source, days) =>
      source.batch === 1n ? Promise.reject(new Error('EIO')) : insert(source, days);
    await start();
    for (let batch = 2; batch < 10; batch++) {
      add(segmentOf(batch, { 0: 1 }));
      await clock.advance(1000);
    }
    expect(log.removed).toHaveLength(8);
    expect(await breakerState(metrics)).toBe(0);
    expect(log.disk.has(1n)).toBe(true);
  });

  test('a segment that storage fails for its own sake does not keep the breaker open', async () => {
    const { storage, clock, start, add, log, metrics } = setUp([segmentOf(1, { 0: 5 })]);
    const insert = storage.insert.bind(storage);
    storage.insert = (source, days) =>
      source.batch === 1n ? Promise.reject(error('retry')) : insert(source, days);
    await start();
    await clock.advance(5000);
    expect(await breakerState(metrics)).toBe(2);
    add(segmentOf(2, { 0: 1 }));
    await clock.advance(10_000);
    expect(log.removed).toEqual([2n]);
  });

  test('a stored segment that the log cannot remove is removed with the next', async () => {
    const { start, add, log, storage, ledger } = setUp([segmentOf(1, { 0: 5 })]);
    log.failRemoves = 1;
    await start();
    expect(ledger.entries().stored).toBe(5);
    add(segmentOf(2, { 0: 1 }));
    await settle();
    expect(log.removed).toEqual([1n, 2n]);
    expect(storage.calls).toEqual(['insert 1', 'count 1', 'insert 2', 'count 2']);
    expect(ledger.entries().stored).toBe(6);
  });
});

describe('Inserter, storage away', () => {
  test('tries at once when storage says that it is back', async () => {
    const { storage, ledger, inserter, clock, start } = setUp(
      [1, 2, 3].map((batch) => segmentOf(batch, { 0: 1 })),
    );
    storage.insertScript.push(...Array.from({ length: 5 }, () => fail('retry')));
    await start();
    await clock.advance(350);
    expect(ledger.entries().stored).toBe(0);
    inserter.storageReturned();
    await settle();
    expect(ledger.entries().pending).toBe(0);
  });

  test('three failures open the breaker, then one probe at a time is made', async () => {
    const segments = [1, 2, 3, 4, 5].map((batch) => segmentOf(batch, { 0: 1 }));
    const { storage, clock, start, log, logger, metrics, inserter } = setUp(segments);
    storage.insertScript.push(...Array.from({ length: 6 }, () => fail('retry')));
    await start();
    expect(storage.calls).toEqual(['insert 1', 'insert 2', 'insert 3']);
    expect(await breakerState(metrics)).toBe(2);
    expect(inserter.idle).toBe(false);
    expect(logger.count('error', 'takes no inserts')).toBe(1);
    await clock.advance(99);
    expect(storage.calls).toHaveLength(3);
    storage.hold = true;
    await clock.advance(1);
    expect(storage.holds.map(({ call }) => call)).toEqual(['insert 4']);
    expect(await breakerState(metrics)).toBe(1);
    storage.hold = false;
    storage.holds[0]!.go();
    await settle();
    expect(await breakerState(metrics)).toBe(2);
    await clock.advance(30_000);
    expect(await breakerState(metrics)).toBe(0);
    expect(log.disk.size).toBe(0);
    expect(logger.count('error', 'takes no inserts')).toBe(1);
    expect(logger.count('info', 'takes inserts again')).toBe(1);
  });

  test('stop tries what is left within the deadline', async () => {
    const { storage, clock, start, log, inserter } = setUp([segmentOf(1, { 0: 1 })]);
    storage.insertScript.push(fail('retry'));
    await start();
    const stopped = inserter.stop(1000);
    await clock.advance(100);
    await stopped;
    expect(log.removed).toEqual([1n]);
    expect(clock.sleepers).toBe(0);
  });

  test('stop gives up when the breaker is open', async () => {
    const segments = [1, 2, 3].map((batch) => segmentOf(batch, { 0: 1 }));
    const { storage, start, log, inserter } = setUp(segments);
    storage.insertScript.push(fail('retry'), fail('retry'), fail('retry'));
    await start();
    await inserter.stop(15_000);
    expect(log.disk.size).toBe(3);
  });

  test('stop does not wait for a storage that never became ready', async () => {
    const { storage, start, inserter } = setUp([segmentOf(1, { 0: 1 })], new Promise(() => {}));
    await start();
    await inserter.stop(15_000);
    expect(storage.calls).toEqual([]);
  });

  test('a call that ends after the deadline books and removes nothing', async () => {
    const { storage, clock, start, log, inserter, ledger } = setUp([segmentOf(1, { 0: 1 })]);
    storage.hold = true;
    await start();
    const stopped = inserter.stop(1000);
    await clock.advance(1000);
    await stopped;
    storage.hold = false;
    storage.holds[0]!.go();
    await settle();
    expect(log.disk.size).toBe(1);
    expect(ledger.entries()).toMatchObject({ stored: 0, pending: 1 });
  });
});
