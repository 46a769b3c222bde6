import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import { createMetrics } from '../../../src/telemetry/metrics.ts';
import { lockDirectory } from '../../../src/wal/lock.ts';
import { Wal, type ClosedSegment } from '../../../src/wal/wal.ts';
import { recordingLogger, smallConfig } from './log-fixture.ts';

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

  test('is won by exactly one of many that find it stale', async () => {
    await writeFile(join(dir, 'lock'), '');
    const tries = await Promise.allSettled(Array.from({ length: 8 }, () => lockDirectory(dir)));
    expect(tries.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
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
