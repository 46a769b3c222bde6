/** What is kept of a message, row by row: age limits, trace size, sampling. */
import type { RowGate } from '../model/decode-report.ts';
import type { RejectReason } from '../model/reasons.ts';
import { FLAG_DEBUG } from '../model/span-batch.ts';
import type { SpanBatch } from '../model/span-batch.ts';
import type { OverloadSampler } from './overload-sampler.ts';
import type { Sampler } from './sampler.ts';
import type { TraceSizes } from './trace-sizes.ts';

export interface AgeLimits {
  /** 0: off. */
  readonly olderThanMs: number;
  /** 0: off. */
  readonly newerThanMs: number;
}

export interface MessageGateParts {
  readonly sampler: Sampler;
  readonly overload: OverloadSampler;
  readonly sizes: TraceSizes;
  readonly ages: AgeLimits;
}

export class MessageGate implements RowGate {
  readonly #sampler: Sampler;
  readonly #overload: OverloadSampler;
  readonly #sizes: TraceSizes;
  readonly #ages: AgeLimits;
  #tenant = '';
  #oldestUs = 0;
  #newestUs = Infinity;

  constructor({ sampler, overload, sizes, ages }: MessageGateParts) {
    this.#sampler = sampler;
    this.#overload = overload;
    this.#sizes = sizes;
    this.#ages = ages;
  }

  /** Before each message. */
  begin(tenant: string, nowMs: number, monotonicMs: number): void {
    const { olderThanMs, newerThanMs } = this.#ages;
    this.#tenant = tenant;
    this.#oldestUs = olderThanMs === 0 ? 0 : (nowMs - olderThanMs) * 1000;
    this.#newestUs = newerThanMs === 0 ? Infinity : (nowMs + newerThanMs) * 1000;
    this.#sizes.advance(monotonicMs);
  }

  admit(batch: SpanBatch): RejectReason | undefined {
    const us = batch.timestampUs;
    if (us > 0 && us < this.#oldestUs) return 'too_old';
    if (us > this.#newestUs) return 'too_far_in_future';
    const low = 2 * batch.rows;
    const hi = batch.traceLo[low + 1]!;
    const lo = batch.traceLo[low]!;
    const debug = (batch.flags[batch.rows]! & FLAG_DEBUG) !== 0;
    if (!debug && !this.#sampler.keeps(hi, lo)) return 'not_sampled';
    if (!debug && !this.#overload.keeps(batch, hi, lo)) return 'overload_sampled';
    return this.#sizes.isTooLarge(this.#tenant, hi, lo) ? 'trace_too_large' : undefined;
  }
}
