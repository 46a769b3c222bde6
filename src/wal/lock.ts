/**
 * One process per data folder. Node has no flock, so the file `lock` names its owner; it is stale,
 * and taken over, when the owner does not run any more (lock-owner.ts). So kill -9 and power cuts
 * need no cleaning up, and a process id that was given out anew does not fool it.
 *
 * A stale lock is never moved out of the way, for then a live one may be moved that came in
 * between. It is claimed: the file `lock.after.<digest of the stale one>` can be created once, by
 * one process, which then renames it to `lock`. The claim of a process that was killed before the
 * rename is stale in turn and claimed the same way, so claims form a chain that starts at `lock`
 * and whose last file names the owner. Claims are removed only after `lock` was replaced; so one
 * who made a claim and still finds the same `lock` knows that nobody made it before.
 */
import { createHash, randomUUID } from 'node:crypto';
import { link, open, readFile, rename, rm, unlink, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
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
  const last = (await chainFrom(join(directory, 'lock'))).at(-1);
  const owner = last === undefined ? undefined : parseOwner(last.text);
  if (last === undefined || owner === undefined) return undefined;
  const alive = await isAlive(owner, await describeSelf(''), last.path, undefined);
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
    const chain = await chainFrom(path);
    const last = chain.at(-1);
    const owner = last && parseOwner(last.text);
    if (last && owner && (await isAlive(owner, self, last.path, timing))) {
      throw inUse(directory, owner, self);
    }
    const file = last ? await takeOver(chain, content) : await createWith(path, content);
    if (file) return { path, content, file, beat: beating(file, content, timing) };
  }
  throw new CodedError('SCRUBJAY_ERR_START', {
    detail: `Data folder ${directory}: its lock changes hands all the time, try again`,
  });
}

/** The lock, or the claim of one who takes over after it. */
interface ChainLink {
  readonly path: string;
  readonly text: string;
}

/** The lock and the claims after it, in their order; the last is in force. Empty: not locked. */
async function chainFrom(path: string): Promise<ChainLink[]> {
  const chain: ChainLink[] = [];
  for (let next = path; ;) {
    const text = await readIfThere(next);
    if (text === undefined) return chain;
    chain.push({ path: next, text });
    next = claimAfter(path, next, text);
  }
}

/**
 * Where the next owner after that of `path` puts its name. The digest covers the name of the file
 * too, so that two files that a power cut left empty differ.
 */
export function claimAfter(lock: string, path: string, text: string): string {
  const digest = createHash('sha256')
    .update(`${basename(path)}\n${text}`)
    .digest('hex');
  return `${lock}.after.${digest.slice(0, 32)}`;
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

/** @returns undefined when another process was faster: look again */
async function takeOver(
  chain: readonly ChainLink[],
  content: string,
): Promise<FileHandle | undefined> {
  const [lock, last] = [chain[0]!, chain.at(-1)!];
  const claim = claimAfter(lock.path, last.path, last.text);
  const file = await createWith(claim, content);
  if (file === undefined) return undefined;
  if ((await readIfThere(lock.path)) !== lock.text) {
    await file.close();
    await rm(claim, { force: true });
    return undefined;
  }
  await rename(claim, lock.path);
  for (const { path, text } of chain) {
    if (path !== lock.path) await rm(path, { force: true });
    const owner = parseOwner(text);
    if (owner && owner.beacon !== '') await removeBeacon(dirname(path), owner.beacon);
  }
  return file;
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
