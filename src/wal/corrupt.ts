/** The folder `corrupt/`: what the log must not deliver and must not lose. People look into it. */
import { join } from 'node:path';
import { isMissing, type WalFiles } from './files.ts';

export const CORRUPT_FOLDER = 'corrupt';

/** Moves files of the log aside, in the given order; durable when resolved. */
export async function moveToCorrupt(
  files: WalFiles,
  dir: string,
  names: readonly string[],
): Promise<void> {
  const folder = join(dir, CORRUPT_FOLDER);
  await files.makeDirectory(folder);
  await files.syncDirectory(dir);
  for (const name of names) {
    try {
      await files.rename(join(dir, name), join(folder, name));
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
    // Renames of which the second alone is on disk after a power cut would be out of order.
    await files.syncDirectory(folder);
    await files.syncDirectory(dir);
  }
}
