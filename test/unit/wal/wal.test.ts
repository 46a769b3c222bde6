import { describe, expect, test } from 'vitest';
import { CodedError } from '../../../src/base/errors.ts';
import {
  appendBlock,
  collect,
  failing,
  segmentText,
  settle,
  splitBlocks,
  openWal,
  world,
} from './log-fixture.ts';
import type { Operation } from '../../simulation/simulated-disk.ts';

const codeOf = (error: unknown): string => (error instanceof CodedError ? error.code : 'other');

describe('An open segment', () => {
  test('is closed at the row limit, and the batch id changes with it', async () => {
    const { disk, clock } = world();
    const { wal } = await openWal(disk, clock);
    const closed = collect(wal);
    const blocks = [];
    for (let id = 0; id < 4; id++) blocks.push(await appendBlock(wal, id));
    expect(closed).toHaveLength(1);
    expect(closed[0]).toMatchObject({ rows: 12, recovered: false, firstAppendMs: clock.ms });
    expect(segmentText(disk, closed[0]!)).toBe(blocks.join(''));
    const next = wal.batchFor(1, 1);
    expect(await next).toBe(closed[0]!.batch + 1n);
    await wal.close();
  });

  test('is closed before a block that would exceed the byte limit', async () => {
    const { disk, clock } = world();
    const { wal } = await openWal(disk, clock);
    const closed = collect(wal);
    const first = await appendBlock(wal, 0, 3000);
    const second = await appendBlock(wal, 1, 3000);
    expect(closed.map((segment) => segmentText(disk, segment))).toEqual([first]);
    expect(second).not.toContain(String(closed[0]!.batch));
    await wal.close();
  });

  test('is not closed for the days of its rows', async () => {
    const { disk, clock } = world();
    const { wal } = await openWal(disk, clock, { segmentRowsMax: 1000 });
    const closed = collect(wal);
    for (let block = 0; block < 4; block++) {
      const days = new Map(Array.from({ length: 40 }, (_, day) => [day + 40 * block, 1]));
      await wal.append([Buffer.from(`<${block}>`)], { rows: 40, days, note: Buffer.alloc(0) });
    }
    expect(closed).toEqual([]);
    await wal.closeOpen();
    expect(closed.map((segment) => segment.days.size)).toEqual([160]);
    await wal.close();
  });

  test('takes a block over every limit when it is empty', async () => {
    const { disk, clock } = world();
    const { wal } = await openWal(disk, clock);
    const closed = collect(wal);
    const block = await appendBlock(wal, 0, 20_000, 5000);
    expect(segmentText(disk, closed[0]!)).toBe(block);
    await wal.close();
  });

  test('is closed by age, and an idle log has no timer', async () => {
    const { disk, clock } = world();
    const { wal } = await openWal(disk, clock);
    const closed = collect(wal);
    expect(clock.sleepers).toBe(0);
    await appendBlock(wal, 0);
    expect(clock.sleepers).toBe(1);
    await clock.advance(999);
    expect(closed).toHaveLength(0);
    await clock.advance(1);
    expect(closed).toHaveLength(1);
    expect(clock.sleepers).toBe(0);
    await wal.close();
  });

  test('stays open between batchFor and append, whatever asks for its end', async () => {
    const { disk, clock } = world();
    const { wal } = await openWal(disk, clock);
    const closed = collect(wal);
    await appendBlock(wal, 0);
    const batch = wal.batchFor(3, 60);
    const ended = wal.closeOpen();
    await clock.advance(2000);
    expect(closed).toHaveLength(0);
    await wal.append([Buffer.from('<1:x:>')], { rows: 3, days: new Map(), note: Buffer.alloc(0) });
    await ended;
    expect(closed.map((segment) => segment.batch)).toEqual([batch]);
    expect(splitBlocks(segmentText(disk, closed[0]!))).toHaveLength(2);
    await wal.close();
  });

  test('may be closed again once a promised append is given up', async () => {
    const { disk, clock } = world();
    const { wal } = await openWal(disk, clock);
    const closed = collect(wal);
    await appendBlock(wal, 0);
    await wal.batchFor(3, 60);
    const ended = wal.closeOpen();
    wal.releaseBatch();
    await ended;
    expect(closed).toHaveLength(1);
    await wal.close();
  });

  test('closes when its age is reached during its first append', async () => {
    const { disk, clock } = world();
    const { wal } = await openWal(disk, clock);
    const closed = collect(wal);
    await wal.batchFor(3, 50);
    const appended = wal.append([Buffer.from('<0:1:>')], {
      rows: 3,
      days: new Map(),
      note: Buffer.alloc(0),
    });
    await clock.advance(1000);
    await appended;
    await settle();
    expect(closed).toHaveLength(1);
    await wal.close();
  });

  test('has rows from the acknowledgement until it is closed', async () => {
    const { disk, clock } = world();
    const { wal } = await openWal(disk, clock);
    expect(wal.hasOpenRows).toBe(false);
    await appendBlock(wal, 0);
    expect(wal.hasOpenRows).toBe(true);
    await wal.closeOpen();
    expect(wal.hasOpenRows).toBe(false);
    await wal.close();
  });
});

describe('A failed write', () => {
  test.each<[Operation, string]>([
    ['write', '.native'],
    ['write', '.idx'],
    ['datasync', '.native'],
    ['datasync', '.idx'],
  ])('of %s on %s refuses the block and delivers those before it', async (operation, kind) => {
    const { disk, clock } = world();
    const { wal } = await openWal(disk, clock);
    const closed = collect(wal);
    const good = await appendBlock(wal, 0);
    await settle();
    failing(disk, operation, kind);
    await expect(appendBlock(wal, 1)).rejects.toMatchObject({ code: 'SCRUBJAY_ERR_WAL_FAILED' });
    const after = await appendBlock(wal, 2);
    expect(closed.map((segment) => segmentText(disk, segment))).toEqual([good]);
    expect(wal.admit()).toBeUndefined();
    await wal.close();
    const again = await openWal(disk, clock);
    expect(again.wal.recovered.map((segment) => segmentText(disk, segment))).toEqual([good, after]);
    await again.wal.close();
  });

  test('twice in a row stops the log until the disk takes a segment again', async () => {
    const { disk, clock } = world();
    const { wal } = await openWal(disk, clock);
    failing(disk, 'datasync', '', 'EIO', Number.POSITIVE_INFINITY);
    await appendBlock(wal, 0).catch(() => undefined);
    await appendBlock(wal, 1).catch(() => undefined);
    expect(wal.state().state).toBe('failed');
    expect(codeOf(wal.admit())).toBe('SCRUBJAY_ERR_WAL_FAILED');
    expect(wal.admit()?.message).toContain('EIO');
    disk.fault = () => undefined;
    await settle();
    expect(wal.admit()).toBeDefined();
    await clock.advance(60_000);
    expect(wal.admit()).toBeDefined();
    await settle();
    expect(wal.admit()).toBeUndefined();
    await appendBlock(wal, 2);
    await wal.close();
  });

  test('for want of space is full, not failed, and ends when there is space', async () => {
    const { disk, clock } = world();
    const { wal } = await openWal(disk, clock);
    const closed = collect(wal);
    const good = await appendBlock(wal, 0);
    await settle();
    failing(disk, 'write', '.native', 'ENOSPC', Number.POSITIVE_INFINITY);
    await expect(appendBlock(wal, 1)).rejects.toMatchObject({ code: 'SCRUBJAY_ERR_WAL_FULL' });
    await settle();
    expect(closed.map((segment) => segmentText(disk, segment))).toEqual([good]);
    expect(wal.state().state).toBe('full');
    expect(wal.admit()?.message).toContain('SCRUBJAY_WAL_MIN_FREE_BYTES');
    disk.fault = () => undefined;
    await clock.advance(60_000);
    wal.admit();
    await settle();
    expect(wal.admit()).toBeUndefined();
    await appendBlock(wal, 2);
    await wal.close();
  });

  test('never leads to a second sync of the same file', async () => {
    const { disk, clock } = world();
    const { wal } = await openWal(disk, clock);
    await appendBlock(wal, 0);
    await settle();
    const synced: string[] = [];
    let broken: string | undefined;
    disk.fault = (operation, path) => {
      if (operation !== 'datasync') return undefined;
      if (broken === undefined && path.endsWith('.native')) {
        broken = path;
        return { code: 'EIO', applied: false };
      }
      synced.push(path);
      return undefined;
    };
    await appendBlock(wal, 1).catch(() => undefined);
    await appendBlock(wal, 2);
    await wal.closeOpen();
    await wal.close();
    expect(synced).not.toContain(broken);
  });
});

describe('The budget', () => {
  test('goes from ok over spooling and brown-out to full, and names the setting', async () => {
    const { disk, clock } = world();
    const { wal } = await openWal(disk, clock, { walBytesMax: 10_000 });
    const closed = collect(wal);
    const states = [wal.state().state];
    for (let id = 0; wal.admit() === undefined; id++) {
      await appendBlock(wal, id, 900);
      await wal.closeOpen();
      states.push(wal.state().state);
    }
    expect([...new Set(states)]).toEqual(['ok', 'spooling', 'brown-out', 'full']);
    expect(wal.admit()?.message).toMatch(/limit 10000 \(SCRUBJAY_WAL_MAX_BYTES\)/);
    for (const segment of closed) await wal.remove(segment);
    expect(wal.state()).toMatchObject({ state: 'ok', bytes: 0, segments: 0 });
    expect(wal.state().oldestUnsentMs).toBeUndefined();
    await wal.close();
  });

  test('is full when the disk has less free than the minimum', async () => {
    const { disk, clock } = world();
    disk.capacityBytes = 500_000;
    const { wal } = await openWal(disk, clock, { freeBytesMin: 600_000 });
    expect(wal.admit()?.message).toContain('SCRUBJAY_WAL_MIN_FREE_BYTES');
    disk.capacityBytes = 2_000_000;
    await clock.advance(1000);
    wal.admit();
    await settle();
    expect(wal.admit()).toBeUndefined();
    await wal.close();
  });

  test('starts on a full disk and drains it', async () => {
    const { disk, clock } = world();
    const first = await openWal(disk, clock);
    const block = await appendBlock(first.wal, 0);
    await first.wal.close();
    const { wal } = await openWal(disk, clock, {});
    failing(disk, 'write', '', 'ENOSPC', Number.POSITIVE_INFINITY);
    expect(segmentText(disk, wal.recovered[0]!)).toBe(block);
    await wal.remove(wal.recovered[0]!);
    await wal.close();
  });

  test('tells the age of the oldest block that is not in storage', async () => {
    const { disk, clock } = world();
    const { wal } = await openWal(disk, clock);
    await appendBlock(wal, 0);
    await clock.advance(5000);
    await appendBlock(wal, 1);
    expect(wal.state()).toMatchObject({ oldestUnsentMs: 5000, segments: 2 });
    await wal.close();
  });
});

describe('A closed log', () => {
  test('refuses what still comes, and whoever waits for a segment', async () => {
    const { disk, clock } = world();
    const { wal } = await openWal(disk, clock);
    failing(disk, 'create', '.idx');
    await appendBlock(wal, 0, 50, 12);
    await settle();
    const waiting = wal.batchFor(1, 1);
    const isClosed = wal.close();
    await expect(waiting).rejects.toMatchObject({ code: 'SCRUBJAY_ERR_DRAINING' });
    await isClosed;
    await expect(appendBlock(wal, 1)).rejects.toMatchObject({ code: 'SCRUBJAY_ERR_DRAINING' });
  });
});
