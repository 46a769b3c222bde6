/**
 * The folder `corrupt/`: what the log must not deliver and must not lose. People look into it, so
 * beside the files of a segment lies `<segment>.why`, one line of JSON.
 */
import { join } from 'node:path';
import { isMissing, writeSmall, type WalFiles } from './files.ts';

export const CORRUPT_FOLDER = 'corrupt';
const WHY_KIND = '.why';

export interface Why {
  /**
   * refused: whole, but storage did not take it, so it may be put back into the log; damaged: what
   * was whole of it is delivered under its batch id already, so it must not be.
   */
  readonly kind: 'refused' | 'damaged';
  readonly text: string;
}

export const whyName = (segmentFile: string): string =>
  `${segmentFile.slice(0, segmentFile.indexOf('.'))}${WHY_KIND}`;
export const isWhyName = (name: string): boolean => name.endsWith(WHY_KIND);

/** Undefined when there is no such text. */
export function parseWhy(text: string): Why | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null) return undefined;
    if (!('kind' in value && 'text' in value) || typeof value.text !== 'string') return undefined;
    const { kind } = value;
    return kind === 'refused' || kind === 'damaged' ? { kind, text: value.text } : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Moves files of a segment aside, in the given order; durable when resolved.
 * @param why undefined: unknown
 */
export async function moveToCorrupt(
  files: WalFiles,
  dir: string,
  names: readonly string[],
  why: Why | undefined,
): Promise<void> {
  const folder = join(dir, CORRUPT_FOLDER);
  await files.makeDirectory(folder);
  await files.syncDirectory(dir);
  // The first reason stays. A full disk must not keep the files themselves in the way.
  for (const name of new Set(names.map(whyName))) {
    if (why !== undefined) await writeWhy(files, join(folder, name), why).catch(() => undefined);
  }
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

const writeWhy = (files: WalFiles, path: string, why: Why): Promise<void> =>
  writeSmall(files, path, `${JSON.stringify(why)}\n`);
