/**
 * Plants bugs for the test runner: a module imported as `x.ts?bug=3`, and what it imports of the
 * simulation and of the folders in which bugs are planted, is loaded once more with that bug in its
 * source. No file is changed.
 */
import { readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PLANTED_BUGS } from './planted-bugs.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const FOLDERS = new Set([
  dirname(fileURLToPath(import.meta.url)),
  ...PLANTED_BUGS.map(({ file }) => dirname(join(ROOT, file))),
]);
const MARK = /^(.*)\?bug=(\d+)$/;

/** The source of a file with the bug in it. @throws when the passage is not there exactly once */
export function withBug(path: string, index: number): string {
  const source = readFileSync(path, 'utf8');
  const planted = PLANTED_BUGS[index];
  if (planted === undefined) throw new Error(`there is no bug ${index}`);
  if (relative(ROOT, path) !== planted.file) return source;
  const parts = source.split(planted.source);
  if (parts.length !== 2) {
    throw new Error(`${planted.file} has ${parts.length - 1} times: ${planted.source}`);
  }
  return parts.join(planted.bug);
}

export const pathOfBug = (index: number): string => join(ROOT, PLANTED_BUGS[index]?.file ?? '');

interface Planter {
  readonly name: string;
  readonly enforce: 'pre';
  resolveId(target: string, importer: string | undefined): string | undefined;
  load(id: string): string | undefined;
}

export const planter: Planter = {
  name: 'planted-bugs',
  enforce: 'pre',
  resolveId(target, importer) {
    const [, from, bug] = MARK.exec(importer ?? '') ?? [];
    if (from === undefined || !target.startsWith('.')) return undefined;
    const path = resolve(dirname(from), target);
    return FOLDERS.has(dirname(path)) ? `${path}?bug=${bug}` : path;
  },
  load(id) {
    const [, path, bug] = MARK.exec(id) ?? [];
    return path === undefined ? undefined : withBug(path, Number(bug));
  },
};
