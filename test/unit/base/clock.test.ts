import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';

describe('The system clock', () => {
  beforeEach(() => {
    vi.useFakeTimers({ now: 1_700_000_000_000 });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  test('tells epoch milliseconds, and durations that only grow', async () => {
    expect(systemClock.nowMs()).toBe(1_700_000_000_000);
    const before = systemClock.monotonicMs();
    await vi.advanceTimersByTimeAsync(5);
    expect(systemClock.monotonicMs() - before).toBe(5);
  });

  test('sleeps for the time asked for', async () => {
    const woken = vi.fn<() => void>();
    void systemClock.sleep(100).then(woken);
    await vi.advanceTimersByTimeAsync(99);
    expect(woken).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(1);
    expect(woken).toHaveBeenCalledOnce();
  });

  test('wakes at once, without an error, when the signal aborts', async () => {
    const stop = new AbortController();
    const sleeping = systemClock.sleep(60_000, stop.signal);
    stop.abort();
    await expect(sleeping).resolves.toBeUndefined();
    expect(vi.getTimerCount()).toBe(0);
  });

  test('does not sleep when the signal has aborted before', async () => {
    await expect(systemClock.sleep(60_000, AbortSignal.abort())).resolves.toBeUndefined();
    expect(vi.getTimerCount()).toBe(0);
  });
});
