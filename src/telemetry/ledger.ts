/**
 * The books of this process since its start. At every instant
 *   received = accepted + rejected + refused + duplicate
 *   accepted = stored + pending + setAside
 * because each method books both sides at once. Spans found in the log at the start were received
 * by an earlier process: they enter as received and accepted (`recovered` says how many).
 */
import type { RejectReason } from '../model/reasons.ts';
import type { Metrics } from './metrics.ts';

export interface LedgerEntries {
  readonly received: number;
  readonly accepted: number;
  readonly rejected: number;
  readonly refused: number;
  readonly duplicate: number;
  readonly stored: number;
  readonly pending: number;
  readonly set_aside: number;
  readonly recovered: number;
  readonly imbalance: number;
  readonly reasons: Readonly<Partial<Record<RejectReason, number>>>;
}

export class Ledger {
  #received = 0;
  #accepted = 0;
  #rejected = 0;
  #refused = 0;
  #duplicate = 0;
  #stored = 0;
  #pending = 0;
  #setAside = 0;
  #recovered = 0;
  readonly #reasons = new Map<RejectReason, number>();
  readonly #metrics: Metrics;

  constructor(metrics: Metrics) {
    this.#metrics = metrics;
  }

  /** Durable in the log, about to be acknowledged. */
  accept(spans: number): void {
    this.#received += spans;
    this.#accepted += spans;
    this.#pending += spans;
    this.#metrics.spansAccepted.inc(spans);
    this.#metrics.spansPending.set(this.#pending);
  }

  reject(reason: RejectReason, spans: number): void {
    this.#received += spans;
    this.#rejected += spans;
    this.#reasons.set(reason, (this.#reasons.get(reason) ?? 0) + spans);
    this.#metrics.spansRejected.inc({ reason }, spans);
  }

  /** Of requests answered 503. */
  refuse(spans: number): void {
    this.#received += spans;
    this.#refused += spans;
    this.#metrics.spansRefused.inc(spans);
  }

  /** Of bodies seen before. */
  duplicate(spans: number): void {
    this.#received += spans;
    this.#duplicate += spans;
    this.#metrics.spansDuplicate.inc(spans);
  }

  /** Found in the log at the start. */
  recover(spans: number): void {
    this.#recovered += spans;
    this.accept(spans);
  }

  /** Counted back from storage; pending before. */
  store(spans: number): void {
    this.#pending -= spans;
    this.#stored += spans;
    this.#metrics.spansStored.inc(spans);
    this.#metrics.spansPending.set(this.#pending);
  }

  /** Set aside as corrupt or refused by storage; pending before. */
  setAside(spans: number): void {
    this.#pending -= spans;
    this.#setAside += spans;
    this.#metrics.spansPending.set(this.#pending);
    this.#metrics.spansSetAside.set(this.#setAside);
  }

  entries(): LedgerEntries {
    const kept = this.#stored + this.#pending + this.#setAside;
    const decided = this.#accepted + this.#rejected + this.#refused + this.#duplicate;
    const imbalance = Math.abs(this.#received - decided) + Math.abs(this.#accepted - kept);
    this.#metrics.ledgerImbalance.set(imbalance);
    return {
      received: this.#received,
      accepted: this.#accepted,
      rejected: this.#rejected,
      refused: this.#refused,
      duplicate: this.#duplicate,
      stored: this.#stored,
      pending: this.#pending,
      set_aside: this.#setAside,
      recovered: this.#recovered,
      imbalance,
      reasons: Object.fromEntries(this.#reasons),
    };
  }
}
