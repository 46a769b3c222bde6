/** Checks and copies blocks of a data file through one window of bounded size. */
import { crc32 } from 'node:zlib';
import { readFully, writeAll, type WalFile } from './files.ts';
import type { BlockRecord } from './side-file.ts';

const WINDOW_BYTES = 4 * 1024 * 1024;

export class BlockReader {
  readonly #window = Buffer.allocUnsafeSlow(WINDOW_BYTES);
  #file: WalFile;
  #start = 0;
  #filled = 0;

  constructor(file: WalFile) {
    this.#file = file;
  }

  /** Turns to another file; the window is kept, its content is not. */
  use(file: WalFile): void {
    this.#file = file;
    this.#start = 0;
    this.#filled = 0;
  }

  /** True when the bytes of the block are those that were appended; false too when unreadable. */
  async holds(block: BlockRecord, fileBytes: number): Promise<boolean> {
    // The end is compared first: a damaged length must not make us read or allocate for it.
    if (block.offset + block.length > fileBytes) return false;
    try {
      return (await this.#checksum(block)) === block.blockCrc;
    } catch {
      // One unreadable sector spoils a window of many blocks: this block alone may be well.
      this.#filled = 0;
      return (await this.#checksum(block, block.length).catch(() => undefined)) === block.blockCrc;
    }
  }

  /** Copies a block. @returns false when its bytes changed since it was checked */
  async copy(block: BlockRecord, to: WalFile, position: number): Promise<boolean> {
    let crc = 0;
    for (let done = 0; done < block.length;) {
      const piece = await this.#piece(block.offset + done, block.length - done, block.length);
      if (piece.byteLength === 0) return false;
      crc = crc32(piece, crc);
      await writeAll(to, [piece], position + done, piece.byteLength);
      done += piece.byteLength;
    }
    return crc === block.blockCrc;
  }

  async #checksum(block: BlockRecord, windowBytes = WINDOW_BYTES): Promise<number | undefined> {
    let crc = 0;
    for (let done = 0; done < block.length;) {
      const piece = await this.#piece(block.offset + done, block.length - done, windowBytes);
      if (piece.byteLength === 0) return undefined;
      crc = crc32(piece, crc);
      done += piece.byteLength;
    }
    return crc;
  }

  /** At least one byte and at most `length` from `at`; empty at the end of the file. */
  async #piece(at: number, length: number, windowBytes: number): Promise<Buffer> {
    if (at < this.#start || at >= this.#start + this.#filled) {
      this.#filled = 0;
      const size = Math.min(WINDOW_BYTES, windowBytes);
      const filled = await readFully(this.#file, this.#window.subarray(0, size), at);
      this.#start = at;
      this.#filled = filled;
    }
    const from = at - this.#start;
    return this.#window.subarray(from, Math.min(this.#filled, from + length));
  }
}

/** One window for all files. */
export class WindowOwner {
  #reader: BlockReader | undefined;

  of(file: WalFile): BlockReader {
    if (this.#reader === undefined) this.#reader = new BlockReader(file);
    else this.#reader.use(file);
    return this.#reader;
  }
}
