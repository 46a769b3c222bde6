/**
 * The dependency links of one tenant as sums, from which those of any window come:
 *
 *   traces in [from, to] = those that began until `to` - those that ended before `from`
 *                          - those with no span between a time before `from` and one after `to`
 *
 * The first two are sums over minutes, hours and days of the first and the last timestamp; the
 * third is a list of long gaps. Minutes that a window cuts are counted trace by trace.
 */
import type { DependencyLink } from '../model/dependency-link.ts';
import type { LinkBucket } from '../storage/contract.ts';
import { LinkCounts, ServicePairs } from './link-counts.ts';
import { MINUTE_MS, TimeBuckets, minuteOf } from './time-buckets.ts';
import type { TraceLinks } from './trace-links.ts';

/** Epoch milliseconds, both inclusive. */
export interface LinkWindow {
  readonly fromMs: number;
  readonly toMs: number;
}

/** What is known of a window before its edges are looked at. */
export interface WindowSum {
  readonly window: LinkWindow;
  readonly counts: LinkCounts;
  /** Minutes since 1970 of which the traces must be given to `finish`. */
  readonly minutes: ReadonlySet<number>;
  readonly cutsFirst: boolean;
  readonly cutsLast: boolean;
}

/** Traces that began lately, for windows that end just now. */
export interface LateTraces {
  /** Every trace that began later is among them, epoch ms. */
  readonly completeAfterMs: number;
  readonly beganAfter: (ms: number) => Iterable<TraceLinks>;
}

type BucketKey = Pick<LinkBucket, 'kind' | 'minute' | 'beforeMinute'>;

interface Gap {
  readonly afterMinute: number;
  readonly beforeMinute: number;
  readonly counts: LinkCounts;
}

export class TenantLinks {
  readonly #pairs = new ServicePairs();
  readonly #opened = new TimeBuckets();
  readonly #closed = new TimeBuckets();
  readonly #gaps = new Map<string, Gap>();
  /** By minute, how often something in it changed. */
  readonly #changes = new Map<number, number>();
  #dirty = new Map<string, BucketKey>();
  readonly #dirtyMinutes = { opened: new Set<number>(), closed: new Set<number>() };

  /** @param sign 1 to count the trace, -1 to take back what it was counted for */
  add(trace: TraceLinks, sign: 1 | -1): void {
    const counts = this.#countsOf(trace.links);
    const opened = this.#opened.add(trace.firstMs, counts, sign);
    opened.storedFromMs = Math.min(opened.storedFromMs, trace.storedFromMs);
    opened.storedToMs = Math.max(opened.storedToMs, trace.storedToMs);
    const closed = this.#closed.add(trace.lastMs, counts, sign);
    this.#bucketChanged('opened', opened.minute);
    this.#bucketChanged('closed', closed.minute);
    for (const { afterMs, beforeMs } of trace.gaps) {
      const gap = this.#gap(minuteOf(afterMs), minuteOf(beforeMs));
      gap.counts.addAll(counts, sign);
      this.#changed({ kind: 'gap', minute: gap.afterMinute, beforeMinute: gap.beforeMinute });
    }
  }

  changesOf(minute: number): number {
    return this.#changes.get(minute) ?? 0;
  }

  /** Where the rows of all traces are stored that have one within; undefined: there are none. */
  reachOf({ fromMs, toMs }: LinkWindow): LinkWindow | undefined {
    let reachFromMs = Number.POSITIVE_INFINITY;
    let reachToMs = Number.NEGATIVE_INFINITY;
    for (const { storedFromMs, storedToMs } of this.#opened.all()) {
      if (storedFromMs > toMs || storedToMs < fromMs) continue;
      reachFromMs = Math.min(reachFromMs, storedFromMs);
      reachToMs = Math.max(reachToMs, storedToMs);
    }
    return reachToMs < reachFromMs ? undefined : { fromMs: reachFromMs, toMs: reachToMs };
  }

  /**
   * What whole minutes tell of a window.
   * @param window of GAP_MS at least
   */
  begin(window: LinkWindow, late: LateTraces): WindowSum {
    const counts = new LinkCounts();
    const minutes = new Set<number>();
    const sum = { window, counts, minutes, cutsFirst: false, cutsLast: false };
    this.#opened.addBefore(minuteOf(window.toMs), counts, 1);
    this.#closed.addBefore(minuteOf(window.fromMs), counts, -1);
    sum.cutsFirst = this.#beginFirst(window.fromMs, counts);
    sum.cutsLast = this.#beginLast(window.toMs, counts, late);
    if (sum.cutsFirst) minutes.add(minuteOf(window.fromMs));
    if (sum.cutsLast) minutes.add(minuteOf(window.toMs));
    for (const gap of this.#gaps.values()) {
      const edge = gapEdge(gap.afterMinute, gap.beforeMinute, window);
      if (edge === 'across') counts.addAll(gap.counts, -1);
      else if (edge !== undefined) minutes.add(edge);
    }
    return sum;
  }

  /**
   * Counts what the whole minutes did not tell.
   * @param minute one of `sum.minutes`
   * @param traces all that have a row in it, as they were when the sum was begun
   */
  finish(sum: WindowSum, minute: number, traces: Iterable<TraceLinks>): void {
    const { counts, cutsFirst, cutsLast, window } = sum;
    const { fromMs, toMs } = window;
    const isFirst = cutsFirst && minute === minuteOf(fromMs);
    const isLast = cutsLast && minute === minuteOf(toMs);
    for (const { firstMs, lastMs, links, gaps } of traces) {
      if (isLast && minuteOf(firstMs) === minute && firstMs <= toMs) this.#addTo(counts, links, 1);
      if (isFirst && minuteOf(lastMs) === minute && lastMs < fromMs) this.#addTo(counts, links, -1);
      for (const { afterMs, beforeMs } of gaps) {
        if (afterMs >= fromMs || beforeMs <= toMs) continue;
        const edge = gapEdge(minuteOf(afterMs), minuteOf(beforeMs), window);
        if (edge === minute) this.#addTo(counts, links, -1);
      }
    }
  }

  links(counts: LinkCounts): DependencyLink[] {
    return this.#pairs.links(counts);
  }

  /**
   * Lets go of days whose spans are gone from storage. Traces that reach beyond go on to count.
   * @param minute the first of a day
   */
  forgetBefore(minute: number): void {
    const beforeMs = minute * MINUTE_MS;
    const still = new LinkCounts();
    this.#opened.addBefore(minute, still, 1);
    this.#closed.addBefore(minute, still, -1);
    const opened = this.#opened.dropBefore(minute);
    const closed = this.#closed.dropBefore(minute);
    for (const bucket of opened) this.#changed({ kind: 'opened', ...bucket, beforeMinute: 0 });
    for (const bucket of closed) this.#changed({ kind: 'closed', ...bucket, beforeMinute: 0 });
    for (const [key, { afterMinute, beforeMinute }] of this.#gaps) {
      if (beforeMinute >= minute) continue;
      this.#gaps.delete(key);
      this.#changed({ kind: 'gap', minute: afterMinute, beforeMinute });
    }
    if (still.isZero) return;
    const bucket = this.#opened.add(beforeMs - 1, still, 1);
    bucket.storedFromMs = Math.min(...opened.map(({ storedFromMs }) => storedFromMs));
    bucket.storedToMs = Math.max(...opened.map(({ storedToMs }) => storedToMs));
    this.#changed({ kind: 'opened', minute: minute - 1, beforeMinute: 0 });
  }

  /** What changed since it was taken last, as it is now; what is gone comes without links. */
  takeDirty(): LinkBucket[] {
    const keys = this.#dirty;
    this.#dirty = new Map();
    this.#dirtyMinutes.opened.clear();
    this.#dirtyMinutes.closed.clear();
    return Array.from(keys.values(), (key) => this.#bucket(key));
  }

  /** Those of takeDirty that could not be saved. */
  restoreDirty(buckets: readonly LinkBucket[]): void {
    for (const { kind, minute, beforeMinute } of buckets) {
      this.#changed({ kind, minute, beforeMinute });
    }
  }

  /** Takes over what was saved, into a new object. */
  load({ kind, minute, beforeMinute, links, storedFromMs, storedToMs }: LinkBucket): void {
    // Traces without links have a reach all the same; what is gone has neither.
    if (links.length === 0 && storedToMs === 0) return;
    const counts = this.#countsOf(links);
    if (kind === 'gap') {
      this.#gap(minute, beforeMinute).counts.addAll(counts, 1);
      return;
    }
    const buckets = kind === 'opened' ? this.#opened : this.#closed;
    const bucket = buckets.add(minute * MINUTE_MS, counts, 1);
    bucket.toMs = (minute + 1) * MINUTE_MS - 1;
    bucket.storedFromMs = storedFromMs;
    bucket.storedToMs = storedToMs;
  }

  /** @returns true when traces of the minute must be looked at */
  #beginFirst(fromMs: number, counts: LinkCounts): boolean {
    const closed = this.#closed.get(minuteOf(fromMs));
    if (closed === undefined || closed.fromMs >= fromMs) return false;
    if (closed.toMs >= fromMs) return true;
    counts.addAll(closed.counts, -1);
    return false;
  }

  /** @returns as #beginFirst */
  #beginLast(toMs: number, counts: LinkCounts, late: LateTraces): boolean {
    const opened = this.#opened.get(minuteOf(toMs));
    if (opened === undefined || opened.fromMs > toMs) return false;
    if (opened.toMs > toMs) {
      if (late.completeAfterMs > toMs) return true;
      for (const { firstMs, links } of late.beganAfter(toMs)) {
        if (minuteOf(firstMs) === opened.minute) this.#addTo(counts, links, -1);
      }
    }
    counts.addAll(opened.counts, 1);
    return false;
  }

  #countsOf(links: readonly DependencyLink[]): LinkCounts {
    const counts = new LinkCounts();
    this.#addTo(counts, links, 1);
    return counts;
  }

  #addTo(counts: LinkCounts, links: readonly DependencyLink[], sign: 1 | -1): void {
    for (const { parent, child, callCount, errorCount = 0 } of links) {
      counts.add(this.#pairs.numberOf(parent, child), sign * callCount, sign * errorCount);
    }
  }

  #gap(afterMinute: number, beforeMinute: number): Gap {
    const key = `${afterMinute} ${beforeMinute}`;
    let gap = this.#gaps.get(key);
    if (gap === undefined) {
      gap = { afterMinute, beforeMinute, counts: new LinkCounts() };
      this.#gaps.set(key, gap);
    }
    return gap;
  }

  #bucketChanged(kind: 'opened' | 'closed', minute: number): void {
    // As a rule one trace after the other is of the same minute, and nobody looked meanwhile.
    if (this.#dirtyMinutes[kind].has(minute)) this.#changes.set(minute, this.changesOf(minute) + 1);
    else this.#changed({ kind, minute, beforeMinute: 0 });
    this.#dirtyMinutes[kind].add(minute);
  }

  #changed({ kind, minute, beforeMinute }: BucketKey): void {
    this.#dirty.set(`${kind} ${minute} ${beforeMinute}`, { kind, minute, beforeMinute });
    this.#changes.set(minute, this.changesOf(minute) + 1);
    if (kind === 'gap') this.#changes.set(beforeMinute, this.changesOf(beforeMinute) + 1);
  }

  #bucket({ kind, minute, beforeMinute }: BucketKey): LinkBucket {
    const key = { kind, minute, beforeMinute };
    if (kind === 'gap') {
      const gap = this.#gaps.get(`${minute} ${beforeMinute}`);
      const links = gap === undefined ? [] : this.links(gap.counts);
      return { ...key, links, storedFromMs: 0, storedToMs: 0 };
    }
    const bucket = (kind === 'opened' ? this.#opened : this.#closed).get(minute);
    const isReach = kind === 'opened' && bucket !== undefined;
    return {
      ...key,
      links: bucket === undefined ? [] : this.links(bucket.counts),
      storedFromMs: isReach ? bucket.storedFromMs : 0,
      storedToMs: isReach ? bucket.storedToMs : 0,
    };
  }
}

/**
 * What a gap between two minutes means to a window: 'across' lies within the gap, a minute is
 * the one of which the traces must be looked at, undefined has a span within it.
 */
function gapEdge(
  afterMinute: number,
  beforeMinute: number,
  { fromMs, toMs }: LinkWindow,
): number | 'across' | undefined {
  const [first, last] = [minuteOf(fromMs), minuteOf(toMs)];
  if (afterMinute > first || beforeMinute < last) return undefined;
  if (afterMinute === first) return first;
  return beforeMinute === last ? last : 'across';
}
