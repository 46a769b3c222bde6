import { describe, expect, test } from 'vitest';
import { seeded } from '../../simulation/chance.ts';
import { SimulatedDisk } from '../../simulation/simulated-disk.ts';
import {
  appendBlock,
  collect,
  failing,
  ManualClock,
  settle,
  smallConfig,
  DIR,
  openWal,
  world,
} from './log-fixture.ts';

describe('What was appended', () => {
  test('can be read as long as its segment is in the log', async () => {
    const { disk, clock } = world();
    const { wal } = await openWal(disk, clock);
    const closed = collect(wal);
    const batch = await wal.batchFor(1, 10);
    wal.releaseBatch();
    await appendBlock(wal, 0);
    const content = (await wal.read(batch, 0, 4))!;
    const all = Buffer.concat([content, (await wal.read(batch, 4, 6))!]);
    expect(all).toEqual(await wal.read(batch, 0, 10));
    await wal.closeOpen();
    expect(await wal.read(batch, 0, 4)).toEqual(content);
    expect(await wal.read(batch + 1n, 0, 4)).toBeUndefined();
    // Asked for while it leaves: its file may serve another segment before the answer is there.
    const late = wal.read(batch, 0, 4);
    const removed = wal.remove(closed[0]!);
    const later = wal.read(batch, 0, 4);
    await removed;
    for (const read of [await late, await later]) expect([content, undefined]).toContainEqual(read);
    expect(await wal.read(batch, 0, 4)).toBeUndefined();
    await wal.close();
  });
});

describe('A removed segment', () => {
  test('is not delivered again, its file serves a later one, its notes are kept', async () => {
    const { disk, clock } = world();
    const { wal } = await openWal(disk, clock);
    const closed = collect(wal);
    for (let id = 0; id < 4; id++) await appendBlock(wal, id);
    await wal.remove(closed[0]!);
    expect(disk.paths().some((path) => path.includes('pool-'))).toBe(true);
    for (let id = 4; id < 12; id++) await appendBlock(wal, id);
    expect(disk.paths().some((path) => path.includes('pool-'))).toBe(false);
    await wal.close();
    const again = await openWal(disk, clock);
    const notes = again.wal.recoveredNotes().map(({ note }) => Buffer.from(note).toString());
    expect(notes.toSorted()).toEqual(
      Array.from({ length: 12 }, (_, id) => `note-${id}`).toSorted(),
    );
    expect(again.wal.recovered.map(({ batch }) => batch)).toEqual(
      closed.slice(1).map(({ batch }) => batch),
    );
    await again.wal.close();
  });

  test('gives its side file up when its notes are too old', async () => {
    const { disk, clock } = world();
    const { wal } = await openWal(disk, clock);
    const closed = collect(wal);
    const sides = (): string[] => disk.paths().filter((path) => path.endsWith('.sent'));
    for (let id = 0; id < 2; id++) {
      await appendBlock(wal, id);
      await wal.closeOpen();
      await wal.remove(closed[id]!);
      expect(sides()).toHaveLength(1);
      await clock.advance(smallConfig.notesKeptMs + 1);
    }
    await wal.close();
    const again = await openWal(disk, clock);
    expect(sides()).toEqual([]);
    expect(again.wal.recoveredNotes()).toEqual([]);
    await again.wal.close();
  });

  test('stays in the books when the disk refuses, and can be removed later', async () => {
    const { disk, clock } = world();
    const { wal } = await openWal(disk, clock);
    const closed = collect(wal);
    await appendBlock(wal, 0);
    await wal.closeOpen();
    await settle();
    failing(disk, 'syncDirectory', '');
    await expect(wal.remove(closed[0]!)).rejects.toMatchObject({ code: 'SCRUBJAY_ERR_WAL_FAILED' });
    expect(wal.state().segments).toBe(1);
    await wal.remove(closed[0]!);
    expect(wal.state().segments).toBe(0);
    await wal.close();
  });

  test('set aside is in corrupt/ with both files and the reason, and not in the log', async () => {
    const { disk, clock } = world();
    const { wal, lines } = await openWal(disk, clock);
    const closed = collect(wal);
    await appendBlock(wal, 0);
    await wal.closeOpen();
    await wal.setAside(closed[0]!, 'storage refuses it');
    const aside = disk.paths().filter((path) => path.includes('/corrupt/'));
    expect(aside).toHaveLength(3);
    expect(disk.content(aside.at(-1)!).toString()).toContain('storage refuses it');
    expect(lines.at(-1)?.fields).toMatchObject({ why: 'storage refuses it', rows: 3 });
    await wal.close();
    const again = await openWal(disk, clock);
    expect(again.wal.recovered).toEqual([]);
    await again.wal.close();
  });

  test('is in the log or set aside with both files, whenever the power fails', async () => {
    for (let seed = 1; seed <= 60; seed++) {
      const disk = new SimulatedDisk(seeded(seed));
      const clock = new ManualClock();
      const { wal } = await openWal(disk, clock);
      const closed = collect(wal);
      await appendBlock(wal, 0);
      await wal.closeOpen();
      await settle();
      disk.killAfter = 1 + (seed % 12);
      await Promise.race([wal.setAside(closed[0]!, 'storage refuses it'), disk.killed]);
      disk.powerCut();
      const again = await openWal(disk, clock);
      const aside = disk.paths().filter((path) => /\/corrupt\/.*(?<!\.why)$/.test(path));
      expect([again.wal.recovered.length, aside.length]).toEqual(
        aside.length > 0 ? [0, 2] : [1, 0],
      );
      expect(again.lines.filter(({ message }) => message.includes('lost'))).toEqual([]);
    }
  });

  test('set aside is known by the notes of its whole blocks at the next start', async () => {
    const { disk, clock } = world();
    const { wal } = await openWal(disk, clock);
    const closed = collect(wal);
    for (let id = 0; id < 3; id++) await appendBlock(wal, id);
    await wal.closeOpen();
    await wal.setAside(closed[0]!, 'storage refuses it');
    await wal.close();
    const path = disk.paths().find((name) => /corrupt.*native$/.test(name))!;
    const bytes = disk.content(path);
    // Its text begins with "<0:": the first block is damaged, so its body may come again.
    bytes[0] = 0;
    disk.put(path, bytes);
    const again = await openWal(disk, clock);
    const notes = again.wal.recoveredNotes().map(({ note }) => Buffer.from(note).toString());
    expect(notes).toEqual(['note-1', 'note-2']);
    await again.wal.close();
    await clock.advance(smallConfig.notesKeptMs + 1);
    const later = await openWal(disk, clock);
    expect(later.wal.recoveredNotes()).toEqual([]);
    await later.wal.close();
  });
});

describe('A divided segment', () => {
  const parts = (rows: number, ...texts: string[]) => ({
    parts: texts.length,
    rows,
    cut: () =>
      texts.map((text, part) => {
        const days = new Map([[20_000, 1]]);
        return { part, rows: 1, days, bytes: Buffer.from(text) };
      }),
  });

  test('is replaced by its parts, in the books too, and keeps its notes', async () => {
    const { disk, clock } = world();
    const { wal } = await openWal(disk, clock);
    const closed = collect(wal);
    await appendBlock(wal, 0);
    await wal.closeOpen();
    const made = await wal.divide(closed[0]!, () => parts(2, 'one', 'two'));
    expect(made.map(({ path, bytes }) => disk.content(path).toString('utf8', 0, bytes))).toEqual([
      'one',
      'two',
    ]);
    expect(wal.state()).toMatchObject({ segments: 2, bytes: 6 });
    await wal.remove(made[0]!);
    disk.kill();
    const again = await openWal(disk, clock);
    expect(again.wal.recovered.map(({ batch, rows }) => [batch, rows])).toEqual([
      [made[1]!.batch, 1],
    ]);
    const notes = again.wal.recoveredNotes().map(({ note }) => Buffer.from(note).toString());
    expect(notes.filter((note) => note !== '')).toEqual(['note-0']);
    await again.wal.close();
  });

  test('stays as it is when its parts have other rows than they should', async () => {
    const { disk, clock } = world();
    const { wal } = await openWal(disk, clock);
    const closed = collect(wal);
    const block = await appendBlock(wal, 0);
    await wal.closeOpen();
    await expect(wal.divide(closed[0]!, () => parts(3, 'one', 'two'))).rejects.toThrow('the rows');
    // What was written of the parts must not come to life when it leaves the log.
    await wal.setAside(closed[0]!, 'storage refuses it');
    expect(disk.paths().filter((path) => path.includes('-of-'))).toEqual([]);
    const aside = disk.paths().find((path) => path.endsWith('.native') && path.includes('corrupt'));
    expect(disk.content(aside!).toString()).toContain(block);
    await wal.close();
  });

  test('is divided later when the disk fails, and its parts count once', async () => {
    for (const operation of ['create', 'write', 'datasync', 'rename', 'syncDirectory'] as const) {
      const { disk, clock } = world();
      const { wal } = await openWal(disk, clock);
      const closed = collect(wal);
      await appendBlock(wal, 0);
      await wal.closeOpen();
      await settle();
      failing(disk, operation, '');
      const divide = () => parts(2, 'one', 'two');
      await expect(wal.divide(closed[0]!, divide)).rejects.toMatchObject({
        code: 'SCRUBJAY_ERR_WAL_FAILED',
      });
      expect((await wal.divide(closed[0]!, divide)).map(({ rows }) => rows)).toEqual([1, 1]);
      disk.kill();
      const again = await openWal(disk, clock);
      expect(again.wal.recovered).toHaveLength(2);
      await again.wal.close();
    }
  });

  test('leaves no data file without its side file when the disk fails', async () => {
    const { disk, clock } = world();
    const { wal } = await openWal(disk, clock);
    const closed = collect(wal);
    await appendBlock(wal, 0);
    await wal.closeOpen();
    await settle();
    failing(disk, 'remove', closed[0]!.path);
    const made = await wal.divide(closed[0]!, () => parts(1, 'one'));
    await clock.advance(smallConfig.notesKeptMs + 1);
    await wal.remove(made[0]!);
    disk.kill();
    const { wal: again, lines } = await openWal(disk, clock);
    expect(lines.filter(({ level }) => level === 'error')).toEqual([]);
    await again.close();
    expect(disk.paths().filter((path) => path.endsWith('.native'))).toEqual([]);
  });
});

describe('The start', () => {
  test('raises the epoch each time and keeps the node', async () => {
    const { disk, clock } = world();
    const batches: bigint[] = [];
    for (let start = 0; start < 3; start++) {
      const { wal } = await openWal(disk, clock);
      batches.push(await wal.batchFor(1, 1));
      await wal.close();
    }
    const [first = 0n, second, third] = batches;
    expect(second).toBe(first + (1n << 32n));
    expect(third).toBe(first + (2n << 32n));
  });

  test('draws another node id when the epochs wrap and skips epochs of files', async () => {
    const { disk, clock } = world();
    const node = Buffer.from('{"node":7,"epoch":65535}\n');
    disk.put(`${DIR}/node.json`, node);
    disk.put(`${DIR}/corrupt/seg-0000-00000003.native`, Buffer.from('x'));
    await disk.files().makeDirectory(`${DIR}/corrupt`);
    const { wal } = await openWal(disk, clock);
    const batch = await wal.batchFor(1, 1);
    expect((batch >> 32n) & 0xffffn).toBe(1n);
    expect(batch >> 48n).not.toBe(7n);
    await wal.close();
  });

  test('refuses a folder that is in use', async () => {
    const { disk, clock } = world();
    const { wal } = await openWal(disk, clock);
    await expect(openWal(disk, clock)).rejects.toMatchObject({ code: 'SCRUBJAY_ERR_START' });
    await wal.close();
    const again = await openWal(disk, clock);
    await again.wal.close();
  });

  test('says what the disk answered when the folder cannot be opened', async () => {
    const { disk, clock } = world();
    failing(disk, 'create', 'node.json', 'EROFS');
    await expect(openWal(disk, clock)).rejects.toThrow(/cannot be opened \(EROFS\)/);
  });

  test('leaves no prepared files behind at the end', async () => {
    const { disk, clock } = world();
    const { wal } = await openWal(disk, clock);
    await wal.batchFor(1, 1);
    await wal.close();
    expect(disk.paths()).toEqual([`${DIR}/node.json`]);
  });
});
