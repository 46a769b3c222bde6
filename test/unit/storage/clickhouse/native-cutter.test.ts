import { describe, expect, test } from 'vitest';
import { DAY_US } from '../../../../src/model/days.ts';
import { SpanBatch } from '../../../../src/model/span-batch.ts';
import { NativeBlockCutter, tenantsOf } from '../../../../src/storage/clickhouse/native-cutter.ts';
import { NativeBlockEncoder } from '../../../../src/storage/clickhouse/native-block.ts';
import { LIMITS } from '../../ingester/fakes.ts';

const BATCH = 0x1234_5678_9abc_def0n;

/** @param ids of the spans: what else is in them follows from it */
function blockOf(ids: readonly number[], batchId = BATCH): Buffer {
  const batch = new SpanBatch(LIMITS, 7);
  const set = (text: string): [Buffer, number, number] => [Buffer.from(text), 0, text.length];
  for (const id of ids) {
    batch.beginMessage(Buffer.from(`tenant-${id % 2}`), LIMITS, 1);
    batch.beginRow();
    batch.setTraceId(0, id, 0, id + 1);
    batch.setId(0, id + 1);
    batch.setTimestamp((id % 4) * DAY_US + 1);
    batch.setName(...set(`name-${id % 5}`));
    for (let n = 0; n < id % 3; n++) batch.addTag(...set(`key-${n}`), ...set(`value-${id}`));
    for (let n = 0; n < id % 4; n++) batch.addAnnotation(n, ...set(`event-${id % 2}`));
    batch.endRow();
    batch.keepRow();
  }
  return Buffer.from(new NativeBlockEncoder().encode(batch, batchId));
}

const cut = (block: Buffer, picks: readonly number[], batchId = BATCH): Buffer =>
  Buffer.from(new NativeBlockCutter().open(block).take(picks, batchId));

const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from }, (_, i) => from + i);

describe('NativeBlockCutter', () => {
  const ids = range(0, 600);
  const block = blockOf(ids);

  test('knows the day of each row', () => {
    expect(new NativeBlockCutter().open(block).days).toEqual(ids.map((id) => id % 4));
  });

  test.each<[string, (row: number) => boolean]>([
    ['all rows', () => true],
    ['one row', (row) => row === 77],
    ['neighbours', (row) => row > 100 && row < 200],
    ['every third row', (row) => row % 3 === 1],
  ])('takes %s as if they had been encoded alone', (_, isWanted) => {
    const picks = ids.filter(isWanted);
    // Cut as well: a block that was cut has no keys but those of its rows, in their order.
    const alone = cut(blockOf(picks), range(0, picks.length));
    expect(cut(block, picks).equals(alone)).toBe(true);
  });

  test('marks the rows with another batch', () => {
    const other = BATCH + 1n;
    expect(cut(block, ids, other).equals(cut(blockOf(ids, other), ids, other))).toBe(true);
  });

  test('refuses a block that is cut at any byte, or damaged in its head', () => {
    const small = blockOf(range(0, 12));
    const cutter = new NativeBlockCutter();
    for (let end = 0; end < small.byteLength; end++) {
      expect(() => cutter.open(small.subarray(0, end))).toThrow();
    }
    expect(() => cutter.open(Buffer.concat([small, small]))).toThrow('not a block');
    expect(() => cutter.open(Buffer.from('no block at all'))).toThrow();
  });

  test('ends after any damage: it is refused or read as something', () => {
    const small = blockOf(range(0, 12));
    const cutter = new NativeBlockCutter();
    const outcomes = Array.from({ length: small.byteLength }, (_, at) => {
      const damaged = Buffer.from(small);
      damaged[at] = damaged[at]! ^ 0xff;
      try {
        return cutter.open(damaged).take(range(0, 12), BATCH).byteLength > 0 ? 'read' : 'empty';
      } catch {
        return 'refused';
      }
    });
    expect(new Set(outcomes)).toEqual(new Set(['read', 'refused']));
  });
});

describe('tenantsOf', () => {
  test('reads them from the beginning of a block', () => {
    const block = blockOf(range(0, 500));
    expect(tenantsOf(block.subarray(0, 100))).toContain('tenant-1');
    expect(tenantsOf(block).filter((tenant) => tenant !== '')).toEqual(['tenant-0', 'tenant-1']);
    expect(() => tenantsOf(block.subarray(0, 50))).toThrow(RangeError);
    expect(() => tenantsOf(Buffer.from('something else entirely'))).toThrow();
  });
});
