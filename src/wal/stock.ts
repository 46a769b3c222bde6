/**
 * The next segment, made ready in the background so that rotation costs nothing, and the pool of
 * data files that it is made from. Small pool files are blanked, large ones
 * keep their old bytes: only the side file, new for each segment, says what is valid.
 *
 * Order at creation: side file with its header synced, folder synced, then the data file, folder
 * synced. So a data file without a readable side file is damage, never a half-made segment.
 */
import { join } from 'node:path';
import { removeIfThere, writeAll, type WalFile, type WalFiles } from './files.ts';
import type { Identity } from './identity.ts';
import { batchOf, sideName, stemOf, type SegmentId } from './names.ts';
import { OpenSegment, type SegmentPaths } from './segment.ts';
import { encodeHeader, recordSeed } from './side-file.ts';

const MIB = 1024 * 1024;
const POOL_FILES_MAX = 3;
const DATA_BYTES_FIRST = MIB;
const SIDE_BYTES_FIRST = 16 * 1024;
const SIDE_BYTES_MAX = MIB;
const FILL_CHUNK_BYTES = MIB;
/** More than this is not filled with zeros but left sparse: see RATIONALE.md. */
const FILL_BYTES_MAX = 4 * MIB;
/** The pool's names; what a crash leaves of it is deleted at the next start. */
export const isPoolName = (name: string): boolean => /^pool-\d+\.spare$/.test(name);

/** Is a data file of this size as it was made, but for its blocks? */
export const isAllocated = (bytes: number, segmentBytesMax: number): boolean =>
  bytes % DATA_BYTES_FIRST === 0 || bytes === segmentBytesMax;

export interface StockOptions {
  readonly files: WalFiles;
  readonly dir: string;
  readonly identity: Identity;
  readonly segmentBytesMax: number;
}

interface PoolFile {
  readonly path: string;
  readonly bytes: number;
  /** How far it may hold other bytes than zeros. */
  readonly usedBytes: number;
}

export class SegmentStock {
  readonly #files: WalFiles;
  readonly #dir: string;
  readonly #identity: Identity;
  readonly #bytesMax: number;
  readonly #zeros: Uint8Array;
  readonly #pool: PoolFile[] = [];
  #poolNumber = 0;
  #segmentNumber = 0;
  #dataBytes: number;
  #sideBytes = SIDE_BYTES_FIRST;
  #next: OpenSegment | undefined;
  #preparing: Promise<void> | undefined;

  constructor(options: StockOptions) {
    this.#files = options.files;
    this.#dir = options.dir;
    this.#identity = options.identity;
    this.#bytesMax = options.segmentBytesMax;
    this.#dataBytes = Math.min(DATA_BYTES_FIRST, this.#bytesMax);
    this.#zeros = new Uint8Array(Math.min(FILL_CHUNK_BYTES, this.#bytesMax));
  }

  /** The prepared segment; undefined when there is none yet. */
  take(): OpenSegment | undefined {
    const next = this.#next;
    this.#next = undefined;
    return next;
  }

  /** Resolves when a segment is ready. Rejects with the error of the disk. */
  prepare(): Promise<void> {
    if (this.#next !== undefined) return Promise.resolve();
    this.#preparing ??= this.#create().finally(() => {
      this.#preparing = undefined;
    });
    return this.#preparing;
  }

  /** As prepare(), with files made now. */
  async renew(): Promise<void> {
    await this.#preparing?.catch(() => undefined);
    const old = this.take();
    if (old !== undefined) {
      await old.abandon();
      await this.discard(old.parts);
    }
    await this.prepare();
  }

  /** How large segments are at present: the next ones are preallocated for that. */
  learn(bytes: number, sideBytes: number): void {
    const fits = (used: number, least: number, most: number): number =>
      Math.min(most, Math.max(least, Math.ceil((used * 1.25) / least) * least));
    this.#dataBytes = fits(bytes, Math.min(DATA_BYTES_FIRST, this.#bytesMax), this.#bytesMax);
    this.#sideBytes = fits(sideBytes, SIDE_BYTES_FIRST, SIDE_BYTES_MAX);
  }

  /** Takes a data file out of the log: into the pool, or deletes it. */
  async recycle(path: string, bytes: number, usedBytes: number, keep: boolean): Promise<void> {
    const fits = bytes >= this.#dataBytes && isAllocated(bytes, this.#bytesMax);
    if (!keep || this.#pool.length >= POOL_FILES_MAX || !fits) {
      await removeIfThere(this.#files, path);
      return;
    }
    const pooled = join(this.#dir, `pool-${this.#poolNumber++}.spare`);
    await this.#files.rename(path, pooled);
    this.#pool.push({ path: pooled, bytes, usedBytes });
  }

  /** Gives the pool's disk space back. */
  async dropPool(): Promise<void> {
    for (let file = this.#pool.pop(); file !== undefined; file = this.#pool.pop()) {
      await removeIfThere(this.#files, file.path);
    }
  }

  /** Deletes a segment without blocks. The data file first: see the order at creation. */
  async discard(paths: SegmentPaths): Promise<void> {
    await removeIfThere(this.#files, paths.data);
    await this.#files.syncDirectory(this.#dir);
    await removeIfThere(this.#files, paths.side);
  }

  async close(): Promise<void> {
    await this.#preparing?.catch(() => undefined);
    await this.dropPool();
    const next = this.take();
    if (next === undefined) return;
    await next.abandon();
    await this.discard(next.parts);
  }

  /** Names for a part of a closed segment; the caller makes the files. */
  partOf(parent: SegmentId): SegmentPaths & { readonly batch: bigint } {
    return this.#newSegment(parent);
  }

  #newSegment(parent?: SegmentId): SegmentPaths & { readonly batch: bigint } {
    const { node, epoch } = this.#identity;
    const number = this.#segmentNumber++;
    const stem = stemOf({ epoch, number }, parent);
    return {
      stem,
      data: join(this.#dir, `${stem}.native`),
      side: join(this.#dir, sideName(stem, 'idx', undefined)),
      batch: batchOf(node, epoch, number),
    };
  }

  async #create(): Promise<void> {
    const { stem, data, side, batch } = this.#newSegment();
    const opened: WalFile[] = [];
    try {
      const sideFile = await this.#files.create(side);
      opened.push(sideFile);
      const header = encodeHeader(batch);
      await this.#fill(sideFile, this.#sideBytes, header);
      await this.#files.syncDirectory(this.#dir);
      const { dataFile, allocated } = await this.#dataFile(data);
      opened.push(dataFile);
      await this.#files.syncDirectory(this.#dir);
      const seed = recordSeed(header);
      const parts = { stem, data, side, batch, dataFile, sideFile, seed, allocated };
      this.#next = new OpenSegment(parts);
    } catch (error) {
      await Promise.allSettled(opened.map((file) => file.close()));
      await this.discard({ stem, data, side }).catch(() => undefined);
      throw error;
    }
  }

  async #dataFile(path: string): Promise<{ dataFile: WalFile; allocated: number }> {
    const pooled = this.#pool.pop();
    if (pooled !== undefined) await this.#files.rename(pooled.path, path);
    const dataFile = await (pooled === undefined
      ? this.#files.create(path)
      : this.#files.open(path));
    try {
      if (pooled === undefined) await this.#fill(dataFile, this.#dataBytes, undefined);
      else if (pooled.usedBytes <= FILL_BYTES_MAX) await this.#blank(dataFile, pooled.usedBytes);
    } catch (error) {
      await dataFile.close();
      throw error;
    }
    return { dataFile, allocated: pooled?.bytes ?? this.#dataBytes };
  }

  /** No sync: what is behind the last block is read by nobody. It shows a person what is in use. */
  async #blank(file: WalFile, bytes: number): Promise<void> {
    for (let at = 0; at < bytes; at += this.#zeros.byteLength) {
      const length = Math.min(this.#zeros.byteLength, bytes - at);
      await writeAll(file, [this.#zeros.subarray(0, length)], at, length);
    }
  }

  /** Writes zeros: syncs into blocks that were written before need no journal commit. */
  async #fill(file: WalFile, bytes: number, head: Uint8Array | undefined): Promise<void> {
    const filled = Math.min(bytes, FILL_BYTES_MAX);
    if (bytes > filled) await file.truncate(bytes);
    for (let at = 0; at < filled; at += this.#zeros.byteLength) {
      const length = Math.min(this.#zeros.byteLength, filled - at);
      await writeAll(file, [this.#zeros.subarray(0, length)], at, length);
      if (at === 0 && head !== undefined) await writeAll(file, [head], 0, head.byteLength);
      await file.datasync();
    }
  }
}
