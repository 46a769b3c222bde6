/**
 * One segment: the open one that takes blocks, and what is known of it once it is closed. A block
 * is in the segment from the moment that both of its files are synced, and not before.
 */
import { crc32 } from 'node:zlib';
import type { Clock } from '../base/clock.ts';
import type { WalConfig } from './config.ts';
import { writeAll, type WalFile } from './files.ts';
import { HEADER_BYTES, type RecordEncoder } from './side-file.ts';

export interface BlockMeta {
  readonly rows: number;
  /** Day number (days since 1970-01-01) to rows of that day. */
  readonly days: ReadonlyMap<number, number>;
  /** Opaque to the log; recovery gives it back. */
  readonly note: Uint8Array;
}

/** Takes no more blocks. The first `bytes` bytes of the file at `path` are its rows. */
export interface ClosedSegment {
  readonly batch: bigint;
  readonly path: string;
  readonly bytes: number;
  readonly rows: number;
  /** Day number (days since 1970-01-01) to rows of that day. */
  readonly days: ReadonlyMap<number, number>;
  /** Found on disk at start: whether its rows are in storage is not known. */
  readonly recovered: boolean;
  /** Epoch milliseconds. */
  readonly firstAppendMs: number;
}

export interface SegmentPaths {
  /** Name without its kind, as names.ts builds it. */
  readonly stem: string;
  readonly data: string;
  readonly side: string;
}

/** A closed segment with what only the log needs to know of it. */
export interface KeptSegment {
  readonly segment: ClosedSegment;
  readonly paths: SegmentPaths;
  /** Only the first so many records count; undefined: all. */
  readonly recordsMax: number | undefined;
  /** Size of the data file on disk. */
  readonly allocated: number;
  /** Epoch milliseconds of the last block: as old as its youngest note. */
  readonly lastAppendMs: number;
}

export interface SegmentParts extends SegmentPaths {
  readonly batch: bigint;
  readonly dataFile: WalFile;
  readonly sideFile: WalFile;
  /** Start value of the side file's checksums. */
  readonly seed: number;
  /** Bytes of the data file that are already allocated. */
  readonly allocated: number;
}

type SegmentLimits = Pick<WalConfig, 'segmentRowsMax' | 'segmentBytesMax'>;

export class OpenSegment {
  readonly parts: SegmentParts;
  readonly days = new Map<number, number>();
  bytes = 0;
  sideBytes = HEADER_BYTES;
  rows = 0;
  records = 0;
  firstAppendMs = 0;
  lastAppendMs = 0;

  constructor(parts: SegmentParts) {
    this.parts = parts;
  }

  get batch(): bigint {
    return this.parts.batch;
  }

  /** True when it takes such a block; an empty one takes any. */
  fits(rows: number, bytes: number, config: SegmentLimits): boolean {
    if (this.records === 0) return true;
    const { segmentRowsMax, segmentBytesMax } = config;
    return this.rows + rows <= segmentRowsMax && this.bytes + bytes <= segmentBytesMax;
  }

  isFull({ segmentRowsMax, segmentBytesMax }: SegmentLimits): boolean {
    return this.rows >= segmentRowsMax || this.bytes >= segmentBytesMax;
  }

  /**
   * Resolves to the milliseconds of the sync when the block is durable. Rejects with the error of
   * the disk; the segment must not be appended to any more then, for what is on disk behind its
   * last block is unknown.
   */
  async append(
    chunks: readonly Uint8Array[],
    length: number,
    meta: BlockMeta,
    encoder: RecordEncoder,
    clock: Clock,
  ): Promise<number> {
    const { dataFile, sideFile, seed } = this.parts;
    const atMs = clock.nowMs();
    let blockCrc = 0;
    for (const chunk of chunks) blockCrc = crc32(chunk, blockCrc);
    const { rows, days, note } = meta;
    const block = { offset: this.bytes, length, rows, days, blockCrc, atMs, note };
    const record = encoder.encode(block, seed);
    await both(
      writeAll(dataFile, chunks, this.bytes, length),
      writeAll(sideFile, [record], this.sideBytes, record.byteLength),
    );
    const startMs = clock.monotonicMs();
    await both(dataFile.datasync(), sideFile.datasync());
    if (this.records === 0) this.firstAppendMs = atMs;
    this.lastAppendMs = atMs;
    this.records++;
    this.bytes += length;
    this.sideBytes += record.byteLength;
    this.rows += rows;
    addDays(this.days, days);
    return clock.monotonicMs() - startMs;
  }

  /** The files keep their names; errors are of no consequence any more. */
  async release(truncateData: boolean): Promise<void> {
    const { dataFile, sideFile } = this.parts;
    // What is behind the last block is not read by anybody, so the cut needs no sync.
    const cuts = [sideFile.truncate(this.sideBytes)];
    if (truncateData) cuts.push(dataFile.truncate(this.bytes));
    await Promise.allSettled(cuts);
    await this.abandon();
  }

  async abandon(): Promise<void> {
    await Promise.allSettled([this.parts.dataFile.close(), this.parts.sideFile.close()]);
  }
}

export function addDays(sum: Map<number, number>, days: ReadonlyMap<number, number>): void {
  for (const [day, rows] of days) sum.set(day, (sum.get(day) ?? 0) + rows);
}

/** Waits for both even when one fails: no write may still run when the caller goes on. */
async function both(one: Promise<void>, other: Promise<void>): Promise<void> {
  for (const outcome of await Promise.allSettled([one, other])) {
    if (outcome.status === 'rejected') throw outcome.reason;
  }
}
