/**
 * The side file: which bytes of the data file are blocks. Only what it says, and what its checksums
 * confirm, is ever read from a data file.
 *
 *   file   = header record* rest           all integers little endian
 *   header = "SJWL" version:u16 0:u16 batch:u64 crc:u32 0:u32           24 bytes
 *            crc = crc32(the 16 bytes before)
 *   record = "SJBL" size:u32 crc:u32 days:u32 offset:u64 length:u32 rows:u32
 *            blockCrc:u32 noteSize:u32 time:u64 (day:i32 rows:u32){days} note 0-padding
 *            size = the whole record, a multiple of 8
 *            crc = crc32(the record without this field), started from the header's crc, so that a
 *            record counts only in the file of its batch
 *            time = epoch milliseconds, day = days since 1970-01-01
 *   rest   = zeros (the file is preallocated) or nothing
 */
import { crc32 } from 'node:zlib';
import { invariant } from '../base/errors.ts';

const FILE_MAGIC = 0x4c57_4a53;
const RECORD_MAGIC = 0x4c42_4a53;
const VERSION = 1;
export const HEADER_BYTES = 24;
const FIXED_BYTES = 48;
const DAY_BYTES = 8;
const ALIGNMENT = 8;
/** Longer sizes are damage, not records. */
const RECORD_BYTES_MAX = 64 * 1024 * 1024;
/** Longer side files are not read to the end. */
export const SIDE_FILE_BYTES_MAX = 256 * 1024 * 1024;

/** What the log keeps of one appended block. */
export interface BlockRecord {
  /** Where the block begins in the data file. */
  readonly offset: number;
  readonly length: number;
  readonly rows: number;
  readonly days: ReadonlyMap<number, number>;
  readonly blockCrc: number;
  readonly atMs: number;
  readonly note: Uint8Array;
}

export interface SideScan {
  readonly batch: bigint;
  /** Valid records in order; offsets rise. */
  readonly records: readonly BlockRecord[];
  /** Where the last valid record ends in the side file. */
  readonly end: number;
  /** Damaged stretches that valid records follow. */
  readonly gaps: number;
  /** What follows the last valid record: nothing or zeros, a broken record, other bytes. */
  readonly tail: 'clean' | 'record' | 'garbage';
  /** Block length that a broken last record claims; 0 when it makes no sense. */
  readonly tailBytes: number;
}

export function encodeHeader(batch: bigint): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32LE(FILE_MAGIC, 0);
  header.writeUInt16LE(VERSION, 4);
  header.writeBigUInt64LE(batch, 8);
  header.writeUInt32LE(crc32(header.subarray(0, 16)), 16);
  return header;
}

/** The start value of the record checksums of this file. */
export const recordSeed = (header: Buffer): number => header.readUInt32LE(16);

/** Encodes one record at a time into one buffer that it keeps: valid until the next call. */
export class RecordEncoder {
  #buffer = Buffer.alloc(1024);

  encode(record: BlockRecord, seed: number): Buffer {
    const { note } = record;
    const noteAt = FIXED_BYTES + record.days.size * DAY_BYTES;
    const size = Math.ceil((noteAt + note.byteLength) / ALIGNMENT) * ALIGNMENT;
    invariant(size <= RECORD_BYTES_MAX, 'a side record fits its limit');
    if (size > this.#buffer.byteLength) this.#buffer = Buffer.alloc(size * 2);
    const out = this.#buffer.subarray(0, size);
    out.writeUInt32LE(RECORD_MAGIC, 0);
    out.writeUInt32LE(size, 4);
    out.writeUInt32LE(record.days.size, 12);
    writeUint64(out, record.offset, 16);
    out.writeUInt32LE(record.length, 24);
    out.writeUInt32LE(record.rows, 28);
    out.writeUInt32LE(record.blockCrc, 32);
    out.writeUInt32LE(note.byteLength, 36);
    writeUint64(out, record.atMs, 40);
    let at = FIXED_BYTES;
    for (const [day, rows] of record.days) {
      out.writeInt32LE(day, at);
      out.writeUInt32LE(rows, at + 4);
      at += DAY_BYTES;
    }
    out.set(note, noteAt);
    out.fill(0, noteAt + note.byteLength);
    out.writeUInt32LE(checksum(out, seed), 8);
    return out;
  }
}

const checksum = (record: Buffer, seed: number): number =>
  crc32(record.subarray(12), crc32(record.subarray(0, 8), seed));

function writeUint64(out: Buffer, value: number, at: number): void {
  out.writeUInt32LE(value % 2 ** 32, at);
  out.writeUInt32LE(Math.floor(value / 2 ** 32), at + 4);
}

const readUint64 = (from: Buffer, at: number): number =>
  from.readUInt32LE(at) + from.readUInt32LE(at + 4) * 2 ** 32;

/**
 * Reads a side file as far as it can be trusted, past damaged stretches.
 * @param recordsMax records beyond so many do not count
 * @returns undefined when the header is not one: nothing in the file can be trusted then
 */
export function scanSide(
  file: Buffer,
  recordsMax = Number.POSITIVE_INFINITY,
): SideScan | undefined {
  if (file.byteLength < HEADER_BYTES) return undefined;
  const seed = recordSeed(file);
  if (file.readUInt32LE(0) !== FILE_MAGIC || file.readUInt16LE(4) !== VERSION) return undefined;
  if (crc32(file.subarray(0, 16)) !== seed) return undefined;
  const records: BlockRecord[] = [];
  let end = HEADER_BYTES;
  let dataEnd = 0;
  let gaps = 0;
  while (records.length < recordsMax) {
    const start = findRecord(file, end, seed, dataEnd);
    if (start === undefined) break;
    if (start.at !== end) gaps++;
    records.push(start.record);
    dataEnd = start.record.offset + start.record.length;
    end = start.at + start.size;
  }
  const tail =
    records.length < recordsMax
      ? describeTail(file, end, dataEnd)
      : { tail: 'clean' as const, tailBytes: 0 };
  return { batch: file.readBigUInt64LE(8), records, end, gaps, ...tail };
}

interface Found {
  readonly at: number;
  readonly size: number;
  readonly record: BlockRecord;
}

function findRecord(file: Buffer, from: number, seed: number, dataEnd: number): Found | undefined {
  for (let at = from; at + FIXED_BYTES <= file.byteLength; at += ALIGNMENT) {
    if (file.readUInt32LE(at) !== RECORD_MAGIC) continue;
    const found = decodeRecord(file, at, seed);
    if (found !== undefined && found.record.offset >= dataEnd) return found;
  }
  return undefined;
}

function decodeRecord(file: Buffer, at: number, seed: number): Found | undefined {
  const size = file.readUInt32LE(at + 4);
  const sane = size >= FIXED_BYTES && size <= RECORD_BYTES_MAX && size % ALIGNMENT === 0;
  if (!sane || at + size > file.byteLength) return undefined;
  const bytes = file.subarray(at, at + size);
  if (checksum(bytes, seed) !== bytes.readUInt32LE(8)) return undefined;
  const dayCount = bytes.readUInt32LE(12);
  const noteAt = FIXED_BYTES + dayCount * DAY_BYTES;
  const noteSize = bytes.readUInt32LE(36);
  if (noteAt + noteSize > size) return undefined;
  const days = new Map<number, number>();
  for (let day = FIXED_BYTES; day < noteAt; day += DAY_BYTES) {
    days.set(bytes.readInt32LE(day), bytes.readUInt32LE(day + 4));
  }
  const record: BlockRecord = {
    offset: readUint64(bytes, 16),
    length: bytes.readUInt32LE(24),
    rows: bytes.readUInt32LE(28),
    days,
    blockCrc: bytes.readUInt32LE(32),
    atMs: readUint64(bytes, 40),
    note: bytes.subarray(noteAt, noteAt + noteSize),
  };
  return { at, size, record };
}

/** A broken record differs from other bytes in that its magic or its offset is what is expected. */
function describeTail(
  file: Buffer,
  end: number,
  dataEnd: number,
): Pick<SideScan, 'tail' | 'tailBytes'> {
  const rest = file.subarray(end);
  if (rest.every((byte) => byte === 0)) return { tail: 'clean', tailBytes: 0 };
  const magic = rest.byteLength >= 4 && rest.readUInt32LE(0) === RECORD_MAGIC;
  const whole = rest.byteLength >= FIXED_BYTES;
  const follows = whole && readUint64(rest, 16) === dataEnd && dataEnd > 0;
  const begins = rest.byteLength < 4 && rest[0] === (RECORD_MAGIC & 0xff);
  if (!magic && !follows && !begins) return { tail: 'garbage', tailBytes: 0 };
  return { tail: 'record', tailBytes: whole && follows ? rest.readUInt32LE(24) : 0 };
}
