/**
 * `wal retry`: what storage refused goes back into the log. The next start finds it in doubt:
 * storage is asked what it has, and gets what is missing, once.
 */
import { join } from 'node:path';
import { BlockReader } from '../block-reader.ts';
import { CORRUPT_FOLDER, whyName } from '../corrupt.ts';
import { removeIfThere, type WalFiles } from '../files.ts';
import { idText, parseName, type SegmentName } from '../names.ts';
import { listAside, readWhy, type AsideSegment } from './inspect.ts';
import { readSideFile } from './listing.ts';

export interface Retried {
  readonly dir: string;
  readonly moved: readonly { readonly name: string; readonly rows: number }[];
  /** What stays in corrupt/. */
  readonly left: readonly { readonly name: string; readonly why: string }[];
}

/** @throws {SCRUBJAY_ERR_START} when a collector runs on the folder */
export async function retry(files: WalFiles, dir: string): Promise<Retried> {
  const unlock = await files.lock(dir);
  try {
    const moved: { name: string; rows: number }[] = [];
    const left: { name: string; why: string }[] = [];
    const names = (await files.list(dir)).map(parseName).filter((name) => name !== undefined);
    for (const segment of await listAside({ files, dir })) {
      const found = await whole(files, dir, segment, names);
      if ('why' in found) {
        left.push({ name: segment.name, why: found.why });
      } else {
        await putBack(files, dir, segment);
        moved.push({ name: segment.name, rows: found.rows });
      }
    }
    return { dir, moved, left };
  } finally {
    await unlock();
  }
}

/** Only what was never delivered in part under its batch id, and is what it was. */
async function whole(
  files: WalFiles,
  dir: string,
  { name, side, data }: AsideSegment,
  present: readonly SegmentName[],
): Promise<{ rows: number } | { why: string }> {
  const why = await readWhy({ files, dir }, name);
  if (why?.kind === 'damaged') return { why: `${why.text}: what was whole is delivered already` };
  if (side === undefined || data === undefined) return { why: 'one of its two files is missing' };
  const id = idText(side);
  const parent = side.parent === undefined ? undefined : idText(side.parent);
  const isInWay = (other: SegmentName): boolean =>
    idText(other) === id || (other.kind === 'idx' && idText(other) === parent);
  if (present.some(isInWay)) return { why: 'the log holds another writing of it' };
  const folder = join(dir, CORRUPT_FOLDER);
  const scan = (await readSideFile(files, folder, side))?.scan;
  if (scan === undefined || scan.gaps > 0 || scan.tail === 'record') {
    return { why: 'its side file is damaged' };
  }
  const file = await files.open(join(folder, data.name));
  try {
    const reader = new BlockReader(file);
    const size = await file.size();
    for (const record of scan.records) {
      if (!(await reader.holds(record, size))) return { why: 'a block of it is damaged' };
    }
  } finally {
    await file.close();
  }
  return { rows: scan.records.reduce((sum, { rows }) => sum + rows, 0) };
}

/** The data first: a start that finds only one of the two puts it back into corrupt/. */
async function putBack(
  files: WalFiles,
  dir: string,
  { name, side, data }: AsideSegment,
): Promise<void> {
  const folder = join(dir, CORRUPT_FOLDER);
  for (const file of [data, side]) {
    if (file !== undefined) await files.rename(join(folder, file.name), join(dir, file.name));
    await files.syncDirectory(dir);
  }
  await removeIfThere(files, join(folder, whyName(`${name}.`)));
  await files.syncDirectory(folder);
}
