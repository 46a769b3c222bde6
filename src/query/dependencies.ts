/**
 * Who called whom in a window of time: the rules of `GET /api/v2/dependencies`
 * (zipkin2/storage/InMemoryStorage.java getDependencies): traces by the low 64 bits of their ids,
 * whole if any timestamp, in whole milliseconds, lies in the window.
 */
import type { DependencyLink } from '../model/dependency-link.ts';
import type { LinkIndex } from './link-index.ts';
import type { QueryGate } from './query-gate.ts';

const ROUTE = '/api/v2/dependencies';
/** What storage can hold, epoch ms: later than every span. */
const TO_MS_MAX = 2 ** 43;

export interface DependencyRequest {
  /** Epoch milliseconds. */
  readonly endTsMs: number;
  readonly lookbackMs: number;
}

export class Dependencies {
  readonly #index: LinkIndex;
  readonly #gate: QueryGate;

  constructor(index: LinkIndex, gate: QueryGate) {
    this.#index = index;
    this.#gate = gate;
  }

  /**
   * Everything acknowledged before the call is counted.
   * @throws CodedError, and the signal's reason when it aborts
   */
  find(
    { endTsMs, lookbackMs }: DependencyRequest,
    tenant: string,
    signal: AbortSignal,
  ): Promise<DependencyLink[]> {
    const window = {
      fromMs: Math.max(0, endTsMs - lookbackMs),
      toMs: Math.min(endTsMs, TO_MS_MAX),
    };
    return this.#gate.run(
      ROUTE,
      tenant,
      signal,
      (options) => this.#index.links(tenant, window, options.signal ?? signal),
      { lookbackMs },
    );
  }
}
