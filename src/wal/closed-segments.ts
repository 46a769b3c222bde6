/**
 * The segments that wait for storage, and the side files that outlive them. A segment leaves by two
 * steps, each durable before the next: its side file is renamed to `.sent` (from then on recovery
 * does not look for its data), then the data file is recycled.
 */
import { basename, join } from 'node:path';
import { invariant } from '../base/errors.ts';
import { moveToCorrupt } from './corrupt.ts';
import { isMissing, removeIfThere, type WalFiles } from './files.ts';
import { sideName } from './names.ts';
import type { SentFile } from './recovery.ts';
import type { ClosedSegment, KeptSegment } from './segment.ts';
import type { SegmentStock } from './stock.ts';

interface Entry extends KeptSegment {
  /** Resolves when the log itself has closed the files. */
  readonly released: Promise<void>;
  /** A step of its removal failed: what the folder holds after a power cut is uncertain. */
  doubtful: boolean;
}

export class ClosedSegments {
  readonly #files: WalFiles;
  readonly #dir: string;
  readonly #stock: SegmentStock;
  readonly #entries = new Map<ClosedSegment, Entry>();
  readonly #sent: SentFile[];
  bytes = 0;

  constructor(files: WalFiles, dir: string, stock: SegmentStock, sent: readonly SentFile[]) {
    this.#files = files;
    this.#dir = dir;
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
    this.#entries.set(kept.segment, { ...kept, released, doubtful: false });
    this.bytes += kept.segment.bytes;
  }

  /**
   * Rejects with the error of the disk; may be called again then.
   * @param recycle the data file may stay on disk for the next segment
   * @param notesSinceMs epoch milliseconds: side files with only older notes are deleted
   */
  async remove(segment: ClosedSegment, recycle: boolean, notesSinceMs: number): Promise<void> {
    const entry = this.#entry(segment);
    const { paths, recordsMax, allocated, lastAppendMs } = entry;
    await entry.released;
    const sent = join(this.#dir, sideName(paths.stem, 'sent', recordsMax));
    try {
      await this.#renameOnce(paths.side, sent);
      await this.#files.syncDirectory(this.#dir);
      await this.#stock.recycle(paths.data, allocated, recycle && !entry.doubtful);
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
  async setAside(segment: ClosedSegment): Promise<void> {
    const { paths, released } = this.#entry(segment);
    await released;
    // The side file first: data without a side file is never delivered.
    await moveToCorrupt(this.#files, this.#dir, [basename(paths.side), basename(paths.data)]);
    this.#forget(segment);
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
