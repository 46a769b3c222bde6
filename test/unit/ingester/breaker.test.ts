import { describe, expect, test } from 'vitest';
import { Backoff } from '../../../src/base/backoff.ts';
import { Breaker } from '../../../src/ingester/breaker.ts';

function setUp() {
  const states: number[] = [];
  const breaker = new Breaker(new Backoff(100, 10_000, () => 1), (state) => states.push(state));
  return { breaker, states };
}

describe('Breaker', () => {
  test('opens at the third failure in a row', () => {
    const { breaker, states } = setUp();
    expect([breaker.failed(0), breaker.failed(0)]).toEqual([false, false]);
    breaker.succeeded();
    expect([breaker.failed(0), breaker.failed(0), breaker.failed(0)]).toEqual([false, false, true]);
    expect(breaker.closed).toBe(false);
    expect(states).toEqual([0, 2]);
  });

  test('waits longer after each failed probe, up to the maximum', () => {
    const { breaker } = setUp();
    for (let i = 0; i < 3; i++) breaker.failed(0);
    const waits = [breaker.waitMs(0)];
    for (let i = 0; i < 8; i++) {
      breaker.trying();
      expect(breaker.failed(0)).toBe(false);
      waits.push(breaker.waitMs(0));
    }
    expect(waits).toEqual([100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
  });

  test('is half open during a probe and closed by its success', () => {
    const { breaker, states } = setUp();
    for (let i = 0; i < 3; i++) breaker.failed(0);
    breaker.trying();
    expect(breaker.succeeded()).toBe(true);
    expect(breaker.waitMs(0)).toBe(0);
    expect(states).toEqual([0, 2, 1, 0]);
  });

  test('stays open after a probe that told nothing', () => {
    const { breaker, states } = setUp();
    for (let i = 0; i < 3; i++) breaker.failed(0);
    breaker.trying();
    breaker.undecided(50);
    expect(breaker.waitMs(50)).toBe(200);
    expect(states).toEqual([0, 2, 1, 2]);
  });
});
