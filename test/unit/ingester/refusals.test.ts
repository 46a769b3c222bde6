/** What becomes of segments that storage does not take as they are. */
import { describe, expect, test } from 'vitest';
import type { ClosedSegment } from '../../../src/ingester/segment-log.ts';
import { StorageError, type InsertSource } from '../../../src/storage/contract.ts';
import { fakeCutter, type FakeStorage, segmentOf, settle } from './fakes.ts';
import { inserterWith } from './inserter-bench.ts';

/** Rows of this day are refused. */
const BAD_DAY = 666;

const poison = new StorageError('poison', 6, 'cannot parse');
const memory = new StorageError('memory', 241, 'memory limit exceeded');
const refuseBadRows = ({ days }: InsertSource) => (days.has(BAD_DAY) ? poison : undefined);
const refuseMoreThan = (rowsMax: number) => (source: InsertSource) =>
  source.rows > rowsMax ? memory : undefined;

function setUp(segments: readonly ClosedSegment[], cutter = fakeCutter) {
  const bench = inserterWith(segments, { cutter });
  const { clock, inserter, storage, metrics } = bench;
  const run = async (ms = 2000): Promise<void> => {
    inserter.start();
    await clock.advance(ms);
    // Long chains of tries need no time.
    for (let turn = 0; turn < 2000 && !inserter.idle; turn++) await settle();
  };
  const inserts = (): number => storage.calls.filter((call) => call.startsWith('insert')).length;
  const state = async (): Promise<number> => (await metrics.breakerState.get()).values[0]!.value;
  return { ...bench, run, inserts, state };
}

/** Rows in storage by day, of all segments. */
function stored(storage: FakeStorage): Record<number, number> {
  const sum: Record<number, number> = {};
  for (const days of storage.rows.values()) {
    for (const [day, rows] of days) sum[day] = (sum[day] ?? 0) + rows;
  }
  return sum;
}

describe('Rows that storage refuses', () => {
  test('are set aside alone, and all others are stored once', async () => {
    const { log, storage, ledger, logger, metrics, run, inserts, state } = setUp([
      segmentOf(1, { 0: 500, [BAD_DAY]: 1, 700: 499 }),
    ]);
    storage.refuses = refuseBadRows;
    await run();
    expect(stored(storage)).toEqual({ 0: 500, 700: 499 });
    expect(log.aside.map(({ segment }) => segment.rows)).toEqual([1]);
    expect(log.aside[0]!.why).toContain('cannot parse');
    expect(log.disk.size).toBe(0);
    expect(ledger.entries()).toMatchObject({ stored: 999, set_aside: 1, pending: 0, imbalance: 0 });
    // Two for the whole, two for each of nine halvings, one more for the last row.
    expect(inserts()).toBeLessThanOrEqual(24);
    expect(logger.count('error', 'scrubjay wal retry')).toBe(1);
    // Refused, divided; the last row refused.
    expect(logger.count('warn', '')).toBe(3);
    expect(await state()).toBe(0);
    const { values } = await metrics.segmentsDivided.get();
    expect(values).toEqual([{ labels: { cause: 'poison' }, value: 9 }]);
  });

  test('leave the days alone that storage took before it refused', async () => {
    const { log, storage, ledger, run } = setUp([segmentOf(1, { 0: 5, 1: 7, [BAD_DAY]: 1 }, true)]);
    storage.rows.set(1n, new Map([[0, 5]]));
    storage.refuses = refuseBadRows;
    await run();
    expect(stored(storage)).toEqual({ 0: 5, 1: 7 });
    expect(log.aside.map(({ segment }) => segment.rows)).toEqual([1]);
    expect(ledger.entries()).toMatchObject({ stored: 12, set_aside: 1, pending: 0, imbalance: 0 });
  });

  test('do not hold up segments that come meanwhile', async () => {
    const { storage, add, inserter, clock } = setUp([segmentOf(1, { 0: 5000, [BAD_DAY]: 3 })]);
    storage.refuses = refuseBadRows;
    storage.hold = true;
    inserter.start();
    await clock.advance(1);
    while (storage.calls.length < 10) {
      storage.holds[0]?.go();
      await clock.advance(100);
    }
    add(segmentOf(2, { 0: 1 }));
    const before = storage.calls.length;
    storage.hold = false;
    storage.holds[0]?.go();
    await settle();
    expect(storage.calls.slice(before, before + 4)).toContain('insert 2');
  });

  test('are not waited for by queries when there are many of them', async () => {
    const days = Object.fromEntries(Array.from({ length: 64 }, (_, day) => [day, 1]));
    const { storage, inserter, clock } = setUp([segmentOf(1, days), segmentOf(2, { 0: 1 })]);
    storage.refuses = ({ rows, batch }) => (batch === 2n || rows === 1 ? undefined : poison);
    storage.hold = true;
    inserter.start();
    await clock.advance(1);
    expect(inserter.settledRows).toBe(0);
    while (inserter.settledRows === 0 && storage.calls.length < 300) {
      storage.holds[0]?.go();
      await clock.advance(100);
    }
    expect(inserter.settledRows).toBe(65);
    expect(inserter.doneRows).toBe(0);
  });

  test('are isolated less finely when they keep coming', async () => {
    const spread: Record<number, number> = {};
    for (let day = 0; day < 40; day += 2) Object.assign(spread, { [day]: 400, [day + 1]: 1 });
    const segments = Array.from({ length: 12 }, (_, n) => segmentOf(n + 1, spread));
    const { storage, log, ledger, run, inserts } = setUp(segments);
    storage.refuses = ({ days }) =>
      [...days.keys()].some((day) => day % 2 === 1) ? poison : undefined;
    await run(5000);
    expect(ledger.entries()).toMatchObject({ pending: 0, imbalance: 0 });
    expect(log.disk.size).toBe(0);
    // Alone, each takes some 400.
    expect(inserts()).toBeLessThan(12 * 200);
  });

  test('are set aside in few pieces when it is all of them, then segment by segment', async () => {
    const { storage, ledger, log, run, add, clock, inserts } = setUp([segmentOf(1, { 0: 16_000 })]);
    storage.refuses = () => poison;
    await run();
    expect(log.aside.length).toBeLessThan(40);
    expect(ledger.entries()).toMatchObject({ set_aside: 16_000, pending: 0, imbalance: 0 });
    const pieces = log.aside.length;
    const before = inserts();
    add(segmentOf(2, { 0: 100 }));
    await clock.advance(2000);
    expect(log.aside.slice(pieces).map(({ segment }) => segment.batch)).toEqual([2n]);
    expect(inserts() - before).toBe(2);
    storage.refuses = refuseBadRows;
    add(segmentOf(3, { 0: 1 }));
    add(segmentOf(4, { 0: 8, [BAD_DAY]: 1 }));
    await run();
    expect(stored(storage)).toEqual({ 0: 9 });
  });

  test('of blocks that cannot be read are set aside with their segment', async () => {
    const unreadable = {
      open: () => {
        throw new Error('not a block');
      },
    };
    const { storage, log, logger, ledger, run } = setUp(
      [segmentOf(1, { 0: 5, [BAD_DAY]: 1 })],
      unreadable,
    );
    storage.refuses = refuseBadRows;
    await run();
    expect(log.aside.map(({ segment }) => segment.rows)).toEqual([6]);
    expect(logger.count('error', 'cannot be divided')).toBe(1);
    expect(ledger.entries()).toMatchObject({ set_aside: 6, pending: 0, imbalance: 0 });
  });
});

describe('A segment that the log fails to divide', () => {
  test('is divided later and not inserted meanwhile', async () => {
    const { storage, log, ledger, run, inserts } = setUp([segmentOf(1, { 0: 5, [BAD_DAY]: 1 })]);
    storage.refuses = refuseBadRows;
    log.failDivides = 2;
    await run(150);
    expect(log.divided.size).toBe(0);
    storage.refuses = () => undefined;
    const before = inserts();
    await run(5000);
    expect(storage.calls.filter((call) => call === 'insert 1')).toHaveLength(2);
    expect(inserts() - before).toBe(2);
    expect(stored(storage)).toEqual({ 0: 5, [BAD_DAY]: 1 });
    expect(ledger.entries()).toMatchObject({ stored: 6, pending: 0, imbalance: 0 });
  });
});

describe('A segment that storage has no memory for', () => {
  test('is inserted in parts that it has', async () => {
    const { storage, log, ledger, run, inserts, state } = setUp([segmentOf(1, { 0: 100_000 })]);
    storage.refuses = refuseMoreThan(20_000);
    await run();
    expect(stored(storage)).toEqual({ 0: 100_000 });
    expect(log.aside).toEqual([]);
    expect(inserts()).toBe(2 + 2 + 4 + 8);
    expect(ledger.entries()).toMatchObject({ stored: 100_000, pending: 0, imbalance: 0 });
    expect(await state()).toBe(0);
  });

  test('is tried once more before: memory may have been short for a moment', async () => {
    const { storage, log, run } = setUp([segmentOf(1, { 0: 100_000 })]);
    storage.insertScript.push({ error: memory, keep: 0 });
    await run();
    expect(log.divided.size).toBe(0);
    expect(log.removed).toEqual([1n]);
  });

  test('is small enough some time: then storage is what is in trouble', async () => {
    const { storage, log, ledger, run, clock, state } = setUp([segmentOf(1, { 0: 3000 })]);
    storage.refuses = () => memory;
    await run();
    expect(log.divided.size).toBe(1);
    expect(await state()).toBe(2);
    expect(ledger.entries()).toMatchObject({ pending: 3000, set_aside: 0 });
    storage.refuses = () => undefined;
    await clock.advance(30_000);
    expect(stored(storage)).toEqual({ 0: 3000 });
    expect(await state()).toBe(0);
  });
});

describe('A segment of many days', () => {
  const days = (from: number, to: number): Record<number, number> =>
    Object.fromEntries(Array.from({ length: to - from }, (_, day) => [from + day, 2]));

  test('is inserted in parts of four hundred days, and never as a whole', async () => {
    const { storage, log, metrics, run } = setUp([segmentOf(1, days(0, 1000))]);
    await run();
    expect(storage.calls).not.toContain('insert 1');
    expect(Array.from(storage.rows.values(), (part) => part.size)).toEqual([400, 400, 200]);
    expect(stored(storage)).toEqual(days(0, 1000));
    expect(log.disk.size).toBe(0);
    const { values } = await metrics.segmentsDivided.get();
    expect(values).toEqual([{ labels: { cause: 'days' }, value: 1 }]);
  });

  test('is divided again where one step would make too many parts, which no query waits for', async () => {
    const { storage, inserter, clock, log } = setUp([segmentOf(1, days(0, 8000))]);
    storage.hold = true;
    inserter.start();
    await clock.advance(1);
    expect(log.divided.get(1n)).toHaveLength(16);
    expect(inserter.settledRows).toBe(16_000);
    expect(inserter.doneRows).toBe(0);
    storage.hold = false;
    storage.holds[0]!.go();
    await clock.advance(1000);
    expect(stored(storage)).toEqual(days(0, 8000));
    expect(Math.max(...Array.from(storage.rows.values(), (part) => part.size))).toBe(400);
    expect(inserter.doneRows).toBe(16_000);
  });

  test('is stored before the next is looked at, and no query closes a segment meanwhile', async () => {
    const { storage, inserter, clock, log } = setUp([1, 2].map((n) => segmentOf(n, days(0, 430))));
    storage.hold = true;
    inserter.start();
    await clock.advance(1);
    for (let call = 0; call < 4; call++) {
      expect(log.divided.has(2n)).toBe(false);
      expect(inserter.idle).toBe(false);
      storage.holds[0]!.go();
      await clock.advance(1);
    }
    expect(log.divided.has(2n)).toBe(true);
    storage.hold = false;
    storage.holds[0]!.go();
    await clock.advance(1);
    expect(inserter.doneRows).toBe(1720);
  });

  test('is completed as it is when few of them are missing', async () => {
    const { storage, log, run } = setUp([segmentOf(1, days(0, 450), true)]);
    storage.rows.set(1n, new Map(Object.entries(days(0, 400)).map(([day, n]) => [Number(day), n])));
    await run();
    expect(log.divided.size).toBe(0);
    expect(stored(storage)).toEqual(days(0, 450));
  });
});
