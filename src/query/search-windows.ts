/**
 * The windows of a search: each begins at its end and reaches farther back, until the last one
 * reaches as far as was asked. Each contains the one before: a trace whose spans lie on both sides
 * of a border is seen whole.
 */
import type { TimeRange } from '../storage/contract.ts';

export interface Lookback {
  /** Epoch ms. */
  readonly endTsMs: number;
  readonly lookbackMs: number;
}

const FIRST_WIDTH_MS = 60_000;
const GROWTH_MIN = 2;
const GROWTH_MAX = 24;
/** What is missing is looked for in more than the width that would just do. */
const MARGIN = 1.5;
/** Around the whole search: how far from its window the spans of a trace may be. */
const AROUND_MS = 15 * 60_000;
/** When nothing is newer than the end but for clocks that differ. */
const SKEW_MS = 10_000;

export class SearchWindows {
  readonly #endMs: number;
  readonly #startMs: number;
  readonly #afterMs: number;
  #widthMs: number;

  /** @param nowMs epoch ms: behind it there is nothing */
  constructor({ endTsMs, lookbackMs }: Lookback, nowMs: number) {
    this.#endMs = endTsMs;
    this.#startMs = Math.max(0, endTsMs - lookbackMs);
    this.#afterMs = endTsMs < nowMs - SKEW_MS ? AROUND_MS : SKEW_MS;
    // Before now there is all there is: an end in the future must not eat the first windows.
    this.#widthMs = FIRST_WIDTH_MS + Math.max(0, endTsMs - nowMs);
  }

  /** Whether this window reaches as far back as was asked. */
  get last(): boolean {
    return this.#endMs - this.#widthMs <= this.#startMs;
  }

  /** When the traces begin. */
  get window(): TimeRange {
    const fromMs = this.last ? this.#startMs : this.#endMs - this.#widthMs;
    return { fromUs: fromMs * 1000, toUs: this.#endMs * 1000 };
  }

  /** Where their spans are. */
  get rows(): TimeRange {
    const { fromUs, toUs } = this.window;
    const beforeMs = this.last ? AROUND_MS : 0;
    return { fromUs: fromUs - beforeMs * 1000, toUs: toUs + this.#afterMs * 1000 };
  }

  widenToAll(): void {
    this.#widthMs = Number.POSITIVE_INFINITY;
  }

  /** @param found matching traces in this window, of `limit` that are asked for */
  widen(found: number, limit: number): void {
    const growth = found === 0 ? GROWTH_MAX : (MARGIN * limit) / found;
    this.#widthMs *= Math.min(GROWTH_MAX, Math.max(GROWTH_MIN, growth));
  }
}
