/**
 * The file system as the log sees it: few operations, each with its durability spelled out.
 * Tests put a simulated disk behind the same interface. Callback fs calls, not FileHandle: they
 * cost about half the CPU per operation, and an append makes four of them.
 */
import * as fs from 'node:fs';
import { mkdir, readdir, rename, statfs, unlink } from 'node:fs/promises';
import { CodedError } from '../base/errors.ts';
import { lockDirectory } from './lock.ts';

export interface WalFile {
  /** Writes at `position`; resolves to the bytes written, which may be fewer than given. */
  write(chunks: readonly Uint8Array[], position: number): Promise<number>;
  /** Fills `into` from `position`; resolves to the bytes read, 0 at the end of the file. */
  read(into: Uint8Array, position: number): Promise<number>;
  truncate(size: number): Promise<void>;
  /** When resolved, all bytes written before and the size survive a power cut. */
  datasync(): Promise<void>;
  size(): Promise<number>;
  close(): Promise<void>;
}

export interface WalFiles {
  /** Creates the folder and its parents; no error when it exists. */
  makeDirectory(path: string): Promise<void>;
  /** Names (not paths) of the entries. */
  list(directory: string): Promise<string[]>;
  /** A new empty file for reading and writing; rejects with EEXIST. */
  create(path: string): Promise<WalFile>;
  /** An existing file for reading and writing; rejects with ENOENT. */
  open(path: string): Promise<WalFile>;
  rename(from: string, to: string): Promise<void>;
  remove(path: string): Promise<void>;
  /** When resolved, creations, renames and removals in this folder survive a power cut. */
  syncDirectory(path: string): Promise<void>;
  /** Bytes that this process may still use on the disk of the folder. */
  freeBytes(directory: string): Promise<number>;
  /** Exclusive among processes; resolves to the release. @throws SCRUBJAY_ERR_START */
  lock(directory: string): Promise<() => Promise<void>>;
}

type Done<T> = (error: Error | null, value: T) => void;

function call<T>(start: (done: Done<T>) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    start((error, value) => {
      if (error === null) resolve(value);
      else reject(error);
    });
  });
}

class DiskFile implements WalFile {
  readonly #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
  }

  write(chunks: readonly Uint8Array[], position: number): Promise<number> {
    return call((done) => {
      fs.writev(this.#fd, chunks, position, done);
    });
  }

  read(into: Uint8Array, position: number): Promise<number> {
    return call((done) => {
      fs.read(this.#fd, into, 0, into.byteLength, position, done);
    });
  }

  truncate(size: number): Promise<void> {
    return call((done: Done<void>) => {
      fs.ftruncate(this.#fd, size, done);
    });
  }

  datasync(): Promise<void> {
    return call((done: Done<void>) => {
      fs.fdatasync(this.#fd, done);
    });
  }

  async size(): Promise<number> {
    const stats = await call<fs.Stats>((done) => {
      fs.fstat(this.#fd, done);
    });
    return stats.size;
  }

  close(): Promise<void> {
    return call((done: Done<void>) => {
      fs.close(this.#fd, done);
    });
  }
}

const openFile = async (path: string, flags: string): Promise<WalFile> =>
  new DiskFile(
    await call<number>((done) => {
      fs.open(path, flags, 0o640, done);
    }),
  );

async function syncDirectory(path: string): Promise<void> {
  const fd = await call<number>((done) => {
    fs.open(path, 'r', done);
  });
  try {
    await call((done: Done<void>) => {
      fs.fsync(fd, done);
    });
  } finally {
    await call((done: Done<void>) => {
      fs.close(fd, done);
    });
  }
}

/** For looking only: nothing can be written through it, and nothing is locked. */
export const readOnlyFiles: Pick<WalFiles, 'list' | 'open'> = {
  list: (directory) => readdir(directory),
  open: (path) => openFile(path, 'r'),
};

export const diskFiles: WalFiles = {
  makeDirectory: async (path) => {
    await mkdir(path, { recursive: true, mode: 0o750 });
  },
  list: (directory) => readdir(directory),
  create: (path) => openFile(path, 'wx+'),
  open: (path) => openFile(path, 'r+'),
  rename,
  remove: unlink,
  syncDirectory,
  freeBytes: async (directory) => {
    const { bavail, bsize } = await statfs(directory);
    return bavail * bsize;
  },
  lock: lockDirectory,
};

/** Writes all chunks at `position`, however short the single writes are. */
export async function writeAll(
  file: WalFile,
  chunks: readonly Uint8Array[],
  position: number,
  length: number,
): Promise<void> {
  let written = await file.write(chunks, position);
  while (written < length) {
    const rest = after(chunks, written);
    const more = await file.write(rest, position + written);
    if (more === 0) throw Object.assign(new Error('The disk takes no bytes'), { code: 'EIO' });
    written += more;
  }
}

/** Makes a small file; its folder must be synced by the caller. */
export async function writeSmall(files: WalFiles, path: string, text: string): Promise<void> {
  const file = await files.create(path);
  try {
    const bytes = Buffer.from(text);
    await writeAll(file, [bytes], 0, bytes.byteLength);
    await file.datasync();
  } finally {
    await file.close();
  }
}

function after(chunks: readonly Uint8Array[], skipped: number): Uint8Array[] {
  const rest: Uint8Array[] = [];
  let skip = skipped;
  for (const chunk of chunks) {
    if (skip < chunk.byteLength) rest.push(skip === 0 ? chunk : chunk.subarray(skip));
    skip = Math.max(0, skip - chunk.byteLength);
  }
  return rest;
}

/** Bytes read into `into`: fewer than asked only at the end of the file. */
export async function readFully(
  file: WalFile,
  into: Uint8Array,
  position: number,
): Promise<number> {
  let filled = 0;
  while (filled < into.byteLength) {
    const read = await file.read(into.subarray(filled), position + filled);
    if (read === 0) break;
    filled += read;
  }
  return filled;
}

/** The whole of a small file; at most `bytesMax` of it. */
export async function readSmall(
  files: Pick<WalFiles, 'open'>,
  path: string,
  bytesMax: number,
): Promise<Buffer> {
  const file = await files.open(path);
  try {
    const buffer = Buffer.allocUnsafe(Math.min(await file.size(), bytesMax));
    return buffer.subarray(0, await readFully(file, buffer, 0));
  } finally {
    await file.close();
  }
}

/** The code of an operating system error (`EIO`), for messages that must not hold a path. */
export function errorCode(error: unknown): string {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') {
    return error.code;
  }
  return error instanceof Error ? error.name : 'unknown';
}

export const isMissing = (error: unknown): boolean => errorCode(error) === 'ENOENT';
export const isNoSpace = (error: unknown): boolean =>
  ['ENOSPC', 'EDQUOT'].includes(errorCode(error));

/** The error of the disk as the error that leaves the log. */
export const failure = (error: unknown): CodedError =>
  new CodedError('SCRUBJAY_ERR_WAL_FAILED', { cause: errorCode(error) }, { cause: error });

/** Errors of the disk as errors that leave the log; others pass. */
export async function coded<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof Error && 'code' in error && !(error instanceof CodedError)) {
      throw failure(error);
    }
    throw error;
  }
}

/** Removes the file if it is there. */
export async function removeIfThere(files: WalFiles, path: string): Promise<void> {
  try {
    await files.remove(path);
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
}
