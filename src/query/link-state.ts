/** The links of all tenants together with what they were made of: which rows of which day. */
import { DAY_US } from '../model/days.ts';

import { TraceFilter } from '../model/trace-filter.ts';
import type { LinkRow, SavedLinks } from '../storage/contract.ts';
import { BatchSet } from './batch-set.ts';
import { RecentTraces } from './recent-traces.ts';
import { type LateTraces, TenantLinks } from './tenant-links.ts';
import type { TraceLinks } from './trace-links.ts';

const DAY_MINUTES = 1440;

/** Days are counted since 1970-01-01 UTC, as storage partitions them. */
export const dayOf = ({ storedUs }: LinkRow): number => Math.floor(storedUs / DAY_US);

export interface CountedDay {
  readonly rows: number;
  readonly batches: BatchSet;
}

/** Log segments of a day with the number of their rows. */
export interface CountedSegments {
  readonly day: number;
  readonly rowsOf: ReadonlyMap<bigint, number>;
}

export interface LinkMemory {
  /** Rows of the traces that were added to last. */
  readonly recentRowsMax?: number;
  /** Parts of 2 MiB of the filter that tells new traces from old ones. */
  readonly filterPartsMax?: number;
}

export class LinkState {
  readonly recent: RecentTraces;
  readonly filter: TraceFilter;
  readonly #tenants = new Map<string, TenantLinks>();
  readonly #days = new Map<number, CountedDay>();
  #dirtyDays = new Set<number>();

  constructor({ recentRowsMax, filterPartsMax }: LinkMemory = {}) {
    this.recent = new RecentTraces(recentRowsMax);
    this.filter = new TraceFilter(filterPartsMax);
  }

  static loaded(saved: SavedLinks, memory: LinkMemory): LinkState {
    const state = new LinkState(memory);
    for (const { day, rows, batches } of saved.days) {
      if (rows > 0) state.#days.set(day, { rows, batches: new BatchSet(batches) });
    }
    for (const { tenant, bucket } of saved.buckets) {
      state.#tenant(tenant).load(bucket);
      const isOpened = bucket.kind === 'opened' && bucket.storedToMs > 0;
      if (isOpened) state.recent.passUntil((bucket.minute + 1) * 60_000 - 1);
    }
    return state;
  }

  /** Rows that are counted, of all days. */
  get rows(): number {
    return Array.from(this.#days.values(), ({ rows }) => rows).reduce((a, b) => a + b, 0);
  }

  get days(): ReadonlyMap<number, CountedDay> {
    return this.#days;
  }

  tenant(tenant: string): TenantLinks | undefined {
    return this.#tenants.get(tenant);
  }

  /** Whether a row is counted; what is counted later does not show in it. */
  counted(): (row: LinkRow) => boolean {
    const days = new Map(this.#days);
    return (row) => days.get(dayOf(row))?.batches.has(row.batch) === true;
  }

  lateTraces(tenant: string): LateTraces {
    const { recent } = this;
    return {
      completeAfterMs: recent.completeAfterMs,
      beganAfter: (ms) => recent.beganAfter(tenant, ms),
    };
  }

  /** Counts a trace as `after` that was counted as `before`. */
  replace(tenant: string, before: TraceLinks | undefined, after: TraceLinks | undefined): void {
    if (before === after) return;
    const links = this.#tenant(tenant);
    if (before !== undefined) links.add(before, -1);
    if (after !== undefined) links.add(after, 1);
  }

  /** The rows of these segments are counted from now on. */
  count(segments: readonly CountedSegments[]): void {
    for (const { day, rowsOf } of segments) {
      const { rows, batches } = this.#days.get(day) ?? { rows: 0, batches: BatchSet.none };
      const added = Array.from(rowsOf.values()).reduce((a, b) => a + b, 0);
      this.#days.set(day, { rows: rows + added, batches: batches.with(rowsOf.keys()) });
      this.#dirtyDays.add(day);
    }
  }

  /** Lets go of the days before `day`: storage has no more rows of them. */
  forgetBefore(day: number): void {
    for (const each of this.#days.keys()) {
      if (each >= day) continue;
      this.#days.delete(each);
      this.#dirtyDays.add(each);
      this.filter.forget(each);
    }
    for (const links of this.#tenants.values()) links.forgetBefore(day * DAY_MINUTES);
  }

  /** What changed since it was taken last; what is gone has no rows, no links. */
  takeDirty(): SavedLinks {
    const days = Array.from(this.#dirtyDays, (day) => {
      const { rows, batches } = this.#days.get(day) ?? { rows: 0, batches: BatchSet.none };
      return { day, rows, batches: batches.ranges };
    });
    this.#dirtyDays = new Set();
    const buckets = Array.from(this.#tenants, ([tenant, links]) =>
      links.takeDirty().map((bucket) => ({ tenant, bucket })),
    ).flat();
    return { days, buckets };
  }

  /** What was taken and could not be saved. */
  restoreDirty({ days, buckets }: SavedLinks): void {
    for (const { day } of days) this.#dirtyDays.add(day);
    for (const { tenant, bucket } of buckets) this.#tenant(tenant).restoreDirty([bucket]);
  }

  #tenant(tenant: string): TenantLinks {
    let links = this.#tenants.get(tenant);
    if (links === undefined) {
      links = new TenantLinks();
      this.#tenants.set(tenant, links);
    }
    return links;
  }
}
