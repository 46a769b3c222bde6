/** `wal verify`: is every block of the log still what was appended? */
import { join } from 'node:path';
import { BlockReader } from '../block-reader.ts';
import { isMissing } from '../files.ts';
import type { SegmentName } from '../names.ts';
import { judge, lastNumbers } from '../recovery.ts';
import type { BlockRecord, SideScan } from '../side-file.ts';
import { isOpen, listSegments, readSideFile, type LogFolder, type ReadSide } from './listing.ts';

export interface Verification {
  readonly dir: string;
  readonly owner: number | null;
  readonly segments: number;
  readonly blocks: number;
  readonly bytes: number;
  /** What is wrong. */
  readonly problems: readonly Finding[];
  /** What looks wrong and is not. */
  readonly remarks: readonly Finding[];
}

export interface Finding {
  readonly file: string;
  readonly text: string;
}

interface Sums {
  segments: number;
  blocks: number;
  bytes: number;
  readonly problems: Finding[];
  readonly remarks: Finding[];
}

interface Candidate {
  readonly side: SegmentName;
  readonly data: SegmentName;
  readonly read: ReadSide;
  readonly scan: SideScan;
}

export async function verify(folder: LogFolder): Promise<Verification> {
  const sums: Sums = { segments: 0, blocks: 0, bytes: 0, problems: [], remarks: [] };
  const candidates: Candidate[] = [];
  const sides: SegmentName[] = [];
  for (const { side, data, isSent } of await listSegments(folder)) {
    if (side === undefined) {
      if (data !== undefined) await reportOrphan(folder, data, sums);
      continue;
    }
    const candidate = isSent ? undefined : await readCandidate(folder, side, data, sums);
    if (isSent || candidate !== undefined) sides.push(side);
    if (candidate !== undefined) candidates.push(candidate);
  }
  const last = lastNumbers(sides);
  for (const candidate of candidates) {
    const { side } = candidate;
    const isLast = side.parent === undefined && last.get(side.epoch) === side.number;
    await verifySegment(folder, candidate, isLast, sums);
  }
  return { dir: folder.dir, owner: folder.owner ?? null, ...sums };
}

async function reportOrphan(folder: LogFolder, data: SegmentName, sums: Sums): Promise<void> {
  if (!(await isThere(folder, data))) return;
  const text = 'its side file is missing: none of its spans can be delivered';
  sums.problems.push({ file: data.name, text });
}

/** @returns undefined when there are no blocks to be looked at */
async function readCandidate(
  folder: LogFolder,
  side: SegmentName,
  data: SegmentName | undefined,
  sums: Sums,
): Promise<Candidate | undefined> {
  const read = await readSideFile(folder.files, folder.dir, side);
  if (read === undefined) return undefined;
  const { scan } = read;
  if (scan === undefined) {
    const text = 'it is unreadable: none of the spans of its segment can be delivered';
    if (data !== undefined) sums.problems.push({ file: side.name, text });
    return undefined;
  }
  if (scan.records.length === 0 && scan.tail === 'clean') return undefined;
  if (data === undefined) {
    const rows = scan.records.reduce((sum, record) => sum + record.rows, 0);
    const text = `the data file of its segment is missing: ${rows} spans are lost`;
    if (await isThere(folder, side)) sums.problems.push({ file: side.name, text });
    return undefined;
  }
  return { side, data, read, scan };
}

async function verifySegment(
  folder: LogFolder,
  candidate: Candidate,
  isLast: boolean,
  sums: Sums,
): Promise<void> {
  const { side, data, read, scan } = candidate;
  const good = await goodBlocks(folder, data, scan);
  const { torn, damaged } = judge(candidate, good, isLast);
  // A file that has left the log meanwhile may be written anew by now.
  if ((torn || damaged) && !(await isThere(folder, side))) return;
  sums.segments++;
  sums.blocks += good.length;
  sums.bytes += good.reduce((sum, { length }) => sum + length, 0);
  if (torn) {
    const text = isOpen(folder, side, read)
      ? 'its last block is being written'
      : 'its last write was cut off and never acknowledged: the next start discards it';
    sums.remarks.push({ file: side.name, text });
  }
  if (damaged) sums.problems.push(...describeDamage(candidate, good, torn));
}

function describeDamage(
  { side, data, scan }: Candidate,
  good: readonly BlockRecord[],
  torn: boolean,
): Finding[] {
  const findings: Finding[] = [];
  const kept = new Set(good);
  const bad = scan.records.filter(
    (record, place) => !kept.has(record) && !(torn && place === scan.records.length - 1),
  );
  if (bad.length > 0) {
    const rows = bad.reduce((sum, record) => sum + record.rows, 0);
    const offsets = bad.map(({ offset }) => offset).join(', ');
    const share = `${bad.length} of ${scan.records.length} blocks are damaged (${rows} spans)`;
    findings.push({ file: data.name, text: `${share}, at byte ${offsets}` });
  }
  if (bad.length === 0 || scan.gaps > 0) {
    const text = `it is damaged: the spans of ${Math.max(1, scan.gaps)} or more records are lost`;
    findings.push({ file: side.name, text });
  }
  return findings;
}

async function goodBlocks(
  { files, dir }: LogFolder,
  data: SegmentName,
  scan: SideScan,
): Promise<BlockRecord[]> {
  const good: BlockRecord[] = [];
  try {
    const file = await files.open(join(dir, data.name));
    try {
      const reader = new BlockReader(file);
      const size = await file.size();
      for (const record of scan.records) {
        if (await reader.holds(record, size)) good.push(record);
      }
    } finally {
      await file.close();
    }
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
  return good;
}

const isThere = async ({ files, dir }: LogFolder, { name }: SegmentName): Promise<boolean> =>
  (await files.list(dir)).includes(name);
