import { describe, expect, test } from 'vitest';
import { TraceFilter, wordsOf } from '../../../src/model/trace-filter.ts';

describe('TraceFilter', () => {
  test('knows every trace and its days', () => {
    const filter = new TraceFilter();
    for (let i = 0; i < 5000; i++) filter.add(i % 3, i, 7 * i);
    filter.add(1, 0, 0);
    for (let i = 1; i < 5000; i++) expect(filter.daysOf(i, 7 * i)).toContain(i % 3);
    expect(filter.daysOf(0, 0)).toEqual([0, 1]);
  });

  test('takes few new traces for old ones, even when ids are not random', () => {
    const filter = new TraceFilter();
    for (let i = 0; i < 200_000; i++) filter.add(0, i, 0);
    let wrong = 0;
    for (let i = 200_000; i < 300_000; i++) wrong += filter.daysOf(i, 0).length;
    expect(wrong).toBeLessThan(100);
  });

  test('lets go of the oldest days when there are too many traces', () => {
    const filter = new TraceFilter(2);
    for (const day of [3, 1, 2]) filter.add(day, day, day);
    expect(filter.firstDay).toBe(2);
    expect([1, 2, 3].map((day) => filter.daysOf(day, day))).toEqual([[], [2], [3]]);
    filter.add(1, 1, 1);
    expect(filter.daysOf(1, 1)).toEqual([]);
  });

  test('reads the words of a trace, highest byte first', () => {
    expect(wordsOf('\u00FF\u0000\u0000\u0001\u0080\u0000\u0000\u0002')).toEqual([
      0x8000_0002, 0xff00_0001,
    ]);
  });
});
