/** The promise under every kind of crash that the simulated disk knows. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CodedError } from '../../../src/base/errors.ts';
import type { Divide } from '../../../src/wal/division.ts';
import type { ClosedSegment, Wal } from '../../../src/wal/wal.ts';
import { appendBlock, ManualClock, openWal, segmentText, splitBlocks } from './log-fixture.ts';
import { seeded } from '../../simulation/chance.ts';
import { SimulatedDisk, type Operation } from '../../simulation/simulated-disk.ts';

interface Round {
  readonly appends: number;
  readonly killAfter: number;
  readonly end: 'kill' | 'power-cut' | 'close';
  readonly faultEvery: number;
  readonly faultCode: 'EIO' | 'ENOSPC';
  readonly removes: number;
}

const rounds = fc.array(
  fc.record<Round>({
    appends: fc.integer({ min: 0, max: 30 }),
    killAfter: fc.oneof(fc.integer({ min: 1, max: 400 }), fc.constant(Number.MAX_SAFE_INTEGER)),
    end: fc.constantFrom('kill', 'power-cut', 'close'),
    faultEvery: fc.oneof(fc.constant(0), fc.integer({ min: 8, max: 60 })),
    faultCode: fc.constantFrom('EIO', 'ENOSPC'),
    removes: fc.double({ min: 0, max: 1, noNaN: true }),
  }),
  { minLength: 1, maxLength: 6 },
);

const FAULTY: ReadonlySet<Operation> = new Set<Operation>([
  'write',
  'datasync',
  'create',
  'rename',
  'syncDirectory',
]);

/** What stays of a block when its segment is divided. */
const idOf = (block: string): string => block.slice(0, block.indexOf(':'));

/** Storage and client of one run: what was sent, what was acknowledged, what was inserted. */
class World {
  readonly clock = new ManualClock();
  readonly disk: SimulatedDisk;
  readonly sent = new Set<string>();
  readonly acknowledged = new Set<string>();
  readonly stored = new Map<bigint, string>();
  /** Broken promises, in words. */
  readonly problems: string[] = [];
  readonly random: () => number;
  #id = 0;

  constructor(seed: number) {
    this.random = seeded(seed);
    this.disk = new SimulatedDisk(this.random);
  }

  /** As the ingester: a batch is inserted once, and read back when in doubt. */
  insert(segment: ClosedSegment): void {
    const text = segmentText(this.disk, segment);
    const before = this.stored.get(segment.batch);
    const blocks = splitBlocks(text);
    this.check((before ?? text) === text, `batch ${segment.batch} changed`);
    this.check(blocks.join('') === text, `batch ${segment.batch} holds other bytes`);
    const isOwn = (block: string): boolean => block.split(':')[1] === String(segment.batch);
    this.check(blocks.every(isOwn), `batch ${segment.batch} holds blocks of another`);
    const rows = [...segment.days.values()].reduce((sum, count) => sum + count, 0);
    this.check(segment.rows === blocks.length * 3, `batch ${segment.batch} counts other rows`);
    this.check(rows === segment.rows, `batch ${segment.batch} counts other days`);
    this.stored.set(segment.batch, text);
  }

  /** Each block goes to some part. */
  readonly division: Divide = (blockRows) => ({
    parts: 3,
    rows: 3 * blockRows.length,
    cut: (block, batches) => {
      const part = Math.floor(this.random() * 3);
      const text = block.toString().replace(/:\d+:/, `:${batches[part]}:`);
      const days = new Map([[20_000, 3]]);
      return [{ part, rows: 3, days, bytes: Buffer.from(text) }];
    },
  });

  check(holds: boolean, problem: string): void {
    if (!holds) this.problems.push(problem);
  }

  async append(wal: Wal): Promise<void> {
    const id = this.#id++;
    const padding = Math.floor(this.random() * 300);
    const text = appendBlock(wal, id, padding).then(
      (block) => this.acknowledged.add(idOf(block)),
      () => undefined,
    );
    this.sent.add(`<${id}`);
    await text;
  }

  async run(round: Round): Promise<void> {
    const { disk, clock, random } = this;
    let until = round.faultEvery;
    disk.killAfter = round.killAfter;
    const { wal } = await openWal(disk, clock, {}, random);
    disk.fault = (operation) => {
      if (round.faultEvery === 0 || !FAULTY.has(operation) || --until > 0) return undefined;
      until = Math.ceil(random() * round.faultEvery);
      return { code: round.faultCode, applied: random() < 0.5 };
    };
    const waiting: ClosedSegment[] = [...wal.recovered];
    wal.onClosed = (segment) => waiting.push(segment);
    const dividing = new Set<ClosedSegment>();
    const drain = async (share: number): Promise<void> => {
      for (const segment of waiting.splice(0)) {
        if (random() > share) {
          waiting.push(segment);
          continue;
        }
        if (dividing.has(segment) || (random() < 0.3 && !this.stored.has(segment.batch))) {
          dividing.add(segment);
          const parts = await wal.divide(segment, this.division).catch(() => [segment]);
          waiting.push(...parts);
          continue;
        }
        this.insert(segment);
        if (random() < 0.8) await wal.remove(segment).catch(() => waiting.push(segment));
        else waiting.push(segment);
      }
    };
    for (let n = 0; n < round.appends; n++) {
      wal.admit();
      await this.append(wal);
      if (random() < 0.3) clock.ms += 700;
      if (random() < 0.1) await clock.advance(1000);
      if (random() < 0.1) await wal.closeOpen();
      if (random() < 0.3) await drain(round.removes);
    }
    if (round.end === 'close') await wal.close();
  }
}

async function live(seed: number, plan: readonly Round[]): Promise<string[]> {
  const world = new World(seed);
  for (const round of plan) {
    await Promise.race([
      world.run(round).catch((error: unknown) => {
        // A disk that fails at the start stops the start; nothing else may throw.
        if (!(error instanceof CodedError) || error.code !== 'SCRUBJAY_ERR_START') throw error;
      }),
      world.disk.killed,
    ]);
    if (round.end === 'power-cut') world.disk.powerCut();
    else world.disk.kill();
  }
  const { wal } = await openWal(world.disk, world.clock);
  for (const segment of wal.recovered) {
    world.insert(segment);
    await wal.remove(segment);
  }
  const delivered = [...world.stored.values()].flatMap(splitBlocks).map(idOf);
  world.check(new Set(delivered).size === delivered.length, 'a block came twice');
  const unknown = delivered.filter((block) => !world.sent.has(block));
  world.check(unknown.length === 0, `blocks that nobody sent: ${unknown.join(' ')}`);
  const found = new Set(delivered);
  const lost = [...world.acknowledged].filter((block) => !found.has(block));
  world.check(lost.length === 0, `acknowledged and lost: ${lost.join(' ')}`);
  const aside = world.disk.paths().filter((path) => path.includes('corrupt'));
  world.check(aside.length === 0, `false alarms: ${aside.join(' ')}`);
  await wal.close();
  return world.problems;
}

describe('The log under crashes', () => {
  test('delivers every acknowledged block exactly once and never another one', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer(), rounds, async (seed, plan) => {
        expect(await live(seed, plan)).toEqual([]);
      }),
      { numRuns: Number(process.env['WAL_RUNS'] ?? 300) },
    );
  }, 120_000);

  test('survives a kill at every single operation of a short life', async () => {
    const calm = { faultEvery: 0, faultCode: 'EIO', removes: 0.7 } as const;
    for (let killAfter = 1; killAfter < 260; killAfter++) {
      for (const end of ['kill', 'power-cut'] as const) {
        const first: Round = { ...calm, appends: 14, killAfter, end };
        const second = { ...first, appends: 3, killAfter: 40 };
        expect(await live(killAfter, [first, second])).toEqual([]);
      }
    }
  }, 120_000);
});
