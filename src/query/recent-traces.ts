/**
 * The traces that spans were added to last, with their rows: the next spans of a trace come soon
 * as a rule, and storage need not be asked for those before.
 */
import type { LinkRow } from '../storage/contract.ts';
import type { TraceLinks } from './trace-links.ts';

/** About 250 bytes each. */
export const RECENT_ROWS_MAX = 200_000;

export interface RecentTrace {
  readonly rows: readonly LinkRow[];
  readonly links: TraceLinks | undefined;
}

export class RecentTraces {
  readonly #rowsMax: number;
  /** By tenant, then by trace, as they were added. */
  readonly #tenants = new Map<string, Map<string, RecentTrace>>();
  /** All, longest ago first. */
  readonly #order = new Map<RecentTrace, { readonly tenant: string; readonly trace: string }>();
  #rows = 0;
  /** Every counted trace that began later is here, epoch ms. */
  #completeAfterMs = Number.NEGATIVE_INFINITY;

  constructor(rowsMax = RECENT_ROWS_MAX) {
    this.#rowsMax = rowsMax;
  }

  get completeAfterMs(): number {
    return this.#completeAfterMs;
  }

  get(tenant: string, trace: string): RecentTrace | undefined {
    return this.#tenants.get(tenant)?.get(trace);
  }

  /** Tells of a trace that is counted but not put here. */
  pass(links: TraceLinks | undefined): void {
    if (links !== undefined) this.passUntil(links.firstMs);
  }

  passUntil(firstMs: number): void {
    this.#completeAfterMs = Math.max(this.#completeAfterMs, firstMs);
  }

  /** Replaces what is there of the trace. */
  put(tenant: string, trace: string, recent: RecentTrace): void {
    let traces = this.#tenants.get(tenant);
    if (traces === undefined) {
      traces = new Map<string, RecentTrace>();
      this.#tenants.set(tenant, traces);
    }
    const before = traces.get(trace);
    if (before !== undefined) {
      this.#order.delete(before);
      this.#rows -= before.rows.length;
    }
    traces.set(trace, recent);
    this.#order.set(recent, { tenant, trace });
    this.#rows += recent.rows.length;
    for (const [oldest, key] of this.#order) {
      if (this.#rows <= this.#rowsMax) break;
      this.#order.delete(oldest);
      this.#rows -= oldest.rows.length;
      this.#drop(key.tenant, key.trace);
      this.pass(oldest.links);
    }
  }

  /** Of one tenant, those that began after `ms`. */
  *beganAfter(tenant: string, ms: number): Generator<TraceLinks, void> {
    for (const { links } of this.#tenants.get(tenant)?.values() ?? []) {
      if (links !== undefined && links.firstMs > ms) yield links;
    }
  }

  #drop(tenant: string, trace: string): void {
    const traces = this.#tenants.get(tenant)!;
    traces.delete(trace);
    if (traces.size === 0) this.#tenants.delete(tenant);
  }
}
