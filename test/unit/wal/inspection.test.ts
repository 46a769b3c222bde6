/** What people see of the log, and what they put back into it. */
import { describe, expect, test } from 'vitest';
import { inspect, type LogReport } from '../../../src/wal/inspection/inspect.ts';
import { openLogFolder, type LogFolder } from '../../../src/wal/inspection/listing.ts';
import { retry } from '../../../src/wal/inspection/retry.ts';
import { verify } from '../../../src/wal/inspection/verify.ts';
import type { Wal } from '../../../src/wal/wal.ts';
import {
  appendBlock,
  collect,
  DIR,
  openWal,
  segmentText,
  settle,
  splitBlocks,
  world,
} from './log-fixture.ts';
import type { SimulatedDisk } from '../../simulation/simulated-disk.ts';

const open = (disk: SimulatedDisk, owner?: number): Promise<LogFolder> =>
  openLogFolder(disk.files(), DIR, async () => owner);

/** The blocks of these tests belong to the tenant that is their number. */
const tenantsOf = (head: Buffer): string[] => {
  const [, id] = /^<(\d+):/.exec(head.toString()) ?? [];
  if (id === undefined) throw new Error('not a block');
  return [`tenant-${id}`];
};

const statesOf = ({ segments }: LogReport): Record<string, string> =>
  Object.fromEntries(segments.map(({ name, state }) => [name.slice(-1), state]));

/** Segment 0 is in storage, 1 is closed, 2 is open. */
async function running() {
  const { disk, clock } = world();
  const { wal } = await openWal(disk, clock);
  const closed = collect(wal);
  for (let id = 0; id < 5; id++) {
    await appendBlock(wal, id);
    if (id < 4 && id % 2 === 1) await wal.closeOpen();
  }
  await settle();
  await wal.remove(closed[0]!);
  return { disk, clock, wal, closed };
}

function damage(disk: SimulatedDisk, path: string, at: number): void {
  const bytes = disk.content(path);
  bytes[at] = bytes[at]! ^ 1;
  disk.put(path, bytes);
}

const pathsOf = (disk: SimulatedDisk, end: string): string[] =>
  disk.paths().filter((path) => path.endsWith(end) && !path.includes('/corrupt/'));

describe('wal inspect', () => {
  test('shows the segments of a collector that runs', async () => {
    const { disk, wal } = await running();
    const report = await inspect(await open(disk, 7), tenantsOf);
    expect(report.owner).toBe(7);
    expect(statesOf(report)).toEqual({ 0: 'sent', 1: 'closed', 2: 'open', 3: 'ready' });
    const [sent, closed] = report.segments;
    expect(sent).toMatchObject({ blocks: 2, rows: 6, tenants: null });
    expect(closed).toMatchObject({
      blocks: 2,
      rows: 6,
      firstDay: '2024-10-04',
      lastDay: '2024-10-06',
      days: 2,
      tenants: ['tenant-2', 'tenant-3'],
      firstAppend: '2023-11-14T22:13:20.000Z',
    });
    await wal.close();
  });

  test('says of a log without a collector that storage must be asked', async () => {
    const { disk } = await running();
    disk.kill();
    const report = await inspect(await open(disk), tenantsOf);
    expect(statesOf(report)).toEqual({ 0: 'sent', 1: 'in doubt', 2: 'in doubt', 3: 'in doubt' });
  });

  test('shows what was set aside and why', async () => {
    const { disk, wal, closed } = await running();
    await wal.setAside(closed[1]!, 'storage refuses it');
    const { aside } = await inspect(await open(disk, 7), tenantsOf);
    expect(aside).toMatchObject([
      {
        rows: 6,
        why: { kind: 'refused', text: 'storage refuses it' },
        tenants: ['tenant-2', 'tenant-3'],
      },
    ]);
    await wal.close();
  });

  test('does not count the parts of a division that was cut off', async () => {
    const { disk, clock } = world();
    const { wal } = await openWal(disk, clock);
    const closed = collect(wal);
    await appendBlock(wal, 0);
    await wal.closeOpen();
    disk.fault = (operation) =>
      operation === 'rename' ? { code: 'EIO', applied: false } : undefined;
    const whole = { part: 0, rows: 3, days: new Map([[20_000, 3]]), bytes: Buffer.from('<0:x:>') };
    const divide = () => ({ parts: 1, rows: 3, cut: () => [whole] });
    await expect(wal.divide(closed[0]!, divide)).rejects.toThrow('EIO');
    expect(pathsOf(disk, '.native').filter((path) => path.includes('-of-'))).toHaveLength(1);
    disk.kill();
    const { segments } = await inspect(await open(disk), tenantsOf);
    expect(segments.map(({ rows }) => rows)).toEqual([3, 0]);
  });

  test('says where it looked when there is no log', async () => {
    const { disk } = world();
    await expect(open(disk)).rejects.toThrow(`There is no log in ${DIR}: set SCRUBJAY_DATA_DIR`);
  });
});

describe('wal verify', () => {
  test('finds a running and a killed log well', async () => {
    const { disk } = await running();
    const well = { segments: 2, blocks: 3, problems: [], remarks: [] };
    expect(await verify(await open(disk, 7))).toMatchObject(well);
    disk.kill();
    expect(await verify(await open(disk))).toMatchObject(well);
  });

  test('names each damaged block', async () => {
    const { disk } = await running();
    disk.kill();
    const [path = ''] = pathsOf(disk, '1.native');
    damage(disk, path, 3);
    const { problems, blocks } = await verify(await open(disk));
    const text = '1 of 2 blocks are damaged (3 spans), at byte 0';
    expect(problems).toEqual([{ file: path.slice(DIR.length + 1), text }]);
    expect(blocks).toBe(2);
  });

  test('does not call a write damage that was cut off, or that is under way', async () => {
    const { disk } = await running();
    const [path = ''] = pathsOf(disk, '2.native');
    damage(disk, path, 3);
    const writing = await verify(await open(disk, 7));
    expect(writing.remarks.map(({ text }) => text)).toEqual(['its last block is being written']);
    disk.kill();
    const { problems, remarks } = await verify(await open(disk));
    expect(problems).toEqual([]);
    expect(remarks.map(({ text }) => text)).toEqual([
      expect.stringContaining('cut off') as unknown,
    ]);
  });

  test.each([
    ['.idx', 'its side file is missing'],
    ['.native', 'the data file of its segment is missing: 6 spans are lost'],
  ])('says that a %s file is missing', async (kind, message) => {
    const { disk } = await running();
    disk.kill();
    disk.delete(pathsOf(disk, `1${kind}`)[0]!);
    const { problems } = await verify(await open(disk));
    expect(problems).toHaveLength(1);
    expect(problems[0]!.text).toContain(message);
  });

  test('says that a side file is damaged', async () => {
    for (const [at, message] of [
      [5, 'unreadable'],
      [30, 'damaged'],
    ] as const) {
      const { disk } = await running();
      disk.kill();
      damage(disk, pathsOf(disk, '1.idx')[0]!, at);
      const { problems } = await verify(await open(disk));
      expect(problems.map(({ text }) => text)).toEqual([
        expect.stringContaining(message) as unknown,
      ]);
    }
  });
});

describe('wal retry', () => {
  async function recovered(wal: Wal, disk: SimulatedDisk): Promise<string[]> {
    const ids = wal.recovered.flatMap((segment) => splitBlocks(segmentText(disk, segment)));
    return ids.map((block) => block.slice(1, block.indexOf(':'))).toSorted();
  }

  test('puts back what was refused, under its own batch id and in doubt', async () => {
    const { disk, clock, wal, closed } = await running();
    await wal.setAside(closed[1]!, 'storage refuses it');
    await wal.close();
    const { moved, left } = await retry(disk.files(), DIR);
    expect(moved.map(({ rows }) => rows)).toEqual([6]);
    expect(left).toEqual([]);
    expect(disk.paths().filter((path) => path.includes('/corrupt/'))).toEqual([]);
    disk.powerCut();
    const again = await openWal(disk, clock);
    expect(await recovered(again.wal, disk)).toEqual(['2', '3', '4']);
    expect(again.wal.recovered.map(({ batch }) => batch)).toContain(closed[1]!.batch);
    expect(again.wal.recovered.every((segment) => segment.recovered)).toBe(true);
    await again.wal.close();
  });

  test('leaves what is damaged, and says why', async () => {
    const { disk, clock } = await running();
    disk.kill();
    damage(disk, pathsOf(disk, '1.native')[0]!, 3);
    const { wal } = await openWal(disk, clock);
    expect(await recovered(wal, disk)).toEqual(['3', '4']);
    await wal.close();
    const { moved, left } = await retry(disk.files(), DIR);
    expect(moved).toEqual([]);
    expect(left.map(({ why }) => why)).toEqual([
      '1 of 2 blocks are damaged: what was whole is delivered already',
    ]);
  });

  test('leaves a refused segment whose bytes changed since', async () => {
    const { disk, wal, closed } = await running();
    await wal.setAside(closed[1]!, 'storage refuses it');
    await wal.close();
    const aside = disk.paths().find((path) => path.endsWith('.native') && path.includes('corrupt'));
    damage(disk, aside!, 3);
    const { moved, left } = await retry(disk.files(), DIR);
    expect(moved).toEqual([]);
    expect(left.map(({ why }) => why)).toEqual(['a block of it is damaged']);
  });

  test('puts back what was set aside in two steps, without a reason', async () => {
    const { disk, clock, wal, closed } = await running();
    disk.fault = (operation, path) =>
      operation === 'create' && path.endsWith('.why') ? { code: 'EIO', applied: false } : undefined;
    disk.killAt = 'rename';
    disk.killAfter = 2;
    await Promise.race([wal.setAside(closed[1]!, 'storage refuses it'), disk.killed]);
    disk.kill();
    const between = await openWal(disk, clock);
    expect(between.lines.filter(({ level }) => level === 'error')).toEqual([]);
    await between.wal.close();
    const { left } = await retry(disk.files(), DIR);
    expect(left).toEqual([]);
    const again = await openWal(disk, clock);
    expect(await recovered(again.wal, disk)).toEqual(['2', '3', '4']);
    await again.wal.close();
  });

  test('is refused while a collector runs', async () => {
    const { disk, wal } = await running();
    await expect(retry(disk.files(), DIR)).rejects.toThrow('is in use by process');
    await wal.close();
  });

  test('loses nothing when it is killed at any operation', async () => {
    for (let killAfter = 1; killAfter < 20; killAfter++) {
      for (const end of ['kill', 'powerCut'] as const) {
        const { disk, clock, wal, closed } = await running();
        await wal.setAside(closed[1]!, 'storage refuses it');
        await wal.close();
        disk.killAfter = killAfter;
        await Promise.race([retry(disk.files(), DIR), disk.killed]);
        disk[end]();
        const between = await openWal(disk, clock);
        await between.wal.close();
        const { left } = await retry(disk.files(), DIR);
        expect(left).toEqual([]);
        const again = await openWal(disk, clock);
        expect(await recovered(again.wal, disk)).toEqual(['2', '3', '4']);
        await again.wal.close();
      }
    }
  });
});
