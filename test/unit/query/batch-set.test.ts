import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BatchSet } from '../../../src/query/batch-set.ts';

describe('BatchSet', () => {
  test('keeps ids that follow each other as one range', () => {
    const set = BatchSet.none.with([5n, 4n, 9n]).with([6n, 1n, 4n]);
    expect(set.ranges).toEqual([
      { from: 1n, to: 1n },
      { from: 4n, to: 6n },
      { from: 9n, to: 9n },
    ]);
  });

  test('has what was added and nothing else', () => {
    const ids = fc.array(fc.bigInt({ min: 0n, max: 40n }));
    fc.assert(
      fc.property(ids, ids, (some, more) => {
        const set = BatchSet.none.with(some).with(more);
        const all = new Set([...some, ...more]);
        for (let id = 0n; id <= 41n; id++) expect(set.has(id)).toBe(all.has(id));
      }),
    );
  });
});
