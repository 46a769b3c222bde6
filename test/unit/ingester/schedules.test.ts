/** Random schedules of everything that can happen to the ingester, kills included. */
import {
  array,
  assert,
  asyncProperty,
  boolean,
  constant,
  constantFrom,
  integer,
  oneof,
  record,
  type Arbitrary,
} from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Ingester } from '../../../src/ingester/ingester.ts';
import type { ClosedSegment } from '../../../src/ingester/segment-log.ts';
import { StorageError, type StorageFailure } from '../../../src/storage/contract.ts';
import { Ledger } from '../../../src/telemetry/ledger.ts';
import { createMetrics } from '../../../src/telemetry/metrics.ts';
import {
  addRows,
  FakeClock,
  fakeCutter,
  FakeLog,
  FakeLogger,
  FakeStorage,
  fakeEncoder,
  LIMITS,
  noteOf,
  settle,
} from './fakes.ts';
import { noTracer } from '../no-tracer.ts';

type Step =
  | { kind: 'send'; rows: number; day: number }
  | { kind: 'failInsert'; failure: StorageFailure; keep: number }
  | { kind: 'failCount'; failure: StorageFailure }
  | {
      kind: 'failAppend' | 'failRemove' | 'failDivide' | 'close' | 'query' | 'turn' | 'hold' | 'go';
    }
  | { kind: 'kill'; reached: boolean }
  | { kind: 'wait'; ms: number };

const failure = constantFrom<StorageFailure>('retry', 'schema', 'auth', 'aborted', 'poison');
const step: Arbitrary<Step> = oneof(
  {
    weight: 5,
    arbitrary: record({
      kind: constant('send' as const),
      rows: integer({ min: 0, max: 4 }),
      day: integer({ min: 0, max: 2 }),
    }),
  },
  record({
    kind: constant('failInsert' as const),
    failure,
    keep: integer({ min: 0, max: 3 }),
  }),
  record({ kind: constant('failCount' as const), failure }),
  {
    weight: 3,
    arbitrary: record({
      kind: constantFrom(
        'failAppend' as const,
        'failRemove' as const,
        'failDivide' as const,
        'close' as const,
        'query' as const,
        'turn' as const,
        'hold' as const,
        'go' as const,
      ),
    }),
  },
  record({ kind: constant('kill' as const), reached: boolean() }),
  record({ kind: constant('wait' as const), ms: integer({ min: 1, max: 3000 }) }),
);

/** Nothing here reads them, and each registry observes the whole process. */
const METRICS = createMetrics();

const asRecovered = (segment: ClosedSegment): ClosedSegment => ({ ...segment, recovered: true });

/** One disk and one storage, through the lives of many processes. */
class World {
  readonly storage = new FakeStorage();
  acked = 0;
  staleAnswers = 0;
  log = new FakeLog();
  ledger = new Ledger(METRICS);
  clock = new FakeClock();
  #starts = 0;
  #ingester = this.#start();

  /** @returns the imbalance of the books after each step */
  async run(steps: readonly Step[]): Promise<number[]> {
    const imbalances: number[] = [];
    for (const next of steps) {
      await this.#do(next);
      imbalances.push(this.ledger.entries().imbalance);
    }
    this.#go();
    this.storage.insertScript.length = 0;
    this.storage.countScript.length = 0;
    this.log.failRemoves = 0;
    this.log.failAppends = 0;
    this.log.failDivides = 0;
    await settle();
    await this.log.closeOpen();
    await this.clock.advance(60_000);
    // One more start removes what a failed removal left.
    await this.#kill(true);
    await this.clock.advance(60_000);
    return imbalances;
  }

  async #do(next: Step): Promise<void> {
    if (next.kind === 'send') this.#send(next.rows, next.day);
    else if (next.kind === 'failInsert') {
      const error = new StorageError(next.failure, 0, next.failure);
      this.storage.insertScript.push({ error, keep: next.keep });
    } else if (next.kind === 'failCount') {
      this.storage.countScript.push(new StorageError(next.failure, 0, next.failure));
    } else if (next.kind === 'wait') await this.clock.advance(next.ms);
    else if (next.kind === 'failAppend') this.log.failAppends++;
    else if (next.kind === 'failRemove') this.log.failRemoves++;
    else if (next.kind === 'failDivide') this.log.failDivides++;
    else if (next.kind === 'close') void this.log.closeOpen();
    else if (next.kind === 'query') void this.#query();
    else if (next.kind === 'kill') await this.#kill(next.reached);
    else if (next.kind === 'hold') this.storage.hold = true;
    else if (next.kind === 'go') this.#go();
    else await settle();
  }

  #send(rows: number, day: number): void {
    addRows(this.#ingester.openBatch(), rows, day);
    void this.#count(rows, this.#ingester.commit(rows, noteOf(1)));
  }

  async #count(rows: number, commit: Promise<void>): Promise<void> {
    try {
      await commit;
      this.acked += rows;
    } catch {
      // Refused: it must not be found.
    }
  }

  async #query(): Promise<void> {
    const acked = this.acked;
    if ((await this.#ingester.fresh()) && this.foundRows < acked) this.staleAnswers++;
  }

  get foundRows(): number {
    let rows = 0;
    for (const days of this.storage.rows.values()) for (const count of days.values()) rows += count;
    for (const { segment } of this.log.aside) {
      rows += segment.rows;
      for (const count of this.storage.rows.get(segment.batch)?.values() ?? []) rows -= count;
    }
    return rows;
  }

  #go(): void {
    this.storage.hold = false;
    for (const { go } of this.storage.holds.slice()) go();
  }

  /**
   * What is on disk is found by the next process.
   * @param reached false: the call that runs at that moment never reaches storage
   */
  async #kill(reached: boolean): Promise<void> {
    // Groups are decided first: how much is acknowledged is what the check compares with.
    await settle();
    const old = this.log;
    await old.closeOpen();
    const stopped = this.#ingester.stop(0);
    await this.clock.advance(1);
    await stopped;
    if (reached) this.#go();
    this.storage.hold = false;
    this.storage.holds.length = 0;
    await settle();
    const recovered = Array.from(old.disk.values(), asRecovered);
    this.log = new FakeLog(recovered);
    this.log.aside.push(...old.aside);
    this.clock = new FakeClock();
    this.#ingester = this.#start();
    await settle();
  }

  #start(): Ingester {
    this.#starts++;
    this.log.startAt(1000n * BigInt(this.#starts));
    this.ledger = new Ledger(METRICS);
    const ingester = new Ingester({
      observers: [],
      tracer: noTracer,
      log: this.log,
      encoder: fakeEncoder,
      cutter: fakeCutter,
      writer: this.storage,
      storageReady: Promise.resolve(),
      ledger: this.ledger,
      metrics: METRICS,
      logger: new FakeLogger(),
      clock: this.clock,
      random: () => 0.5,
      seed: 7,
      limits: LIMITS,
      freshnessWaitMs: 1000,
    });
    ingester.start();
    return ingester;
  }

  get result(): object {
    const { pending, imbalance } = this.ledger.entries();
    const { staleAnswers } = this;
    const lost = this.acked - this.foundRows;
    return { left: this.log.disk.size, lost, staleAnswers, pending, imbalance };
  }
}

describe('Ingester, whatever happens', () => {
  test('every acknowledged row is stored once or set aside, and the books balance', async () => {
    const property = asyncProperty(array(step, { maxLength: 40, size: 'max' }), async (steps) => {
      const world = new World();
      const imbalances = await world.run(steps);
      expect(imbalances.filter((imbalance) => imbalance !== 0)).toEqual([]);
      const nothing = { left: 0, lost: 0, staleAnswers: 0, pending: 0, imbalance: 0 };
      expect(world.result).toEqual(nothing);
    });
    expect.hasAssertions();
    await assert(property, { numRuns: 200 });
  }, 60_000);
});
