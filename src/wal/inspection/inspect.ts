/** `wal inspect`: which segments there are, what is in them, and what was set aside. */
import { join } from 'node:path';
import { CORRUPT_FOLDER, parseWhy, whyName, type Why } from '../corrupt.ts';
import { isMissing, readFully, readSmall } from '../files.ts';
import { parseName, type SegmentName } from '../names.ts';
import type { BlockRecord } from '../side-file.ts';
import {
  groupById,
  isOpen,
  latestWriting,
  listSegments,
  readSideFile,
  stemOfFile,
  type ListedSegment,
  type LogFolder,
  type ReadSide,
} from './listing.ts';

const HEAD_BYTES = 64 * 1024;
const WHY_BYTES_MAX = 64 * 1024;

/** The tenants of a block, from its first bytes. @throws RangeError when they are too few */
export type TenantsOf = (head: Buffer) => readonly string[];

/**
 * open: takes blocks; ready: the next one; closed: waits for storage; in doubt: of an earlier run,
 * storage is asked first; sent: in storage; unreadable: see `wal verify`.
 */
export type SegmentState = 'open' | 'ready' | 'closed' | 'in doubt' | 'sent' | 'unreadable';

export interface Contents {
  readonly name: string;
  readonly blocks: number;
  readonly rows: number;
  readonly bytes: number;
  /** ISO dates of the earliest and latest day of its spans; null without rows. */
  readonly firstDay: string | null;
  readonly lastDay: string | null;
  readonly days: number;
  /** ISO times at which its first and last block were appended; null without blocks. */
  readonly firstAppend: string | null;
  readonly lastAppend: string | null;
  /** Null when they cannot be read: the data is in storage, or damaged. */
  readonly tenants: readonly string[] | null;
}

export interface SegmentReport extends Contents {
  readonly state: SegmentState;
}

export interface AsideReport extends Contents {
  /** Null: nobody wrote it down. */
  readonly why: Why | null;
}

export interface LogReport {
  readonly dir: string;
  /** Process id of the collector that runs on it. */
  readonly owner: number | null;
  readonly segments: readonly SegmentReport[];
  /** In corrupt/. */
  readonly aside: readonly AsideReport[];
}

export async function inspect(folder: LogFolder, tenantsOf: TenantsOf): Promise<LogReport> {
  const segments: SegmentReport[] = [];
  for (const listed of await listSegments(folder)) {
    const report = await reportSegment(folder, listed, tenantsOf);
    if (report !== undefined) segments.push(report);
  }
  return {
    dir: folder.dir,
    owner: folder.owner ?? null,
    segments,
    aside: await inspectAside(folder, tenantsOf),
  };
}

async function reportSegment(
  folder: LogFolder,
  listed: ListedSegment,
  tenantsOf: TenantsOf,
): Promise<SegmentReport | undefined> {
  const { files, dir } = folder;
  const { side, data, isSent } = listed;
  const read = side === undefined ? undefined : await readSideFile(files, dir, side);
  // Gone since it was listed: it is in storage now.
  if (side !== undefined && read === undefined) return undefined;
  const name = side ?? data;
  if (name === undefined) return undefined;
  const records = read?.scan?.records ?? [];
  const tenants = isSent ? null : await readTenants(folder, dir, data, records, tenantsOf);
  const contents = describe(stemOfFile(name), records, tenants);
  if (side === undefined || read?.scan === undefined) return { ...contents, state: 'unreadable' };
  return { ...contents, state: isSent ? 'sent' : stateOf(folder, side, read) };
}

function stateOf(folder: LogFolder, side: SegmentName, read: ReadSide): SegmentState {
  if (isOpen(folder, side, read)) return read.scan?.records.length === 0 ? 'ready' : 'open';
  const isOfThisRun = folder.owner !== undefined && side.epoch === folder.epoch;
  return isOfThisRun ? 'closed' : 'in doubt';
}

async function inspectAside(folder: LogFolder, tenantsOf: TenantsOf): Promise<AsideReport[]> {
  const { files } = folder;
  const dir = join(folder.dir, CORRUPT_FOLDER);
  const reports: AsideReport[] = [];
  for (const { side, data, name } of await listAside(folder)) {
    const read = side === undefined ? undefined : await readSideFile(files, dir, side);
    const records = read?.scan?.records ?? [];
    const tenants = await readTenants(folder, dir, data, records, tenantsOf);
    const why = await readWhy(folder, name);
    reports.push({ ...describe(name, records, tenants), why: why ?? null });
  }
  return reports;
}

export interface AsideSegment extends Omit<ListedSegment, 'isSent'> {
  readonly name: string;
}

/** Each writing of each segment for itself. */
export async function listAside({
  files,
  dir,
}: Pick<LogFolder, 'files' | 'dir'>): Promise<AsideSegment[]> {
  const texts = await files.list(join(dir, CORRUPT_FOLDER)).catch((error: unknown) => {
    if (isMissing(error)) return [];
    throw error;
  });
  const names = texts.map(parseName).filter((name) => name !== undefined);
  return groupById(names).flatMap((group) =>
    [...new Set(group.map(stemOfFile))].toSorted().map((name): AsideSegment => {
      const { side, data } = latestWriting(group.filter((file) => stemOfFile(file) === name));
      return { name, side, data };
    }),
  );
}

export async function readWhy(
  { files, dir }: Pick<LogFolder, 'files' | 'dir'>,
  name: string,
): Promise<Why | undefined> {
  const path = join(dir, CORRUPT_FOLDER, whyName(`${name}.`));
  try {
    return parseWhy((await readSmall(files, path, WHY_BYTES_MAX)).toString('utf8'));
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

function describe(
  name: string,
  records: readonly BlockRecord[],
  tenants: readonly string[] | null,
): Contents {
  const days = new Set(records.flatMap((record) => [...record.days.keys()]));
  const inOrder = [...days].toSorted((a, b) => a - b);
  const sum = (of: (record: BlockRecord) => number): number =>
    records.reduce((total, record) => total + of(record), 0);
  return {
    name,
    blocks: records.length,
    rows: sum(({ rows }) => rows),
    bytes: sum(({ length }) => length),
    firstDay: dateOf(inOrder[0]),
    lastDay: dateOf(inOrder.at(-1)),
    days: days.size,
    firstAppend: timeOf(records[0]),
    lastAppend: timeOf(records.at(-1)),
    tenants,
  };
}

const dateOf = (day: number | undefined): string | null =>
  day === undefined ? null : new Date(day * 86_400_000).toISOString().slice(0, 10);

const timeOf = (record: BlockRecord | undefined): string | null =>
  record === undefined ? null : new Date(record.atMs).toISOString();

/** Null when a block cannot be read, which verify looks into. */
async function readTenants(
  { files }: LogFolder,
  dir: string,
  data: SegmentName | undefined,
  records: readonly BlockRecord[],
  tenantsOf: TenantsOf,
): Promise<readonly string[] | null> {
  if (data === undefined || records.length === 0) return null;
  const tenants = new Set<string>();
  try {
    const file = await files.open(join(dir, data.name));
    try {
      for (const { offset, length } of records) {
        const read = async (bytes: number): Promise<readonly string[]> => {
          const head = Buffer.allocUnsafe(Math.min(bytes, length));
          return tenantsOf(head.subarray(0, await readFully(file, head, offset)));
        };
        for (const tenant of await read(HEAD_BYTES).catch(() => read(length))) tenants.add(tenant);
      }
    } finally {
      await file.close();
    }
  } catch {
    return null;
  }
  return [...tenants].toSorted();
}
