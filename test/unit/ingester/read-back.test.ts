import { describe, expect, test } from 'vitest';
import { compareDays } from '../../../src/ingester/read-back.ts';

const logged = new Map([
  [1, 10],
  [2, 20],
]);

describe('compareDays', () => {
  test.each([
    [
      'all days are whole',
      [
        [1, 10],
        [2, 20],
      ],
      'complete',
      [],
      [],
      30,
    ],
    ['nothing is there', [], 'missing', [1, 2], [], 0],
    [
      'a count of 0 is as good as none',
      [
        [1, 0],
        [2, 0],
      ],
      'missing',
      [1, 2],
      [],
      0,
    ],
    ['one day is missing', [[2, 20]], 'partial', [1], [], 20],
    [
      'one day has fewer rows',
      [
        [1, 9],
        [2, 20],
      ],
      'torn',
      [],
      [1],
      20,
    ],
    [
      'one day has more rows',
      [
        [1, 10],
        [2, 40],
      ],
      'torn',
      [],
      [2],
      10,
    ],
    ['one day is torn and one missing', [[1, 1]], 'torn', [2], [1], 0],
    [
      'a day is there that the log does not have',
      [
        [1, 10],
        [2, 20],
        [3, 1],
      ],
      'torn',
      [],
      [3],
      30,
    ],
  ] as const)('%s', (_, found, outcome, missingDays, tornDays, storedRows) => {
    const result = compareDays(logged, new Map(found));
    expect(result).toEqual({ outcome, missingDays, tornDays, storedRows });
  });
});
