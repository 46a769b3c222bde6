import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SearchWindows } from '../../../src/query/search-windows.ts';

const NOW_MS = 1_700_000_000_000;
const HOUR_MS = 3_600_000;
const MINUTE_US = 60_000_000;

describe('SearchWindows', () => {
  test('begin with the last minute and end with all that was asked for', () => {
    const windows = new SearchWindows({ endTsMs: NOW_MS, lookbackMs: HOUR_MS }, NOW_MS);
    expect(windows.window).toEqual({ fromUs: NOW_MS * 1000 - MINUTE_US, toUs: NOW_MS * 1000 });
    expect(windows.last).toBe(false);
    windows.widen(0, 10);
    expect(windows.window.fromUs).toBe(NOW_MS * 1000 - 24 * MINUTE_US);
    windows.widen(0, 10);
    expect(windows.window.fromUs).toBe((NOW_MS - HOUR_MS) * 1000);
    expect(windows.last).toBe(true);
  });

  test('a short lookback is one window', () => {
    const windows = new SearchWindows({ endTsMs: NOW_MS, lookbackMs: 350 }, NOW_MS);
    expect(windows.last).toBe(true);
    expect(windows.window).toEqual({ fromUs: (NOW_MS - 350) * 1000, toUs: NOW_MS * 1000 });
  });

  test.each([
    [1, 15],
    [5, 3],
    [9, 2],
    [0, 24],
  ])('with %i of 10 traces the next is %i times as wide', (found, times) => {
    const windows = new SearchWindows({ endTsMs: NOW_MS, lookbackMs: 99 * HOUR_MS }, NOW_MS);
    windows.widen(found, 10);
    expect(windows.window.toUs - windows.window.fromUs).toBe(times * MINUTE_US);
  });

  test('spans count after an end that is past, and before the begin', () => {
    const endTsMs = NOW_MS - HOUR_MS;
    const windows = new SearchWindows({ endTsMs, lookbackMs: HOUR_MS }, NOW_MS);
    expect(windows.rows.toUs).toBe(endTsMs * 1000 + 15 * MINUTE_US);
    expect(windows.rows.fromUs).toBe(windows.window.fromUs);
    windows.widen(0, 1);
    windows.widen(0, 1);
    expect(windows.rows.fromUs).toBe((endTsMs - HOUR_MS) * 1000 - 15 * MINUTE_US);
  });

  test('an end in the future does not use up the first window', () => {
    const endTsMs = NOW_MS + 99 * HOUR_MS;
    const windows = new SearchWindows({ endTsMs, lookbackMs: 999 * HOUR_MS }, NOW_MS);
    expect(windows.window.fromUs).toBe(NOW_MS * 1000 - MINUTE_US);
  });

  test('any search comes to its begin in few steps, each window holding the one before', () => {
    const ms = fc.oneof(fc.integer({ min: 1, max: 2 * NOW_MS }), fc.constant(2 ** 63));
    fc.assert(
      fc.property(ms, ms, fc.nat(10), (endTsMs, lookbackMs, found) => {
        const windows = new SearchWindows({ endTsMs, lookbackMs }, NOW_MS);
        let steps = 0;
        while (!windows.last) {
          const { fromUs } = windows.window;
          windows.widen(found, 10);
          expect(windows.window.fromUs).toBeLessThanOrEqual(fromUs);
          expect(++steps).toBeLessThan(60);
        }
        expect(windows.window.fromUs).toBe(Math.max(0, endTsMs - lookbackMs) * 1000);
        expect(windows.rows.fromUs).toBeLessThan(windows.window.fromUs + 1);
      }),
    );
  });
});
