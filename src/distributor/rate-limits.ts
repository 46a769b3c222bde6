/**
 * What one tenant may send a second: token buckets of spans and of bytes that may go into debt, so
 * that no message is too large to be taken; the next ones wait until the debt is paid.
 */
import { CodedError } from '../base/errors.ts';
import type { DistributorConfig } from './config.ts';

export type RateConfig = Pick<
  DistributorConfig,
  'rateSpans' | 'burstSpans' | 'rateBytes' | 'burstBytes'
>;

/** Of one kind. */
interface Rate {
  readonly what: string;
  readonly perSecond: number;
  readonly burst: number;
  readonly setting: string;
}

const TENANTS_MAX = 10_000;

class Bucket {
  readonly #rate: Rate;
  #tokens: number;
  #filledMs: number;

  constructor(rate: Rate, nowMs: number) {
    this.#rate = rate;
    this.#tokens = rate.burst;
    this.#filledMs = nowMs;
  }

  get isFull(): boolean {
    return this.#tokens >= this.#rate.burst;
  }

  /** Milliseconds until something may be sent again; 0: now. */
  waitMs(nowMs: number): number {
    const { perSecond, burst } = this.#rate;
    const filled = this.#tokens + ((nowMs - this.#filledMs) / 1000) * perSecond;
    this.#tokens = Math.min(burst, filled);
    this.#filledMs = nowMs;
    return this.#tokens > 0 ? 0 : (1000 * (1 - this.#tokens)) / perSecond;
  }

  /** @param debtMax in seconds */
  spend(tokens: number, debtMax: number): void {
    const { perSecond } = this.#rate;
    this.#tokens = Math.max(this.#tokens - tokens, -debtMax * perSecond);
  }
}

export class RateLimits {
  /** Those that are not off. */
  readonly #rates: readonly Rate[];
  readonly #tenants = new Map<string, readonly Bucket[]>();

  constructor(config: RateConfig) {
    const rates = [
      {
        what: 'spans',
        perSecond: config.rateSpans,
        burst: config.burstSpans === 0 ? config.rateSpans : config.burstSpans,
        setting: 'SCRUBJAY_INGESTION_RATE_SPANS',
      },
      {
        what: 'bytes',
        perSecond: config.rateBytes,
        burst: config.burstBytes === 0 ? config.rateBytes : config.burstBytes,
        setting: 'SCRUBJAY_INGESTION_RATE_BYTES',
      },
    ];
    this.#rates = rates.filter(({ perSecond }) => perSecond > 0);
  }

  get enabled(): boolean {
    return this.#rates.length > 0;
  }

  /** @param nowMs monotonic */
  isInDebt(tenant: string, nowMs: number): boolean {
    return this.#buckets(tenant, nowMs).some((bucket) => bucket.waitMs(nowMs) > 0);
  }

  /** SCRUBJAY_ERR_RATE_LIMITED with the seconds after which a message is taken again. */
  refusal(tenant: string, nowMs: number): CodedError | undefined {
    const waits = this.#buckets(tenant, nowMs).map((bucket) => bucket.waitMs(nowMs));
    const longestMs = Math.max(0, ...waits);
    if (longestMs === 0) return undefined;
    const { what, perSecond: limit, setting } = this.#rates[waits.indexOf(longestMs)]!;
    const seconds = Math.ceil(longestMs / 1000);
    return new CodedError('SCRUBJAY_ERR_RATE_LIMITED', { tenant, what, limit, setting, seconds });
  }

  /**
   * Of a message that was taken.
   * @param debtMaxS more is forgiven: who is sampled and not refused could go into debt for ever
   */
  spend(tenant: string, spans: number, bytes: number, nowMs: number, debtMaxS = Infinity): void {
    const buckets = this.#buckets(tenant, nowMs);
    for (const [n, { what }] of this.#rates.entries()) {
      buckets[n]!.spend(what === 'spans' ? spans : bytes, debtMaxS);
    }
  }

  #buckets(tenant: string, nowMs: number): readonly Bucket[] {
    const known = this.#tenants.get(tenant);
    if (known !== undefined) return known;
    if (this.#tenants.size >= TENANTS_MAX) this.#forget(nowMs);
    const buckets = this.#rates.map((rate) => new Bucket(rate, nowMs));
    this.#tenants.set(tenant, buckets);
    return buckets;
  }

  /** Those that have rested are as if they had never come; else the one that came first goes. */
  #forget(nowMs: number): void {
    for (const [tenant, buckets] of this.#tenants) {
      for (const bucket of buckets) bucket.waitMs(nowMs);
      if (buckets.every(({ isFull }) => isFull)) this.#tenants.delete(tenant);
    }
    if (this.#tenants.size < TENANTS_MAX) return;
    for (const tenant of this.#tenants.keys()) {
      this.#tenants.delete(tenant);
      return;
    }
  }
}
