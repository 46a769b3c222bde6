import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import {
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import { createMetrics } from '../../../src/telemetry/metrics.ts';
import { isLit, lightBeacon } from '../../../src/wal/lock-beacon.ts';
import type { LockTiming } from '../../../src/wal/lock-owner.ts';
import { claimAfter, lockDirectory, ownerOf } from '../../../src/wal/lock.ts';
import { Wal, type ClosedSegment } from '../../../src/wal/wal.ts';
import { recordingLogger, smallConfig } from './log-fixture.ts';

const readIfLinux = (path: string): string => (existsSync(path) ? readFileSync(path, 'utf8') : '');

/** Needs Linux and rights. */
const UNSHARE = 'unshare';
const canUnshare = spawnSync(UNSHARE, ['--pid', '--fork', 'true']).status === 0;

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'scrubjay-wal-'));
});
afterEach(async () => {
  await rm(dir, { recursive: true, force: true });
});

describe('The lock of a data folder', () => {
  test('is exclusive, names its owner, and can be taken once released', async () => {
    const release = await lockDirectory(dir);
    await expect(lockDirectory(dir)).rejects.toThrow(
      `Data folder ${dir} is in use by process ${process.pid}: stop it or set SCRUBJAY_DATA_DIR`,
    );
    await release();
    expect(await readdir(dir)).toEqual([]);
    const again = await lockDirectory(dir);
    await again();
  });

  test('of a live process is respected, of a killed one it is taken over', async () => {
    const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
    await once(child, 'spawn');
    await writeFile(join(dir, 'lock'), JSON.stringify({ pid: child.pid, started: '' }));
    await expect(lockDirectory(dir)).rejects.toMatchObject({ code: 'SCRUBJAY_ERR_START' });
    child.kill('SIGKILL');
    await once(child, 'exit');
    const release = await lockDirectory(dir);
    await release();
  });

  test.each([
    ['of an earlier process with our id', { pid: process.pid, started: 'another boot/1' }],
    ['torn by a power cut', undefined],
  ])('%s is stale', async (_, owner) => {
    await writeFile(join(dir, 'lock'), owner === undefined ? '' : JSON.stringify(owner));
    const release = await lockDirectory(dir);
    const mine: unknown = JSON.parse(await readFile(join(dir, 'lock'), 'utf8'));
    expect(mine).toMatchObject({ pid: process.pid });
    await release();
  });

  test('is won by exactly one of many that find it stale, whatever the order', async () => {
    for (let round = 0; round < 50; round++) {
      await writeFile(join(dir, 'lock'), '');
      const tries = await Promise.allSettled(Array.from({ length: 8 }, () => lockDirectory(dir)));
      const won = tries.filter((attempt) => attempt.status === 'fulfilled');
      expect(won).toHaveLength(1);
      await won[0]!.value();
      expect(await readdir(dir)).toEqual([]);
    }
  });

  test('is not taken over twice by one who saw it stale before another did', async () => {
    const path = join(dir, 'lock');
    await writeFile(path, '');
    // As one that stopped after it made its claim, and was killed.
    await writeFile(claimAfter(path, path, ''), '');
    const release = await lockDirectory(dir);
    expect(await readdir(dir)).toHaveLength(2);
    // As one that read the lock before that, and claims only now.
    await writeFile(claimAfter(path, path, ''), await readFile(path, 'utf8'));
    expect(await ownerOf(dir)).toBe(process.pid);
    await expect(lockDirectory(dir)).rejects.toThrow('is in use by process');
    await release();
  });

  test('is respected while another takes it over', async () => {
    const path = join(dir, 'lock');
    await writeFile(path, '');
    const live = JSON.stringify({ pid: process.pid, started: '' });
    await writeFile(claimAfter(path, path, ''), live);
    expect(await ownerOf(dir)).toBe(process.pid);
    await expect(lockDirectory(dir)).rejects.toThrow('is in use by process');
    expect(await readFile(path, 'utf8')).toBe('');
  });
});

describe('The lock of a process that cannot be seen', () => {
  const pid = 4_000_000;
  const boot = readIfLinux('/proc/sys/kernel/random/boot_id').trim();
  const elsewhere = { pid, started: `${boot}/1`, namespace: 'pid:[1]', beacon: '' };
  const path = (): string => join(dir, 'lock');
  const put = (owner: object): Promise<void> => writeFile(path(), JSON.stringify(owner));
  const noWait = {
    beatMs: 60_000,
    silentMs: 16_000,
    sleep: () => Promise.reject(new Error('it need not wait')),
  };
  /** @returns what the wait was, in milliseconds */
  const waiting = (meanwhile: () => Promise<void>): { timing: LockTiming; waited: number[] } => {
    const waited: number[] = [];
    const sleep = async (ms: number): Promise<void> => {
      waited.push(ms);
      await meanwhile();
    };
    return { timing: { beatMs: 60_000, silentMs: 16_000, sleep }, waited };
  };

  test('is respected while it listens, and taken over at once when it was killed', async () => {
    const beacon = await lightBeacon(dir);
    await put({ ...elsewhere, beacon: beacon!.name });
    await expect(lockDirectory(dir, noWait)).rejects.toThrow(
      `in use by process ${pid} in another container or on another machine: stop it`,
    );
    expect(await ownerOf(dir)).toBe(pid);
    // What kill -9 leaves: the socket's file, and nobody behind it.
    const killed = spawn(process.execPath, [
      '-e',
      `require('net').createServer().listen(${JSON.stringify(join(dir, 'x.sock'))}, () =>
        process.kill(process.pid, 'SIGKILL'))`,
    ]);
    await once(killed, 'exit');
    await beacon!.close();
    await rename(join(dir, 'x.sock'), join(dir, beacon!.name));
    expect(await ownerOf(dir)).toBeUndefined();
    const release = await lockDirectory(dir, noWait);
    await release();
    expect(await readdir(dir)).toEqual([]);
  });

  test('is respected where there are no sockets as long as it is written', async () => {
    await put(elsewhere);
    const { timing, waited } = waiting(() => put(elsewhere));
    await expect(lockDirectory(dir, timing)).rejects.toThrow('in use by process');
    expect(waited[0]).toBeGreaterThan(10_000);
    expect(await ownerOf(dir)).toBe(pid);
  });

  test('is taken over when it is not written any more', async () => {
    await put({ ...elsewhere, started: 'another machine/1' });
    const { timing, waited } = waiting(() => Promise.resolve());
    const release = await lockDirectory(dir, timing);
    expect(waited).toHaveLength(1);
    await release();
  });

  test('is taken over at once when it was written long ago', async () => {
    await put({ ...elsewhere, started: 'before the reboot/1' });
    const longAgo = new Date(Date.now() - 20_000);
    await utimes(path(), longAgo, longAgo);
    const release = await lockDirectory(dir, noWait);
    expect(await ownerOf(dir)).toBe(process.pid);
    await release();
  });

  test('is written again and again', async () => {
    const release = await lockDirectory(dir, { ...noWait, beatMs: 1 });
    const content = await readFile(path(), 'utf8');
    const longAgo = new Date(0);
    await utimes(path(), longAgo, longAgo);
    await vi.waitFor(async () => expect((await stat(path())).mtimeMs).toBeGreaterThan(0));
    expect(await readFile(path(), 'utf8')).toBe(content);
    await release();
  });

  test('is found in a folder whose path is too long for a socket', async () => {
    const deep = join(dir, 'd'.repeat(120));
    await mkdir(deep);
    const release = await lockDirectory(deep, noWait);
    const { beacon } = JSON.parse(await readFile(join(deep, 'lock'), 'utf8')) as { beacon: string };
    expect(await isLit(deep, beacon)).toBe(true);
    await release();
    expect(await readdir(deep)).toEqual([]);
  });

  test.runIf(canUnshare)('is seen from another process id namespace', async () => {
    const release = await lockDirectory(dir);
    const lock = new URL('../../../dist/wal/lock.js', import.meta.url);
    const code = `import(${JSON.stringify(lock.href)})
      .then(({ lockDirectory }) => lockDirectory(${JSON.stringify(dir)}))
      .then(() => process.exit(0), (error) => { console.log(error.message); process.exit(7); });`;
    const attempt = (): { status: number | null; stdout: string } =>
      spawnSync(UNSHARE, ['--pid', '--fork', '--mount-proc', process.execPath, '-e', code], {
        encoding: 'utf8',
      });
    const refused = attempt();
    expect(refused.stdout).toContain(`in use by process ${process.pid} in another container`);
    expect(refused.status).toBe(7);
    await release();
    expect(attempt().status).toBe(0);
    // That one left without releasing, as a killed one does.
    const again = await lockDirectory(dir, noWait);
    await again();
  });
});

describe('The log on a real disk', () => {
  test('gives back after a restart what was appended before, byte for byte', async () => {
    const { logger } = recordingLogger();
    const options = {
      dir,
      config: smallConfig,
      clock: systemClock,
      logger,
      metrics: createMetrics(),
    };
    const wal = await Wal.open(options);
    const closed: ClosedSegment[] = [];
    wal.onClosed = (segment) => closed.push(segment);
    const meta = { rows: 5, days: new Map([[-1, 5]]), note: Buffer.from('n') };
    const blocks = ['one', 'two', 'three', 'four', 'five', 'six'];
    for (const block of blocks) await wal.append([Buffer.from(block), Buffer.from('|')], meta);
    await wal.remove(closed[0]!);
    await wal.close();
    const again = await Wal.open(options);
    const texts = await Promise.all(
      again.recovered.map(async ({ path, bytes }) =>
        (await readFile(path)).toString('utf8', 0, bytes),
      ),
    );
    expect(texts).toEqual(['three|four|', 'five|six|']);
    expect(again.recovered[0]?.days).toEqual(new Map([[-1, 10]]));
    expect(again.recoveredNotes()).toHaveLength(6);
    for (const segment of again.recovered) await again.remove(segment);
    await again.close();
  });
});
