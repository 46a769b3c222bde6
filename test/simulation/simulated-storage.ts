/**
 * A storage that keeps its contract and no more. One insert makes one part a day, each atomic, in
 * any order; how much of it there is when the caller is told, and whether he is told the truth, is
 * chance. An insert that the caller has given up goes on until it is killed.
 */
import {
  type InsertSource,
  type RowsByDay,
  type SpanWriter,
  StorageError,
  type StorageFailure,
} from '../../src/storage/contract.ts';
import type { Chance } from './chance.ts';
import { readRows, type Row } from './native-rows.ts';
import { NOTHING, type Outage, type Plan, type Refused, type StorageFates } from './plan.ts';
import type { Schedule } from './schedule.ts';
import type { SimulatedDisk } from './simulated-disk.ts';
import type { Truth } from './truth.ts';

const LATENCY_MS_MAX = 40;
const TIMEOUT_MS = 30_000;
const LATE_MS_MAX = 60_000;

/** An insert as the server runs it. */
interface Query {
  readonly batch: bigint;
  killed: boolean;
}

interface Fate {
  readonly fate: keyof StorageFates;
  readonly parts: readonly number[];
  readonly taken: number;
}

/** Who calls: answers reach it only while it lives. */
export interface Caller {
  readonly alive: boolean;
}

export interface StorageWorld {
  readonly schedule: Schedule;
  readonly chance: Chance;
  readonly disk: SimulatedDisk;
  readonly truth: Truth;
}

export class SimulatedStorage {
  fates: StorageFates;
  refused: Refused;
  outages: readonly Outage[] = [];
  readonly #world: StorageWorld;
  readonly #counts = new Map<bigint, Map<number, number>>();
  readonly #running = new Set<Query>();

  constructor(world: StorageWorld, { fates, refused }: Pick<Plan, 'fates' | 'refused'>) {
    this.#world = world;
    this.fates = fates;
    this.refused = refused;
  }

  /** From now on it takes everything, at once. */
  mend(): void {
    this.refused = NOTHING;
  }

  rowsOf(batch: bigint): number {
    let rows = 0;
    for (const count of this.#counts.get(batch)?.values() ?? []) rows += count;
    return rows;
  }

  /** Of one process, as ClickHouseSpanWriter is. */
  writerFor(caller: Caller): SpanWriter {
    const ended = new Set<bigint>();
    return {
      insert: async (source, onlyDays) => {
        if (onlyDays?.length === 0) return;
        ended.delete(source.batch);
        await this.#insert(caller, source, onlyDays);
        ended.add(source.batch);
      },
      countBack: async (batch) => {
        if (!ended.delete(batch)) await this.#kill(caller, batch);
        return this.#count(caller, batch);
      },
    };
  }

  /** The process is gone: the server sees some of its inserts to their end and drops others. */
  callerDied(): void {
    this.#world.truth.lifeEnds();
    for (const query of this.#running) {
      if (this.#world.chance.happens(0.5)) continue;
      query.killed = true;
      this.#running.delete(query);
    }
  }

  async #insert(
    caller: Caller,
    source: InsertSource,
    onlyDays: readonly number[] | undefined,
  ): Promise<void> {
    const { truth } = this.#world;
    await this.#reach(caller);
    const days = this.#partsOf(source, onlyDays);
    const { fate, parts, taken } = this.#fateOf(source, days);
    this.#log(`insert ${hex(source.batch)} [${parts.join()}] ${fate}, ${taken} days`);
    if (fate === 'poison') {
      const rows = [...days.values()].flat();
      const isTrue = this.refused.poison && rows.some((row) => row.isPoison);
      truth.refusedByStorage(rows, isTrue);
    }
    const query: Query = { batch: source.batch, killed: false };
    this.#running.add(query);
    if (fate === 'timeout-late') {
      void this.#commitLate(query, parts, days);
      await this.#pass(caller, TIMEOUT_MS);
      throw failed('retry', 'timeout before the commit');
    }
    await this.#commit(query, parts.slice(0, taken), days);
    await this.#pass(caller, fate === 'timeout-after' ? TIMEOUT_MS : this.#latency());
    if (fate === 'timeout-after') throw failed('retry', 'timeout after the commit');
    if (fate === 'poison') throw failed('poison', 'Cannot read all data');
    if (fate === 'memory') throw failed('memory', 'memory limit exceeded');
    if (fate === 'partial') throw failed('retry', 'connection reset');
  }

  /** What becomes of an insert, the order of its days, and how many of them are taken. */
  #fateOf(source: InsertSource, days: ReadonlyMap<number, readonly Row[]>): Fate {
    const { chance } = this.#world;
    const parts = chance.shuffled([...days.keys()]);
    const isGood = (day: number): boolean => days.get(day)?.every((row) => !row.isPoison) ?? true;
    const good = this.refused.poison ? parts.filter(isGood) : parts;
    if (good.length < parts.length) {
      const order = [...good, ...parts.filter((day) => !isGood(day))];
      return { fate: 'poison', parts: order, taken: chance.integer(0, good.length) };
    }
    const isLarge = source.bytes > this.refused.aboveBytes;
    const fate = isLarge ? 'memory' : chance.weighted(this.fates);
    const whole = fate === 'stored' || fate === 'timeout-after' || fate === 'timeout-late';
    return { fate, parts, taken: whole ? parts.length : chance.integer(0, parts.length - 1) };
  }

  /** The rows by day, from the bytes that are on the disk now. */
  #partsOf(source: InsertSource, onlyDays: readonly number[] | undefined): Map<number, Row[]> {
    const { disk, chance } = this.#world;
    const file = disk.content(source.path);
    if (file.byteLength < source.bytes) throw new Error(`${source.path} is too short`);
    if (chance.happens(this.fates.poison / 50)) throw new Error(`${source.path}: EIO`);
    let rows: Row[];
    try {
      rows = readRows(file.subarray(0, source.bytes));
    } catch (error) {
      const why = error instanceof Error ? error.message : 'unknown';
      this.#world.truth.problem(`${source.path} holds no whole blocks: ${why}`);
      throw failed('poison', why);
    }
    const days = new Map<number, Row[]>();
    for (const row of rows) {
      if (onlyDays?.includes(row.day) === false) continue;
      const part = days.get(row.day) ?? [];
      part.push(row);
      days.set(row.day, part);
    }
    return days;
  }

  async #commit(query: Query, parts: readonly number[], days: Map<number, Row[]>): Promise<void> {
    for (const day of parts) {
      await this.#world.schedule.sleep(this.#latency());
      if (query.killed) break;
      this.#addPart(days.get(day) ?? []);
    }
    this.#running.delete(query);
  }

  async #commitLate(
    query: Query,
    parts: readonly number[],
    days: Map<number, Row[]>,
  ): Promise<void> {
    await this.#world.schedule.sleep(this.#world.chance.between(0, LATE_MS_MAX));
    await this.#commit(query, parts, days);
  }

  #addPart(rows: readonly Row[]): void {
    for (const row of rows) {
      const days = this.#counts.get(row.batch) ?? new Map<number, number>();
      days.set(row.day, (days.get(row.day) ?? 0) + 1);
      this.#counts.set(row.batch, days);
      this.#world.truth.stored(row);
    }
    this.#log(`part of ${rows.length} rows in ${hex(rows[0]?.batch ?? 0n)}`);
  }

  /** KILL QUERY … SYNC: when it answers, no insert of the batch runs any more. */
  async #kill(caller: Caller, batch: bigint): Promise<void> {
    await this.#reach(caller);
    for (const query of this.#running) {
      if (query.batch !== batch) continue;
      query.killed = true;
      this.#running.delete(query);
      this.#log(`killed an insert of ${hex(batch)}`);
    }
    if (this.#world.chance.happens(this.fates.partial / 100)) {
      await this.#pass(caller, this.#latency());
      throw failed('retry', 'reset while killing');
    }
  }

  async #count(caller: Caller, batch: bigint): Promise<RowsByDay> {
    await this.#reach(caller);
    const days = new Map(this.#counts.get(batch));
    await this.#pass(caller, this.#latency());
    return days;
  }

  /** The way to the server; during an outage nobody is there. */
  async #reach(caller: Caller): Promise<void> {
    const { schedule } = this.#world;
    await this.#pass(caller, this.#latency());
    const outage = this.outages.find(
      ({ fromMs, toMs }) => fromMs <= schedule.nowMs && schedule.nowMs < toMs,
    );
    if (outage === undefined) return;
    if (outage.isHanging) await this.#pass(caller, TIMEOUT_MS);
    throw failed(outage.failure, 'outage');
  }

  async #pass(caller: Caller, ms: number): Promise<void> {
    await this.#world.schedule.sleep(ms);
    if (!caller.alive) await new Promise<never>(() => undefined);
  }

  #latency(): number {
    return this.#world.chance.between(0.5, LATENCY_MS_MAX);
  }

  #log(text: string): void {
    this.#world.truth.event(this.#world.schedule.nowMs, `storage: ${text}`);
  }
}

const failed = (failure: StorageFailure, message: string): StorageError =>
  new StorageError(failure, 0, message);
const hex = (batch: bigint): string => batch.toString(16);
