import { describe, expect, test } from 'vitest';
import { Ingester } from '../../../src/ingester/ingester.ts';
import type { ClosedSegment } from '../../../src/ingester/segment-log.ts';
import { StorageError } from '../../../src/storage/contract.ts';
import { Ledger } from '../../../src/telemetry/ledger.ts';
import { createMetrics } from '../../../src/telemetry/metrics.ts';
import {
  addRows,
  FakeClock,
  fakeCutter,
  FakeLog,
  FakeLogger,
  FakeStorage,
  fakeEncoder,
  LIMITS,
  noteOf,
  segmentOf,
  settle,
} from './fakes.ts';
import { noTracer } from '../no-tracer.ts';

async function setUp(recovered: readonly ClosedSegment[] = [], freshnessWaitMs = 1000) {
  const log = new FakeLog(recovered);
  const storage = new FakeStorage();
  const metrics = createMetrics();
  const ledger = new Ledger(metrics);
  const clock = new FakeClock();
  const logger = new FakeLogger();
  const ingester = new Ingester({
    observers: [],
    tracer: noTracer,
    log,
    encoder: fakeEncoder,
    cutter: fakeCutter,
    writer: storage,
    storageReady: Promise.resolve(),
    ledger,
    metrics,
    logger,
    clock,
    random: () => 1,
    seed: 7,
    limits: LIMITS,
    freshnessWaitMs,
  });
  ingester.start();
  await settle();
  const send = (rows: number, day = 0): Promise<void> => {
    addRows(ingester.openBatch(), rows, day);
    return ingester.commit(rows, noteOf(1));
  };
  /** What fresh() has answered so far: undefined while it waits. */
  const ask = (signal?: AbortSignal): { answer: boolean | undefined } => {
    const query: { answer: boolean | undefined } = { answer: undefined };
    void (async () => {
      query.answer = await ingester.fresh(signal === undefined ? {} : { signal });
    })();
    return query;
  };
  return { log, storage, metrics, ledger, clock, logger, ingester, send, ask };
}

describe('Ingester, the freshness barrier', () => {
  test('answers at once, without the log, when everything is stored', async () => {
    const { ingester, log, clock } = await setUp();
    expect(await ingester.fresh()).toBe(true);
    expect(log.closes).toBe(0);
    expect(clock.sleepers).toBe(0);
  });

  test('what is asked for by trace is read from the log, which stays as it is', async () => {
    const { send, ingester, log, storage } = await setUp();
    await send(3);
    await send(2);
    const blocks = await ingester.unstored({ traces: [1n] }, ingester.durableRows);
    expect(blocks!.map(String)).toEqual(['1:3', '1:2']);
    expect(await ingester.unstored({ traces: [77n] }, ingester.durableRows)).toEqual([]);
    expect([log.closes, storage.calls]).toEqual([0, []]);
    await ingester.fresh();
    expect(await ingester.unstored({ traces: [1n] }, ingester.durableRows)).toEqual([]);
  });

  test('what has left the log meanwhile is in storage, or must be waited for', async () => {
    const { send, ingester, log, storage } = await setUp();
    await send(3);
    log.unreadable.add(1n);
    expect(await ingester.unstored({ traces: [1n] }, 3)).toBeUndefined();
    log.read = async () => {
      await ingester.fresh();
      return undefined;
    };
    expect(await ingester.unstored({ traces: [1n] }, 3)).toEqual([]);
    expect(storage.calls).toEqual(['insert 1', 'count 1']);
    log.read = () => Promise.reject(new Error('EIO'));
    await send(1);
    expect(await ingester.unstored({ traces: [1n] }, 4)).toBeUndefined();
  });

  test('a query after an ack closes the segment and sees its rows stored', async () => {
    const { send, ingester, log, storage, ledger, clock } = await setUp();
    await send(3);
    expect(await ingester.fresh()).toBe(true);
    expect(storage.calls).toEqual(['insert 1', 'count 1']);
    expect(log.closes).toBe(1);
    expect(ledger.entries()).toMatchObject({ stored: 3, pending: 0 });
    expect(clock.sleepers).toBe(0);
  });

  test('waits for recovered segments', async () => {
    const segments = [segmentOf(1, { 0: 5 }, true)];
    const { ask, storage, ledger } = await setUp(segments);
    expect(ledger.entries()).toMatchObject({ recovered: 5, accepted: 5, imbalance: 0 });
    expect(storage.calls).toEqual(['count 1', 'insert 1', 'count 1']);
    const query = ask();
    await settle();
    expect(query.answer).toBe(true);
  });

  test('does not wait for a group that is still being written', async () => {
    const { send, ingester, log } = await setUp();
    log.auto = false;
    void send(3);
    await settle();
    expect(log.running).toHaveLength(1);
    expect(await ingester.fresh()).toBe(true);
    expect(log.closes).toBe(0);
  });

  test('counts a group whose append has just resolved', async () => {
    const { send, ingester, log, ledger } = await setUp();
    log.auto = false;
    const acked = send(3);
    await settle();
    log.running[0]!.end();
    const answer = acked.then(() => ingester.fresh());
    expect(await answer).toBe(true);
    expect(ledger.entries().stored).toBe(3);
  });

  test('queries during an insert share the next close', async () => {
    const { send, ask, log, storage } = await setUp();
    storage.hold = true;
    await send(1);
    const first = ask();
    await settle();
    expect(storage.holds.map(({ call }) => call)).toEqual(['insert 1']);
    const later: ReturnType<typeof ask>[] = [];
    for (let i = 0; i < 5; i++) {
      await send(1);
      later.push(ask());
    }
    await settle();
    expect(log.closes).toBe(1);
    storage.hold = false;
    storage.holds[0]!.go();
    await settle();
    expect(first.answer).toBe(true);
    expect(later.map(({ answer }) => answer)).toEqual([true, true, true, true, true]);
    expect(log.closes).toBe(2);
    expect(storage.calls).toEqual(['insert 1', 'count 1', 'insert 2', 'count 2']);
  });

  test('a query does not wait for rows acknowledged after it began', async () => {
    const { send, ask, storage, log } = await setUp();
    storage.hold = true;
    await send(1);
    const first = ask();
    await settle();
    await send(1);
    const second = ask();
    for (const call of ['insert 1', 'count 1']) {
      expect(storage.holds[0]!.call).toBe(call);
      storage.holds[0]!.go();
      await settle();
    }
    expect([first.answer, second.answer]).toEqual([true, undefined]);
    expect(log.closes).toBe(2);
  });

  test('answers false when the wait is over, and keeps nothing of the query', async () => {
    const { send, ask, storage, clock, metrics } = await setUp();
    storage.hold = true;
    await send(1);
    const query = ask();
    await clock.advance(999);
    expect(query.answer).toBeUndefined();
    await clock.advance(1);
    expect(query.answer).toBe(false);
    expect(clock.sleepers).toBe(0);
    const { values } = await metrics.barrierSeconds.get();
    expect(values.find(({ metricName }) => metricName?.endsWith('_sum'))?.value).toBe(1);
  });

  test('answers false when the query is aborted', async () => {
    const { send, ask, storage, clock } = await setUp();
    storage.hold = true;
    await send(1);
    const abort = new AbortController();
    const query = ask(abort.signal);
    await settle();
    abort.abort();
    await settle();
    expect(query.answer).toBe(false);
    expect(clock.sleepers).toBe(0);
    const late = ask(abort.signal);
    await settle();
    expect(late.answer).toBe(false);
  });

  test('does not close segments for a storage that is away', async () => {
    const { send, ask, storage, log, clock } = await setUp([segmentOf(1, { 0: 1 }, true)], 50);
    storage.rows.clear();
    const down = new StorageError('retry', 0, 'down');
    for (let i = 0; i < 40; i++) storage.countScript.push(down);
    await send(1);
    const first = ask();
    await clock.advance(60_000);
    expect(first.answer).toBe(false);
    const { closes } = log;
    await send(1);
    const second = ask();
    await clock.advance(50);
    expect(second.answer).toBe(false);
    expect(log.closes).toBe(closes);
  });

  test('a setting of 0 means that queries do not wait', async () => {
    const { send, ingester, log } = await setUp([], 0);
    await send(1);
    expect(await ingester.fresh()).toBe(false);
    expect(log.closes).toBe(0);
  });

  test('segments that were set aside do not hold it up', async () => {
    const { send, ask, storage, log, clock } = await setUp();
    const poison = { error: new StorageError('poison', 27, 'poison'), keep: 0 };
    storage.insertScript.push(poison, poison);
    await send(1);
    const query = ask();
    await clock.advance(500);
    expect(log.aside).toHaveLength(1);
    expect(query.answer).toBe(true);
  });

  test('a torn segment makes the answer false as soon as all others are stored', async () => {
    const { send, ask, storage, clock } = await setUp();
    storage.rows.set(1n, new Map([[0, 4]]));
    storage.hold = true;
    await send(5);
    const first = ask();
    await settle();
    storage.hold = false;
    storage.holds[0]!.go();
    await settle();
    expect(first.answer).toBe(false);
    await send(1);
    const second = ask();
    await settle();
    expect(second.answer).toBe(false);
    expect(storage.calls).toEqual(['insert 1', 'count 1', 'insert 2', 'count 2']);
    expect(clock.sleepers).toBe(1);
  });

  test('a close that fails leaves the query to its time', async () => {
    const { send, ask, log, clock, logger } = await setUp();
    await send(1);
    log.closeOpen = () => Promise.reject(new Error('EIO'));
    const query = ask();
    await clock.advance(1000);
    expect(query.answer).toBe(false);
    expect(logger.count('warn', 'could not be closed for a query')).toBe(1);
  });
});

describe('Ingester, stop', () => {
  test('decides groups, inserts the rest, and closes the log', async () => {
    const { send, ingester, log, ledger } = await setUp();
    const acked = send(3);
    const stopped = ingester.stop(15_000);
    expect(ingester.refusal()?.code).toBe('SCRUBJAY_ERR_DRAINING');
    await acked;
    await expect(send(2)).rejects.toMatchObject({ code: 'SCRUBJAY_ERR_DRAINING' });
    await stopped;
    expect(log.closed).toBe(true);
    expect(log.disk.size).toBe(0);
    expect(ledger.entries()).toMatchObject({ accepted: 3, stored: 3, imbalance: 0 });
  });

  test('leaves in the log what does not fit in the deadline', async () => {
    const { send, ingester, log, storage, clock, logger } = await setUp();
    storage.hold = true;
    await send(3);
    const stopped = ingester.stop(15_000);
    await clock.advance(15_000);
    await stopped;
    expect(log.closed).toBe(true);
    expect(ingester.pendingSegments().map(({ rows }) => rows)).toEqual([3]);
    expect(logger.count('info', 'until the next start')).toBe(1);
    expect(clock.sleepers).toBe(0);
  });

  test('is one and the same when called twice', async () => {
    const { ingester } = await setUp();
    expect(ingester.stop(1000)).toBe(ingester.stop(0));
    await ingester.stop(0);
  });
});
