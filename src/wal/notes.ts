/** What appends left beside their blocks for the time after a restart: which bodies were taken. */
import { join } from 'node:path';
import type { WindowOwner } from './block-reader.ts';
import { CORRUPT_FOLDER } from './corrupt.ts';
import { readSmall } from './files.ts';
import { parseName, stemOf } from './names.ts';
import type { RecoverySource } from './repair.ts';
import { scanSide, SIDE_FILE_BYTES_MAX, type BlockRecord } from './side-file.ts';

export interface Note {
  readonly note: Uint8Array;
  /** Epoch milliseconds of the append. */
  readonly atMs: number;
}

export function keepNotes(
  source: RecoverySource,
  notes: Note[],
  records: readonly BlockRecord[],
): void {
  for (const { note, atMs } of records) {
    // A copy: the note is a view of its whole side file.
    if (atMs >= source.notesSinceMs) notes.push({ note: Uint8Array.from(note), atMs });
  }
}

/**
 * Of blocks that were set aside whole: storage has taken some of their rows, and a person may bring
 * the others. Bodies of damaged blocks may come again. Nothing else depends on these files, so one
 * that cannot be read is passed over.
 */
export async function recallNotes(
  source: RecoverySource,
  name: string,
  windows: WindowOwner,
  notes: Note[],
): Promise<void> {
  const side = parseName(name);
  if (side?.kind !== 'idx') return;
  const { files, dir, notesSinceMs } = source;
  const folder = join(dir, CORRUPT_FOLDER);
  try {
    const scan = scanSide(
      await readSmall(files, join(folder, name), SIDE_FILE_BYTES_MAX),
      side.recordsMax,
    );
    const recent = scan?.records.filter(({ atMs }) => atMs >= notesSinceMs) ?? [];
    if (recent.length === 0) return;
    const stem = stemOf(side, side.parent, side.rewrite);
    const data = await files.open(join(folder, `${stem}.native`));
    try {
      const reader = windows.of(data);
      const size = await data.size();
      for (const record of recent) {
        if (await reader.holds(record, size)) keepNotes(source, notes, [record]);
      }
    } finally {
      await data.close();
    }
  } catch (error) {
    source.logger.debug({ file: name, err: error }, 'Notes of a set aside segment are not read');
  }
}
