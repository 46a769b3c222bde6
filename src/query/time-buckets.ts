/**
 * Sums by minute; those of hours and days are made when they are asked for, so that a sum up to any
 * minute needs few steps.
 */
import { LinkCounts } from './link-counts.ts';

export const MINUTE_MS = 60_000;
const HOUR_MINUTES = 60;
const DAY_HOURS = 24;
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
  /** Undefined: to be made. */
  readonly #hours = new Map<number, LinkCounts | undefined>();
  readonly #days = new Map<number, LinkCounts | undefined>();

  add(ms: number, counts: LinkCounts, sign: 1 | -1): Bucket {
    const bucket = this.at(minuteOf(ms));
    bucket.fromMs = Math.min(bucket.fromMs, ms);
    bucket.toMs = Math.max(bucket.toMs, ms);
    bucket.counts.addAll(counts, sign);
    this.#hours.set(Math.floor(bucket.minute / HOUR_MINUTES), undefined);
    this.#days.set(Math.floor(bucket.minute / DAY_MINUTES), undefined);
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
    for (const each of this.#days.keys()) {
      if (each < day) counts.addAll(this.#day(each), sign);
    }
    this.#addHours(day * DAY_HOURS, hour, counts, sign);
    this.#addMinutes(hour * HOUR_MINUTES, minute, counts, sign);
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

  #day(day: number): LinkCounts {
    const known = this.#days.get(day);
    if (known !== undefined) return known;
    const counts = new LinkCounts();
    this.#addHours(day * DAY_HOURS, (day + 1) * DAY_HOURS, counts, 1);
    this.#days.set(day, counts);
    return counts;
  }

  #addHours(from: number, before: number, counts: LinkCounts, sign: 1 | -1): void {
    for (let hour = from; hour < before; hour++) {
      if (!this.#hours.has(hour)) continue;
      let sums = this.#hours.get(hour);
      if (sums === undefined) {
        sums = new LinkCounts();
        this.#addMinutes(hour * HOUR_MINUTES, (hour + 1) * HOUR_MINUTES, sums, 1);
        this.#hours.set(hour, sums);
      }
      counts.addAll(sums, sign);
    }
  }

  #addMinutes(from: number, before: number, counts: LinkCounts, sign: 1 | -1): void {
    for (let minute = from; minute < before; minute++) {
      const bucket = this.#minutes.get(minute);
      if (bucket !== undefined) counts.addAll(bucket.counts, sign);
    }
  }
}
