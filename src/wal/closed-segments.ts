/**
 * The segments that wait for storage, and the side files that outlive them. A segment leaves by two
 * steps, each durable before the next: its side file is renamed to `.sent` (from then on recovery
 * does not look for its data), then the data file is recycled.
 */
import { basename, join } from 'node:path';
import { invariant } from '../base/errors.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { moveToCorrupt } from './corrupt.ts';
import { dropParts, writeParts, type Divide } from './division.ts';
import { isMissing, removeIfThere, type WalFiles } from './files.ts';
import { sideName } from './names.ts';
import type { SentFile } from './recovery.ts';
import type { ClosedSegment, KeptSegment, OpenSegment, SegmentPaths } from './segment.ts';
import type { SegmentStock } from './stock.ts';

interface Entry extends KeptSegment {
  /** Resolves when the log itself has closed the files. */
  readonly released: Promise<void>;
  /** A step of its removal failed: what the folder holds after a power cut is uncertain. */
  doubtful: boolean;
  /** Files that a division may have begun to write. */
  loose: SegmentPaths[];
  /** Its data file is being recycled and may hold anything. */
  leaving: boolean;
  /** What a division has made ready: its last step was begun and can only be completed. */
  parts: readonly KeptSegment[] | undefined;
}

export interface ClosedSegmentsOptions {
  readonly files: WalFiles;
  readonly dir: string;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

export class ClosedSegments {
  readonly #files: WalFiles;
  readonly #dir: string;
  readonly #logger: Logger;
  readonly #metrics: Metrics;
  readonly #stock: SegmentStock;
  readonly #entries = new Map<ClosedSegment, Entry>();
  readonly #sent: SentFile[];
  bytes = 0;

  constructor(options: ClosedSegmentsOptions, stock: SegmentStock, sent: readonly SentFile[]) {
    this.#files = options.files;
    this.#dir = options.dir;
    this.#logger = options.logger;
    this.#metrics = options.metrics;
    this.#stock = stock;
    this.#sent = [...sent];
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Epoch milliseconds of the first block that waits. */
  get oldestMs(): number | undefined {
    let oldest: number | undefined;
    for (const { firstAppendMs } of this.#entries.keys()) {
      if (oldest === undefined || firstAppendMs < oldest) oldest = firstAppendMs;
    }
    return oldest;
  }

  add(kept: KeptSegment, released: Promise<void>): void {
    this.#entries.set(kept.segment, {
      ...kept,
      released,
      doubtful: false,
      leaving: false,
      loose: [],
      parts: undefined,
    });
    this.bytes += kept.segment.bytes;
  }

  /** Of the data file of a segment, open or closed, as long as it holds what was appended. */
  pathOf(batch: bigint, open: OpenSegment | undefined): string | undefined {
    if (open?.batch === batch) return open.parts.data;
    for (const [segment, { leaving }] of this.#entries) {
      if (segment.batch === batch) return leaving ? undefined : segment.path;
    }
    return undefined;
  }

  /**
   * Rejects with the error of the disk; may be called again then.
   * @param recycle the data file may stay on disk for the next segment
   * @param notesSinceMs epoch milliseconds: side files with only older notes are deleted
   */
  async remove(segment: ClosedSegment, recycle: boolean, notesSinceMs: number): Promise<void> {
    const entry = this.#entry(segment);
    const { paths, allocated, lastAppendMs } = entry;
    await entry.released;
    await this.#dropLoose(entry);
    const sent = this.#sentPath(entry);
    // Of a file that was found at start nobody knows what is behind its blocks.
    const usedBytes = segment.recovered ? allocated : segment.bytes;
    try {
      await this.#renameOnce(paths.side, sent);
      await this.#files.syncDirectory(this.#dir);
      entry.leaving = true;
      await this.#stock.recycle(paths.data, allocated, usedBytes, recycle && !entry.doubtful);
    } catch (error) {
      entry.doubtful = true;
      throw error;
    }
    this.#forget(segment);
    // Expired ones were removed before the sync above, so their data files are durably gone.
    await this.#expire(notesSinceMs);
    this.#sent.push({ path: sent, lastAppendMs });
  }

  /** Rejects with the error of the disk; may be called again then. */
  async setAside(segment: ClosedSegment, why: string): Promise<void> {
    const entry = this.#entry(segment);
    const { paths, released } = entry;
    await released;
    await this.#dropLoose(entry);
    // The side file first: data without a side file is never delivered.
    const names = [basename(paths.side), basename(paths.data)];
    await moveToCorrupt(this.#files, this.#dir, names, { kind: 'refused', text: why });
    this.#forget(segment);
    const { batch, bytes, rows } = segment;
    this.#metrics.walCorruptBytes.inc({ kind: 'set_aside' }, bytes);
    const fields = { batch: String(batch), file: basename(paths.data), bytes, rows, why };
    this.#logger.error(fields, 'Log segment set aside in corrupt/');
  }

  /**
   * Puts the parts of a segment in its place; resolves to them. Rejects with the error of the disk
   * or of `divide`. Once the disk has failed at the last step, only calling it again is right: the
   * segment must not be delivered any more, and `divide` is not asked again.
   * @param isLate true from when the folder is given up: the segment stays as it is then
   */
  async divide(
    segment: ClosedSegment,
    divide: Divide,
    isLate: () => boolean,
  ): Promise<readonly ClosedSegment[]> {
    const entry = this.#entry(segment);
    await entry.released;
    if (entry.parts === undefined) {
      await this.#dropLoose(entry);
      const files = this.#files;
      const onPart = (paths: SegmentPaths): void => void entry.loose.push(paths);
      entry.parts = await writeParts(files, this.#stock, entry, divide, onPart);
    }
    invariant(!isLate(), 'an open log');
    const { parts, paths, lastAppendMs } = entry;
    const sent = this.#sentPath(entry);
    await this.#renameOnce(paths.side, sent);
    await this.#files.syncDirectory(this.#dir);
    this.#forget(segment);
    for (const part of parts) this.add(part, Promise.resolve());
    try {
      await removeIfThere(this.#files, paths.data);
      this.#sent.push({ path: sent, lastAppendMs });
    } catch {
      // The next start does it, if it finds the side file: a data file alone would be damage.
    }
    return parts.map((part) => part.segment);
  }

  /** Before a segment leaves in another way: what it leaves behind must not count then. */
  async #dropLoose(entry: Entry): Promise<void> {
    invariant(entry.parts === undefined, 'a segment whose parts are ready is not delivered');
    if (entry.loose.length === 0) return;
    await dropParts(this.#files, this.#dir, entry.loose);
    entry.loose = [];
  }

  #sentPath({ paths, recordsMax }: Entry): string {
    return join(this.#dir, sideName(paths.stem, 'sent', recordsMax));
  }

  #entry(segment: ClosedSegment): Entry {
    const entry = this.#entries.get(segment);
    invariant(entry !== undefined, 'a segment leaves the log once');
    return entry;
  }

  #forget(segment: ClosedSegment): void {
    if (this.#entries.delete(segment)) this.bytes -= segment.bytes;
  }

  async #renameOnce(from: string, to: string): Promise<void> {
    try {
      await this.#files.rename(from, to);
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
  }

  async #expire(sinceMs: number): Promise<void> {
    for (let oldest = this.#sent[0]; oldest !== undefined; oldest = this.#sent[0]) {
      if (oldest.lastAppendMs >= sinceMs) return;
      this.#sent.shift();
      await removeIfThere(this.#files, oldest.path).catch(() => undefined);
    }
  }
}
