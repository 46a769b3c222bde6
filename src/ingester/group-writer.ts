/**
 * Group commit: all requests of one turn of the event loop, and all that arrive while a group is
 * being written, share one batch, one block and one disk sync.
 *
 *   open group ──(end of the turn, or of the write before)──► encode ─► append ─► resolve
 *        ▲ rows of new requests                               spare group, empty again ─┘
 */
import { CodedError } from '../base/errors.ts';
import type { SpanLimits } from '../model/limits.ts';
import { type BatchMark, SpanBatch } from '../model/span-batch.ts';
import type { SpanObserver } from '../model/span-observer.ts';
import { NOTE_BYTES, type SpanSink } from '../model/span-sink.ts';
import type { BlockEncoder } from '../storage/contract.ts';
import type { Ledger } from '../telemetry/ledger.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { SelfTracer } from '../telemetry/self-tracing.ts';
import type { SegmentLog } from './segment-log.ts';

/** A batch that held more is not kept: one burst must not hold its memory for ever. */
const BATCH_BYTES_KEPT = 32 * 1024 * 1024;
const REQUESTS_EXPECTED = 64;

/** Requests that become durable together; the same object serves one group after the other. */
class Group {
  batch: SpanBatch;
  requests = 0;
  /** One promise for all requests of the group. */
  durable: Promise<void> | undefined;
  #notes = Buffer.allocUnsafe(REQUESTS_EXPECTED * NOTE_BYTES);
  #noteBytes = 0;
  #resolve: () => void = () => {};
  #reject: (error: CodedError) => void = () => {};

  constructor(batch: SpanBatch) {
    this.batch = batch;
  }

  /** The note is copied: it belongs to the caller again. */
  join(note: Uint8Array): Promise<void> {
    const end = this.#noteBytes + note.byteLength;
    if (end > this.#notes.byteLength) {
      const grown = Buffer.allocUnsafe(2 * end);
      grown.set(this.notes);
      this.#notes = grown;
    }
    this.#notes.set(note, this.#noteBytes);
    this.#noteBytes = end;
    this.requests++;
    this.durable ??= new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    return this.durable;
  }

  get notes(): Uint8Array {
    return this.#notes.subarray(0, this.#noteBytes);
  }

  /** Answers all requests. */
  settle(failure: CodedError | undefined): void {
    if (failure === undefined) this.#resolve();
    else this.#reject(failure);
  }

  /** Empties all but the batch. */
  clear(): void {
    this.requests = 0;
    this.durable = undefined;
    this.#noteBytes = 0;
  }
}

export interface GroupWriterOptions {
  readonly log: Pick<SegmentLog, 'batchFor' | 'releaseBatch' | 'append' | 'admit'>;
  readonly encoder: BlockEncoder;
  readonly ledger: Ledger;
  readonly metrics: Metrics;
  readonly logger: Logger;
  /** Of messages whose tenant has none of its own. */
  readonly limits: SpanLimits;
  /** Of the hash tables of the batches; unknown to senders. */
  readonly seed: number;
  readonly observers: readonly SpanObserver[];
  readonly tracer: Pick<SelfTracer, 'takeOver' | 'claim'>;
  /** Runs it once all requests of this turn have come: setImmediate, unless a test decides. */
  readonly atTurnEnd?: (run: () => void) => void;
}

export class GroupWriter implements SpanSink {
  readonly #options: GroupWriterOptions;
  readonly #draining = new CodedError('SCRUBJAY_ERR_DRAINING');
  #open: Group;
  #spare: Group;
  #durableRows = 0;
  /** A flush is scheduled or runs. */
  #flushing = false;
  #idleWaiters: (() => void)[] = [];
  /** Set while stopping: what the open batch holds of requests that were taken before. */
  #stopMark: BatchMark | undefined;

  constructor(options: GroupWriterOptions) {
    this.#options = options;
    this.#open = new Group(this.#newBatch());
    this.#spare = new Group(this.#newBatch());
  }

  /** Rows that append() made durable since the start: never less than what was acknowledged. */
  get durableRows(): number {
    return this.#durableRows;
  }

  refusal(): CodedError | undefined {
    return this.#stopMark === undefined ? this.#options.log.admit() : this.#draining;
  }

  openBatch(): SpanBatch {
    return this.#open.batch;
  }

  commit(_rows: number, note: Uint8Array): Promise<void> {
    if (this.#stopMark !== undefined) {
      this.#open.batch.rollback(this.#stopMark);
      return Promise.reject(this.#draining);
    }
    if (!this.#flushing) {
      this.#flushing = true;
      const { atTurnEnd = setImmediate } = this.#options;
      atTurnEnd(() => void this.#flush());
    }
    return this.#open.join(note);
  }

  /** Refuses what comes from now on; resolves when what was taken before is decided. */
  async stop(): Promise<void> {
    this.#stopMark ??= this.#open.batch.mark();
    if (!this.#flushing) return;
    await new Promise<void>((resolve) => {
      this.#idleWaiters.push(resolve);
    });
  }

  /** Never rejects. */
  async #flush(): Promise<void> {
    while (this.#open.requests > 0) {
      const group = this.#open;
      this.#open = this.#spare;
      if (this.#stopMark !== undefined) this.#stopMark = this.#open.batch.mark();
      const failure = await this.#write(group);
      this.#spare = group;
      group.settle(failure);
      group.clear();
      if (group.batch.capacityBytes > BATCH_BYTES_KEPT) group.batch = this.#newBatch();
      else group.batch.reset();
    }
    this.#flushing = false;
    for (const resolve of this.#idleWaiters.splice(0)) resolve();
  }

  /**
   * Books what is in the batch, not what the requests said: that is what will be counted back.
   * @returns why the rows are not durable
   */
  async #write(group: Group): Promise<CodedError | undefined> {
    const { log, ledger, metrics, logger, tracer } = this.#options;
    const traced = tracer.takeOver();
    const { batch } = group;
    const { rows } = batch;
    if (rows === 0) return undefined;
    metrics.walGroupRequests.observe(group.requests);
    let batchId: bigint;
    let bytes: number;
    try {
      const reserved = log.batchFor(rows, batch.bytes);
      batchId = typeof reserved === 'bigint' ? reserved : await reserved;
      tracer.claim(batchId, traced);
      const block = this.#encode(batch, batchId);
      bytes = block.byteLength;
      await log.append([block], { rows, days: batch.days(), note: group.notes });
    } catch (error) {
      if (error instanceof CodedError) return error;
      logger.error({ err: error, rows }, 'A group of spans could not be encoded or logged: a bug');
      return new CodedError('SCRUBJAY_ERR_WAL_FAILED', { cause: 'internal' }, { cause: error });
    }
    this.#durableRows += rows;
    ledger.accept(rows);
    this.#observe(batch, batchId, bytes);
    return undefined;
  }

  /** The spans are durable, whatever observers make of them. */
  #observe(batch: SpanBatch, batchId: bigint, bytes: number): void {
    const { observers, logger } = this.#options;
    try {
      for (const observer of observers) observer.observe(batch, batchId, bytes);
    } catch (error) {
      logger.error({ err: error, rows: batch.rows }, 'A group of spans was not observed: a bug');
    }
  }

  #encode(batch: SpanBatch, batchId: bigint): Uint8Array {
    try {
      return this.#options.encoder.encode(batch, batchId);
    } catch (error) {
      this.#options.log.releaseBatch();
      throw error;
    }
  }

  #newBatch(): SpanBatch {
    return new SpanBatch(this.#options.limits, this.#options.seed);
  }
}
