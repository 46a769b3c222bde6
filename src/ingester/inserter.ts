/**
 * Closed segments into storage, each row exactly once: insert → count back → remove. A segment
 * whose insert may have begun is in doubt: it is counted back first, and only the days that are
 * not there are inserted. It leaves the log only by a count that is right, or set aside; whatever
 * is killed in between, the next start finds it in the log and in doubt.
 *
 * One attempt runs at a time. A segment that fails waits for its own time while the others go on,
 * so that none holds up the rest; when storage as a whole fails, the breaker stops them all. What
 * storage refuses for its bytes or its size is divided (refusals.ts).
 */
import { once } from 'node:events';
import { Backoff } from '../base/backoff.ts';
import type { Clock } from '../base/clock.ts';
import { type BlockCutter, type SpanWriter, StorageError } from '../storage/contract.ts';
import { dateOf } from '../model/days.ts';
import type { Ledger } from '../telemetry/ledger.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { SelfTracer } from '../telemetry/self-tracing.ts';
import { Breaker } from './breaker.ts';
import { byDays, inHalves, IndivisibleError } from './divisions.ts';
import { PendingSegments, type Pending } from './pending-segments.ts';
import { compareDays, type ReadBack } from './read-back.ts';
import { Refusals, type DivisionCause, type Verdict } from './refusals.ts';
import { fieldsOf, type ClosedSegment, type SegmentLog } from './segment-log.ts';

const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 10_000;
/** A torn segment needs a person: looking again more often changes nothing. */
const TORN_MIN_MS = 10_000;
const TORN_MAX_MS = 300_000;
const AUTH_ALARM_MS = 60_000;

export interface InserterOptions {
  readonly log: Pick<SegmentLog, 'remove' | 'setAside' | 'divide'>;
  /** Its calls are bounded in time by itself. */
  readonly writer: SpanWriter;
  readonly cutter: BlockCutter;
  readonly ledger: Ledger;
  readonly metrics: Metrics;
  readonly logger: Logger;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  /** Nothing is tried before it is settled. */
  readonly storageReady: Promise<void>;
  readonly tracer: Pick<SelfTracer, 'resume'>;
  /** Called when doneRows or idle may have changed; must not throw. */
  readonly onProgress: () => void;
}

export class Inserter {
  readonly #options: InserterOptions;
  readonly #breaker: Breaker;
  readonly #pending: PendingSegments;
  readonly #refusals = new Refusals();
  readonly #abort = new AbortController();
  /** In storage, but the log could not remove them: tried again with the next one. */
  #unremoved: ClosedSegment[] = [];
  #loop: Promise<void> | undefined;
  #wake = new AbortController();
  #ready = false;
  #trying = false;
  #stopping = false;
  /** What the latest insert was refused with, if for its bytes or its size. */
  #refusal: unknown;
  #authAlarmMs = Number.NEGATIVE_INFINITY;

  constructor(options: InserterOptions) {
    this.#options = options;
    const { metrics, random } = options;
    this.#breaker = new Breaker(new Backoff(RETRY_MIN_MS, RETRY_MAX_MS, random), (state) => {
      metrics.breakerState.set(state);
    });
    this.#pending = new PendingSegments(
      () => new Backoff(RETRY_MIN_MS, RETRY_MAX_MS, random),
      () => new Backoff(TORN_MIN_MS, TORN_MAX_MS, random),
    );
  }

  /** Rows of all segments added. */
  get addedRows(): number {
    return this.#pending.addedRows;
  }

  /** So many of the added rows, from the first on, are in storage or set aside. */
  get doneRows(): number {
    return this.#pending.doneRows;
  }

  /** As doneRows, but torn segments, which wait for a person, count as well. */
  get settledRows(): number {
    return this.#pending.settledRows;
  }

  /** True when a segment that is added now would be tried next. */
  get idle(): boolean {
    if (!this.#ready || this.#trying || !this.#breaker.closed) return false;
    const next = this.#next(this.#options.clock.monotonicMs());
    return next === undefined || next.family !== undefined;
  }

  /** Segments not yet in storage, oldest first. */
  segments(): readonly ClosedSegment[] {
    return this.#pending.segments();
  }

  /** In the order in which they were written. */
  add(segment: ClosedSegment): void {
    this.#pending.add(segment);
    this.#wake.abort();
  }

  /** Storage that was away can be reached again: nothing waits for its own time any more. */
  storageReturned(): void {
    this.#breaker.returned();
    this.#pending.storageReturned();
    this.#wake.abort();
  }

  start(): void {
    this.#loop ??= this.#run();
  }

  /**
   * Tries what is left until it is stored, storage turns out to be away, or the time is up; never
   * rejects. Afterwards nothing is booked or removed any more: the log keeps what is left.
   */
  async stop(deadlineMs: number): Promise<void> {
    this.#stopping = true;
    if (!this.#ready) this.#abort.abort();
    this.#wake.abort();
    const timer = new AbortController();
    await Promise.race([this.#loop, this.#options.clock.sleep(deadlineMs, timer.signal)]);
    timer.abort();
    this.#abort.abort();
    this.#wake.abort();
  }

  async #run(): Promise<void> {
    const { clock, storageReady, onProgress } = this.#options;
    // When storage did not start, the tries below find out and say so.
    await Promise.race([storageReady.catch(() => undefined), once(this.#abort.signal, 'abort')]);
    this.#ready = true;
    while (!this.#abort.signal.aborted) {
      const wake = new AbortController();
      this.#wake = wake;
      const next = this.#next(clock.monotonicMs());
      if (next !== undefined) {
        await this.#try(next);
      } else if (this.#stopping && !(this.#breaker.closed && this.#pending.hasUntorn)) {
        return;
      } else {
        onProgress();
        await this.#sleep(wake.signal);
      }
    }
  }

  #next(nowMs: number): Pending | undefined {
    if (this.#breaker.waitMs(nowMs) > 0) return undefined;
    return this.#breaker.closed ? this.#pending.due(nowMs) : this.#pending.probe(nowMs);
  }

  /** Until something is due, a segment is added, or stop. */
  async #sleep(wake: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    const nowMs = clock.monotonicMs();
    const segmentMs = this.#pending.waitMs(nowMs, this.#breaker.closed);
    const ms = Math.max(this.#breaker.waitMs(nowMs), segmentMs);
    if (ms !== Number.POSITIVE_INFINITY) {
      await clock.sleep(ms, wake);
    } else if (!wake.aborted) {
      await once(wake, 'abort');
    }
  }

  /** One attempt; never rejects. */
  async #try(pending: Pending): Promise<void> {
    const { onProgress } = this.#options;
    this.#trying = true;
    this.#pending.trying(pending);
    this.#breaker.trying();
    try {
      await this.#attempt(pending);
    } catch (error) {
      if (!this.#abort.signal.aborted) this.#fail(pending, error);
    }
    this.#trying = false;
    onProgress();
  }

  async #attempt(pending: Pending): Promise<void> {
    const { segment, division } = pending;
    if (division !== undefined) return this.#divide(pending);
    let before = compareDays(segment.days, new Map());
    if (pending.inDoubt) {
      before = await this.#readBack(pending);
      this.#options.metrics.insertInDoubt.inc({ outcome: before.outcome });
      if (before.outcome === 'complete') return this.#store(pending);
      if (before.outcome === 'torn') return this.#leaveTorn(pending, before);
    }
    const verdict = this.#verdict(pending, before.missingDays.length);
    if (verdict === 'set_aside') return this.#setAside(pending, before);
    if (verdict !== 'insert') return this.#beginDivision(pending, before, verdict);
    pending.inDoubt = true;
    await this.#insert(pending, before.outcome === 'partial' ? before.missingDays : undefined);
    const after = await this.#readBack(pending);
    if (after.outcome === 'complete') return this.#store(pending);
    this.#options.metrics.insertInDoubt.inc({ outcome: after.outcome });
    if (after.outcome === 'torn') return this.#leaveTorn(pending, after);
    const missing = segment.rows - after.storedRows;
    throw new StorageError('retry', 0, `The insert succeeded but ${missing} rows are not there`);
  }

  async #insert(pending: Pending, onlyDays: readonly number[] | undefined): Promise<void> {
    const { writer, clock, metrics, tracer } = this.#options;
    const startMs = clock.monotonicMs();
    const activity = tracer.resume(pending.segment.batch, 'insert', 'CLIENT', 'clickhouse');
    activity.tag('spans', pending.segment.rows);
    try {
      await writer.insert(pending.segment, onlyDays);
    } catch (error) {
      // Only here: of a count it says nothing about the bytes.
      this.#note(pending, error);
      activity.error(error);
      throw error;
    } finally {
      activity.end();
      metrics.insertSeconds.observe((clock.monotonicMs() - startMs) / 1000);
    }
  }

  #note(pending: Pending, error: unknown): void {
    const failure = error instanceof StorageError ? error.failure : undefined;
    if (failure !== 'poison' && failure !== 'memory') {
      pending.refusal = undefined;
      return;
    }
    const { refusal } = pending;
    const times = refusal?.cause === failure ? refusal.times + 1 : 1;
    pending.refusal = { cause: failure, times };
    this.#refusal = error;
    this.#refusals.refused(pending);
  }

  #verdict(pending: Pending, days: number): Verdict {
    return this.#refusals.verdict(pending, days, this.#pending.families);
  }

  async #readBack({ segment }: Pending): Promise<ReadBack> {
    return compareDays(segment.days, await this.#options.writer.countBack(segment.batch));
  }

  async #store(pending: Pending): Promise<void> {
    if (this.#abort.signal.aborted) return;
    this.#storageAnswered();
    this.#refusals.taken(pending);
    this.#options.ledger.store(pending.segment.rows);
    this.#pending.done(pending);
    // Queries need not wait for the log to clean up.
    this.#options.onProgress();
    await this.#remove([...this.#unremoved.splice(0), pending.segment]);
  }

  /** Failures are of the log, not of the segment: it is stored and is not tried again. */
  async #remove(segments: readonly ClosedSegment[]): Promise<void> {
    const { log, logger } = this.#options;
    for (const segment of segments) {
      if (this.#abort.signal.aborted) return;
      try {
        await log.remove(segment);
      } catch (error) {
        this.#unremoved.push(segment);
        logger.warn(
          { err: error, ...fieldsOf(segment) },
          'A stored segment could not be removed from the log; it is tried again with the next one',
        );
      }
    }
  }

  #leaveTorn(pending: Pending, found: ReadBack): void {
    if (this.#abort.signal.aborted) return;
    const { clock, logger } = this.#options;
    this.#storageAnswered();
    this.#pending.torn(pending, clock.monotonicMs());
    logger.error(
      { ...fieldsOf(pending.segment), days: found.tornDays.map(dateOf) },
      'Storage has another number of rows of a segment than the log: the segment is kept and ' +
        'counted again from time to time. Delete its rows of these days (WHERE _batch = batch) ' +
        'and they are inserted anew',
    );
  }

  /** Days that storage has, whole, stay there and are booked as stored; parts get the others. */
  #beginDivision(pending: Pending, found: ReadBack, cause: DivisionCause): Promise<void> {
    const { cutter } = this.#options;
    const rows = pending.segment.rows - found.storedRows;
    const source = { cutter, days: found.missingDays, rows };
    const divide = cause === 'days' ? byDays(source) : inHalves(source);
    pending.division = { cause, divide };
    return this.#divide(pending);
  }

  async #divide(pending: Pending): Promise<void> {
    const { log, ledger, metrics, logger, onProgress } = this.#options;
    const { segment, division, lastError } = pending;
    if (division === undefined) return;
    let parts: readonly ClosedSegment[];
    try {
      parts = await log.divide(segment, division.divide);
    } catch (error) {
      if (!(error instanceof IndivisibleError)) throw error;
      pending.division = undefined;
      pending.divisible = false;
      logger.error({ err: error, ...fieldsOf(segment) }, 'A segment cannot be divided');
      return;
    }
    if (this.#abort.signal.aborted) return;
    const { cause } = division;
    metrics.segmentsDivided.inc({ cause });
    const rows = parts.reduce((sum, part) => sum + part.rows, 0);
    if (rows < segment.rows) ledger.store(segment.rows - rows);
    this.#pending.replace(pending, parts, cause);
    const fields = { ...fieldsOf(segment), cause, parts: parts.length, error: lastError };
    const isPart = pending.family !== undefined || pending.days !== undefined;
    if (isPart) logger.debug(fields, 'A part of a segment is divided');
    else if (cause === 'days') logger.info(fields, 'A segment of many days is divided');
    else logger.warn(fields, 'A segment that storage did not take is divided');
    onProgress();
  }

  /** The rest of the segment has its own parts, so only what is refused waits for a person. */
  async #setAside(pending: Pending, found: ReadBack): Promise<void> {
    if (this.#abort.signal.aborted) return;
    const { log, ledger, logger } = this.#options;
    const { segment } = pending;
    this.#storageAnswered();
    const rows = segment.rows - found.storedRows;
    const days = found.missingDays.map(dateOf);
    await log.setAside(segment, `storage refused ${rows} rows: ${pending.lastError}`);
    if (found.storedRows > 0) ledger.store(found.storedRows);
    ledger.setAside(rows);
    this.#refusals.setAside(pending);
    this.#pending.done(pending);
    logger.error(
      { ...fieldsOf(segment), rows, days, error: pending.lastError },
      'Storage refuses these spans; they are in corrupt/ of the log. Mend what the error names, ' +
        'stop the collector, run `scrubjay wal retry` and start it again',
    );
  }

  #fail(pending: Pending, error: unknown): void {
    const { metrics, clock, logger } = this.#options;
    const failure = error instanceof StorageError ? error.failure : 'unexpected';
    pending.lastError = error instanceof Error ? error.message : String(error);
    metrics.insertFailures.inc({ class: failure });
    const refused = error === this.#refusal;
    const goesOn = refused && this.#verdict(pending, 0) !== 'insert';
    this.#pending.failed(pending, clock.monotonicMs(), goesOn);
    const fields = { err: error, ...fieldsOf(pending.segment), failures: pending.failures };
    if (!this.#breaker.closed) logger.debug(fields, 'Insert failed while storage is away');
    else if (goesOn) logger.debug(fields, 'Insert refused');
    else logger.warn(fields, 'Insert failed: the spans stay in the log and are tried again');
    // Files that cannot be read, bytes that are refused: storage itself does answer, or was not
    // asked. Neither may keep healthy segments from it. Memory counts when less does not help.
    if (failure === 'unexpected') this.#breaker.undecided(clock.monotonicMs());
    else if (refused && (failure === 'poison' || goesOn)) this.#storageAnswered();
    else this.#storageFailed(failure);
  }

  #storageAnswered(): void {
    if (!this.#breaker.succeeded()) return;
    const waiting = this.#pending.size;
    this.#options.logger.info({ segments: waiting }, 'Storage takes inserts again');
  }

  #storageFailed(failure: string): void {
    const { clock, logger } = this.#options;
    const nowMs = clock.monotonicMs();
    if (this.#breaker.failed(nowMs)) {
      logger.error(
        { segments: this.#pending.size },
        'Storage takes no inserts: spans wait in the log, ingest goes on until it is full',
      );
    }
    if (failure !== 'auth' || nowMs - this.#authAlarmMs < AUTH_ALARM_MS) return;
    this.#authAlarmMs = nowMs;
    logger.error(
      {},
      'Storage refuses the user, the password or a grant: check CLICKHOUSE_USER and ' +
        'CLICKHOUSE_PASSWORD; spans wait in the log meanwhile',
    );
  }
}
