/** Who holds a lock, and whether that process still runs. */
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readFile, readlink, stat, unlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { kill, pid, platform } from 'node:process';
import { isLit } from './lock-beacon.ts';

export interface Owner {
  readonly pid: number;
  /** Opaque; equal only for the very same process. Begins with the boot id on Linux. */
  readonly started: string;
  /** In which `pid` counts; empty where there is only one, and in locks of earlier versions. */
  readonly namespace: string;
  /** Name of its beacon; empty: it has none. */
  readonly beacon: string;
}

export interface LockTiming {
  /** The owner writes its lock anew so often. */
  readonly beatMs: number;
  /** A lock that is not written for so long has no owner, if nothing else can tell. */
  readonly silentMs: number;
  readonly sleep: (ms: number) => Promise<void>;
}

const GONE = 'gone';

/** This process. */
export async function describeSelf(beacon: string): Promise<Owner> {
  const [started, namespace] = await Promise.all([startOf(pid), namespaceOfSelf()]);
  return { pid, started, namespace, beacon };
}

/** Undefined for a lock that a power cut left empty or torn: its process is gone. */
export function parseOwner(text: string): Owner | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null) return undefined;
    const fields = new Map<string, unknown>(Object.entries(value));
    const owner = fields.get('pid');
    if (typeof owner !== 'number' || !Number.isSafeInteger(owner) || owner <= 0) return undefined;
    const word = (name: string): string => {
      const field = fields.get(name);
      return typeof field === 'string' ? field : '';
    };
    const beacon = /^lock\.[\da-f-]+\.sock$/.test(word('beacon')) ? word('beacon') : '';
    return { pid: owner, started: word('started'), namespace: word('namespace'), beacon };
  } catch {
    return undefined;
  }
}

/** True when its process id means the same here as there. */
export const isNeighbour = (owner: Owner, self: Owner): boolean =>
  bootOf(owner) === bootOf(self) && owner.namespace === self.namespace;

/**
 * The beacon is asked first, then the process id where it can be seen. What is left is a lock of
 * another machine, or of a namespace that we do not see into: it lives as long as it is written.
 * @param path of the file that names the owner
 * @param timing undefined: not to wait for that, but to take it for alive
 */
export async function isAlive(
  owner: Owner,
  self: Owner,
  path: string,
  timing: LockTiming | undefined,
): Promise<boolean> {
  if (owner.beacon !== '') {
    const lit = await isLit(dirname(path), owner.beacon);
    if (lit === true) return true;
    if (lit === false && bootOf(owner) === bootOf(self)) return false;
  }
  if (owner.namespace === '' || isNeighbour(owner, self)) return isRunning(owner);
  return timing === undefined || beats(path, timing);
}

const bootOf = ({ started }: Owner): string => started.split('/', 1)[0] ?? '';

async function isRunning(owner: Owner): Promise<boolean> {
  try {
    kill(owner.pid, 0);
  } catch (error) {
    // EPERM: it runs under another user.
    if (!(error instanceof Error && 'code' in error && error.code === 'EPERM')) return false;
  }
  const started = await startOf(owner.pid);
  return owner.started === '' || started === '' || started === owner.started;
}

/** By the clock of the file system, for that of another machine may be any. */
async function beats(path: string, { silentMs, sleep }: LockTiming): Promise<boolean> {
  const writtenMs = await writtenAt(path);
  if (writtenMs === undefined) return false;
  const silence = (await clockOf(dirname(path))) - writtenMs;
  if (silence >= silentMs) return false;
  await sleep(silentMs - Math.max(0, silence));
  const laterMs = await writtenAt(path);
  return laterMs !== undefined && laterMs !== writtenMs;
}

async function writtenAt(path: string): Promise<number | undefined> {
  const stats = await stat(path).catch(() => undefined);
  return stats?.mtimeMs;
}

async function clockOf(directory: string): Promise<number> {
  const path = join(directory, `lock.${randomUUID()}.probe`);
  await writeFile(path, '', { flag: 'wx' });
  try {
    return (await stat(path)).mtimeMs;
  } finally {
    await unlink(path);
  }
}

const namespaceOfSelf = (): Promise<string> =>
  platform === 'linux' ? readlink('/proc/self/ns/pid').catch(() => '') : Promise.resolve('');

/** What tells this process from an earlier one of the same id; empty when not known. */
async function startOf(process: number): Promise<string> {
  if (platform === 'linux') {
    const [stats, boot] = await Promise.all([
      readFile(`/proc/${process}/stat`, 'utf8').catch(() => ''),
      readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => ''),
    ]);
    // Field 22, start in ticks since boot. Field 2 is the name and may hold blanks and brackets.
    const fields = stats.slice(stats.lastIndexOf(')') + 2).split(' ');
    const [state, ticks] = [fields[0], fields[19]];
    // A zombie holds nothing any more; where nobody waits for it, it stays for ever.
    if (state === 'Z' || state === 'X') return GONE;
    return ticks === undefined ? '' : `${boot.trim()}/${ticks}`;
  }
  if (platform === 'win32') return '';
  return new Promise((resolve) => {
    execFile('ps', ['-o', 'lstart=', '-p', String(process)], (error, stdout) => {
      resolve(error === null ? stdout.trim() : '');
    });
  });
}
