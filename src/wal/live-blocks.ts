/** Reads of segments that are in the log, while they may leave it. */
import { isMissing, readFully, type WalFiles } from './files.ts';

/**
 * @param pathOf where they are, as long as they are; the files of segments that left are used again
 * @returns undefined when they are not there, or no more when they had been read
 */
export async function readLive(
  files: Pick<WalFiles, 'open'>,
  pathOf: () => string | undefined,
  offset: number,
  bytes: number,
): Promise<Buffer | undefined> {
  const path = pathOf();
  if (path === undefined) return undefined;
  try {
    const file = await files.open(path);
    try {
      const into = Buffer.allocUnsafe(bytes);
      const filled = await readFully(file, into, offset);
      return filled === bytes && pathOf() === path ? into : undefined;
    } finally {
      await file.close();
    }
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}
