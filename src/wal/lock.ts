/**
 * One process per data folder. Node has no flock, so the file `lock` names its owner; it is stale,
 * and taken over, when the owner does not run any more (lock-owner.ts). So kill -9 and power cuts
 * need no cleaning up, and a process id that was given out anew does not fool it.
 */
import { randomUUID } from 'node:crypto';
import { link, open, readFile, rename, unlink, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CodedError } from '../base/errors.ts';
import { lightBeacon, removeBeacon, type Beacon } from './lock-beacon.ts';
import {
  describeSelf,
  isAlive,
  isNeighbour,
  parseOwner,
  type LockTiming,
  type Owner,
} from './lock-owner.ts';

const TRIES = 5;
const WHAT_TO_DO = 'stop it or set SCRUBJAY_DATA_DIR';
const TIMING: LockTiming = { beatMs: 5000, silentMs: 16_000, sleep: (ms) => sleep(ms) };

/** @throws {SCRUBJAY_ERR_START} when another live process (or this one) holds the folder */
export async function lockDirectory(
  directory: string,
  timing: LockTiming = TIMING,
): Promise<() => Promise<void>> {
  // Lit before the lock is there: whoever sees the lock must be able to ask for its owner.
  const beacon = await lightBeacon(directory);
  try {
    const self = await describeSelf(beacon?.name ?? '');
    const lock = await takeLock(directory, self, timing);
    return () => release(lock, beacon);
  } catch (error) {
    await beacon?.close();
    throw error;
  }
}

/** The process that holds the folder now, without taking it or waiting. */
export async function ownerOf(directory: string): Promise<number | undefined> {
  const text = await readIfThere(join(directory, 'lock'));
  const owner = text === undefined ? undefined : parseOwner(text);
  if (owner === undefined) return undefined;
  const alive = await isAlive(owner, await describeSelf(''), directory, undefined);
  return alive ? owner.pid : undefined;
}

interface Lock {
  readonly path: string;
  readonly content: string;
  readonly file: FileHandle;
  readonly beat: NodeJS.Timeout;
}

async function takeLock(directory: string, self: Owner, timing: LockTiming): Promise<Lock> {
  const path = join(directory, 'lock');
  const content = `${JSON.stringify(self)}\n`;
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const file = await createWith(path, content);
    if (file !== undefined) return { path, content, file, beat: beating(file, content, timing) };
    const text = await readIfThere(path);
    if (text === undefined) continue;
    const owner = parseOwner(text);
    if (owner !== undefined && (await isAlive(owner, self, directory, timing))) {
      throw inUse(directory, owner, self);
    }
    await discardStale(path, text, directory, self);
    if (owner !== undefined && owner.beacon !== '') await removeBeacon(directory, owner.beacon);
  }
  throw new CodedError('SCRUBJAY_ERR_START', {
    detail: `Data folder ${directory}: its lock changes hands all the time, try again`,
  });
}

/** For processes that can see neither our beacon nor our process id. */
function beating(file: FileHandle, content: string, { beatMs }: LockTiming): NodeJS.Timeout {
  return setInterval(() => {
    file.write(content, 0).catch(() => undefined);
  }, beatMs).unref();
}

function inUse(directory: string, owner: Owner | undefined, self: Owner): CodedError {
  const isHere = owner === undefined || owner.namespace === '' || isNeighbour(owner, self);
  const where = isHere ? '' : ' in another container or on another machine';
  const who = `process ${owner?.pid ?? 'unknown'}${where}`;
  return new CodedError('SCRUBJAY_ERR_START', {
    detail: `Data folder ${directory} is in use by ${who}: ${WHAT_TO_DO}`,
  });
}

/** Undefined when the lock exists. The link makes name and content appear in one step. */
async function createWith(path: string, content: string): Promise<FileHandle | undefined> {
  const draft = `${path}.${randomUUID()}`;
  const file = await open(draft, 'wx', 0o640);
  let isTaken = false;
  try {
    await file.write(content, 0);
    await link(draft, path);
    isTaken = true;
    return file;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return undefined;
    if (!['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'].includes(codeOf(error))) throw error;
    return await createWithoutLink(path, content);
  } finally {
    if (!isTaken) await file.close();
    await unlink(draft);
  }
}

/** For file systems without hard links. */
async function createWithoutLink(path: string, content: string): Promise<FileHandle | undefined> {
  try {
    const file = await open(path, 'wx', 0o640);
    await file.write(content, 0);
    return file;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return undefined;
    throw error;
  }
}

/**
 * Takes a stale lock out of the way by rename and looks again at what it took: another process
 * may have replaced the stale lock in between, and then its live lock goes back.
 */
async function discardStale(
  path: string,
  stale: string,
  directory: string,
  self: Owner,
): Promise<void> {
  const aside = `${path}.stale.${randomUUID()}`;
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
    throw inUse(directory, parseOwner(taken), self);
  }
  await unlink(aside);
}

async function release(lock: Lock, beacon: Beacon | undefined): Promise<void> {
  const { path, content, file, beat } = lock;
  clearInterval(beat);
  await file.close();
  if ((await readIfThere(path)) === content) await unlink(path);
  await beacon?.close();
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}
