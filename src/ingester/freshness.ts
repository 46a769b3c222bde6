/**
 * The freshness barrier: a query waits until every row that was durable when it began, and that it
 * may look at, is in storage. Rows are numbered in the order in which they became durable, and
 * segments hold them in that order, so what a query waits for is one number.
 *
 * The open segment is closed for a query at once when the inserter is idle. While an insert runs,
 * queries gather, and one close serves them all.
 *
 * As long as they are not too many, they are not waited for, but read from the log.
 */
import type { Clock } from '../base/clock.ts';
import type { FreshnessBarrier, FreshnessWait, NarrowScope } from '../model/span-sink.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Inserter } from './inserter.ts';
import type { SegmentLog } from './segment-log.ts';
import type { RunLimits, UnstoredRows } from './unstored-rows.ts';

/** What is read for one query; it waits for more. */
const BY_TRACE = { bytes: 16 * 1024 ** 2, blocks: 4000 };
/** All rows of a time are looked at: with more, too many traces may be to judge (RATIONALE.md). */
const BY_TIME = { bytes: 256 * 1024, blocks: 1000 };

export interface FreshnessOptions {
  readonly log: Pick<SegmentLog, 'hasOpenRows' | 'closeOpen' | 'read'>;
  readonly inserter: Pick<Inserter, 'addedRows' | 'doneRows' | 'settledRows' | 'idle'>;
  /** Rows durable until now, of earlier processes too. */
  readonly durableRows: () => number;
  readonly unstored: Pick<UnstoredRows, 'rowsFor' | 'runsOf' | 'stored'>;
  /** The longest wait of a query; 0: queries do not wait. */
  readonly waitMs: number;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly logger: Logger;
}

const limitsOf = (scope: NarrowScope): RunLimits => ('traces' in scope ? BY_TRACE : BY_TIME);

interface Waiter {
  /** Fresh when so many rows are in storage. */
  readonly rows: number;
  readonly end: (fresh: boolean) => void;
}

export class Freshness implements FreshnessBarrier {
  readonly #options: FreshnessOptions;
  readonly #waiters = new Set<Waiter>();
  #closing = false;

  constructor(options: FreshnessOptions) {
    this.#options = options;
  }

  get durableRows(): number {
    return this.#options.durableRows();
  }

  fresh(wait: FreshnessWait = {}): Promise<boolean> {
    const { inserter, unstored, metrics, waitMs } = this.#options;
    const { scope = 'all', until = this.durableRows, waitedMs = 0, signal } = wait;
    const rows = unstored.rowsFor(scope, until);
    if (inserter.doneRows >= rows) {
      metrics.barrierSeconds.observe(0);
      return Promise.resolve(true);
    }
    // A torn segment is looked at again in minutes: no query can wait for that.
    if (inserter.settledRows >= rows || waitMs <= waitedMs) return Promise.resolve(false);
    if (signal?.aborted === true) return Promise.resolve(false);
    return this.#wait(rows, waitMs - waitedMs, signal);
  }

  async unstored(scope: NarrowScope, until: number): Promise<Buffer[] | undefined> {
    const { inserter, unstored, log, logger } = this.#options;
    const runs = unstored.runsOf(scope, until, limitsOf(scope));
    const blocks: Buffer[] = [];
    for (const { batch, offset, lengths, bytes, endRow } of runs ?? []) {
      if (inserter.doneRows >= endRow) continue;
      const read = await log.read(batch, offset, bytes).catch((error: unknown) => {
        logger.warn({ err: error }, 'The log could not be read for a query: it waits for storage');
      });
      if (read === undefined && inserter.doneRows < endRow) return undefined;
      if (read === undefined) continue;
      let at = 0;
      for (const length of lengths) {
        blocks.push(read.subarray(at, at + length));
        at += length;
      }
    }
    return runs && blocks;
  }

  isReadable(scope: NarrowScope, until: number): boolean {
    return this.#options.unstored.runsOf(scope, until, limitsOf(scope)) !== undefined;
  }

  /** To be called when the inserter's doneRows or idle may have changed. */
  progress(): void {
    this.#options.unstored.stored(this.#options.inserter.doneRows);
    if (this.#waiters.size === 0) return;
    const { doneRows, settledRows, addedRows } = this.#options.inserter;
    let needClose = false;
    for (const waiter of this.#waiters) {
      if (waiter.rows <= doneRows) waiter.end(true);
      else if (waiter.rows <= settledRows) waiter.end(false);
      else if (waiter.rows > addedRows) needClose = true;
    }
    if (needClose) this.#closeWhenIdle();
  }

  #wait(rows: number, waitMs: number, signal: AbortSignal | undefined): Promise<boolean> {
    const { clock, metrics } = this.#options;
    const startMs = clock.monotonicMs();
    const timer = new AbortController();
    return new Promise((resolve) => {
      const onAbort = (): void => waiter.end(false);
      const end = (fresh: boolean): void => {
        if (!this.#waiters.delete(waiter)) return;
        signal?.removeEventListener('abort', onAbort);
        timer.abort();
        metrics.barrierSeconds.observe((clock.monotonicMs() - startMs) / 1000);
        resolve(fresh);
      };
      const waiter: Waiter = { rows, end };
      this.#waiters.add(waiter);
      signal?.addEventListener('abort', onAbort, { once: true });
      void this.#endAfter(waitMs, timer.signal, waiter);
      this.progress();
    });
  }

  async #endAfter(ms: number, signal: AbortSignal, waiter: Waiter): Promise<void> {
    await this.#options.clock.sleep(ms, signal);
    waiter.end(false);
  }

  /** Rows that are in no closed segment and not open either are about to be closed by the log. */
  #closeWhenIdle(): void {
    const { log, inserter } = this.#options;
    if (this.#closing || !inserter.idle || !log.hasOpenRows) return;
    this.#closing = true;
    void this.#close();
  }

  async #close(): Promise<void> {
    const { log, inserter, logger } = this.#options;
    const addedRows = inserter.addedRows;
    try {
      await log.closeOpen();
      this.#closing = false;
      // Rows of a failed append's segment come later, when the log has sealed it.
      if (inserter.addedRows > addedRows) this.progress();
    } catch (error) {
      // Tried again by the next query; the log closes segments by age as well.
      this.#closing = false;
      logger.warn({ err: error }, 'The open segment could not be closed for a query');
    }
  }
}
