/**
 * What to do with a segment that storage does not take as it is. It is divided until the rows that
 * are refused are alone, or what is inserted at once is small enough; the parts are segments like
 * any other. Only what cannot be divided further, or not with good reason, is set aside.
 */
import type { InsertSource } from '../storage/contract.ts';

/** Each day is a part of its own in storage: so many take some seconds. */
export const INSERT_DAYS_MAX = 400;
/** A cut connection can look like bad bytes once, and memory can be short for a moment. */
const TRIES = 2;
/** So much rarely is too much for memory: if it is, less will not help. */
const MEMORY_BYTES_MIN = 256 * 1024;
/** Some 50 bad rows among 200,000 are found alone; with more of them, good neighbours go along. */
const REFUSALS_MAX = 1000;
/** Where bad rows keep coming, segments must leave the log as fast as they come. */
const REFUSALS_MAX_OF_MANY = 16;
/** After so many without one part taken it is not about rows. */
const REFUSALS_MAX_OF_ALL = 32;

export type DivisionCause = 'poison' | 'memory' | 'days';
export type Verdict = 'insert' | 'set_aside' | DivisionCause;

/** What is known of a segment that storage may have refused. */
export interface Tried {
  readonly segment: Pick<InsertSource, 'rows' | 'bytes'>;
  /** What the latest inserts, so many in a row, were refused for. */
  readonly refusal: { readonly cause: 'poison' | 'memory'; readonly times: number } | undefined;
  /** Of the parts of a refused segment. */
  readonly family: Family | undefined;
  /** False once it turned out not to be. */
  readonly divisible: boolean;
}

/** All parts of one segment that storage refused. */
export class Family {
  refusals = 0;
  /** Storage took one of them. */
  taken = false;
  /** How many are not in storage and not set aside. */
  pending = 0;
}

export class Refusals {
  /** Storage refused all parts of a segment, and has taken nothing since. */
  #refusesAll = false;

  refused({ family }: Tried): void {
    if (family !== undefined) family.refusals++;
  }

  taken({ family }: Tried): void {
    if (family !== undefined) family.taken = true;
    this.#refusesAll = false;
  }

  setAside({ family, segment }: Tried): void {
    if (segment.rows > 1 && family?.taken === false) this.#refusesAll = true;
  }

  /**
   * @param days of the segment that are not in storage
   * @param families divided segments that have parts left
   */
  verdict(pending: Tried, days: number, families: number): Verdict {
    const { refusal, segment, divisible } = pending;
    if (days > INSERT_DAYS_MAX && divisible) return 'days';
    if (refusal === undefined) return 'insert';
    const { cause, times } = refusal;
    const mayDivide = divisible && segment.rows > 1 && this.#mayDivide(pending, cause, families);
    // Parts are there because the whole was refused often enough.
    const isCertain = times >= (mayDivide && pending.family !== undefined ? 1 : TRIES);
    if (!isCertain) return 'insert';
    if (mayDivide) return cause;
    return cause === 'poison' ? 'set_aside' : 'insert';
  }

  #mayDivide({ family, segment }: Tried, cause: 'poison' | 'memory', families: number): boolean {
    if (cause === 'memory') return segment.bytes > MEMORY_BYTES_MIN;
    if (family === undefined) return !this.#refusesAll;
    const max = family.taken ? REFUSALS_MAX : REFUSALS_MAX_OF_ALL;
    return family.refusals < Math.max(REFUSALS_MAX_OF_MANY, max / families ** 2);
  }
}
