import * as fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import {
  appendBlock,
  collect,
  counterValue,
  DIR,
  failing,
  ManualClock,
  openWal,
  segmentText,
  settle,
  smallConfig,
  splitBlocks,
  type LogLine,
} from './log-fixture.ts';
import { HEADER_BYTES } from '../../../src/wal/side-file.ts';
import { seeded } from '../../simulation/chance.ts';
import { SimulatedDisk } from '../../simulation/simulated-disk.ts';

vi.setConfig({ testTimeout: 60_000 });

interface Written {
  readonly files: ReadonlyMap<string, Buffer>;
  /** Blocks by segment. */
  readonly segments: readonly (readonly string[])[];
  readonly clock: ManualClock;
}

/** The files of a log that was killed, with so many blocks in each segment. */
async function writeLog(blocks: readonly number[]): Promise<Written> {
  const disk = new SimulatedDisk(() => 0.5);
  const clock = new ManualClock();
  const { wal } = await openWal(disk, clock, { segmentBytesMax: 4096 });
  const segments: string[][] = [];
  let id = 0;
  for (const [index, count] of blocks.entries()) {
    const texts: string[] = [];
    for (let n = 0; n < count; n++) texts.push(await appendBlock(wal, id++, 20, 1));
    segments.push(texts);
    if (index < blocks.length - 1) await wal.closeOpen();
  }
  await settle();
  disk.kill();
  return {
    files: new Map(disk.paths().map((path) => [path, disk.content(path)])),
    segments,
    clock,
  };
}

interface Outcome {
  readonly delivered: string[];
  readonly lines: LogLine[];
  readonly disk: SimulatedDisk;
  readonly corrupt: string[];
}

/** Recovers twice: the second time must give the very same segments. */
async function recoverWith(
  { files, clock }: Written,
  change: (files: Map<string, Buffer>) => void,
): Promise<Outcome> {
  const disk = new SimulatedDisk(() => 0.5);
  await disk.files().makeDirectory(DIR);
  const changed = new Map(files);
  change(changed);
  for (const [path, bytes] of changed) disk.put(path, bytes);
  const read = async (): Promise<{ texts: string[]; lines: LogLine[]; batches: bigint[] }> => {
    const { wal, lines } = await openWal(disk, clock);
    const texts = wal.recovered.map((segment) => segmentText(disk, segment));
    const batches = wal.recovered.map(({ batch }) => batch);
    for (const segment of wal.recovered) {
      expect(segment.recovered).toBe(true);
      expect(segment.rows).toBe(splitBlocks(segmentText(disk, segment)).length);
    }
    disk.powerCut();
    return { texts, lines, batches };
  };
  const first = await read();
  const second = await read();
  expect(second.texts).toEqual(first.texts);
  expect(second.batches).toEqual(first.batches);
  const corrupt = disk.paths().filter((path) => path.includes('/corrupt/'));
  return { delivered: first.texts.flatMap(splitBlocks), lines: first.lines, disk, corrupt };
}

const messages = (lines: readonly LogLine[]): string =>
  lines.map((line) => line.message).join('\n');

function pathOf(written: Written, kind: '.native' | '.idx', segment: number): string {
  const paths = [...written.files.keys()].filter((path) => path.endsWith(kind)).toSorted();
  return paths[segment] ?? '';
}

const flipped = (bytes: Buffer, at: number, bit = 0): Buffer => {
  const copy = Buffer.from(bytes);
  copy[at] = copy[at]! ^ (1 << bit);
  return copy;
};

describe('Recovery', () => {
  test('delivers every block of every segment, with its notes, and is quiet about it', async () => {
    const written = await writeLog([3, 2, 4]);
    const { delivered, lines, corrupt } = await recoverWith(written, () => undefined);
    expect(delivered).toEqual(written.segments.flat());
    expect(lines).toEqual([]);
    expect(corrupt).toEqual([]);
  });

  test('cuts a torn last block and says so', async () => {
    const written = await writeLog([2, 3]);
    const torn = await counterValue('torn');
    const { delivered, lines, corrupt } = await recoverWith(written, (files) => {
      const path = pathOf(written, '.native', 1);
      const end = written.segments[1]!.join('').length;
      files.set(path, flipped(files.get(path)!, end - 1));
    });
    expect(delivered).toEqual(written.segments.flat().slice(0, -1));
    expect(messages(lines)).toMatch(/torn.*discarded/);
    expect((await counterValue('torn')) - torn).toBe(written.segments[1]!.at(-1)!.length);
    expect(corrupt).toEqual([]);
  });

  test('delivers the blocks around a bad one, which is set aside', async () => {
    const written = await writeLog([3, 1]);
    const before = await counterValue('corrupt');
    const { delivered, lines, corrupt } = await recoverWith(written, (files) => {
      const path = pathOf(written, '.native', 0);
      files.set(path, flipped(files.get(path)!, written.segments[0]![0]!.length + 5));
    });
    const [one, bad, three] = written.segments[0]!;
    expect(delivered).toEqual([one, three, ...written.segments[1]!]);
    expect(messages(lines)).toMatch(/corrupt/);
    expect((await counterValue('corrupt')) - before).toBe(bad!.length);
    expect(corrupt).toHaveLength(3);
  });

  test('reads past a damaged side record', async () => {
    const written = await writeLog([3, 1]);
    const { delivered, corrupt } = await recoverWith(written, (files) => {
      const path = pathOf(written, '.idx', 0);
      const side = files.get(path)!;
      files.set(path, flipped(side, side.indexOf('SJBL', 30) + 20));
    });
    const [one, , three] = written.segments[0]!;
    expect(delivered).toEqual([one, three, ...written.segments[1]!]);
    expect(corrupt).toHaveLength(3);
  });

  test.each([
    ['missing', (files: Map<string, Buffer>, path: string) => files.delete(path)],
    [
      'unreadable',
      (files: Map<string, Buffer>, path: string) => files.set(path, flipped(files.get(path)!, 9)),
    ],
    [
      'of another segment',
      (files: Map<string, Buffer>, path: string) => {
        const other = [...files.keys()].findLast((name) => name.endsWith('.idx'))!;
        return files.set(path, files.get(other)!);
      },
    ],
  ])('never delivers data whose side file is %s', async (_, damage) => {
    const written = await writeLog([2, 2]);
    const { delivered, corrupt, lines } = await recoverWith(written, (files) => {
      damage(files, pathOf(written, '.idx', 0));
    });
    expect(delivered).toEqual(written.segments[1]);
    expect(corrupt).toContain(pathOf(written, '.native', 0).replace(DIR, `${DIR}/corrupt`));
    expect(messages(lines)).toMatch(/side file .* missing or unreadable/);
  });

  test('is quiet about an empty segment that was half deleted', async () => {
    const written = await writeLog([1]);
    const { delivered, lines, corrupt } = await recoverWith(written, (files) => {
      files.delete(pathOf(written, '.native', 0));
      const path = pathOf(written, '.idx', 0);
      const side = Buffer.alloc(4096);
      files.get(path)!.copy(side, 0, 0, HEADER_BYTES);
      // Of a torn record only the middle has reached the disk.
      side.fill(7, HEADER_BYTES + 64, HEADER_BYTES + 80);
      files.set(path, side);
    });
    expect(delivered).toEqual([]);
    expect(lines).toEqual([]);
    expect(corrupt).toEqual([]);
  });

  test('says that a data file is missing', async () => {
    const written = await writeLog([2, 2]);
    const { delivered, lines } = await recoverWith(written, (files) => {
      files.delete(pathOf(written, '.native', 0));
    });
    expect(delivered).toEqual(written.segments[1]);
    expect(messages(lines)).toMatch(/data file .* missing/);
  });

  test.each(['.native', '.idx'] as const)('ignores garbage behind the end of %s', async (kind) => {
    const written = await writeLog([2, 2]);
    const { delivered, lines } = await recoverWith(written, (files) => {
      const path = pathOf(written, kind, 0);
      files.set(path, Buffer.concat([files.get(path)!, Buffer.from('garbage '.repeat(99))]));
    });
    expect(delivered).toEqual(written.segments.flat());
    expect(messages(lines)).toMatch(kind === '.idx' ? /no record: ignored/ : /discarded/);
  });

  test('keeps the whole blocks of a data file cut at any byte, and says so', async () => {
    const written = await writeLog([2, 3]);
    for (const segment of [0, 1]) {
      const blocks = written.segments[segment]!;
      const path = pathOf(written, '.native', segment);
      for (let size = 0; size < blocks.join('').length; size++) {
        const { delivered, lines } = await recoverWith(written, (files) => {
          files.set(path, files.get(path)!.subarray(0, size));
        });
        const whole = blocks.filter((_, n) => blocks.slice(0, n + 1).join('').length <= size);
        const other = written.segments[1 - segment]!;
        expect(delivered).toEqual(segment === 0 ? [...whole, ...other] : [...other, ...whole]);
        expect(messages(lines)).toMatch(/truncated/);
      }
    }
  });

  test('keeps the blocks of the whole records of a side file cut at any byte', async () => {
    const written = await writeLog([2, 3]);
    for (const segment of [0, 1]) {
      const path = pathOf(written, '.idx', segment);
      const side = written.files.get(path)!;
      for (let size = 0; size < Math.min(side.byteLength, 420); size++) {
        const { delivered } = await recoverWith(written, (files) => {
          files.set(path, side.subarray(0, size));
        });
        const blocks = delivered.filter((block) => written.segments[segment]!.includes(block));
        expect(blocks).toEqual(written.segments[segment]!.slice(0, blocks.length));
        const rest = delivered.filter((block) => !blocks.includes(block));
        expect(rest).toEqual(written.segments[1 - segment]);
      }
    }
  });

  test('never delivers altered bytes and loses at most one block to one flipped bit', async () => {
    const written = await writeLog([3, 3, 2]);
    const all = written.segments.flat();
    const paths = [...written.files.keys()].filter((path) => path.includes('/seg-'));
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...paths),
        fc.nat({ max: 600 }),
        fc.nat({ max: 7 }),
        async (path, at, bit) => {
          const bytes = written.files.get(path)!;
          fc.pre(at < bytes.byteLength);
          const { delivered } = await recoverWith(written, (files) => {
            files.set(path, flipped(bytes, at, bit));
          });
          expect(all.filter((block) => delivered.includes(block))).toEqual(delivered);
          const isHeader = path.endsWith('.idx') && at < 24;
          expect(delivered.length).toBeGreaterThanOrEqual(all.length - (isHeader ? 3 : 1));
        },
      ),
      { numRuns: 400 },
    );
  });

  test('never delivers what was not appended, whatever the files hold', async () => {
    const written = await writeLog([3, 3]);
    const all = written.segments.flat();
    const edit = fc.record({
      file: fc.nat(),
      at: fc.nat({ max: 800 }),
      bytes: fc.uint8Array({ minLength: 1, maxLength: 120 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(edit, { minLength: 1, maxLength: 4 }), async (edits) => {
        const { delivered } = await recoverWith(written, (files) => {
          const paths = [...files.keys()].filter((path) => path.includes('/seg-'));
          for (const { file, at, bytes } of edits) {
            const path = paths[file % paths.length]!;
            const copy = Buffer.alloc(Math.max(files.get(path)!.byteLength, at + bytes.byteLength));
            copy.set(files.get(path)!);
            copy.set(bytes, at);
            files.set(path, copy);
          }
        });
        expect(all.filter((block) => delivered.includes(block))).toEqual(delivered);
      }),
      { numRuns: 300 },
    );
  });

  test('repairs to the same segments when it is killed at any of its operations', async () => {
    const written = await writeLog([3, 3]);
    const path = pathOf(written, '.native', 0);
    const [one, , three] = written.segments[0]!;
    for (let killAfter = 1; killAfter < 60; killAfter++) {
      const disk = new SimulatedDisk(() => ((killAfter * 7919) % 97) / 97);
      await disk.files().makeDirectory(DIR);
      for (const [name, bytes] of written.files) disk.put(name, bytes);
      disk.put(path, flipped(written.files.get(path)!, one!.length + 3));
      disk.killAfter = killAfter;
      await Promise.race([openWal(disk, written.clock), disk.killed]);
      disk.powerCut();
      const { wal } = await openWal(disk, written.clock);
      const texts = wal.recovered.map((segment) => segmentText(disk, segment));
      expect(texts.flatMap(splitBlocks)).toEqual([one, three, ...written.segments[1]!]);
      disk.kill();
    }
  });

  test('keeps a block of which an earlier start could not sync the file', async () => {
    const disk = new SimulatedDisk(() => 0.5);
    const clock = new ManualClock();
    const { wal } = await openWal(disk, clock);
    await appendBlock(wal, 0);
    await settle();
    // Both writes reach the page cache, the sync is never made.
    disk.killAfter = 3;
    await Promise.race([appendBlock(wal, 1), disk.killed]);
    disk.kill();
    failing(disk, 'datasync', '.native');
    await expect(openWal(disk, clock)).rejects.toMatchObject({ code: 'SCRUBJAY_ERR_START' });
    const second = await openWal(disk, clock);
    expect(second.wal.recovered.map(({ rows }) => rows)).toEqual([6]);
    disk.powerCut();
    const third = await openWal(disk, clock);
    expect(third.wal.recovered.map(({ rows }) => rows)).toEqual([6]);
    expect(third.lines).toEqual([]);
  });

  test('never leaves a stored data file without its side file, whenever the power fails', async () => {
    for (let seed = 1; seed <= 60; seed++) {
      const disk = new SimulatedDisk(seeded(seed));
      const clock = new ManualClock();
      const { wal } = await openWal(disk, clock);
      const closed = collect(wal);
      await appendBlock(wal, 0);
      await wal.closeOpen();
      const { path } = closed[0]!;
      const bytes = disk.content(path);
      await wal.remove(closed[0]!);
      await wal.close();
      // Its move into the pool has not reached the disk.
      disk.put(path, bytes);
      await clock.advance(smallConfig.notesKeptMs + 1);
      disk.killAfter = 8 + (seed % 12);
      await Promise.race([openWal(disk, clock), disk.killed]);
      disk.powerCut();
      await openWal(disk, clock);
      expect(disk.paths().filter((name) => name.includes('/corrupt/'))).toEqual([]);
    }
  });
});
