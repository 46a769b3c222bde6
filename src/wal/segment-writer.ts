/** Files of segments that are written in one go: by recovery, and when a segment is divided. */
import { removeIfThere, writeAll, type WalFile, type WalFiles } from './files.ts';
import { encodeHeader, RecordEncoder, recordSeed, type BlockRecord } from './side-file.ts';

/** A new empty file, whatever an earlier try left under its name. */
export async function createAnew(files: WalFiles, path: string): Promise<WalFile> {
  await removeIfThere(files, path);
  return files.create(path);
}

/** The whole side file of a segment, synced. */
export async function writeSideFile(
  files: WalFiles,
  path: string,
  batch: bigint,
  records: readonly BlockRecord[],
): Promise<void> {
  const file = await createAnew(files, path);
  try {
    const header = encodeHeader(batch);
    const encoder = new RecordEncoder();
    await writeAll(file, [header], 0, header.byteLength);
    let at = header.byteLength;
    for (const record of records) {
      const bytes = encoder.encode(record, recordSeed(header));
      await writeAll(file, [bytes], at, bytes.byteLength);
      at += bytes.byteLength;
    }
    await file.datasync();
  } finally {
    await file.close();
  }
}
