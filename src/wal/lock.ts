/**
 * One process per data folder. Node has no flock, so the file `lock` names its owner by process id
 * and start time; it is stale, and taken over, when no such process runs any more. So kill -9 and
 * power cuts need no cleaning up, and a process id that was given out anew does not fool it.
 */
import { execFile } from 'node:child_process';
import { link, open, readFile, rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { kill, pid, platform } from 'node:process';
import { CodedError } from '../base/errors.ts';

interface Owner {
  readonly pid: number;
  /** Opaque; equal only for the very same process. Empty: unknown on this system. */
  readonly started: string;
}

const TRIES = 5;
const WHAT_TO_DO = 'stop it or set SCRUBJAY_DATA_DIR';

/** @throws {SCRUBJAY_ERR_START} when another live process (or this one) holds the folder */
export async function lockDirectory(directory: string): Promise<() => Promise<void>> {
  const path = join(directory, 'lock');
  const mine = `${JSON.stringify({ pid, started: await startOf(pid) })}\n`;
  for (let attempt = 0; attempt < TRIES; attempt++) {
    if (await createWith(path, mine)) {
      return () => release(path, mine);
    }
    const text = await readIfThere(path);
    if (text === undefined) continue;
    const owner = parseOwner(text);
    if (owner !== undefined && (await isAlive(owner))) throw inUse(directory, owner.pid);
    await discardStale(path, text, directory);
  }
  throw new CodedError('SCRUBJAY_ERR_START', {
    detail: `Data folder ${directory}: its lock changes hands all the time, try again`,
  });
}

/** The process that holds the folder now, without taking it. */
export async function ownerOf(directory: string): Promise<number | undefined> {
  const text = await readIfThere(join(directory, 'lock'));
  const owner = text === undefined ? undefined : parseOwner(text);
  return owner !== undefined && (await isAlive(owner)) ? owner.pid : undefined;
}

function inUse(directory: string, owner: number | string): CodedError {
  return new CodedError('SCRUBJAY_ERR_START', {
    detail: `Data folder ${directory} is in use by process ${owner}: ${WHAT_TO_DO}`,
  });
}

/** False when the lock exists. The link makes name and content appear in one step. */
async function createWith(path: string, content: string): Promise<boolean> {
  const draft = `${path}.${pid}.${performance.now()}`;
  const file = await open(draft, 'wx', 0o640);
  try {
    await file.writeFile(content);
    await file.close();
    await link(draft, path);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    if (!['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'].includes(codeOf(error))) throw error;
    return await createWithoutLink(path, content);
  } finally {
    await unlink(draft);
  }
}

/** For file systems without hard links. */
async function createWithoutLink(path: string, content: string): Promise<boolean> {
  try {
    const file = await open(path, 'wx', 0o640);
    await file.writeFile(content);
    await file.close();
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  }
}

/**
 * Takes a stale lock out of the way by rename and looks again at what it took: another process
 * may have replaced the stale lock in between, and then its live lock goes back.
 */
async function discardStale(path: string, stale: string, directory: string): Promise<void> {
  const aside = `${path}.stale.${pid}`;
  try {
    await rename(path, aside);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return;
    throw error;
  }
  const taken = await readIfThere(aside);
  if (taken !== undefined && taken !== stale) {
    await link(aside, path).catch(() => undefined);
    await unlink(aside);
    throw inUse(directory, parseOwner(taken)?.pid ?? 'unknown');
  }
  await unlink(aside);
}

async function release(path: string, mine: string): Promise<void> {
  if ((await readIfThere(path)) === mine) await unlink(path);
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** Undefined for a lock that a power cut left empty or torn: its process is gone. */
function parseOwner(text: string): Owner | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null) return undefined;
    if (!('pid' in value) || typeof value.pid !== 'number') return undefined;
    const started = 'started' in value && typeof value.started === 'string' ? value.started : '';
    return Number.isSafeInteger(value.pid) && value.pid > 0
      ? { pid: value.pid, started }
      : undefined;
  } catch {
    return undefined;
  }
}

async function isAlive(owner: Owner): Promise<boolean> {
  try {
    kill(owner.pid, 0);
  } catch (error) {
    // EPERM: it runs under another user.
    if (codeOf(error) !== 'EPERM') return false;
  }
  const started = await startOf(owner.pid);
  return owner.started === '' || started === '' || started === owner.started;
}

/** What tells this process from an earlier one of the same id; empty when not known. */
async function startOf(process: number): Promise<string> {
  if (platform === 'linux') {
    const [stat, boot] = await Promise.all([
      readFile(`/proc/${process}/stat`, 'utf8').catch(() => ''),
      readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => ''),
    ]);
    // Field 22, start in ticks since boot. Field 2 is the name and may hold blanks and brackets.
    const ticks = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
    return ticks === undefined ? '' : `${boot.trim()}/${ticks}`;
  }
  if (platform === 'win32') return '';
  return new Promise((resolve) => {
    execFile('ps', ['-o', 'lstart=', '-p', String(process)], (error, stdout) => {
      resolve(error === null ? stdout.trim() : '');
    });
  });
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}
