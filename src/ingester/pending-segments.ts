/** Closed segments that are not yet in storage, in the order in which they were written. */
import type { Backoff } from '../base/backoff.ts';
import type { ClosedSegment } from './segment-log.ts';

/** After so many no query waits for the segment any more. */
const HOPELESS_FAILURES = 8;

export interface Pending {
  readonly segment: ClosedSegment;
  /** Rows of all segments added before it. */
  readonly startRow: number;
  /** An insert of it may have begun: what is in storage must be counted first. */
  inDoubt: boolean;
  failures: number;
  /** Inserts that storage refused because of the bytes. */
  poisonings: number;
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
  #addedRows = 0;

  constructor(retryBackoff: () => Backoff, tornBackoff: () => Backoff) {
    this.#retryBackoff = retryBackoff;
    this.#tornBackoff = tornBackoff;
  }

  get size(): number {
    return this.#ordered.size;
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
    for (const { torn, failures, startRow } of this.#ordered) {
      if (!torn && failures < HOPELESS_FAILURES) return startRow;
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
    this.#ordered.add({
      segment,
      startRow: this.#addedRows,
      inDoubt: segment.recovered,
      failures: 0,
      poisonings: 0,
      lastError: '',
      torn: false,
      dueMs: Number.NEGATIVE_INFINITY,
      backoff: undefined,
    });
    this.#addedRows += segment.rows;
  }

  done(pending: Pending): void {
    this.#ordered.delete(pending);
  }

  failed(pending: Pending, nowMs: number): void {
    pending.failures++;
    this.#delay(pending, false, nowMs);
  }

  torn(pending: Pending, nowMs: number): void {
    this.#delay(pending, true, nowMs);
  }

  /** The oldest whose time has come. */
  due(nowMs: number): Pending | undefined {
    for (const pending of this.#ordered) if (pending.dueMs <= nowMs) return pending;
    return undefined;
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
