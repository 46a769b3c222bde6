import { describe, expect, test } from 'vitest';
import { TraceSizes } from '../../../src/distributor/trace-sizes.ts';

describe('TraceSizes', () => {
  test('notices a trace that grows beyond the limit, and forgets it after an hour', () => {
    const sizes = new TraceSizes(10_000);
    sizes.advance(0);
    let refusedAt = 0;
    for (let i = 1; i <= 20_000 && refusedAt === 0; i++)
      if (sizes.isTooLarge('t', 1, 2)) refusedAt = i;
    expect(refusedAt).toBeGreaterThan(10_000);
    expect(refusedAt).toBeLessThan(10_200);
    expect(sizes.isTooLarge('t', 1, 2)).toBe(true);
    expect(sizes.isTooLarge('u', 1, 2)).toBe(false);
    sizes.advance(3_600_000);
    expect(sizes.isTooLarge('t', 1, 2)).toBe(false);
  });

  test('never refuses a small trace, however many there are', () => {
    const sizes = new TraceSizes(1000);
    sizes.advance(0);
    let refused = 0;
    for (let i = 0; i < 500_000; i++) if (sizes.isTooLarge('t', i >>> 6, i)) refused++;
    expect(refused).toBe(0);
  });
});
