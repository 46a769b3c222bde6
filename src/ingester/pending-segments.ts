/** Closed segments that are not yet in storage, in the order in which they were written. */
import type { Backoff } from '../base/backoff.ts';
import type { Divide } from '../wal/division.ts';
import { Family, type DivisionCause, type Tried } from './refusals.ts';
import type { ClosedSegment } from './segment-log.ts';

/** After so many no query waits for the segment any more. */
const HOPELESS_FAILURES = 8;
/** One bad row among 200,000 is alone after 18: for so long a query may wait. */
const HOPELESS_REFUSALS = 40;
/** So many parts, or parts of so many segments, may take longer than any query waits. */
const HOPELESS_PARTS = 24;
const HOPELESS_DAYS = 2400;
const HOPELESS_FAMILIES = 4;

/** The parts of a segment of many days: nothing is wrong with them, so they wait like any other. */
interface DayParts {
  /** How many days their rows are of, together. */
  pending: number;
}

export interface Pending extends Tried {
  readonly segment: ClosedSegment;
  readonly days: DayParts | undefined;
  /** Rows of all segments added before it. */
  readonly startRow: number;
  /** An insert of it may have begun: what is in storage must be counted first. */
  inDoubt: boolean;
  failures: number;
  refusal: Tried['refusal'];
  /** Begun: from now on the segment can only be divided, for its parts may count already. */
  division: { readonly cause: DivisionCause; readonly divide: Divide } | undefined;
  divisible: boolean;
  lastError: string;
  /** Counted back with a number that no insert leaves behind. */
  torn: boolean;
  /** Monotonic milliseconds: not before. */
  dueMs: number;
  backoff: Backoff | undefined;
}

export class PendingSegments {
  readonly #ordered = new Set<Pending>();
  readonly #retryBackoff: () => Backoff;
  readonly #tornBackoff: () => Backoff;
  readonly #families = new Set<Family>();
  #addedRows = 0;
  #lastWasPart = false;

  constructor(retryBackoff: () => Backoff, tornBackoff: () => Backoff) {
    this.#retryBackoff = retryBackoff;
    this.#tornBackoff = tornBackoff;
  }

  get size(): number {
    return this.#ordered.size;
  }

  /** Segments divided for what storage refused that have parts left. */
  get families(): number {
    return this.#families.size;
  }

  /** Rows of all segments added. */
  get addedRows(): number {
    return this.#addedRows;
  }

  /** Added rows before the first that is still pending. */
  get doneRows(): number {
    for (const first of this.#ordered) return first.startRow;
    return this.#addedRows;
  }

  /** Added rows before the first that is pending, not torn, and does not fail again and again. */
  get settledRows(): number {
    for (const pending of this.#ordered) {
      const isOfMany = pending.family !== undefined && this.families >= HOPELESS_FAMILIES;
      if (!isOfMany && !isHopeless(pending)) return pending.startRow;
    }
    return this.#addedRows;
  }

  get hasUntorn(): boolean {
    for (const { torn } of this.#ordered) if (!torn) return true;
    return false;
  }

  segments(): readonly ClosedSegment[] {
    return Array.from(this.#ordered, ({ segment }) => segment);
  }

  add(segment: ClosedSegment): void {
    this.#ordered.add(newPending(segment, this.#addedRows, segment.recovered));
    this.#addedRows += segment.rows;
  }

  /**
   * The parts stand where the whole stood, behind the other parts of its family: so large parts
   * are tried before small ones.
   */
  replace(whole: Pending, parts: readonly ClosedSegment[], cause: DivisionCause): void {
    const isByDays = cause === 'days';
    const family = isByDays ? whole.family : (whole.family ?? new Family());
    const days = isByDays ? (whole.days ?? { pending: 0 }) : undefined;
    const isBefore = (other: Pending): boolean =>
      other === whole || (family !== undefined && other.family === family);
    const before = [...this.#ordered];
    const last = before.findLastIndex(isBefore);
    this.#ordered.clear();
    for (const [place, other] of before.entries()) {
      this.#ordered.add(other);
      if (place !== last) continue;
      for (const part of parts) {
        this.#ordered.add(newPending(part, whole.startRow, false, family, days));
      }
    }
    if (family !== undefined) this.#families.add(family);
    if (family !== undefined) family.pending += parts.length;
    if (days !== undefined) for (const part of parts) days.pending += part.days.size;
    this.done(whole);
  }

  done(pending: Pending): void {
    this.#ordered.delete(pending);
    const { family, days } = pending;
    if (days !== undefined) days.pending -= pending.segment.days.size;
    if (family === undefined) return;
    family.pending--;
    if (family.pending === 0) this.#families.delete(family);
  }

  /** Storage is back: what failed because it was away need not wait longer. */
  storageReturned(): void {
    for (const pending of this.#ordered) {
      if (pending.torn) continue;
      pending.dueMs = Number.NEGATIVE_INFINITY;
      pending.backoff?.reset();
    }
  }

  /** @param atOnce the next try is another one */
  failed(pending: Pending, nowMs: number, atOnce: boolean): void {
    pending.failures++;
    if (atOnce) pending.dueMs = nowMs;
    else this.#delay(pending, false, nowMs);
  }

  torn(pending: Pending, nowMs: number): void {
    this.#delay(pending, true, nowMs);
  }

  /** The oldest whose time has come; parts of refused segments take turns with the others. */
  due(nowMs: number): Pending | undefined {
    let part: Pending | undefined;
    for (const pending of this.#ordered) {
      if (pending.dueMs > nowMs) continue;
      if (pending.family === undefined) return this.#lastWasPart ? pending : (part ?? pending);
      part ??= pending;
    }
    return part;
  }

  trying({ family }: Pending): void {
    this.#lastWasPart = family !== undefined;
  }

  /**
   * What to try a storage with that failed: the one that failed least, so that a segment which
   * fails for its own sake does not speak for storage. Its own waiting time does not count.
   */
  probe(nowMs: number): Pending | undefined {
    let best: Pending | undefined;
    for (const pending of this.#ordered) {
      if (pending.torn && pending.dueMs > nowMs) continue;
      if (best === undefined || pending.failures < best.failures) best = pending;
    }
    return best;
  }

  /**
   * Until something can be tried; infinity when nothing is pending.
   * @param heedDelays false: as probe() sees it
   */
  waitMs(nowMs: number, heedDelays: boolean): number {
    let least = Number.POSITIVE_INFINITY;
    for (const { torn, dueMs } of this.#ordered) {
      least = Math.min(least, heedDelays || torn ? dueMs - nowMs : 0);
    }
    return Math.max(0, least);
  }

  #delay(pending: Pending, torn: boolean, nowMs: number): void {
    if (pending.backoff === undefined || pending.torn !== torn) {
      pending.backoff = torn ? this.#tornBackoff() : this.#retryBackoff();
    }
    pending.torn = torn;
    pending.dueMs = nowMs + pending.backoff.nextMs();
  }
}

const isHopeless = ({ torn, failures, family, days }: Pending): boolean =>
  torn ||
  failures >= HOPELESS_FAILURES ||
  (days?.pending ?? 0) > HOPELESS_DAYS ||
  (family !== undefined &&
    (family.refusals >= HOPELESS_REFUSALS || family.pending > HOPELESS_PARTS));

const newPending = (
  segment: ClosedSegment,
  startRow: number,
  inDoubt: boolean,
  family?: Family,
  days?: DayParts,
): Pending => ({
  segment,
  days,
  startRow,
  inDoubt,
  failures: 0,
  refusal: undefined,
  family,
  division: undefined,
  divisible: true,
  lastError: '',
  torn: false,
  dueMs: Number.NEGATIVE_INFINITY,
  backoff: undefined,
});
