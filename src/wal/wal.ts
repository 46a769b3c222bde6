/**
 * The log. What append() resolved for is on disk and is found after any kill -9 or power cut. It
 * knows bytes, not spans: blocks go in, closed segments (files that are contiguous runs of blocks)
 * come out and stay until they are removed. The ingester is its only caller.
 */
import { Backoff } from '../base/backoff.ts';
import type { Clock } from '../base/clock.ts';
import { CodedError, invariant } from '../base/errors.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { Budget } from './budget.ts';
import { ClosedSegments } from './closed-segments.ts';
import type { WalConfig } from './config.ts';
import type { Divide } from './division.ts';
import { coded, diskFiles, errorCode, failure, isNoSpace, type WalFiles } from './files.ts';
import { openFolder, type OpenedFolder } from './folder.ts';
import { WalGauges, type WalState } from './gauges.ts';
import { readLive } from './live-blocks.ts';
import { Mender } from './mender.ts';
import type { Note } from './notes.ts';
import type { BlockMeta, ClosedSegment, OpenSegment } from './segment.ts';
import { RecordEncoder } from './side-file.ts';
import type { SegmentStock } from './stock.ts';

export type { WalState } from './gauges.ts';
export type { BlockMeta, ClosedSegment } from './segment.ts';

const RETRY_MIN_MS = 500;
const RETRY_MAX_MS = 30_000;
/** More waiting segments than this: their files are cut to their content. */
const UNCUT_SEGMENTS_MAX = 3;
const ignore = (): void => undefined;

export interface WalOptions {
  readonly dir: string;
  readonly config: WalConfig;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** The disk; tests give a simulated one. */
  readonly files?: WalFiles;
  /** In [0, 1); for the node id and the waiting times between tries. */
  readonly random?: () => number;
}

export class Wal {
  readonly recovered: readonly ClosedSegment[];
  /** Called with each segment that was closed: by size, age, closeOpen() or a failed write. */
  onClosed: (segment: ClosedSegment) => void = () => undefined;
  readonly #options: Required<WalOptions>;
  readonly #config: WalConfig;
  readonly #clock: Clock;
  readonly #unlock: () => Promise<void>;
  readonly #notes: readonly Note[];
  readonly #stock: SegmentStock;
  readonly #closed: ClosedSegments;
  readonly #mender: Mender;
  readonly #budget: Budget;
  readonly #gauges: WalGauges;
  readonly #encoder = new RecordEncoder();
  readonly #background = new Set<Promise<void>>();
  #open: OpenSegment | undefined;
  #stopAge: AbortController | undefined;
  /** The caller was told a batch id and will append: the segment stays open until then. */
  #promised = false;
  #appending = false;
  #closeWaiters: (() => void)[] = [];
  #isClosed = false;

  /**
   * Locks the folder, raises the epoch and recovers what earlier runs left.
   * @throws {SCRUBJAY_ERR_START} when the folder is in use or cannot be written
   */
  static async open(options: WalOptions): Promise<Wal> {
    const { dir, files = diskFiles, random = Math.random } = options;
    try {
      await files.makeDirectory(dir);
      const unlock = await files.lock(dir);
      try {
        const opened = await openFolder({ ...options, files, random });
        const wal = new Wal({ ...options, files, random }, opened, unlock);
        await wal.#budget.sample(wal.#closed.bytes);
        await wal.#prepare();
        wal.state();
        return wal;
      } catch (error) {
        await unlock();
        throw error;
      }
    } catch (error) {
      if (error instanceof CodedError) throw error;
      const why = errorCode(error);
      const detail = `The log in ${dir} cannot be opened (${why}): see SCRUBJAY_DATA_DIR`;
      throw new CodedError('SCRUBJAY_ERR_START', { detail }, { cause: error });
    }
  }

  private constructor(
    options: Required<WalOptions>,
    { recovery, stock }: OpenedFolder,
    unlock: () => Promise<void>,
  ) {
    const { dir, config, clock, logger, files, random } = options;
    this.#options = options;
    this.#config = config;
    this.#clock = clock;
    this.#unlock = unlock;
    this.#stock = stock;
    this.#gauges = new WalGauges(options.metrics);
    this.#budget = new Budget({ config, dir, files, clock, logger });
    this.#closed = new ClosedSegments(options, stock, recovery.sent);
    const backoff = new Backoff(RETRY_MIN_MS, RETRY_MAX_MS, random);
    const onSealed = (segment: OpenSegment, side: string): void => {
      this.#deliver(segment, side, Promise.resolve());
    };
    this.#mender = new Mender({ files, dir, clock, logger, backoff, stock, onSealed });
    for (const kept of recovery.kept) this.#closed.add(kept, Promise.resolve());
    this.recovered = recovery.kept.map(({ segment }) => segment);
    this.#notes = recovery.notes;
  }

  /** Notes found at start of blocks within the window, of segments already removed too. */
  recoveredNotes(): readonly Note[] {
    return this.#notes;
  }

  /** True when a block was acknowledged whose segment is still open. */
  get hasOpenRows(): boolean {
    return this.#open !== undefined && this.#open.records > 0;
  }

  /**
   * The batch id of the segment that the next append goes to; it stays open until that append or
   * releaseBatch(). A promise only when the disk has not made the next segment ready in time.
   * @throws {SCRUBJAY_ERR_WAL_FAILED, _WAL_FULL, _DRAINING} as a rejection
   */
  batchFor(rows: number, bytes: number): bigint | Promise<bigint> {
    if (this.#isClosed) return Promise.reject(this.#refusal());
    invariant(!this.#appending, 'one append at a time');
    const open = this.#open;
    if (open !== undefined) {
      if (open.fits(rows, bytes, this.#config)) return this.#promise(open);
      this.#closeSegment(open);
    }
    const next = this.#mender.poisoned.length === 0 ? this.#stock.take() : undefined;
    return next === undefined ? this.#waitForNext() : this.#start(next);
  }

  /** The caller will not append what it asked a batch id for. */
  releaseBatch(): void {
    this.#promised = false;
    if (!this.#appending) this.#afterAppend();
  }

  /**
   * Durable when resolved. One at a time; the chunks must not change before.
   * @throws {SCRUBJAY_ERR_WAL_FAILED, SCRUBJAY_ERR_WAL_FULL} the block will not be delivered
   */
  async append(chunks: readonly Uint8Array[], meta: BlockMeta): Promise<void> {
    let length = 0;
    for (const chunk of chunks) length += chunk.byteLength;
    if (!this.#promised) {
      const batch = this.batchFor(meta.rows, length);
      if (typeof batch !== 'bigint') await batch;
    }
    const segment = this.#open;
    invariant(segment !== undefined && !this.#appending, 'one append at a time');
    this.#appending = true;
    try {
      if (segment.records === 0) this.#startAge(segment);
      const syncMs = await segment.append(chunks, length, meta, this.#encoder, this.#clock);
      this.#options.metrics.walFsyncSeconds.observe(syncMs / 1000);
      this.#mender.succeeded();
    } catch (error) {
      throw this.#fail(segment, error);
    } finally {
      this.#appending = false;
      this.#promised = false;
      this.#afterAppend();
    }
  }

  /** Of what was appended to a segment; undefined when it is not in the log any more. */
  read(batch: bigint, offset: number, bytes: number): Promise<Buffer | undefined> {
    const pathOf = (): string | undefined => this.#closed.pathOf(batch, this.#open);
    return readLive(this.#options.files, pathOf, offset, bytes);
  }

  /** Closes the open segment if it has rows, after an append that was promised or is running. */
  closeOpen(): Promise<void> {
    if (this.#mender.poisoned.length > 0) this.#spawn(this.#mender.mend());
    if (!this.hasOpenRows) return Promise.resolve();
    if (this.#isBusy) return new Promise((resolve) => this.#closeWaiters.push(resolve));
    this.#afterAppend(true);
    return Promise.resolve();
  }

  /**
   * The segment's rows are in storage: never delivered again when resolved.
   * @throws {SCRUBJAY_ERR_WAL_FAILED} the segment is still in the log; may be called again
   */
  async remove(segment: ClosedSegment): Promise<void> {
    const space = this.#budget.state(this.#bytes(), this.#closed.size);
    const recycle = !this.#mender.noSpace && (space === 'ok' || space === 'spooling');
    await coded(this.#closed.remove(segment, recycle, this.#notesSinceMs()));
    this.state();
  }

  /** Moves the segment's files to corrupt/: a person must look at them. */
  async setAside(segment: ClosedSegment, why: string): Promise<void> {
    await coded(this.#closed.setAside(segment, why));
    this.state();
  }

  /** As ClosedSegments.divide. @throws {SCRUBJAY_ERR_WAL_FAILED} and what `divide` throws */
  async divide(segment: ClosedSegment, divide: Divide): Promise<readonly ClosedSegment[]> {
    const dividing = this.#closed.divide(segment, divide, () => this.#isClosed);
    // Nothing of it may happen when the folder is another's.
    this.#spawn(dividing.then(ignore, ignore));
    const parts = await coded(dividing);
    this.state();
    return parts;
  }

  /** Brings the gauges up to date too: call it when metrics are read. */
  state(): WalState {
    const state = this.#currentState();
    this.#gauges.show(state);
    return state;
  }

  #currentState(): WalState {
    const bytes = this.#bytes();
    let oldest = this.#closed.oldestMs;
    let segments = this.#closed.size;
    for (const segment of [...this.#mender.poisoned, this.#open]) {
      if (segment === undefined || segment.records === 0) continue;
      segments++;
      oldest = Math.min(oldest ?? segment.firstAppendMs, segment.firstAppendMs);
    }
    const space = this.#mender.noSpace ? 'full' : this.#budget.state(bytes, this.#closed.size);
    const state = this.#mender.failed ? 'failed' : space;
    const oldestUnsentMs =
      oldest === undefined ? undefined : Math.max(0, this.#clock.nowMs() - oldest);
    return { state, bytes, segments, oldestUnsentMs };
  }

  /** Its bytes when it is full soon if storage does not take more than comes; else 0. */
  get fillingBytes(): number {
    const bytes = this.#bytes();
    const space = this.#budget.state(bytes, this.#closed.size);
    return space === 'brown-out' || space === 'full' ? bytes : 0;
  }

  /** Why no body can be taken at present. Asking is what makes a failed log try again. */
  admit(): CodedError | undefined {
    if (this.#mender.failed || this.#mender.noSpace) {
      this.#spawn(this.#mender.mend());
      return this.#refusal();
    }
    const bytes = this.#bytes();
    if (this.#budget.isSampleOld()) this.#spawn(this.#budget.sample(bytes));
    return this.#budget.refusal(bytes);
  }

  /** Closes the open segment and the files, and gives the folder free. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    if (this.#appending) await new Promise<void>((resolve) => this.#closeWaiters.push(resolve));
    this.#isClosed = true;
    this.#promised = false;
    this.#afterAppend(true);
    this.#stopAge?.abort();
    if (this.#open !== undefined) {
      await this.#open.abandon();
      await this.#stock.discard(this.#open.parts).catch(() => undefined);
    }
    await Promise.all(this.#background);
    await this.#stock.close().catch(() => undefined);
    await Promise.all(this.#mender.poisoned.map((segment) => segment.abandon()));
    await this.#unlock();
  }

  get #isBusy(): boolean {
    return this.#promised || this.#appending;
  }

  #promise(open: OpenSegment): bigint {
    this.#promised = true;
    return open.batch;
  }

  #start(next: OpenSegment): bigint {
    this.#open = next;
    this.#spawn(this.#prepare());
    return this.#promise(next);
  }

  async #waitForNext(): Promise<bigint> {
    if (!this.#mender.isWell) await this.#mender.mend();
    if (!this.#mender.isWell) throw this.#refusal();
    await this.#prepare();
    const next = this.#isClosed ? undefined : this.#stock.take();
    if (next === undefined) throw this.#refusal();
    return this.#start(next);
  }

  /** Makes the next segment ready; in the background, so that rotation finds it. */
  async #prepare(): Promise<void> {
    try {
      await this.#stock.prepare();
    } catch (error) {
      this.#mender.note(error, 'No new segment of the log can be made');
      this.state();
    }
  }

  #fail(segment: OpenSegment, error: unknown): CodedError {
    this.#stopAge?.abort();
    this.#open = undefined;
    this.#mender.poison(segment, error);
    this.#spawn(this.#mender.mend().then(() => void this.state()));
    this.state();
    return isNoSpace(error) ? this.#budget.noSpace(this.#bytes()) : failure(error);
  }

  #refusal(): CodedError {
    if (this.#isClosed) return new CodedError('SCRUBJAY_ERR_DRAINING');
    const { failed, noSpace, lastCode } = this.#mender;
    if (!failed && noSpace) return this.#budget.noSpace(this.#bytes());
    return new CodedError('SCRUBJAY_ERR_WAL_FAILED', { cause: lastCode });
  }

  /** Closes what has to be closed once no append is promised or running. */
  #afterAppend(close = false): void {
    const open = this.#open;
    const waiters = this.#closeWaiters;
    if (open !== undefined && open.records > 0) {
      if (close || open.isFull(this.#config) || waiters.length > 0) this.#closeSegment(open);
    }
    this.#closeWaiters = [];
    for (const resolve of waiters) resolve();
  }

  #closeSegment(segment: OpenSegment): void {
    this.#open = undefined;
    this.#stopAge?.abort();
    this.#stock.learn(segment.bytes, segment.sideBytes);
    const released = segment.release(this.#closed.size >= UNCUT_SEGMENTS_MAX);
    this.#spawn(released);
    this.#deliver(segment, segment.parts.side, released);
  }

  #deliver(from: OpenSegment, side: string, released: Promise<void>): void {
    const { batch, bytes, rows, days, firstAppendMs, lastAppendMs, parts } = from;
    const path = parts.data;
    const segment = { batch, path, bytes, rows, days, recovered: false, firstAppendMs };
    const recordsMax = side === parts.side ? undefined : from.records;
    const paths = { stem: parts.stem, data: path, side };
    const isCut = this.#closed.size >= UNCUT_SEGMENTS_MAX;
    const allocated = isCut ? bytes : Math.max(bytes, parts.allocated);
    this.#closed.add({ segment, paths, recordsMax, allocated, lastAppendMs }, released);
    this.state();
    try {
      this.onClosed(segment);
    } catch (error) {
      this.#options.logger.error({ err: error }, 'The taker of a closed log segment failed');
    }
  }

  #startAge(segment: OpenSegment): void {
    const stop = new AbortController();
    this.#stopAge = stop;
    void this.#closeAtAge(segment, stop.signal);
  }

  async #closeAtAge(segment: OpenSegment, signal: AbortSignal): Promise<void> {
    await this.#clock.sleep(this.#config.segmentAgeMs, signal);
    if (signal.aborted || this.#open !== segment) return;
    if (this.#isBusy) this.#closeWaiters.push(() => undefined);
    else this.#afterAppend(true);
  }

  #bytes(): number {
    let bytes = this.#closed.bytes + (this.#open?.bytes ?? 0);
    for (const segment of this.#mender.poisoned) bytes += segment.bytes;
    return bytes;
  }

  #notesSinceMs(): number {
    return this.#clock.nowMs() - this.#config.notesKeptMs;
  }

  #spawn(work: Promise<void>): void {
    const kept = work.finally(() => {
      this.#background.delete(kept);
    });
    this.#background.add(kept);
  }
}
