/** A log, a storage and a clock in memory, for tests of the ingester. */
import type { Clock } from '../../../src/base/clock.ts';
import { CodedError } from '../../../src/base/errors.ts';
import type { BlockMeta, ClosedSegment, SegmentLog } from '../../../src/ingester/segment-log.ts';
import type { SpanLimits } from '../../../src/model/limits.ts';
import { DAY_US } from '../../../src/model/days.ts';
import { type SpanBatch } from '../../../src/model/span-batch.ts';
import { NOTE_BYTES } from '../../../src/model/span-sink.ts';
import type {
  BlockCutter,
  BlockEncoder,
  InsertSource,
  SpanWriter,
} from '../../../src/storage/contract.ts';
import type { Logger } from '../../../src/telemetry/logger.ts';
import type { Divide } from '../../../src/wal/division.ts';

export const LIMITS: SpanLimits = {
  spanBytesMax: 262_144,
  tagsMax: 256,
  annotationsMax: 256,
  tagKeyBytesMax: 256,
  tagValueBytesMax: 65_536,
  annotationBytesMax: 16_384,
  nameBytesMax: 512,
  serviceNameBytesMax: 256,
};

/** Lets everything run that needs no time: immediates and promises. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 6; turn++) {
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
}

export class FakeClock implements Clock {
  #ms = 0;
  readonly #sleepers = new Set<{ atMs: number; wake: () => void }>();

  nowMs(): number {
    return this.#ms;
  }

  monotonicMs(): number {
    return this.#ms;
  }

  get sleepers(): number {
    return this.#sleepers.size;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) return Promise.resolve();
    return new Promise((resolve) => {
      const sleeper = {
        atMs: this.#ms + ms,
        wake: () => {
          this.#sleepers.delete(sleeper);
          signal?.removeEventListener('abort', sleeper.wake);
          resolve();
        },
      };
      this.#sleepers.add(sleeper);
      signal?.addEventListener('abort', sleeper.wake, { once: true });
    });
  }

  /** Sleeper by sleeper, so that what one wakes sees its own time. */
  async advance(ms: number): Promise<void> {
    const endMs = this.#ms + ms;
    await settle();
    for (;;) {
      let next: { atMs: number; wake: () => void } | undefined;
      for (const sleeper of this.#sleepers) {
        if (sleeper.atMs > endMs) continue;
        if (next === undefined || sleeper.atMs < next.atMs) next = sleeper;
      }
      if (next === undefined) break;
      this.#ms = Math.max(this.#ms, next.atMs);
      next.wake();
      await settle();
    }
    this.#ms = endMs;
  }
}

export class FakeLogger implements Logger {
  readonly lines: string[] = [];
  debug(): void {}
  info(fields: object, message: string): void {
    this.#add('info', fields, message);
  }
  warn(fields: object, message: string): void {
    this.#add('warn', fields, message);
  }
  error(fields: object, message: string): void {
    this.#add('error', fields, message);
  }
  child(): Logger {
    return this;
  }
  count(level: string, word: string): number {
    return this.lines.filter((line) => line.startsWith(level) && line.includes(word)).length;
  }
  #add(level: string, fields: object, message: string): void {
    this.lines.push(`${level} ${message} ${Object.keys(fields).join()}`);
  }
}

/** A block that says only which batch it was marked with and how many rows it has. */
export const fakeEncoder: BlockEncoder = {
  encode: (batch, batchId) => new TextEncoder().encode(`${batchId}:${batch.rows}`),
};

/** A block that is the list of the days of its rows. */
export const fakeCutter: BlockCutter = {
  open: (block) => {
    const days = JSON.parse(block.toString()) as number[];
    return { days, take: (rows) => Buffer.from(JSON.stringify(rows.map((row) => days[row]))) };
  },
};

let parts = 0;
/** Of no segment before, in no log. */
const nextPart = (): bigint => BigInt(1_000_000 + parts++);

/** Adds rows to the open batch as a codec does. */
export function addRows(batch: SpanBatch, rows: number, day = 0): void {
  batch.beginMessage(new Uint8Array(), LIMITS, 0);
  for (let i = 0; i < rows; i++) {
    batch.beginRow();
    batch.setTraceId(0, 0, 0, i + 1);
    batch.setId(0, i + 1);
    batch.setTimestamp(day * DAY_US + 1 + i);
    batch.endRow();
    batch.keepRow();
  }
}

export function noteOf(value: number): Uint8Array {
  return new Uint8Array(NOTE_BYTES).fill(value);
}

export function segmentOf(
  batch: number,
  days: Readonly<Record<number, number>>,
  recovered = false,
): ClosedSegment {
  const entries = Object.entries(days).map(([day, rows]) => [Number(day), rows] as const);
  const rows = entries.reduce((sum, [, dayRows]) => sum + dayRows, 0);
  return {
    batch: BigInt(batch),
    path: `seg-${batch}`,
    bytes: rows * 100,
    rows,
    days: new Map(entries),
    recovered,
    firstAppendMs: 0,
  };
}

interface Append {
  readonly text: string;
  readonly meta: BlockMeta;
  readonly end: (error?: CodedError) => void;
}

/** Appends wait for `finish` unless `auto` is set. What is on disk survives in `disk`. */
export class FakeLog implements SegmentLog {
  recovered: readonly ClosedSegment[];
  onClosed: (segment: ClosedSegment) => void = () => undefined;
  auto = true;
  failAppends = 0;
  failRemoves = 0;
  failDivides = 0;
  /** Segments that divide was called for, and what it put in their places. */
  readonly divided = new Map<bigint, readonly bigint[]>();
  refusal: CodedError | undefined;
  /** The next batchFor answers with a promise. */
  rotateLate = false;
  released = 0;
  closes = 0;
  closed = false;
  readonly appended: { text: string; rows: number; note: Uint8Array }[] = [];
  readonly running: Append[] = [];
  readonly disk = new Map<bigint, ClosedSegment>();
  readonly aside: { segment: ClosedSegment; why: string }[] = [];
  readonly removed: bigint[] = [];
  /** What read says is not in the log. */
  readonly unreadable = new Set<bigint>();
  readonly #content = new Map<bigint, string>();
  #batch: bigint;
  #days = new Map<number, number>();
  #closeWaiters: (() => void)[] = [];

  constructor(recovered: readonly ClosedSegment[] = []) {
    this.recovered = recovered;
    for (const segment of recovered) this.disk.set(segment.batch, segment);
    const last = recovered.at(-1)?.batch ?? 0n;
    this.#batch = last + 1n;
  }

  /** Batch ids are never used again by a later process. */
  startAt(batch: bigint): void {
    this.#batch = batch;
  }

  get hasOpenRows(): boolean {
    return this.#days.size > 0;
  }

  batchFor(): bigint | Promise<bigint> {
    if (!this.rotateLate) return this.#batch;
    this.rotateLate = false;
    return Promise.resolve(this.#batch);
  }

  releaseBatch(): void {
    this.released++;
  }

  append(chunks: readonly Uint8Array[], meta: BlockMeta): Promise<void> {
    const text = new TextDecoder().decode(chunks[0]);
    return new Promise((resolve, reject) => {
      const end = (error?: CodedError): void => {
        this.running.splice(this.running.indexOf(append), 1);
        if (error === undefined) {
          this.#add(text, meta);
          resolve();
        } else reject(error);
        this.#closeIfAsked();
      };
      const append: Append = { text, meta, end };
      this.running.push(append);
      if (this.auto) void Promise.resolve().then(() => end(this.#failure()));
    });
  }

  read(batch: bigint, offset: number, bytes: number): Promise<Buffer | undefined> {
    const isThere = this.disk.has(batch) || (batch === this.#batch && this.hasOpenRows);
    if (!isThere || this.unreadable.has(batch)) return Promise.resolve(undefined);
    const content = Buffer.from(this.#content.get(batch) ?? '');
    return Promise.resolve(content.subarray(offset, offset + bytes));
  }

  closeOpen(): Promise<void> {
    this.closes++;
    if (!this.hasOpenRows) return Promise.resolve();
    const done = new Promise<void>((resolve) => {
      this.#closeWaiters.push(resolve);
    });
    if (this.running.length === 0) this.#closeIfAsked();
    return done;
  }

  remove(segment: ClosedSegment): Promise<void> {
    if (this.failRemoves > 0) {
      this.failRemoves--;
      return Promise.reject(new CodedError('SCRUBJAY_ERR_WAL_FAILED', { cause: 'EIO' }));
    }
    if (!this.disk.delete(segment.batch)) throw new Error('removed twice');
    this.removed.push(segment.batch);
    return Promise.resolve();
  }

  setAside(segment: ClosedSegment, why: string): Promise<void> {
    if (!this.disk.delete(segment.batch)) throw new Error('removed twice');
    this.aside.push({ segment, why });
    return Promise.resolve();
  }

  async divide(segment: ClosedSegment, divide: Divide): Promise<readonly ClosedSegment[]> {
    await Promise.resolve();
    if (this.failDivides > 0) {
      this.failDivides--;
      throw new CodedError('SCRUBJAY_ERR_WAL_FAILED', { cause: 'EIO' });
    }
    const { recovered, days } = segment;
    const rowDays = [...days].flatMap(([day, rows]) => Array.from({ length: rows }, () => day));
    const division = divide([segment.rows]);
    const batches = Array.from({ length: division.parts }, nextPart);
    const made: ClosedSegment[] = [];
    for (const piece of division.cut(Buffer.from(JSON.stringify(rowDays)), batches)) {
      const batch = Number(batches[piece.part]);
      made.push(segmentOf(batch, Object.fromEntries(piece.days), recovered));
    }
    if (!this.disk.delete(segment.batch)) throw new Error('divided twice');
    for (const part of made) this.disk.set(part.batch, part);
    this.divided.set(
      segment.batch,
      made.map((part) => part.batch),
    );
    return made;
  }

  admit(): CodedError | undefined {
    return this.refusal;
  }

  async close(): Promise<void> {
    await this.closeOpen();
    this.closed = true;
  }

  #failure(): CodedError | undefined {
    if (this.failAppends === 0) return undefined;
    this.failAppends--;
    return new CodedError('SCRUBJAY_ERR_WAL_FAILED', { cause: 'EIO' });
  }

  #add(text: string, meta: BlockMeta): void {
    this.#content.set(this.#batch, (this.#content.get(this.#batch) ?? '') + text);
    this.appended.push({ text, rows: meta.rows, note: Uint8Array.from(meta.note) });
    for (const [day, rows] of meta.days) {
      this.#days.set(day, (this.#days.get(day) ?? 0) + rows);
    }
  }

  #closeIfAsked(): void {
    if (this.#closeWaiters.length === 0) return;
    if (this.hasOpenRows) {
      const segment = segmentOf(Number(this.#batch), Object.fromEntries(this.#days));
      this.#batch++;
      this.#days = new Map();
      this.disk.set(segment.batch, segment);
      this.onClosed(segment);
    }
    for (const resolve of this.#closeWaiters.splice(0)) resolve();
  }
}

interface Hold {
  readonly call: string;
  readonly go: () => void;
}

/** Rows by batch and day. What the next calls do is scripted. */
export class FakeStorage implements SpanWriter {
  readonly rows = new Map<bigint, Map<number, number>>();
  readonly calls: string[] = [];
  /** Taken one by one: an error to throw, after `keep` days were stored; undefined: success. */
  readonly insertScript: ({ error: Error; keep: number } | undefined)[] = [];
  readonly countScript: (Error | undefined)[] = [];
  /** Why storage does not take such a segment, whatever the script says. */
  refuses: (source: InsertSource) => Error | undefined = () => undefined;
  /** Calls wait until `holds[n].go()`. */
  hold = false;
  readonly holds: Hold[] = [];

  async insert(source: InsertSource, onlyDays?: readonly number[]): Promise<void> {
    const call = `insert ${source.batch}${onlyDays === undefined ? '' : ` ${onlyDays.join()}`}`;
    this.calls.push(call);
    await this.#wait(call);
    const refused = this.refuses(source);
    if (refused !== undefined) throw refused;
    const script = this.insertScript.shift();
    const days = [...source.days].filter(([day]) => onlyDays?.includes(day) ?? true);
    const stored = this.rows.get(source.batch) ?? new Map<number, number>();
    this.rows.set(source.batch, stored);
    for (const [day, rows] of days.slice(0, script?.keep)) {
      stored.set(day, (stored.get(day) ?? 0) + rows);
    }
    if (script !== undefined) throw script.error;
  }

  async countBack(batch: bigint): Promise<ReadonlyMap<number, number>> {
    const call = `count ${batch}`;
    this.calls.push(call);
    await this.#wait(call);
    const error = this.countScript.shift();
    if (error !== undefined) throw error;
    return new Map(this.rows.get(batch));
  }

  async #wait(call: string): Promise<void> {
    if (!this.hold) return;
    await new Promise<void>((resolve) => {
      const entry: Hold = {
        call,
        go: () => {
          this.holds.splice(this.holds.indexOf(entry), 1);
          resolve();
        },
      };
      this.holds.push(entry);
    });
  }
}
