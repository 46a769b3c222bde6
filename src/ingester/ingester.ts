/**
 * Spans into the log and from the log into storage: the distributor's SpanSink and the queries'
 * FreshnessBarrier.
 *
 *   distributor ─► GroupWriter ─► SegmentLog ─► Inserter ─► SpanWriter
 *                        query ─► Freshness ─ closes early, waits ─┘
 */
import type { Clock } from '../base/clock.ts';
import type { CodedError } from '../base/errors.ts';
import type { SpanLimits } from '../model/limits.ts';
import type { SpanBatch } from '../model/span-batch.ts';
import type { SpanObserver } from '../model/span-observer.ts';
import type { FreshnessBarrier, FreshnessWait, NarrowScope, SpanSink } from '../model/span-sink.ts';
import type { BlockCutter, BlockEncoder, SpanWriter } from '../storage/contract.ts';
import type { Ledger } from '../telemetry/ledger.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { SelfTracer } from '../telemetry/self-tracing.ts';
import { Freshness } from './freshness.ts';
import { GroupWriter } from './group-writer.ts';
import { Inserter } from './inserter.ts';
import type { ClosedSegment, SegmentLog } from './segment-log.ts';
import { UnstoredRows } from './unstored-rows.ts';

export interface IngesterOptions {
  /** Opened; the ingester closes it. */
  readonly log: SegmentLog;
  readonly encoder: BlockEncoder;
  readonly cutter: BlockCutter;
  readonly writer: SpanWriter;
  /** Settled when storage works or has failed to start; nothing is inserted before. */
  readonly storageReady: Promise<void>;
  readonly ledger: Ledger;
  readonly metrics: Metrics;
  readonly logger: Logger;
  readonly clock: Clock;
  /** In [0, 1): jitter of waiting times. */
  readonly random: () => number;
  /** Of the hash tables of batches; unknown to senders. */
  readonly seed: number;
  readonly limits: SpanLimits;
  readonly freshnessWaitMs: number;
  readonly tracer: Pick<SelfTracer, 'takeOver' | 'claim' | 'resume'>;
  /** Told of every group that is durable, before its senders are answered. */
  readonly observers: readonly SpanObserver[];
  /** Ends the turn whose requests form one group: setImmediate, unless a test decides. */
  readonly atTurnEnd?: (run: () => void) => void;
}

export class Ingester implements SpanSink, FreshnessBarrier {
  readonly #options: IngesterOptions;
  readonly #writer: GroupWriter;
  readonly #inserter: Inserter;
  readonly #freshness: Freshness;
  readonly #unstored = new UnstoredRows();
  #recoveredRows = 0;
  #started = false;
  #stopped: Promise<void> | undefined;

  constructor(options: IngesterOptions) {
    this.#options = options;
    const { log, clock, metrics, logger, freshnessWaitMs } = options;
    const observers = [this.#unstored, ...options.observers];
    this.#writer = new GroupWriter({ ...options, observers });
    this.#inserter = new Inserter({ ...options, onProgress: () => this.#freshness.progress() });
    this.#freshness = new Freshness({
      log,
      clock,
      metrics,
      logger,
      inserter: this.#inserter,
      durableRows: () => this.#recoveredRows + this.#writer.durableRows,
      unstored: this.#unstored,
      waitMs: freshnessWaitMs,
    });
  }

  /** Books and takes over what an earlier process left in the log; call it once, before commits. */
  start(): void {
    if (this.#started) return;
    this.#started = true;
    const { log, ledger, logger } = this.#options;
    log.onClosed = (segment) => this.#take(segment);
    this.#options.writer.onReturn = () => this.#inserter.storageReturned();
    for (const segment of log.recovered) {
      this.#recoveredRows += segment.rows;
      ledger.recover(segment.rows);
      this.#inserter.add(segment);
    }
    if (log.recovered.length > 0) {
      logger.info(
        { segments: log.recovered.length, rows: this.#recoveredRows },
        'Spans of an earlier run are in the log: they are counted in storage and completed there',
      );
    }
    this.#unstored.recover(this.#recoveredRows);
    this.#inserter.start();
  }

  refusal(): CodedError | undefined {
    return this.#writer.refusal();
  }

  openBatch(): SpanBatch {
    return this.#writer.openBatch();
  }

  commit(rows: number, note: Uint8Array): Promise<void> {
    return this.#writer.commit(rows, note);
  }

  get durableRows(): number {
    return this.#freshness.durableRows;
  }

  fresh(wait?: FreshnessWait): Promise<boolean> {
    return this.#freshness.fresh(wait);
  }

  unstored(scope: NarrowScope, until: number): Promise<Buffer[] | undefined> {
    return this.#freshness.unstored(scope, until);
  }

  isReadable(scope: NarrowScope, until: number): boolean {
    return this.#freshness.isReadable(scope, until);
  }

  /** Closed segments not yet in storage, oldest first; their age is what operators watch. */
  pendingSegments(): readonly ClosedSegment[] {
    return this.#inserter.segments();
  }

  /**
   * Refuses new spans, decides those that were taken, brings the log into storage as far as that
   * goes, and closes the log. What is left is inserted by the next start.
   * @param deadlineMs longest time for all that comes before closing the log
   */
  stop(deadlineMs: number): Promise<void> {
    this.#stopped ??= this.#stop(deadlineMs);
    return this.#stopped;
  }

  async #stop(deadlineMs: number): Promise<void> {
    const { log, clock, logger } = this.#options;
    const startMs = clock.monotonicMs();
    const timer = new AbortController();
    await Promise.race([this.#finishGroups(), clock.sleep(deadlineMs, timer.signal)]);
    timer.abort();
    await this.#inserter.stop(Math.max(0, deadlineMs - (clock.monotonicMs() - startMs)));
    const left = this.#inserter.segments();
    if (left.length > 0) {
      const rows = left.reduce((sum, segment) => sum + segment.rows, 0);
      logger.info({ segments: left.length, rows }, 'Spans stay in the log until the next start');
    }
    await log.close();
  }

  async #finishGroups(): Promise<void> {
    const { log, logger } = this.#options;
    try {
      await this.#writer.stop();
      await log.closeOpen();
    } catch (error) {
      logger.warn({ err: error }, 'The last segment of the log could not be closed');
    }
  }

  #take(segment: ClosedSegment): void {
    this.#inserter.add(segment);
    this.#freshness.progress();
  }
}
