import { describe, expect, test } from 'vitest';
import { Backoff } from '../../../src/base/backoff.ts';

const take = (backoff: Backoff, times: number): number[] =>
  Array.from({ length: times }, () => backoff.nextMs());

describe('Backoff', () => {
  test('has a ceiling that doubles up to the maximum', () => {
    // The largest number below 1 would come close; 1 shows the ceiling itself.
    expect(take(new Backoff(100, 1000, () => 1), 6)).toEqual([100, 200, 400, 800, 1000, 1000]);
  });

  test('never waits less than the minimum', () => {
    expect(take(new Backoff(100, 1000, () => 0), 4)).toEqual([100, 100, 100, 100]);
  });

  test('spreads the waits below the ceiling', () => {
    expect(take(new Backoff(100, 1000, () => 0.5), 3)).toEqual([100, 150, 250]);
  });

  test('starts over after a reset', () => {
    const backoff = new Backoff(100, 1000, () => 1);
    take(backoff, 5);
    backoff.reset();
    expect(take(backoff, 2)).toEqual([100, 200]);
  });

  test('stays at the maximum after very many tries', () => {
    expect(take(new Backoff(100, 1000, () => 1), 2000).at(-1)).toBe(1000);
  });
});
