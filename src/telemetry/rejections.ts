/**
 * The last spans that were not kept, by reason: which client and service sends them, and what is
 * wrong. Bounded by tenants, reasons and examples; nothing of it survives a restart.
 */
import type { DecodeReport } from '../model/decode-report.ts';
import { isPolicy, type RejectReason } from '../model/reasons.ts';
import type { RowExample } from '../model/row-example.ts';
import type { Metrics } from './metrics.ts';

export interface RejectionEntry {
  readonly at: string;
  /** Family of the User-Agent. */
  readonly client: string;
  readonly format: string;
  /** In words, at most 200 characters. */
  readonly detail: string;
  /** Undefined when nothing of the span could be read. */
  readonly span?: RowExample;
}

export interface RejectionSummary {
  readonly reason: RejectReason;
  /** Spans since the start. */
  readonly count: number;
  readonly clients: Readonly<Record<string, number>>;
  /** The newest first. */
  readonly recent: readonly RejectionEntry[];
}

const RECENT_MAX = 10;
const TENANTS_MAX = 100;

interface Reasons {
  count: number;
  readonly clients: Map<string, number>;
  readonly recent: RejectionEntry[];
}

export class Rejections {
  readonly #tenants = new Map<string, Map<RejectReason, Reasons>>();
  readonly #metrics: Pick<Metrics, 'rejectedByClient'>;

  constructor(metrics: Pick<Metrics, 'rejectedByClient'>) {
    this.#metrics = metrics;
  }

  /** @param client of a bounded set, for it becomes a label */
  record(
    message: { readonly tenant: string; readonly client: string; readonly format: string },
    report: DecodeReport,
    nowMs: number,
  ): void {
    const { tenant, client, format } = message;
    const at = new Date(nowMs).toISOString();
    for (const [reason, count] of report.reasons) {
      if (isPolicy(reason)) continue;
      this.#metrics.rejectedByClient.inc({ reason, client }, count);
      const entry = this.#entryOf(tenant, reason);
      if (entry === undefined) continue;
      entry.count += count;
      entry.clients.set(client, (entry.clients.get(client) ?? 0) + count);
      for (const { reason: other, detail, span } of report.first) {
        if (other !== reason) continue;
        const shown = { at, client, format, detail };
        entry.recent.unshift(span === undefined ? shown : { ...shown, span });
      }
      entry.recent.length = Math.min(entry.recent.length, RECENT_MAX);
    }
  }

  /** Of one tenant, by reason. */
  summaries(tenant: string): RejectionSummary[] {
    const reasons = this.#tenants.get(tenant) ?? new Map<RejectReason, Reasons>();
    return Array.from(reasons, ([reason, { count, clients, recent }]) => ({
      reason,
      count,
      clients: Object.fromEntries(clients),
      recent,
    }));
  }

  #entryOf(tenant: string, reason: RejectReason): Reasons | undefined {
    let reasons = this.#tenants.get(tenant);
    if (reasons === undefined) {
      if (this.#tenants.size >= TENANTS_MAX) return undefined;
      this.#tenants.set(tenant, (reasons = new Map<RejectReason, Reasons>()));
    }
    let entry = reasons.get(reason);
    if (entry === undefined) {
      reasons.set(reason, (entry = { count: 0, clients: new Map(), recent: [] }));
    }
    return entry;
  }
}
