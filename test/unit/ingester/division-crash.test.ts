/** The real log on a mean disk, a storage that refuses some rows, and a kill at every moment. */
import { describe, expect, test } from 'vitest';
import { Ingester } from '../../../src/ingester/ingester.ts';
import {
  StorageError,
  type BlockCutter,
  type BlockEncoder,
  type InsertSource,
  type SpanWriter,
} from '../../../src/storage/contract.ts';
import { Ledger } from '../../../src/telemetry/ledger.ts';
import { createMetrics } from '../../../src/telemetry/metrics.ts';
import { Wal } from '../../../src/wal/wal.ts';
import { noTracer } from '../no-tracer.ts';
import { seeded } from '../../simulation/chance.ts';
import { SimulatedDisk } from '../../simulation/simulated-disk.ts';
import { smallConfig } from '../wal/log-fixture.ts';
import { addRows, FakeClock, FakeLogger, LIMITS, noteOf, settle } from './fakes.ts';

const DIR = '/data/wal';
const METRICS = createMetrics();
const DAYS = 3;

interface Row {
  readonly batch: string;
  readonly id: number;
  readonly day: number;
}

const encodeRows = (rows: readonly Row[]): Buffer =>
  Buffer.from(rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
const decodeRows = (bytes: Buffer): Row[] =>
  bytes
    .toString()
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Row);

const cutter: BlockCutter = {
  open: (block) => {
    const rows = decodeRows(block);
    return {
      days: rows.map(({ day }) => day),
      take: (picks, batch) =>
        encodeRows(picks.map((pick) => ({ ...rows[pick]!, batch: String(batch) }))),
    };
  },
};

const never = (): Promise<never> => new Promise(() => undefined);

/** Days are atomic; a call may be cut before, between or behind them. */
class Storage {
  readonly rows: Row[] = [];
  readonly problems: string[] = [];
  readonly #disk: SimulatedDisk;
  readonly #random: () => number;
  readonly #isBad: (id: number) => boolean;
  #life = 0;

  constructor(disk: SimulatedDisk, random: () => number, isBad: (id: number) => boolean) {
    this.#disk = disk;
    this.#random = random;
    this.#isBad = isBad;
  }

  /** For one process: its calls end with it. */
  connect(): SpanWriter {
    const life = this.#life;
    const call = async <T>(run: () => T): Promise<T> => {
      await Promise.resolve();
      return life === this.#life ? run() : never();
    };
    return {
      insert: (source, onlyDays) => call(() => this.#insert(source, onlyDays)),
      countBack: (batch) => call(() => this.#countBack(batch)),
    };
  }

  disconnect(): void {
    this.#life++;
  }

  #insert(source: InsertSource, onlyDays?: readonly number[]): void {
    const all = decodeRows(this.#disk.content(source.path).subarray(0, source.bytes));
    if (all.some(({ batch }) => batch !== String(source.batch))) {
      this.problems.push(`rows of another batch in ${source.path}`);
    }
    const wanted = onlyDays ?? [...source.days.keys()];
    const refused = all.some(({ id, day }) => wanted.includes(day) && this.#isBad(id));
    for (const day of wanted) {
      if (this.#random() < 0.1) throw new StorageError('retry', 0, 'cut');
      const rows = all.filter((row) => row.day === day);
      if (rows.some(({ id }) => this.#isBad(id))) continue;
      if (!refused || this.#random() < 0.3) this.rows.push(...rows);
    }
    if (refused) throw new StorageError('poison', 6, 'refused');
  }

  #countBack(batch: bigint): ReadonlyMap<number, number> {
    const days = new Map<number, number>();
    for (const row of this.rows) {
      if (row.batch === String(batch)) days.set(row.day, (days.get(row.day) ?? 0) + 1);
    }
    return days;
  }
}

class World {
  readonly disk: SimulatedDisk;
  readonly storage: Storage;
  readonly acknowledged = new Set<number>();
  readonly #random: () => number;
  #nextId = 0;
  #clock = new FakeClock();

  constructor(seed: number, isBad: (id: number) => boolean) {
    this.#random = seeded(seed);
    this.disk = new SimulatedDisk(this.#random);
    this.storage = new Storage(this.disk, this.#random, isBad);
  }

  /** @param killAfter operations of the disk */
  async live(sends: number, killAfter: number, powerCut: boolean): Promise<void> {
    this.#clock = new FakeClock();
    this.disk.killAfter = killAfter;
    await Promise.race([this.#work(sends), this.disk.killed]);
    this.storage.disconnect();
    if (powerCut) this.disk.powerCut();
    else this.disk.kill();
  }

  async #work(sends: number): Promise<void> {
    const logger = new FakeLogger();
    const clock = this.#clock;
    const config = { ...smallConfig, segmentBytesMax: 1_000_000, segmentRowsMax: 40 };
    const files = this.disk.files();
    const random = this.#random;
    const wal = await Wal.open({
      dir: DIR,
      config,
      clock,
      logger,
      metrics: METRICS,
      files,
      random,
    });
    const ingester = this.#start(wal, logger);
    for (let n = 0; n < sends; n++) await this.#send(ingester);
    await wal.closeOpen();
    for (let turn = 0; turn < 300 && ingester.pendingSegments().length > 0; turn++) {
      await clock.advance(20_000);
    }
    await ingester.stop(0);
  }

  #start(wal: Wal, logger: FakeLogger): Ingester {
    const encoder: BlockEncoder = {
      encode: (batch, batchId) =>
        encodeRows(
          Array.from({ length: batch.rows }, (_, row) => {
            const id = this.#nextId++;
            return { batch: String(batchId), id, day: Math.floor(row / 4) % DAYS };
          }),
        ),
    };
    const ingester = new Ingester({
      observers: [],
      tracer: noTracer,
      log: wal,
      encoder,
      cutter,
      writer: this.storage.connect(),
      storageReady: Promise.resolve(),
      ledger: new Ledger(METRICS),
      metrics: METRICS,
      logger,
      clock: this.#clock,
      random: this.#random,
      seed: 7,
      limits: LIMITS,
      freshnessWaitMs: 1000,
    });
    ingester.start();
    return ingester;
  }

  async #send(ingester: Ingester): Promise<void> {
    const batch = ingester.openBatch();
    for (let group = 0; group < DAYS; group++) addRows(batch, 4, group);
    const from = this.#nextId;
    await ingester.commit(12, noteOf(1));
    for (let id = from; id < this.#nextId; id++) this.acknowledged.add(id);
    await settle();
  }

  /** Rows of files in corrupt/. */
  aside(): Row[] {
    const native = this.disk.paths().filter((path) => path.includes('/corrupt/seg'));
    return native
      .filter((path) => path.endsWith('.native'))
      .flatMap((path) => {
        const text = this.disk.content(path);
        const end = text.indexOf(0);
        return decodeRows(end === -1 ? text : text.subarray(0, end));
      });
  }
}

const left = (disk: SimulatedDisk): string[] =>
  disk.paths().filter((path) => path.endsWith('.idx') && !path.includes('/corrupt/'));

/** What is wrong at the end. */
function judge(world: World, isBad: (id: number) => boolean): string[] {
  const problems = [...world.storage.problems];
  const stored = world.storage.rows.map(({ id }) => id);
  const aside = world.aside().map(({ id }) => id);
  const found = new Set([...stored, ...aside]);
  if (found.size !== stored.length + aside.length) problems.push('a row is there twice');
  for (const id of world.acknowledged) if (!found.has(id)) problems.push(`lost ${id}`);
  for (const id of aside) if (!isBad(id)) problems.push(`set aside ${id}`);
  for (const id of stored) if (isBad(id)) problems.push(`stored ${id}`);
  return [...problems, ...left(world.disk)];
}

describe('Refused rows, whatever is killed', () => {
  test.each([
    ['killed', false],
    ['cut from power', true],
  ])(
    'good rows are stored once, bad rows set aside once, when %s at any operation',
    async (_, powerCut) => {
      const isBad = (id: number): boolean => id % 29 === 5;
      const outcomes: string[][] = [];
      for (let killAfter = 5; killAfter < 500; killAfter += 5) {
        const world = new World(killAfter, isBad);
        await world.live(5, killAfter, powerCut);
        await world.live(1, 40 + (killAfter % 97), powerCut);
        await world.live(0, Number.POSITIVE_INFINITY, false);
        outcomes.push(judge(world, isBad));
      }
      expect(outcomes.filter((problems) => problems.length > 0)).toEqual([]);
    },
    120_000,
  );
});
