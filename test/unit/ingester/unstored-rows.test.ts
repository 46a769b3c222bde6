import { expect, test } from 'vitest';
import { UnstoredRows } from '../../../src/ingester/unstored-rows.ts';
import { SpanBatch } from '../../../src/model/span-batch.ts';
import { LIMITS } from '../codec/v1-batch-reader.ts';

const T_US = 1_700_000_000_000_000;
const HIGH = 0x8000_0001n << 32n;

/** Each row of its own trace, from `first` on, a microsecond apart. */
function batchOf(first: number, rows: number, timed = true): SpanBatch {
  const batch = new SpanBatch(LIMITS, 1);
  batch.beginMessage(Buffer.from('a'), LIMITS, T_US);
  for (let n = 0; n < rows; n++) {
    batch.beginRow();
    batch.traceLo[2 * batch.rows] = first + n;
    batch.traceLo[2 * batch.rows + 1] = 0x8000_0001;
    if (timed) batch.timestampUs = T_US + first + n;
    batch.endRow();
    batch.keepRow();
  }
  return batch;
}
const ANY = { bytes: 1_000_000, blocks: 100 };
const trace = (n: number): { traces: bigint[] } => ({ traces: [HIGH + BigInt(n)] });

test('a query waits for the rows that it may look at', () => {
  const rows = new UnstoredRows();
  for (let n = 0; n < 4; n++) rows.observe(batchOf(n * 10_000, 8192), 1n, 10);
  const until = 4 * 8192;
  expect(rows.rowsFor('all', until)).toBe(until);
  expect(rows.rowsFor(trace(5), until)).toBe(8192);
  expect(rows.rowsFor(trace(20_001), until)).toBe(3 * 8192);
  expect(rows.rowsFor({ traces: [3n, HIGH + 10_000n] }, until)).toBe(2 * 8192);
  const near = { fromUs: T_US - 5, toUs: T_US };
  expect(rows.rowsFor(near, until)).toBe(8192);
  expect(rows.rowsFor({ fromUs: T_US - 5, toUs: T_US - 1 }, until)).toBe(0);
  expect(rows.rowsFor({ fromUs: T_US + 20_000, toUs: T_US + 25_000 }, until)).toBe(3 * 8192);
});

test('a query does not wait for rows that came after it began', () => {
  const rows = new UnstoredRows();
  rows.observe(batchOf(0, 5), 1n, 10);
  rows.observe(batchOf(5, 5), 1n, 10);
  expect([rows.rowsFor(trace(1), 5), rows.rowsFor(trace(7), 5)]).toEqual([5, 5]);
  const later = new UnstoredRows();
  later.observe(batchOf(0, 8192), 1n, 10);
  later.observe(batchOf(10_000, 5), 1n, 10);
  expect(later.rowsFor(trace(10_001), 8192)).toBe(0);
});

test('what is stored is waited for by nobody', () => {
  const rows = new UnstoredRows();
  rows.observe(batchOf(0, 8192), 1n, 10);
  rows.observe(batchOf(10_000, 10), 1n, 10);
  rows.stored(8192);
  expect([rows.rowsFor(trace(5), 8202), rows.rowsFor(trace(10_001), 8202)]).toEqual([0, 8202]);
  rows.stored(8202);
  rows.observe(batchOf(20_000, 10), 1n, 10);
  expect([rows.rowsFor(trace(5), 8212), rows.rowsFor(trace(20_001), 8212)]).toEqual([0, 8212]);
});

test('of spans without a timestamp nobody knows when they count', () => {
  const rows = new UnstoredRows();
  rows.observe(batchOf(0, 3, false), 1n, 10);
  expect(rows.rowsFor({ fromUs: 0, toUs: 1 }, 3)).toBe(3);
});

test('of rows of an earlier process nothing is known until they are stored', () => {
  const rows = new UnstoredRows();
  rows.recover(100);
  rows.observe(batchOf(0, 10), 1n, 10);
  expect([rows.rowsFor(trace(50), 110), rows.rowsFor(trace(5), 110)]).toEqual([100, 110]);
  rows.stored(100);
  expect(rows.rowsFor(trace(50), 110)).toBe(0);
});

test('when very many rows wait, nothing is known of the first ones', () => {
  const rows = new UnstoredRows();
  const batch = batchOf(0, 8192);
  for (let n = 0; n < 1026; n++) rows.observe(batch, 1n, 10);
  expect(rows.rowsFor(trace(1_000_000), 1026 * 8192)).toBe(2 * 8192);
});

test('rows that could not be looked at are waited for by all', () => {
  const rows = new UnstoredRows();
  rows.observe(batchOf(0, 10), 1n, 10);
  const broken = batchOf(100, 10);
  broken.traceLo = undefined!;
  expect(() => rows.observe(broken, 1n, 10)).toThrow(TypeError);
  expect(rows.rowsFor(trace(50), 20)).toBe(20);
  rows.stored(20);
  rows.observe(batchOf(200, 10), 1n, 10);
  expect([rows.rowsFor(trace(50), 30), rows.rowsFor(trace(205), 30)]).toEqual([0, 30]);
});

test('it is known where in the log the rows of a trace may be', () => {
  const rows = new UnstoredRows();
  rows.observe(batchOf(0, 100), 1n, 1000);
  rows.observe(batchOf(100, 100), 1n, 1100);
  rows.observe(batchOf(200, 8192), 2n, 9000);
  rows.observe(batchOf(50_000, 10), 2n, 50);
  const first = { batch: 1n, offset: 0, lengths: [1000, 1100], bytes: 2100, endRow: 200 };
  const until = 8402;
  expect(rows.runsOf({ traces: [HIGH + 150n] }, until, ANY)).toEqual([
    first,
    { batch: 2n, offset: 0, lengths: [9000], bytes: 9000, endRow: 8392 },
  ]);
  // What does not fit into the first thousands is in the next ones, with the block that has both.
  expect(rows.runsOf({ traces: [HIGH + 8391n] }, until, ANY)).toEqual([
    { batch: 2n, offset: 0, lengths: [9000, 50], bytes: 9050, endRow: 8402 },
  ]);
  expect(rows.runsOf({ traces: [HIGH + 8391n] }, 8192, ANY)).toEqual([]);
  expect(rows.runsOf({ traces: [HIGH + 60_000n] }, until, ANY)).toEqual([]);
  // A block that is in both counts once.
  const both = { traces: [HIGH + 150n, HIGH + 8391n] };
  const second = { batch: 2n, offset: 0, lengths: [9000], bytes: 9000, endRow: 8392 };
  const third = { batch: 2n, offset: 9000, lengths: [50], bytes: 50, endRow: 8402 };
  expect(rows.runsOf(both, until, ANY)).toEqual([first, second, third]);
  const bytes = 2100 + 9000 + 50;
  expect(rows.runsOf(both, until, { bytes, blocks: 4 })).toHaveLength(3);
  expect(rows.runsOf(both, until, { bytes: bytes - 1, blocks: 4 })).toBeUndefined();
  expect(rows.runsOf(both, until, { bytes, blocks: 3 })).toBeUndefined();
  rows.stored(200);
  expect(rows.runsOf({ traces: [HIGH + 150n] }, until, ANY)).toEqual([second]);
  rows.stored(8192);
  expect(rows.runsOf({ traces: [HIGH + 150n] }, until, ANY)).toEqual([]);
});

test('it is not known where rows of an earlier process are', () => {
  const rows = new UnstoredRows();
  rows.recover(5);
  rows.observe(batchOf(0, 5), 1n, 10);
  expect(rows.runsOf({ traces: [HIGH] }, 10, ANY)).toBeUndefined();
  rows.stored(5);
  expect(rows.runsOf({ traces: [HIGH] }, 10, ANY)).toEqual([
    { batch: 1n, offset: 0, lengths: [10], bytes: 10, endRow: 10 },
  ]);
  expect(rows.runsOf({ traces: [HIGH] }, 11, ANY)).toBeUndefined();
});
