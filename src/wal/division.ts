/**
 * Puts smaller segments in the place of a closed one: the same rows but for those that the caller
 * leaves out, under batch ids of their own. The parts are written and synced under names that do
 * not count while the divided segment has its `.idx` (names.ts), so the rename that takes it away
 * is the one moment from which all of them count. A crash on either side leaves one or the other.
 */
import { basename, dirname, join } from 'node:path';
import { crc32 } from 'node:zlib';
import { invariant } from '../base/errors.ts';
import { readFully, readSmall, writeAll, type WalFile, type WalFiles } from './files.ts';
import { idOfBatch } from './names.ts';
import { addDays, type KeptSegment, type SegmentPaths } from './segment.ts';
import { createAnew, writeSideFile } from './segment-writer.ts';
import { scanSide, SIDE_FILE_BYTES_MAX, type BlockRecord } from './side-file.ts';
import type { SegmentStock } from './stock.ts';

const NO_NOTE = new Uint8Array();

/** What a part takes of one block. */
export interface BlockPiece {
  /** Which part, from 0. */
  readonly part: number;
  readonly rows: number;
  readonly days: ReadonlyMap<number, number>;
  /** Valid until the next piece is asked for. */
  readonly bytes: Uint8Array;
}

/** How a segment is divided. */
export interface Division {
  /** How many parts there are at most; one without rows is not made. */
  readonly parts: number;
  /** Rows that all parts must have together. */
  readonly rows: number;
  /**
   * The pieces of a block, marked with the batch ids of their parts.
   * @param block in log order, each once
   * @throws what divide() throws then: the segment stays as it is
   */
  cut(block: Buffer, batches: readonly bigint[]): Iterable<BlockPiece>;
}

/** Rows of the blocks of the segment, in log order -> its division. */
export type Divide = (blockRows: readonly number[]) => Division;

interface Part extends SegmentPaths {
  readonly batch: bigint;
  readonly records: BlockRecord[];
  bytes: number;
  file: WalFile | undefined;
}

/** Writes the parts; they do not count yet. What a failure leaves is dropParts' to delete. */
export async function writeParts(
  files: WalFiles,
  stock: SegmentStock,
  kept: KeptSegment,
  divide: Divide,
  onPart: (paths: SegmentPaths) => void,
): Promise<KeptSegment[]> {
  const { segment, paths } = kept;
  const scan = scanSide(await readSmall(files, paths.side, SIDE_FILE_BYTES_MAX), kept.recordsMax);
  const records = scan?.records ?? [];
  const rows = records.reduce((sum, record) => sum + record.rows, 0);
  invariant(rows === segment.rows, 'a side file has the rows of its segment');
  const division = divide(records.map((record) => record.rows));
  const parent = idOfBatch(segment.batch);
  const parts = Array.from({ length: division.parts }, (): Part => {
    const part = { ...stock.partOf(parent), records: [], bytes: 0, file: undefined };
    onPart(part);
    return part;
  });
  const data = await files.open(paths.data);
  try {
    for (const record of records) await cutBlock(files, data, record, division, parts);
    for (const { file } of parts) await file?.datasync();
  } finally {
    const opened = [data, ...parts.map(({ file }) => file)].filter((file) => file !== undefined);
    await Promise.allSettled(opened.map((file) => file.close()));
  }
  const filled = parts.filter((part) => part.bytes > 0);
  for (const { side, batch, records: own } of filled) await writeSideFile(files, side, batch, own);
  const made = filled.map((part) => describe(kept, part));
  const divided = made.reduce((sum, { segment: { rows: own } }) => sum + own, 0);
  invariant(divided === division.rows, 'the parts have the rows that they should have');
  await files.syncDirectory(dirname(paths.side));
  return made;
}

async function cutBlock(
  files: WalFiles,
  data: WalFile,
  record: BlockRecord,
  division: Division,
  parts: readonly Part[],
): Promise<void> {
  const block = Buffer.allocUnsafe(record.length);
  const read = await readFully(data, block, record.offset);
  if (read < block.byteLength || crc32(block) !== record.blockCrc) {
    throw Object.assign(new Error('A block of the log changed on disk'), { code: 'EIO' });
  }
  const batches = parts.map(({ batch }) => batch);
  for (const { part: index, rows, days, bytes } of division.cut(block, batches)) {
    const part = parts[index];
    invariant(part !== undefined && bytes.byteLength > 0, 'a piece belongs to a part');
    part.file ??= await createAnew(files, part.data);
    const length = bytes.byteLength;
    await writeAll(part.file, [bytes], part.bytes, length);
    // The notes stay with the side file of the divided segment.
    const { atMs } = record;
    const blockCrc = crc32(bytes);
    part.records.push({ offset: part.bytes, length, rows, days, blockCrc, atMs, note: NO_NOTE });
    part.bytes += length;
  }
}

function describe({ segment: whole }: KeptSegment, part: Part): KeptSegment {
  const { batch, stem, data, side, bytes, records } = part;
  const days = new Map<number, number>();
  let rows = 0;
  for (const record of records) {
    addDays(days, record.days);
    rows += record.rows;
  }
  const { recovered } = whole;
  const firstAppendMs = records[0]?.atMs ?? 0;
  return {
    segment: { batch, path: data, bytes, rows, days, recovered, firstAppendMs },
    paths: { stem, data, side },
    recordsMax: undefined,
    allocated: bytes,
    lastAppendMs: records.at(-1)?.atMs ?? 0,
  };
}

/** Deletes parts that do not count; durable when resolved. */
export async function dropParts(
  files: WalFiles,
  dir: string,
  parts: readonly SegmentPaths[],
): Promise<void> {
  const there = new Set(await files.list(dir));
  for (const path of parts.flatMap(({ side, data }) => [side, data])) {
    if (there.has(basename(path))) await files.remove(join(dir, basename(path)));
  }
  await files.syncDirectory(dir);
}
