/**
 * How many queries may be in the storage at once. The others wait their turn: tenants one after
 * the other, the calls of a tenant in their order. Of the places to wait a tenant may take as many
 * as it leaves free, so that one who asks without end does not keep the others out.
 */
import { CodedError } from '../base/errors.ts';

export interface LimiterOptions {
  /** Calls at once (SCRUBJAY_QUERY_CONCURRENCY). */
  readonly concurrency: number;
  /** Calls that wait, of all tenants. */
  readonly queueMax: number;
  /** True: there are tenants, and one alone may have half of them. */
  readonly isShared: boolean;
}

interface Waiter {
  readonly start: () => void;
}

export class QueryLimiter {
  readonly #options: LimiterOptions;
  /** In turn: the first is next and then the last. No queue is empty. */
  readonly #queues = new Map<string, Set<Waiter>>();
  #waiting = 0;
  #running = 0;

  constructor(options: LimiterOptions) {
    this.#options = options;
  }

  get running(): number {
    return this.#running;
  }

  get waiting(): number {
    return this.#waiting;
  }

  /**
   * Runs `work` when it is its turn.
   * @throws {SCRUBJAY_ERR_OVERLOADED} too many wait; the signal's reason when it aborts a wait
   */
  async run<T>(
    tenant: string,
    signal: AbortSignal | undefined,
    work: () => Promise<T>,
  ): Promise<T> {
    signal?.throwIfAborted();
    if (this.#running < this.#options.concurrency) this.#running++;
    else await this.#turn(tenant, signal);
    try {
      return await work();
    } finally {
      this.#leave();
    }
  }

  /** Resolves with the place of one that left. */
  #turn(tenant: string, signal: AbortSignal | undefined): Promise<void> {
    const { queueMax, isShared } = this.#options;
    const mine = this.#queues.get(tenant)?.size ?? 0;
    const free = queueMax - this.#waiting;
    if (free === 0 || (isShared && mine >= free)) {
      throw new CodedError('SCRUBJAY_ERR_OVERLOADED', {
        what: free === 0 ? 'Waiting queries' : `Waiting queries of tenant ${tenant}`,
        actual: free === 0 ? this.#waiting : mine,
        limit: free === 0 ? queueMax : free,
        setting: 'SCRUBJAY_QUERY_CONCURRENCY',
      });
    }
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        start: () => {
          signal?.removeEventListener('abort', onAbort);
          resolve();
        },
      };
      const onAbort = (): void => {
        this.#remove(tenant, waiter);
        reject(signal?.reason as Error);
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      const queue = this.#queues.get(tenant);
      if (queue === undefined) this.#queues.set(tenant, new Set([waiter]));
      else queue.add(waiter);
      this.#waiting++;
    });
  }

  #leave(): void {
    const [next] = this.#queues;
    if (next === undefined) {
      this.#running--;
      return;
    }
    const [tenant, queue] = next;
    const [waiter] = queue;
    this.#remove(tenant, waiter!);
    if (this.#queues.delete(tenant)) this.#queues.set(tenant, queue);
    waiter!.start();
  }

  #remove(tenant: string, waiter: Waiter): void {
    const queue = this.#queues.get(tenant);
    if (queue === undefined || !queue.delete(waiter)) return;
    this.#waiting--;
    if (queue.size === 0) this.#queues.delete(tenant);
  }
}
