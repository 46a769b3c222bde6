/** What recovery changes on disk. After each step a second recovery gives the same segments. */
import { join } from 'node:path';
import type { Logger } from '../telemetry/logger.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { BlockReader } from './block-reader.ts';
import { moveToCorrupt } from './corrupt.ts';
import { writeAll, type WalFile, type WalFiles } from './files.ts';
import { sideName, stemOf, type SegmentName } from './names.ts';
import { addDays, type KeptSegment } from './segment.ts';
import { createAnew, writeSideFile } from './segment-writer.ts';
import {
  encodeHeader,
  HEADER_BYTES,
  RecordEncoder,
  recordSeed,
  type BlockRecord,
  type SideScan,
} from './side-file.ts';

export class RecoverySource {
  readonly files: WalFiles;
  readonly dir: string;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Epoch milliseconds: notes of earlier blocks are of no use. */
  readonly notesSinceMs: number;
  readonly segmentBytesMax: number;

  constructor(
    files: WalFiles,
    dir: string,
    logger: Logger,
    metrics: Metrics,
    limits: Pick<RecoverySource, 'notesSinceMs' | 'segmentBytesMax'>,
  ) {
    this.files = files;
    this.dir = dir;
    this.logger = logger;
    this.metrics = metrics;
    this.notesSinceMs = limits.notesSinceMs;
    this.segmentBytesMax = limits.segmentBytesMax;
  }

  async withFile(name: string, use: (file: WalFile) => Promise<void>): Promise<void> {
    const file = await this.files.open(join(this.dir, name));
    try {
      await use(file);
    } finally {
      await file.close();
    }
  }
}

/** A segment that has both of its files. */
export interface Found {
  readonly side: SegmentName;
  readonly data: SegmentName;
}

export interface Candidate extends Found {
  readonly scan: SideScan;
}

export interface Findings {
  readonly scan: SideScan;
  readonly good: readonly BlockRecord[];
  /** The last record is of a write that was cut off. */
  readonly torn: boolean;
  /** Bytes of the data file. */
  readonly size: number;
}

export function describeKept(
  source: RecoverySource,
  found: Found,
  batch: bigint,
  blocks: readonly BlockRecord[],
  allocated: number,
): KeptSegment {
  const data = join(source.dir, found.data.name);
  const days = new Map<number, number>();
  let bytes = 0;
  let rows = 0;
  for (const block of blocks) {
    addDays(days, block.days);
    bytes += block.length;
    rows += block.rows;
  }
  const firstAppendMs = blocks[0]?.atMs ?? 0;
  return {
    segment: { batch, path: data, bytes, rows, days, recovered: true, firstAppendMs },
    paths: {
      stem: stemOf(found.data, found.data.parent, found.data.rewrite),
      data,
      side: join(source.dir, found.side.name),
    },
    recordsMax: found.side.recordsMax,
    allocated,
    lastAppendMs: blocks.at(-1)?.atMs ?? 0,
  };
}

/**
 * Makes the last block durable; those before it are. It is written once more, because an earlier
 * start may have failed to sync it: the kernel then answers the next sync with success all the
 * same, unless the pages are dirty again.
 */
export async function secureLast(
  source: RecoverySource,
  { side, scan }: Candidate,
  data: WalFile,
  reader: BlockReader,
): Promise<void> {
  const last = scan.records.at(-1);
  if (last === undefined) return;
  const record = new RecordEncoder().encode(last, recordSeed(encodeHeader(scan.batch)));
  await source.withFile(side.name, async (sideFile) => {
    await reader.copy(last, data, last.offset);
    await writeAll(sideFile, [record], scan.end - record.byteLength, record.byteLength);
    await data.datasync();
    await sideFile.datasync();
  });
}

/** Cuts a torn tail off for good. */
export async function cutSide(
  source: RecoverySource,
  found: Found,
  findings: Findings,
): Promise<void> {
  const { good, scan } = findings;
  const bytes = sayTorn(source, found, findings);
  const encoder = new RecordEncoder();
  const seed = recordSeed(encodeHeader(scan.batch));
  const end = good.reduce((at, block) => at + encoder.encode(block, seed).byteLength, HEADER_BYTES);
  await source.withFile(found.side.name, async (side) => {
    await side.truncate(end);
    await side.datasync();
  });
  await source.withFile(found.data.name, (data) => data.datasync());
  source.metrics.walCorruptBytes.inc({ kind: 'torn' }, bytes);
}

function sayTorn(source: RecoverySource, found: Found, findings: Findings): number {
  const { scan, good } = findings;
  const last = scan.records.at(-1);
  const lastIsBad = last !== undefined && last !== good.at(-1);
  const bytes = Math.max(1, scan.tail === 'record' ? scan.tailBytes : lastIsBad ? last.length : 0);
  source.logger.warn(
    { file: found.data.name, blocks: good.length, bytes },
    'The last write before the crash is torn and was never acknowledged: discarded',
  );
  return bytes;
}

/**
 * Writes the good blocks into a new pair of files of the same batch and sets the old pair aside.
 * The rename of the new side file is the moment from which the new pair counts.
 */
export async function rewrite(
  source: RecoverySource,
  found: Found,
  findings: Findings,
  reader: BlockReader,
): Promise<{ kept: KeptSegment; records: readonly BlockRecord[] } | undefined> {
  const { files, dir } = source;
  const { scan, good, torn } = findings;
  if (torn) source.metrics.walCorruptBytes.inc({ kind: 'torn' }, sayTorn(source, found, findings));
  sayDamaged(source, found, findings);
  let result: { kept: KeptSegment; records: readonly BlockRecord[] } | undefined;
  if (good.length > 0) {
    const writing = found.side.rewrite + 1;
    const stem = stemOf(found.side, found.side.parent, writing);
    const data = { ...found.data, name: `${stem}.native`, rewrite: writing };
    const side = { ...found.side, name: sideName(stem, 'idx', undefined), recordsMax: undefined };
    const records = await writeData(source, data.name, good, reader);
    await writeSideFile(files, join(dir, `${side.name}.tmp`), scan.batch, records);
    await files.syncDirectory(dir);
    await files.rename(join(dir, `${side.name}.tmp`), join(dir, side.name));
    await files.syncDirectory(dir);
    const bytes = records.reduce((sum, record) => sum + record.length, 0);
    result = { kept: describeKept(source, { side, data }, scan.batch, records, bytes), records };
  }
  const text = `${scan.records.length - good.length} of ${scan.records.length} blocks are damaged`;
  const why = { kind: 'damaged', text } as const;
  await moveToCorrupt(files, dir, [found.side.name, found.data.name], why);
  return result;
}

function sayDamaged(source: RecoverySource, found: Found, findings: Findings): void {
  const { scan, good, torn, size } = findings;
  const kept = new Set(good);
  const bad = scan.records.filter((record, index) => {
    const isTorn = torn && scan.tail !== 'record' && index === scan.records.length - 1;
    return !kept.has(record) && !isTorn;
  });
  let bytes = bad.reduce((sum, record) => sum + record.length, 0);
  let end = 0;
  // Blocks whose records are unreadable: the bytes between their neighbours.
  for (const record of scan.records) {
    bytes += record.offset - end;
    end = record.offset + record.length;
  }
  if (scan.tail === 'record' && !torn) bytes += scan.tailBytes || Math.max(0, size - end);
  source.metrics.walCorruptBytes.inc({ kind: 'corrupt' }, bytes);
  source.logger.error(
    {
      file: found.data.name,
      bytes,
      blocks: bad.map(({ offset, length, rows }) => ({ offset, length, rows })),
      kept: good.length,
    },
    'Blocks of a log segment are corrupt: the old files are in corrupt/, the good blocks go on',
  );
}

/** @returns the records at their new places */
async function writeData(
  source: RecoverySource,
  name: string,
  blocks: readonly BlockRecord[],
  reader: BlockReader,
): Promise<BlockRecord[]> {
  const records: BlockRecord[] = [];
  const file = await createAnew(source.files, join(source.dir, name));
  try {
    let offset = 0;
    for (const block of blocks) {
      // A disk that reads differently each time: the block is left to the files in corrupt/.
      if (!(await reader.copy(block, file, offset))) continue;
      records.push({ ...block, offset });
      offset += block.length;
    }
    await file.datasync();
  } finally {
    await file.close();
  }
  return records;
}
