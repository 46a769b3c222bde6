/**
 * One life of the collector: the real distributor, log and ingester as app.ts wires them, on a
 * simulated disk, clock and storage. It ends at any moment; what it still had to say is not heard.
 */
import { decodeJsonV2 } from '../../src/codec/json-v2.ts';
import { loadConfig } from '../../src/config/load.ts';
import { Distributor, limitsOf } from '../../src/distributor/distributor.ts';
import type { PushOutcome } from '../../src/distributor/outcome.ts';
import { Ingester } from '../../src/ingester/ingester.ts';
import { NativeBlockCutter } from '../../src/storage/clickhouse/native-cutter.ts';
import { NativeBlockEncoder } from '../../src/storage/clickhouse/native-block.ts';
import type { NarrowScope, QueryScope } from '../../src/model/span-sink.ts';
import { Ledger } from '../../src/telemetry/ledger.ts';
import type { Logger } from '../../src/telemetry/logger.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { Wal } from '../../src/wal/wal.ts';
import { noTracer } from '../unit/no-tracer.ts';
import type { Message } from './messages.ts';
import { readRows } from './native-rows.ts';
import type { Plan } from './plan.ts';
import type { SimulatedStorage, StorageWorld } from './simulated-storage.ts';

export const LOG_DIR = '/data/wal';
/** Whatever befalls disk and storage, none of these may be said. */
const ALARMS =
  /a bug|another number of rows|are corrupt|spans are lost|unreadable|cannot be read$|cannot be divided/;

/** Nothing here reads them, and each registry observes the whole process. */
const metrics = createMetrics();
const { distributor: config } = loadConfig(new Map()).config;
/** One call of encode and what follows from it is over before the next in any life. */
const encoder = new NativeBlockEncoder();

export interface Parts extends StorageWorld {
  readonly plan: Plan;
  readonly storage: SimulatedStorage;
}

export class Collector {
  readonly ledger = new Ledger(metrics);
  alive = true;
  readonly #parts: Parts;
  #running: { wal: Wal; ingester: Ingester; distributor: Distributor } | undefined;
  /** Rows in storage when this life began, without those of the segments it found. */
  #storedBefore = 0;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  get isReady(): boolean {
    return this.alive && this.#running !== undefined;
  }

  /** @throws {SCRUBJAY_ERR_START} */
  async start(): Promise<void> {
    const { plan, schedule, disk, chance, storage, truth } = this.#parts;
    const clock = schedule.clock(() => this.alive);
    const logger = this.#logger();
    const common = { clock, logger, metrics, random: chance.next };
    const wal = await Wal.open({ dir: LOG_DIR, config: plan.wal, files: disk.files(), ...common });
    const ofRecovered = wal.recovered.reduce((sum, { batch }) => sum + storage.rowsOf(batch), 0);
    this.#storedBefore = truth.storedRows - ofRecovered;
    const ingester = new Ingester({
      ...common,
      log: wal,
      encoder,
      cutter: new NativeBlockCutter(),
      writer: storage.writerFor(this),
      storageReady: clock.sleep(chance.between(0, 300)),
      ledger: this.ledger,
      seed: chance.integer(0, 2 ** 32 - 1),
      limits: limitsOf(config),
      freshnessWaitMs: plan.freshnessWaitMs,
      tracer: noTracer,
      observers: [],
      atTurnEnd: (run) => this.#after(chance.between(0, 2), run),
    });
    ingester.start();
    const distributor = new Distributor({
      config,
      ages: { olderThanMs: 7 * 86_400_000, newerThanMs: 86_400_000 },
      dedupWindowMs: plan.wal.notesKeptMs,
      sink: ingester,
      fillingLogBytes: () => wal.fillingBytes,
      ledger: this.ledger,
      metrics,
      rejections: { record: () => undefined },
      tracer: noTracer,
      clock,
    });
    for (const { note } of wal.recoveredNotes()) distributor.remember(note);
    this.#running = { wal, ingester, distributor };
    this.#say(`up, ${wal.recovered.length} segments recovered`);
  }

  /** As the receiver: refusals are asked for before the body is read. */
  push({ tenant, body }: Message): Promise<PushOutcome> {
    const { distributor } = this.#up();
    const error = distributor.refusal();
    if (error !== undefined) return Promise.resolve({ kind: 'refused', error });
    const message = { tenant, body, transport: 'http', format: 'json-v2', client: 'test' } as const;
    return distributor.push({ ...message, decode: decodeJsonV2 });
  }

  fresh(scope: QueryScope): Promise<boolean> {
    return this.#up().ingester.fresh({ scope });
  }

  /** Rows of the log beside those in storage; undefined: they must be waited for. */
  async unstored(scope: NarrowScope): Promise<readonly string[] | undefined> {
    const { ingester } = this.#up();
    const blocks = await ingester.unstored(scope, ingester.durableRows);
    return blocks?.flatMap((block) => {
      if (block.byteLength === 0) throw new Error('a block of no bytes');
      return readRows(block).map(({ text }) => text);
    });
  }

  stop(deadlineMs: number): Promise<void> {
    return this.#up().ingester.stop(deadlineMs);
  }

  get hasNothingPending(): boolean {
    const { wal, ingester } = this.#up();
    return ingester.pendingSegments().length === 0 && wal.state().segments === 0;
  }

  /** Rows that storage has, as far as this life is to know of them. */
  get storedRows(): number {
    return this.#parts.truth.storedRows - this.#storedBefore;
  }

  #up(): { wal: Wal; ingester: Ingester; distributor: Distributor } {
    if (this.#running === undefined) throw new Error('not started');
    return this.#running;
  }

  #after(ms: number, run: () => void): void {
    this.#parts.schedule.after(ms, () => {
      if (this.alive) run();
    });
  }

  #logger(): Logger {
    const quiet = (): void => undefined;
    const logger: Logger = {
      debug: quiet,
      info: quiet,
      warn: (_fields, message) => this.#say(`warn: ${message}`),
      error: (_fields, message) => {
        this.#say(`error: ${message}`);
        if (this.alive && ALARMS.test(message)) this.#parts.truth.problem(`it says: ${message}`);
      },
      child: () => logger,
    };
    return logger;
  }

  #say(text: string): void {
    const { truth, schedule } = this.#parts;
    if (this.alive) truth.event(schedule.nowMs, `collector: ${text}`);
  }
}
