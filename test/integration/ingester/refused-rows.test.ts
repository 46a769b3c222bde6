/** Rows that the real engine refuses, through the real log: which are stored, which are not. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import { Ingester } from '../../../src/ingester/ingester.ts';
import { DAY_US } from '../../../src/model/days.ts';
import type { SpanBatch } from '../../../src/model/span-batch.ts';
import { NOTE_BYTES } from '../../../src/model/span-sink.ts';
import { NativeBlockCutter, tenantsOf } from '../../../src/storage/clickhouse/native-cutter.ts';
import { Ledger } from '../../../src/telemetry/ledger.ts';
import { createLogger } from '../../../src/telemetry/logger.ts';
import { createMetrics } from '../../../src/telemetry/metrics.ts';
import { walSettings, type WalConfig } from '../../../src/wal/config.ts';
import { runLogCommand } from '../../../src/wal/inspection/command.ts';
import { Wal } from '../../../src/wal/wal.ts';
import { LIMITS } from '../../unit/ingester/fakes.ts';
import { noTracer } from '../../unit/no-tracer.ts';
import { openStorage, READ_LIMITS } from '../open-storage.ts';

const WAL_CONFIG = Object.fromEntries(
  Object.entries(walSettings).map(([key, setting]) => [key, setting.default]),
) as unknown as WalConfig;
const DAY = Math.floor(Date.now() / 86_400_000) - 300;

const root = mkdtempSync(join(tmpdir(), 'scrubjay-refused-'));
const { storage, client } = openStorage(join(root, 'engine'), { retentionMs: 0 });

const bytes = (text: string): Buffer => Buffer.from(text);

/** A span that uses every column, each value told from its neighbours'. */
function addSpan(batch: SpanBatch, row: number, name: string, day: number): void {
  const set = (text: string): [Buffer, number, number] => [bytes(text), 0, text.length];
  batch.beginRow();
  batch.setTraceId(row % 3, row, 7, row + 1);
  batch.setId(1, row + 1);
  batch.setParentId(2, row);
  batch.setTimestamp(day * DAY_US + row + 1);
  batch.setDuration(row * 5);
  batch.setKind(row % 5);
  batch.setName(...set(name));
  batch.setService(batch.local, ...set(`service-${row % 7}`));
  batch.setService(batch.remote, ...set(row % 2 === 0 ? '' : `remote-${row % 300}`));
  for (let tag = 0; tag < row % 4; tag++) {
    batch.addTag(...set(`key-${tag}-${row % 5}`), ...set(`value-${row}-${'x'.repeat(row % 200)}`));
  }
  for (let n = 0; n < row % 3; n++) {
    batch.addAnnotation(day * DAY_US + row + n, ...set(`event-${row % 400}`));
  }
  batch.endRow();
  batch.keepRow();
}

async function select(sql: string): Promise<string> {
  const answer = await client.query(`SELECT ${sql} FORMAT TSVRaw`, { limits: READ_LIMITS });
  return answer.toString().trimEnd();
}

/** Equal for equal rows in any order, whatever segments they came with. */
const CONTENT = 'count(), sum(cityHash64(* EXCEPT _batch)) FROM scrubjay.spans';

interface World {
  readonly ingester: Ingester;
  readonly ledger: Ledger;
  readonly wal: Wal;
}

async function open(dir: string): Promise<World> {
  const metrics = createMetrics();
  const logger = createLogger('silent', false);
  const config = { ...WAL_CONFIG, segmentAgeMs: 60_000 };
  const wal = await Wal.open({ dir, config, clock: systemClock, logger, metrics });
  const ledger = new Ledger(metrics);
  const ingester = new Ingester({
    observers: [],
    tracer: noTracer,
    log: wal,
    encoder: storage.encoder,
    cutter: new NativeBlockCutter(),
    writer: storage.writer,
    storageReady: Promise.resolve(),
    ledger,
    metrics,
    logger,
    clock: systemClock,
    random: Math.random,
    seed: 7,
    limits: LIMITS,
    freshnessWaitMs: 1000,
  });
  ingester.start();
  return { ingester, ledger, wal };
}

/** One block for each list. */
async function send({ ingester }: World, blocks: readonly (readonly Span[])[]): Promise<void> {
  for (const spans of blocks) {
    const batch = ingester.openBatch();
    batch.beginMessage(bytes('default'), LIMITS, 1);
    for (const { row, name, day = DAY } of spans) addSpan(batch, row, name, day);
    await ingester.commit(spans.length, new Uint8Array(NOTE_BYTES));
  }
}

interface Span {
  readonly row: number;
  readonly name: string;
  readonly day?: number;
}

const spansOf = (from: number, to: number, nameOf: (row: number) => string): Span[] =>
  Array.from({ length: to - from }, (_, i) => ({ row: from + i, name: nameOf(from + i) }));

async function drained({ ledger, wal }: World): Promise<void> {
  await wal.closeOpen();
  await vi.waitFor(() => expect(ledger.entries().pending).toBe(0), 30_000);
}

let dir: string;
let world: World;
beforeAll(() => storage.start());
beforeEach(async () => {
  await client.command('TRUNCATE TABLE scrubjay.spans');
  dir = mkdtempSync(join(root, 'wal-'));
  world = await open(dir);
});
afterEach(() => world.ingester.stop(0));
afterAll(async () => {
  await storage.stop();
  rmSync(root, { recursive: true, force: true });
});

describe('Rows that the engine refuses', () => {
  const isBad = (row: number): boolean => row === 1234 || row === 3000;
  const good = (row: number): string => `name-${row % 600}`;
  const blocks = (nameOf: (row: number) => string): Span[][] => [
    spansOf(0, 1000, nameOf),
    spansOf(1000, 2500, nameOf),
    spansOf(2500, 2510, nameOf),
    spansOf(2510, 4000, nameOf),
  ];

  afterEach(() =>
    client.command('ALTER TABLE scrubjay.spans DROP CONSTRAINT IF EXISTS no_bad_names'),
  );

  test('are set aside alone, the others are stored as they were sent', async () => {
    await send(
      world,
      blocks(good).map((spans) => spans.filter(({ row }) => !isBad(row))),
    );
    await drained(world);
    const expected = await select(CONTENT);
    expect(expected).toMatch(/^3998\t/);
    await client.command('TRUNCATE TABLE scrubjay.spans');

    await client.command(
      "ALTER TABLE scrubjay.spans ADD CONSTRAINT no_bad_names CHECK name != 'bad'",
    );
    await send(
      world,
      blocks((row) => (isBad(row) ? 'bad' : good(row))),
    );
    await drained(world);
    expect(world.ledger.entries()).toMatchObject({ set_aside: 2, stored: 7996, imbalance: 0 });
    expect(await select(CONTENT)).toBe(expected);
    const aside = readdirSync(join(dir, 'corrupt')).filter((name) => name.endsWith('.native'));
    expect(aside).toHaveLength(2);
  });

  test('are stored once after they were put back', async () => {
    await client.command(
      "ALTER TABLE scrubjay.spans ADD CONSTRAINT no_bad_names CHECK name != 'bad'",
    );
    await send(
      world,
      blocks((row) => (isBad(row) ? 'bad' : good(row))),
    );
    await drained(world);
    await world.ingester.stop(0);
    const options = { dir, action: 'retry', json: false, tenantsOf } as const;
    expect((await runLogCommand(options)).text).toMatch(/2 spans put back; start the collector/);

    await client.command('ALTER TABLE scrubjay.spans DROP CONSTRAINT no_bad_names');
    world = await open(dir);
    await drained(world);
    expect(world.ledger.entries()).toMatchObject({ recovered: 2, stored: 2, imbalance: 0 });
    const found = await select(
      "count(), uniqExact(trace_lo, id), countIf(name = 'bad') FROM scrubjay.spans",
    );
    expect(found).toBe('4000\t4000\t2');
  });
});

describe('Spans of many days', () => {
  test('are inserted four hundred days at a time', async () => {
    const days = Array.from({ length: 450 }, (_, row) => ({ row, name: 'old', day: DAY + row }));
    await send(world, [days]);
    await drained(world);
    const found = await select(
      'count(), uniqExact(toDate(ts)), uniqExact(_batch) FROM scrubjay.spans',
    );
    expect(found).toBe('450\t450\t2');
    expect(world.ledger.entries()).toMatchObject({ stored: 450, imbalance: 0 });
  });
});
