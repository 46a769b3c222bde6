/** Sums by minute, with those of hours and days, so that a sum up to any minute needs few steps. */
import { LinkCounts } from './link-counts.ts';

export const MINUTE_MS = 60_000;
const HOUR_MINUTES = 60;
const DAY_MINUTES = 1440;

/** Minutes since 1970. */
export const minuteOf = (ms: number): number => Math.floor(ms / MINUTE_MS);

/** What happened in a minute; all times in epoch milliseconds. */
export interface Bucket {
  readonly minute: number;
  readonly counts: LinkCounts;
  /** Nothing in it is earlier or later: may be wider than what is in it. */
  fromMs: number;
  toMs: number;
  /** Between which the rows of the traces in it are stored; may be wider as well. */
  storedFromMs: number;
  storedToMs: number;
}

export class TimeBuckets {
  readonly #minutes = new Map<number, Bucket>();
  readonly #hours = new Map<number, LinkCounts>();
  readonly #days = new Map<number, LinkCounts>();

  add(ms: number, counts: LinkCounts, sign: 1 | -1): Bucket {
    const bucket = this.at(minuteOf(ms));
    bucket.fromMs = Math.min(bucket.fromMs, ms);
    bucket.toMs = Math.max(bucket.toMs, ms);
    bucket.counts.addAll(counts, sign);
    const hour = Math.floor(bucket.minute / HOUR_MINUTES);
    const day = Math.floor(bucket.minute / DAY_MINUTES);
    countsAt(this.#hours, hour).addAll(counts, sign);
    countsAt(this.#days, day).addAll(counts, sign);
    return bucket;
  }

  get(minute: number): Bucket | undefined {
    return this.#minutes.get(minute);
  }

  /** Made when it is not there. */
  at(minute: number): Bucket {
    let bucket = this.#minutes.get(minute);
    if (bucket === undefined) {
      bucket = {
        minute,
        counts: new LinkCounts(),
        fromMs: Number.POSITIVE_INFINITY,
        toMs: Number.NEGATIVE_INFINITY,
        storedFromMs: Number.POSITIVE_INFINITY,
        storedToMs: Number.NEGATIVE_INFINITY,
      };
      this.#minutes.set(minute, bucket);
    }
    return bucket;
  }

  all(): Iterable<Bucket> {
    return this.#minutes.values();
  }

  /** Adds what was before the minute to `counts`. */
  addBefore(minute: number, counts: LinkCounts, sign: 1 | -1): void {
    const hour = Math.floor(minute / HOUR_MINUTES);
    const day = Math.floor(minute / DAY_MINUTES);
    for (const [each, sums] of this.#days) if (each < day) counts.addAll(sums, sign);
    for (let each = day * 24; each < hour; each++) {
      const sums = this.#hours.get(each);
      if (sums !== undefined) counts.addAll(sums, sign);
    }
    for (let each = hour * HOUR_MINUTES; each < minute; each++) {
      const bucket = this.#minutes.get(each);
      if (bucket !== undefined) counts.addAll(bucket.counts, sign);
    }
  }

  /**
   * Lets go of the minutes before `minute`, which begins a day.
   * @returns those that were there
   */
  dropBefore(minute: number): Bucket[] {
    const dropped = [...this.#minutes.values()].filter((bucket) => bucket.minute < minute);
    for (const bucket of dropped) this.#minutes.delete(bucket.minute);
    const hour = Math.floor(minute / HOUR_MINUTES);
    const day = Math.floor(minute / DAY_MINUTES);
    for (const each of this.#hours.keys()) if (each < hour) this.#hours.delete(each);
    for (const each of this.#days.keys()) if (each < day) this.#days.delete(each);
    return dropped;
  }
}

function countsAt(sums: Map<number, LinkCounts>, at: number): LinkCounts {
  let counts = sums.get(at);
  if (counts === undefined) {
    counts = new LinkCounts();
    sums.set(at, counts);
  }
  return counts;
}
