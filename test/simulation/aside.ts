/** What lies in corrupt/: the rows that wait for a person. */
import { basename, dirname, join } from 'node:path';
import { parseName, stemOf } from '../../src/wal/names.ts';
import { scanSide } from '../../src/wal/side-file.ts';
import { readRows, type Row } from './native-rows.ts';
import type { SimulatedDisk } from './simulated-disk.ts';

/** @throws when a segment there is not whole */
export function readAside(disk: SimulatedDisk, paths: readonly string[]): Row[] {
  return paths.flatMap((path) => {
    const name = parseName(basename(path));
    if (name?.kind !== 'idx') return [];
    const scan = scanSide(disk.content(path), name.recordsMax);
    if (scan === undefined) throw new Error(`${path} is no side file`);
    const stem = stemOf(name, name.parent, name.rewrite);
    const data = disk.content(join(dirname(path), `${stem}.native`));
    return scan.records.flatMap(({ offset, length }) =>
      readRows(data.subarray(offset, offset + length)),
    );
  });
}
