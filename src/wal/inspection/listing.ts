/** What lies in the folder of the log, read only: a collector may be at work in it. */
import { join } from 'node:path';
import { CodedError } from '../../base/errors.ts';
import { isMissing, readSmall, type WalFiles } from '../files.ts';
import { readIdentity } from '../identity.ts';
import { idText, namesBatch, parseName, type SegmentName } from '../names.ts';
import { scanSide, SIDE_FILE_BYTES_MAX, type SideScan } from '../side-file.ts';

export type ReadableFiles = Pick<WalFiles, 'list' | 'open'>;

export interface LogFolder {
  readonly files: ReadableFiles;
  readonly dir: string;
  /** Of the collector that runs on the folder. */
  readonly owner: number | undefined;
  /** Of its latest start. */
  readonly epoch: number | undefined;
}

/** The files of a segment in its latest writing. */
export interface ListedSegment {
  readonly side: SegmentName | undefined;
  readonly data: SegmentName | undefined;
  /** In storage: the side file is kept for its notes. */
  readonly isSent: boolean;
}

/** @throws {SCRUBJAY_ERR_NOT_FOUND} when there is no log */
export async function openLogFolder(
  files: ReadableFiles,
  dir: string,
  ownerOf: (dir: string) => Promise<number | undefined>,
): Promise<LogFolder> {
  try {
    await files.list(dir);
  } catch (error) {
    if (!isMissing(error)) throw error;
    const detail = `There is no log in ${dir}: set SCRUBJAY_DATA_DIR to the folder of a collector`;
    throw new CodedError('SCRUBJAY_ERR_NOT_FOUND', { detail }, { cause: error });
  }
  const identity = await readIdentity({ files, dir });
  return { files, dir, owner: await ownerOf(dir), epoch: identity?.epoch };
}

/** All segments, oldest first; parts that do not count are none. */
export async function listSegments({ files, dir, epoch }: LogFolder): Promise<ListedSegment[]> {
  const names = (await files.list(dir)).map(parseName).filter((name) => name !== undefined);
  const undivided = new Set(names.filter(({ kind }) => kind === 'idx').map(idText));
  const counting = names.filter(
    ({ parent }) => parent === undefined || !undivided.has(idText(parent)),
  );
  const age = (name: SegmentName): number => ((epoch ?? 0) - name.epoch + 65_536) % 65_536;
  return groupById(counting)
    .toSorted(([a], [b]) => age(b!) - age(a!) || a!.number - b!.number)
    .map(latestWriting);
}

export function groupById(names: readonly SegmentName[]): SegmentName[][] {
  const groups = new Map<string, SegmentName[]>();
  for (const name of names) {
    const group = groups.get(idText(name));
    if (group === undefined) groups.set(idText(name), [name]);
    else group.push(name);
  }
  return [...groups.values()];
}

export function latestWriting(names: readonly SegmentName[]): ListedSegment {
  const sides = names.filter(({ kind }) => kind !== 'native');
  const latest = Math.max(...(sides.length > 0 ? sides : names).map(({ rewrite }) => rewrite));
  const current = names.filter(({ rewrite }) => rewrite === latest);
  const side =
    current.find(({ kind }) => kind === 'sent') ?? current.find(({ kind }) => kind === 'idx');
  const data = current.find(({ kind }) => kind === 'native');
  return { side, data, isSent: side?.kind === 'sent' };
}

export interface ReadSide {
  /** Undefined: nothing in it can be trusted. */
  readonly scan: SideScan | undefined;
  readonly bytes: number;
}

/** @returns undefined when the file is gone */
export async function readSideFile(
  files: ReadableFiles,
  dir: string,
  side: SegmentName,
): Promise<ReadSide | undefined> {
  try {
    const file = await readSmall(files, join(dir, side.name), SIDE_FILE_BYTES_MAX);
    const scan = scanSide(file, side.recordsMax);
    const isOwn = scan !== undefined && namesBatch(side, scan.batch);
    return { scan: isOwn ? scan : undefined, bytes: file.byteLength };
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** A collector that runs appends to it: behind its records is the room for more. */
export const isOpen = (folder: LogFolder, side: SegmentName, read: ReadSide): boolean =>
  folder.owner !== undefined &&
  side.epoch === folder.epoch &&
  side.kind === 'idx' &&
  side.recordsMax === undefined &&
  read.scan !== undefined &&
  read.bytes > read.scan.end;

export const stemOfFile = ({ name }: SegmentName): string => name.slice(0, name.indexOf('.'));
