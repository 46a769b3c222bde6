/**
 * Thousands of lives of a collector. SIMULATION_SEEDS says how many seeds, SIMULATION_SEED runs
 * one of them and prints all that happened.
 */
import { describe, expect, test } from 'vitest';
import { simulate, type Verdict } from './world.ts';

const SEEDS_DEFAULT = 2000;
const count = Number(process.env['SIMULATION_SEEDS'] ?? SEEDS_DEFAULT);
const only = process.env['SIMULATION_SEED'];
const seeds =
  only === undefined ? Array.from({ length: count }, (_, index) => index + 1) : [Number(only)];

const story = ({ seed, problems, events }: Verdict): string =>
  [`SIMULATION_SEED=${seed}`, ...problems, '', ...events].join('\n');

/** @throws with the story of the first seed that breaks a promise */
async function liveThroughAll(): Promise<number> {
  let lived = 0;
  for (const seed of seeds) {
    const verdict = await simulate(seed, only === undefined ? 60 : Number.POSITIVE_INFINITY);
    if (only !== undefined) console.log(story(verdict));
    if (verdict.problems.length > 0) throw new Error(story(verdict));
    lived++;
    // For the test runner: a simulation leaves it no turn of its event loop.
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
  return lived;
}

describe('Distributor, log and ingester in a world full of trouble', () => {
  test('store once what was acknowledged, nothing else, and the books balance', async () => {
    expect(await liveThroughAll()).toBe(seeds.length);
  });

  test.each([1, 2, 3, 4, 5, 6, 7, 8])('live seed %i twice in the same way', async (seed) => {
    const again = await simulate(seed, Number.POSITIVE_INFINITY);
    expect(await simulate(seed, Number.POSITIVE_INFINITY)).toEqual(again);
  });
});
