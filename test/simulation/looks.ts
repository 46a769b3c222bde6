/** What a query looks at, and which of the rows sent are among it. */
import type { QueryScope } from '../../src/model/span-sink.ts';
import type { Chance } from './chance.ts';

const DAY_MS = 86_400_000;

export interface Look {
  readonly scope: QueryScope;
  /** @param row as rowText() has it */
  readonly holds: (row: string) => boolean;
}

export function drawLook(chance: Chance, nowMs: number): Look {
  if (chance.happens(0.4)) return { scope: 'all', holds: () => true };
  if (chance.happens(0.5)) {
    const trace = chance.integer(1, 9);
    const digits = trace.toString(16).padStart(32, '0');
    return {
      scope: { traces: [BigInt(trace)] },
      holds: (row) => row.split(' ')[1]!.startsWith(digits),
    };
  }
  const toUs = (nowMs - chance.integer(0, 2) * DAY_MS - chance.integer(0, 2000)) * 1000;
  const fromUs = toUs - chance.integer(0, 3000) * 1000;
  return {
    scope: { fromUs, toUs },
    holds: (row) => {
      const us = row.split(' ')[2]!;
      return us === '-' || (Number(us) >= fromUs && Number(us) <= toUs);
    },
  };
}
