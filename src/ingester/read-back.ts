/** What a count of a segment's rows in storage says about its insert. */
import type { RowsByDay } from '../storage/contract.ts';

/**
 * complete: every day is there; missing: no day; partial: some days, each whole;
 * torn: a day with another number of rows than the log has, which no single insert leaves behind.
 */
export type Outcome = 'complete' | 'missing' | 'partial' | 'torn';

export interface ReadBack {
  readonly outcome: Outcome;
  /** Days without a row. */
  readonly missingDays: readonly number[];
  /** Days whose number is neither 0 nor right. */
  readonly tornDays: readonly number[];
  /** Rows of the days that are whole. */
  readonly storedRows: number;
}

export function compareDays(logged: RowsByDay, found: RowsByDay): ReadBack {
  const missingDays: number[] = [];
  const tornDays: number[] = [];
  let storedRows = 0;
  for (const [day, rows] of logged) {
    const there = found.get(day) ?? 0;
    if (there === rows) storedRows += rows;
    else if (there === 0) missingDays.push(day);
    else tornDays.push(day);
  }
  for (const [day, rows] of found) {
    if (rows > 0 && !logged.has(day)) tornDays.push(day);
  }
  return {
    outcome: outcomeOf(missingDays, tornDays, storedRows),
    missingDays,
    tornDays,
    storedRows,
  };
}

function outcomeOf(missing: readonly number[], torn: readonly number[], stored: number): Outcome {
  if (torn.length > 0) return 'torn';
  if (missing.length === 0) return 'complete';
  return stored > 0 ? 'partial' : 'missing';
}
