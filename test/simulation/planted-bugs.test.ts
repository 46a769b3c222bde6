import { describe, expect, test } from 'vitest';
import { pathOfBug, withBug } from './plant.ts';
import { PLANTED_BUGS } from './planted-bugs.ts';
import type { simulate } from './world.ts';

const SEEDS_MAX = 1000;

interface World {
  readonly simulate: typeof simulate;
}

const bugs = PLANTED_BUGS.map(({ name }, index) => ({ name, index }));

describe('The simulation finds a collector that', () => {
  test.each(bugs)('$name', async ({ index }) => {
    const world = (await import(/* @vite-ignore */ `./world.ts?bug=${index}`)) as World;
    let found: string | undefined;
    for (let seed = 1; seed <= SEEDS_MAX && found === undefined; seed++) {
      const { problems } = await world.simulate(seed);
      if (problems[0] !== undefined) found = `seed ${seed}: ${problems[0]}`;
      await new Promise((resolve) => setImmediate(resolve));
    }
    if (process.env['SIMULATION_VERBOSE'] !== undefined) console.log(found?.slice(0, 150));
    expect(found).toBeDefined();
  });

  test('and each bug is planted in a line that exists', () => {
    for (const { index } of bugs) expect(withBug(pathOfBug(index), index)).not.toBe('');
  });
});
