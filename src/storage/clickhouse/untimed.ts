/** Which tenants have spans without a timestamp: nearly none, and then a search is cheaper. */
import type { Clock } from '../../base/clock.ts';
import type { SpanObserver } from '../../model/span-observer.ts';
import type { SpanBatch } from '../../model/span-batch.ts';
import { decodeUtf8 } from '../../model/text.ts';

const TENANTS_MAX = 10_000;
/** Other collectors, and earlier runs of this one, may bring some into the same store. */
const NONE_MS = 30_000;

export class UntimedTenants implements SpanObserver {
  readonly #clock: Clock;
  /** They had some; those without any more are only searched slower. */
  readonly #some = new Set<string>();
  /** Until when it counts that storage had none; monotonic milliseconds. */
  readonly #none = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  observe(batch: SpanBatch): void {
    const { rows, tenants, tenantIndex } = batch;
    let last = -1;
    for (let row = 0; row < rows; row++) {
      const tenant = tenantIndex[row]!;
      if (tenant === last || batch.hasTimestamp(row)) continue;
      last = tenant;
      this.foundSome(decodeUtf8(tenants.arena, tenants.starts[tenant]!, tenants.ends[tenant]!));
    }
  }

  /** Undefined: storage must be asked. */
  has(tenant: string): boolean | undefined {
    if (this.#some.has(tenant)) return true;
    if (this.#some.size >= TENANTS_MAX) return undefined;
    const untilMs = this.#none.get(tenant);
    return untilMs !== undefined && this.#clock.monotonicMs() < untilMs ? false : undefined;
  }

  foundSome(tenant: string): void {
    if (this.#some.size < TENANTS_MAX) this.#some.add(tenant);
  }

  foundNone(tenant: string): void {
    if (this.#none.size >= TENANTS_MAX) this.#none.clear();
    this.#none.set(tenant, this.#clock.monotonicMs() + NONE_MS);
  }
}
