/**
 * What every query goes through: it sees what was acknowledged before it began, waits for its turn
 * in the storage, ends in time, and is told of when it was slow. Failures of the storage become
 * errors of the table here.
 */
import type { Clock } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import type { FreshnessBarrier, NarrowScope, QueryScope } from '../model/span-sink.ts';
import { StorageError } from '../storage/contract.ts';
import type { ReadOptions } from '../storage/contract.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { QueryLimiter } from './limiter.ts';

/** What a query looks like, for the log: which parameters it has and how wide it is, no data. */
export type QueryShape = Readonly<Record<string, string | number | boolean>>;

export interface QueryGateOptions {
  readonly barrier: FreshnessBarrier;
  readonly limiter: QueryLimiter;
  /** QUERY_TIMEOUT of one query with all its calls; 0: no limit. */
  readonly timeoutMs: number;
  /** SCRUBJAY_SLOW_QUERY; 0: none is slow. */
  readonly slowMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Pick<Metrics, 'querySeconds'>;
}

export class QueryGate {
  readonly #options: QueryGateOptions;

  constructor(options: QueryGateOptions) {
    this.#options = options;
  }

  /** @param route label of the metric, e.g. `/api/v2/traces` */
  begin(route: string, tenant: string, signal: AbortSignal): QueryRun {
    return new QueryRun(this.#options, route, tenant, signal);
  }

  /**
   * A query of one call.
   * @throws CodedError, and the signal's reason when it aborts
   */
  async run<T>(
    route: string,
    tenant: string,
    signal: AbortSignal,
    work: (options: ReadOptions) => Promise<T>,
    shape: QueryShape = {},
    scope: QueryScope = 'all',
  ): Promise<T> {
    const run = this.begin(route, tenant, signal);
    try {
      return await run.call(work, scope);
    } finally {
      run.end(shape);
    }
  }
}

/** A query under way; must be ended. */
export class QueryRun {
  readonly #options: QueryGateOptions;
  readonly #route: string;
  readonly #tenant: string;
  readonly #signal: AbortSignal;
  /** What was acknowledged before the query began. */
  readonly #durableRows: number;
  /** All calls together wait as long as one may. */
  #waitedMs = 0;
  #calls = 0;
  #spentMs = 0;

  constructor(options: QueryGateOptions, route: string, tenant: string, signal: AbortSignal) {
    this.#options = options;
    this.#route = route;
    this.#tenant = tenant;
    this.#signal = signal;
    this.#durableRows = options.barrier.durableRows;
  }

  /**
   * One call of the storage, in its turn. Time between calls does not count: it is the client's.
   * @param scope what the call looks at
   * @throws CodedError, and the signal's reason when it aborts
   */
  async call<T>(work: (options: ReadOptions) => Promise<T>, scope: QueryScope = 'all'): Promise<T> {
    const { limiter, barrier, clock, timeoutMs } = this.#options;
    const startMs = clock.monotonicMs();
    const deadline = new Deadline(clock, this.#leftMs());
    const signal = AbortSignal.any([this.#signal, deadline.signal]);
    this.#calls++;
    try {
      const until = this.#durableRows;
      if (scope !== 'all' && barrier.isReadable(scope, until)) {
        const answer = await this.#callWithLog(work, scope, signal);
        if (answer !== undefined) return answer.value;
      }
      this.#waitedMs += await timed(clock, () =>
        barrier.fresh({ scope, until, waitedMs: this.#waitedMs, signal }),
      );
      return await limiter.run(this.#tenant, signal, () => work({ tenant: this.#tenant, signal }));
    } catch (error) {
      this.#signal.throwIfAborted();
      if (deadline.signal.aborted) throw timedOut(timeoutMs, error);
      throw toCodedError(error, timeoutMs);
    } finally {
      deadline.clear();
      this.#spentMs += clock.monotonicMs() - startMs;
    }
  }

  /** Waits for no row. @returns undefined when it must. */
  #callWithLog<T>(
    work: (options: ReadOptions) => Promise<T>,
    scope: NarrowScope,
    signal: AbortSignal,
  ): Promise<{ value: T } | undefined> {
    const { limiter, barrier } = this.#options;
    const tenant = this.#tenant;
    // Read in its turn: what waits holds no blocks.
    return limiter.run(tenant, signal, async () => {
      const unstored = await barrier.unstored(scope, this.#durableRows);
      return unstored && { value: await work({ tenant, signal, unstored }) };
    });
  }

  #leftMs(): number {
    const { timeoutMs } = this.#options;
    return timeoutMs === 0 ? Number.POSITIVE_INFINITY : timeoutMs - this.#spentMs;
  }

  /** Once, whatever became of it. */
  end(shape: QueryShape = {}): void {
    const { slowMs, logger, metrics } = this.#options;
    metrics.querySeconds.observe({ route: this.#route }, this.#spentMs / 1000);
    if (slowMs === 0 || this.#spentMs < slowMs) return;
    const ms = Math.round(this.#spentMs);
    logger.warn({ route: this.#route, ms, calls: this.#calls, ...shape }, 'Slow query');
  }
}

async function timed(clock: Clock, work: () => Promise<unknown>): Promise<number> {
  const startMs = clock.monotonicMs();
  await work();
  return clock.monotonicMs() - startMs;
}

/** Aborts after `ms`, which may be infinite; at once when there is no time left. */
class Deadline {
  readonly #over = new AbortController();
  readonly #timer = new AbortController();

  constructor(clock: Clock, ms: number) {
    if (ms <= 0) this.#over.abort();
    else if (ms !== Number.POSITIVE_INFINITY) void this.#end(clock, ms);
  }

  get signal(): AbortSignal {
    return this.#over.signal;
  }

  clear(): void {
    this.#timer.abort();
  }

  async #end(clock: Clock, ms: number): Promise<void> {
    await clock.sleep(ms, this.#timer.signal);
    if (!this.#timer.signal.aborted) this.#over.abort();
  }
}

const timedOut = (limit: number, cause: unknown): CodedError =>
  new CodedError('SCRUBJAY_ERR_QUERY_TIMEOUT', { limit }, { cause });

/** Codes of ClickHouse, see its ErrorCodes.cpp. */
const TIMEOUT_EXCEEDED = 159;
const TOO_LARGE: ReadonlySet<number> = new Set([158, 191, 241, 307, 396]);

/** What a storage's failure is to a client; errors of other kinds stay as they are. */
export function toCodedError(error: unknown, timeoutMs: number): unknown {
  if (!(error instanceof StorageError)) return error;
  const { code } = error;
  if (code === TIMEOUT_EXCEEDED) return timedOut(timeoutMs, error);
  const options = { cause: error };
  if (TOO_LARGE.has(code)) return new CodedError('SCRUBJAY_ERR_QUERY_TOO_LARGE', {}, options);
  if (code !== 0) return new CodedError('SCRUBJAY_ERR_STORAGE', { code }, options);
  const cause = 'ClickHouse does not answer';
  return new CodedError('SCRUBJAY_ERR_STORAGE_UNAVAILABLE', { cause }, options);
}
