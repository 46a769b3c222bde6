/**
 * What is on disk at start. Every block whose record and bytes pass their checksums is delivered;
 * what does not is either the torn tail of the last write of a start (never acknowledged: cut) or
 * damage (set aside into corrupt/, counted, said in the log). Repeating it, after a crash in the
 * middle too, gives the same segments: rows of a batch may be in storage already.
 */
import { join } from 'node:path';
import { WindowOwner } from './block-reader.ts';
import { moveToCorrupt } from './corrupt.ts';
import { isMissing, readSmall } from './files.ts';
import { idText, namesBatch, parseName, type SegmentId, type SegmentName } from './names.ts';
import { keepNotes, recallNotes, type Note } from './notes.ts';
import {
  cutSide,
  describeKept,
  rewrite,
  secureLast,
  type Candidate,
  type RecoverySource,
} from './repair.ts';
import type { KeptSegment } from './segment.ts';
import { isAllocated } from './stock.ts';
import { scanSide, SIDE_FILE_BYTES_MAX, type BlockRecord, type SideScan } from './side-file.ts';

/** Side file of a segment whose rows are in storage: kept for its notes. */
export interface SentFile {
  readonly path: string;
  /** Epoch milliseconds of the last block. */
  readonly lastAppendMs: number;
}

export interface Recovery {
  /** In log order. */
  readonly kept: readonly KeptSegment[];
  readonly notes: readonly Note[];
  /** In log order. */
  readonly sent: readonly SentFile[];
}

/** All files of one segment number. */
interface Group extends SegmentId {
  readonly names: SegmentName[];
}

/**
 * @param aside names in corrupt/
 * @param epoch of this start: the distance from it orders files, also when epochs wrapped
 */
export async function recover(
  source: RecoverySource,
  texts: readonly string[],
  aside: readonly string[],
  epoch: number,
): Promise<Recovery> {
  const names = await withoutLooseParts(source, texts);
  const candidates: Candidate[] = [];
  const sent: (SentFile & SegmentName)[] = [];
  const notes: Note[] = [];
  for (const group of inLogOrder(names, epoch)) {
    const current = await currentFiles(source, group);
    if (current.sent !== undefined) {
      sent.push(...(await readSent(source, current.sent, current.data, notes)));
    } else if (current.side === undefined) {
      if (current.data !== undefined) await withoutSide(source, current.data, aside);
    } else {
      const candidate = await readSide(source, current.side, current.data);
      if (candidate !== undefined) candidates.push(candidate);
    }
  }
  await source.files.syncDirectory(source.dir);
  const kept: KeptSegment[] = [];
  const reader = new WindowOwner();
  const last = lastNumbers([...candidates.map(({ side }) => side), ...sent]);
  for (const candidate of candidates) {
    const { epoch: ofEpoch, number, parent } = candidate.side;
    const isLast = parent === undefined && last.get(ofEpoch) === number;
    const result = await verify(source, candidate, isLast, reader);
    if (result === undefined) continue;
    kept.push(result.kept);
    keepNotes(source, notes, result.records);
  }
  for (const name of aside) await recallNotes(source, name, reader, notes);
  return { kept, notes, sent };
}

/**
 * Deletes the parts of a division that did not come to its end: the divided segment is still there.
 * It may leave the log in any way afterwards, so they must be gone for good before.
 */
async function withoutLooseParts(
  { files, dir }: RecoverySource,
  texts: readonly string[],
): Promise<SegmentName[]> {
  const names = texts.map(parseName).filter((name) => name !== undefined);
  const undivided = new Set(names.filter(({ kind }) => kind === 'idx').map(idText));
  const isLoose = ({ parent }: SegmentName): boolean =>
    parent !== undefined && undivided.has(idText(parent));
  const loose = names.filter(isLoose);
  for (const { name } of loose) await files.remove(join(dir, name));
  if (loose.length > 0) await files.syncDirectory(dir);
  return names.filter((name) => !isLoose(name));
}

/** The last segment of each epoch that was appended to: parts were written in one go. */
export function lastNumbers(sides: readonly SegmentName[]): Map<number, number> {
  const last = new Map<number, number>();
  for (const { epoch, number, parent } of sides) {
    if (parent === undefined) last.set(epoch, Math.max(number, last.get(epoch) ?? 0));
  }
  return last;
}

function inLogOrder(names: readonly SegmentName[], epoch: number): Group[] {
  const groups = new Map<string, Group>();
  for (const name of names) {
    const key = idText(name);
    const group = groups.get(key) ?? { epoch: name.epoch, number: name.number, names: [] };
    group.names.push(name);
    groups.set(key, group);
  }
  const age = (group: Group): number => (epoch - group.epoch + 65_536) % 65_536;
  return [...groups.values()].toSorted((a, b) => age(b) - age(a) || a.number - b.number);
}

interface Current {
  data?: SegmentName | undefined;
  side?: SegmentName | undefined;
  sent?: SegmentName | undefined;
}

/** The latest complete writing of a segment; others are of a rewrite that a crash cut off. */
async function currentFiles(source: RecoverySource, group: Group): Promise<Current> {
  const indexed = group.names.filter((name) => name.kind !== 'native');
  const latest = Math.max(...(indexed.length > 0 ? indexed : group.names).map((n) => n.rewrite));
  const current: Current = {};
  const replaced: string[] = [];
  for (const name of group.names) {
    if (name.rewrite < latest) replaced.push(name.name);
    else if (name.rewrite > latest) await source.files.remove(join(source.dir, name.name));
    else if (name.kind === 'native') current.data = name;
    else if (name.kind === 'idx') current.side = name;
    else current.sent = name;
  }
  if (replaced.length > 0) {
    const text = 'replaced by a writing without its damaged blocks';
    const why = { kind: 'damaged', text } as const;
    await moveToCorrupt(source.files, source.dir, replaced.toSorted(), why);
  }
  return current;
}

async function readSent(
  source: RecoverySource,
  side: SegmentName,
  data: SegmentName | undefined,
  notes: Note[],
): Promise<(SentFile & SegmentName)[]> {
  const { files, dir } = source;
  if (data !== undefined) {
    await files.remove(join(dir, data.name));
    // The side file may go next; a data file that came back alone would be called damage.
    await files.syncDirectory(dir);
  }
  const path = join(dir, side.name);
  const scan = scanSide(await readSmall(files, path, SIDE_FILE_BYTES_MAX), side.recordsMax);
  const lastAppendMs = scan?.records.at(-1)?.atMs ?? 0;
  if (lastAppendMs < source.notesSinceMs) {
    await files.remove(path);
    return [];
  }
  keepNotes(source, notes, scan?.records ?? []);
  return [{ ...side, path, lastAppendMs }];
}

async function readSide(
  source: RecoverySource,
  side: SegmentName,
  data: SegmentName | undefined,
): Promise<Candidate | undefined> {
  const { files, dir, logger } = source;
  const bytes = await readSmall(files, join(dir, side.name), SIDE_FILE_BYTES_MAX).catch(
    (error: unknown) => {
      logger.error({ file: side.name, err: error }, 'A side file of the log cannot be read');
      return Buffer.alloc(0);
    },
  );
  const read = scanSide(bytes, side.recordsMax);
  const scan = read !== undefined && namesBatch(side, read.batch) ? read : undefined;
  // Without its data file and without a record it was half deleted, whatever follows its header.
  const isEmpty = scan?.tail === 'clean' || (scan?.tail === 'garbage' && data === undefined);
  if (isEmpty && scan?.records.length === 0) {
    await discardEmpty(source, side, data);
    return undefined;
  }
  if (data === undefined) {
    if (scan === undefined) await files.remove(join(dir, side.name));
    else await missingData(source, side, scan);
    return undefined;
  }
  if (scan === undefined) {
    await orphan(source, data.name, [side.name]);
    return undefined;
  }
  return { scan, side, data };
}

/** A prepared segment that never got a block. The data file goes first: see stock.ts. */
async function discardEmpty(
  { files, dir }: RecoverySource,
  side: SegmentName,
  data: SegmentName | undefined,
): Promise<void> {
  if (data !== undefined) {
    await files.remove(join(dir, data.name));
    await files.syncDirectory(dir);
  }
  await files.remove(join(dir, side.name));
}

async function missingData(
  source: RecoverySource,
  side: SegmentName,
  scan: SideScan,
): Promise<void> {
  const bytes = scan.records.reduce((sum, record) => sum + record.length, 0);
  source.metrics.walCorruptBytes.inc({ kind: 'corrupt' }, bytes);
  source.logger.error(
    { file: side.name, bytes, blocks: scan.records.length },
    'The data file of a log segment is missing: its spans are lost, the side file is in corrupt/',
  );
  const why = { kind: 'damaged', text: 'the data file is missing' } as const;
  await moveToCorrupt(source.files, source.dir, [side.name], why);
}

/** Of a segment that was being set aside, or put back, when the process ended: or damage. */
async function withoutSide(
  source: RecoverySource,
  { name }: SegmentName,
  aside: readonly string[],
): Promise<void> {
  const stem = name.slice(0, name.indexOf('.'));
  if (!aside.some((other) => other.startsWith(`${stem}.idx`))) return orphan(source, name, []);
  source.logger.warn({ file: name }, 'A log segment was half in corrupt/: now it is as a whole');
  // Whatever reason is there stays: it is not known here whether storage refused it.
  return moveToCorrupt(source.files, source.dir, [name], undefined);
}

/** A data file that nothing vouches for is never inserted. */
async function orphan(
  source: RecoverySource,
  data: string,
  sides: readonly string[],
): Promise<void> {
  const { files, dir, metrics, logger } = source;
  const file = await files.open(join(dir, data));
  const bytes = await file.size();
  await file.close();
  if (bytes === 0) {
    await files.remove(join(dir, data));
    return;
  }
  metrics.walCorruptBytes.inc({ kind: 'corrupt' }, bytes);
  logger.error(
    { file: data, bytes },
    'The side file of a log segment is missing or unreadable: its data file is in corrupt/',
  );
  const why = { kind: 'damaged', text: 'the side file is missing or unreadable' } as const;
  await moveToCorrupt(files, dir, [...sides, data], why);
}

interface Verified {
  readonly kept: KeptSegment;
  readonly records: readonly BlockRecord[];
}

async function verify(
  source: RecoverySource,
  candidate: Candidate,
  isLast: boolean,
  windows: WindowOwner,
): Promise<Verified | undefined> {
  const { scan } = candidate;
  const file = await source.files.open(join(source.dir, candidate.data.name));
  try {
    const reader = windows.of(file);
    const size = await file.size();
    const good: BlockRecord[] = [];
    for (const record of scan.records) {
      if (await reader.holds(record, size)) good.push(record);
    }
    sayTruncated(source, candidate, size);
    sayLonger(source, candidate, size);
    const { torn, damaged } = judge(candidate, good, isLast);
    if (damaged) {
      return await rewrite(source, candidate, { scan, good, torn, size }, reader);
    }
    if (torn) await cutSide(source, candidate, { scan, good, torn, size });
    // A kill may have left a block that is only in the page cache: from here on it is promised.
    else if (isLast) await secureLast(source, candidate, file, reader);
    if (scan.tail === 'garbage') sayGarbage(source, candidate);
    if (good.length === 0) {
      await discardEmpty(source, candidate.side, candidate.data);
      return undefined;
    }
    return { kept: describeKept(source, candidate, scan.batch, good, size), records: good };
  } catch (error) {
    if (isMissing(error))
      throw new Error('a log file vanished while it was read', { cause: error });
    throw error;
  } finally {
    await file.close();
  }
}

/** Appends are serial: only the very last record of a start may be of a block not acknowledged. */
export function judge(
  { scan, side }: { readonly scan: SideScan; readonly side: SegmentName },
  good: readonly BlockRecord[],
  isLast: boolean,
): { torn: boolean; damaged: boolean } {
  const bad = scan.records.length - good.length;
  const lastIsBad = good.at(-1) !== scan.records.at(-1);
  const brokenTail = scan.tail === 'record';
  const mayBeTorn = isLast && side.recordsMax === undefined && side.rewrite === 0;
  const torn = mayBeTorn && (brokenTail || lastIsBad);
  const tornRecords = torn && !brokenTail ? 1 : 0;
  const holes = bad - tornRecords + scan.gaps + (brokenTail && !torn ? 1 : 0);
  const cutShort = side.recordsMax !== undefined && scan.records.length < side.recordsMax;
  return { torn, damaged: holes > 0 || cutShort };
}

function sayTruncated(source: RecoverySource, { data, scan }: Candidate, size: number): void {
  const last = scan.records.at(-1);
  if (last === undefined || last.offset + last.length <= size) return;
  source.logger.warn(
    { file: data.name, bytes: size, expected: last.offset + last.length },
    'A data file of the log is truncated: its whole blocks are kept',
  );
}

/** A data file ends behind its blocks, or where it was allocated. */
function sayLonger(source: RecoverySource, { data, side, scan }: Candidate, size: number): void {
  const last = scan.records.at(-1);
  const end = last === undefined ? 0 : last.offset + last.length;
  // Behind the blocks of a write that failed there may be a part of it.
  if (size <= end || side.recordsMax !== undefined || scan.tail === 'record') return;
  if (isAllocated(size, source.segmentBytesMax)) return;
  source.logger.warn(
    { file: data.name, bytes: size, expected: end },
    'Bytes behind the last block of a log file are of no write that was acknowledged: discarded',
  );
}

function sayGarbage(source: RecoverySource, { side, scan }: Candidate): void {
  source.logger.warn(
    { file: side.name, offset: scan.end },
    'Bytes behind the last record of a side file are no record: ignored',
  );
}
