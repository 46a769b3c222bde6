/** The ClickHouse storage for real: exactly-once inserts, restarts, schema and retention. */
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import type { InsertSource, Storage } from '../../../src/storage/contract.ts';
import type { Client } from '../../../src/storage/clickhouse/client.ts';
import { type ClickHouseSettingValues } from '../../../src/storage/clickhouse/config.ts';
import { SPAN_COLUMN_LIST } from '../../../src/storage/clickhouse/ddl.ts';
import { EmbeddedEngine } from '../../../src/storage/clickhouse/engine.ts';
import { READ_LIMITS, openStorage, type Opened } from '../open-storage.ts';
import { createLogger } from '../../../src/telemetry/logger.ts';
import { createMetrics } from '../../../src/telemetry/metrics.ts';

const DAY_MS = 86_400_000;
/** A day that is over: it does not change while a test runs. */
const LAST_DAY = Math.floor(Date.now() / DAY_MS) - 1;
const ROWS = 3000;

const root = mkdtempSync(join(tmpdir(), 'scrubjay-storage-'));
const opened = new Set<Storage>();

function create(engineDir: string, settings?: Partial<ClickHouseSettingValues>): Opened {
  const made = openStorage(join(root, engineDir), settings);
  opened.add(made.storage);
  return made;
}

async function select(client: Client, sql: string): Promise<string> {
  const answer = await client.query(`SELECT ${sql} FORMAT TSVRaw`, { limits: READ_LIMITS });
  return answer.toString().trimEnd();
}

/** A segment of three days, made by the engine itself, with zeros behind it as the log has. */
async function writeSegment(client: Client, batch: bigint): Promise<InsertSource> {
  await client.command('TRUNCATE TABLE scrubjay.spans');
  await client.command(
    'INSERT INTO scrubjay.spans (tenant, ts, trace_lo, name, tags, _batch) ' +
      `SELECT 'default', toDateTime64(${LAST_DAY * 86_400} - number % 3 * 86400, 6, 'UTC'), ` +
      `number, concat('n', toString(number % 9)), map('k', toString(number)), ${batch} ` +
      `FROM numbers(${ROWS})`,
  );
  const sql = `SELECT ${SPAN_COLUMN_LIST} FROM scrubjay.spans FORMAT Native`;
  const block = await client.query(sql, { limits: READ_LIMITS });
  await client.command('TRUNCATE TABLE scrubjay.spans');
  const path = join(root, `segment-${batch}.native`);
  writeFileSync(path, Buffer.concat([block, Buffer.alloc(65_536)]));
  const days = new Map([2, 1, 0].map((before) => [LAST_DAY - before, ROWS / 3]));
  return { batch, path, bytes: block.length, rows: ROWS, days };
}

const inOrder = (days: ReadonlyMap<number, number>): [number, number][] =>
  [...days].toSorted(([a], [b]) => a - b);

afterAll(async () => {
  await Promise.all([...opened].map((storage) => storage.stop()));
  rmSync(root, { recursive: true, force: true });
});

describe('ClickHouseStorage, embedded', () => {
  const { storage, client } = create('main');
  const { writer } = storage;
  let source: InsertSource;
  beforeAll(() => storage.start());
  beforeEach(async () => {
    source = await writeSegment(client, 0xfedc_ba98_7654_3210n);
  });

  test('is up and says what it is', () => {
    expect(storage.health()).toEqual({
      state: 'up',
      name: expect.stringMatching(/^ClickHouse \d+\.\d+\.[\d.]+ \(embedded\)$/) as unknown,
    });
  });

  test('stores a segment in one part a day and counts it back', async () => {
    await writer.insert(source);
    expect(inOrder(await writer.countBack(source.batch))).toEqual(inOrder(source.days));
    const levels = "groupArray(level) FROM system.parts WHERE table = 'spans' AND active";
    expect(await select(client, levels)).toBe('[0,0,0]');
    expect(await writer.countBack(source.batch + 1n)).toEqual(new Map());
  });

  test('inserts only the days that are asked for', async () => {
    await writer.insert(source, [LAST_DAY - 2, LAST_DAY]);
    await writer.insert(source, []);
    expect(inOrder(await writer.countBack(source.batch))).toEqual([
      [LAST_DAY - 2, ROWS / 3],
      [LAST_DAY, ROWS / 3],
    ]);
    await writer.insert(source, [LAST_DAY - 1]);
    expect(inOrder(await writer.countBack(source.batch))).toEqual(inOrder(source.days));
  });

  test.each<[string, Partial<InsertSource>, string, number]>([
    ['a cut block', { bytes: -1 }, 'poison', 33],
    ['another number of rows', { rows: 1 }, 'retry', 0],
  ])('refuses %s', async (_, change, failure, code) => {
    const wrong = {
      ...source,
      bytes: source.bytes + (change.bytes ?? 0),
      rows: source.rows + (change.rows ?? 0),
      path: `${source.path}${change.path ?? ''}`,
    };
    await expect(writer.insert(wrong)).rejects.toMatchObject({ failure, code });
    expect(storage.health().state).toBe('up');
  });

  test.each<[string, Partial<InsertSource>]>([
    ['more bytes than the file has', { bytes: 100_000 }],
    ['a file that is not there', { path: '.gone' }],
  ])('sends nothing of %s', async (_, change) => {
    const wrong = {
      ...source,
      bytes: source.bytes + (change.bytes ?? 0),
      path: `${source.path}${change.path ?? ''}`,
    };
    await expect(writer.insert(wrong)).rejects.toThrow(/cannot be read/);
    expect(storage.health().state).toBe('up');
  });

  test.runIf(process.platform === 'linux')('leaves no file open', async () => {
    await writer.insert(source);
    await expect(writer.insert({ ...source, bytes: 1000 })).rejects.toThrow();
    const links = readdirSync('/proc/self/fd').map((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`);
      } catch {
        return '';
      }
    });
    expect(links).not.toContain(source.path);
  });

  test('makes a dropped table again before it passes the failure on', async () => {
    await client.command('DROP TABLE scrubjay.spans SYNC');
    await expect(writer.insert(source)).rejects.toMatchObject({ failure: 'schema', code: 60 });
    await writer.insert(source);
    expect(inOrder(await writer.countBack(source.batch))).toEqual(inOrder(source.days));
  });

  test('knows after each SIGKILL which days are stored, and completes them', async () => {
    const lock = join(root, 'main', 'status');
    for (let round = 0; round < 5; round++) {
      const batch = BigInt(round + 1);
      const next = await writeSegment(client, batch);
      const owner = readFileSync(lock, 'utf8');
      const pid = Number(/^PID: (\d+)/.exec(owner)?.[1]);
      const insert = writer.insert(next).catch(() => 'in doubt');
      setTimeout(() => process.kill(pid, 'SIGKILL'), round * 8);
      await insert;
      const missing = await vi.waitFor(async () => {
        expect(readFileSync(lock, 'utf8')).not.toBe(owner);
        const stored = await writer.countBack(batch);
        for (const [day, rows] of stored) expect(rows).toBe(next.days.get(day));
        return [...next.days.keys()].filter((day) => !stored.has(day));
      }, 30_000);
      await writer.insert(next, missing);
      expect(inOrder(await writer.countBack(batch))).toEqual(inOrder(next.days));
    }
    expect(storage.health().state).toBe('up');
  });
});

describe('ClickHouseStorage, schema', () => {
  const ttl = "extract(engine_full, 'TTL (.*) SETTINGS') FROM system.tables WHERE name = 'spans'";

  test('keeps rows and follows the retention over restarts', async () => {
    const rounds = [
      [7, 'toDate(ts) + toIntervalDay(8)'],
      [7, 'toDate(ts) + toIntervalDay(8)'],
      [30, 'toDate(ts) + toIntervalDay(31)'],
      [0, ''],
    ] as const;
    for (const [round, [days, expected]] of rounds.entries()) {
      const { storage, client } = create('retention', { retentionMs: days * DAY_MS });
      await storage.start();
      expect(await select(client, ttl)).toBe(expected);
      await client.command("INSERT INTO scrubjay.spans (tenant, ts) SELECT 'default', now64(6)");
      expect(await select(client, 'count() = uniqExact(version) FROM scrubjay._migrations')).toBe(
        '1',
      );
      expect(await select(client, 'count() FROM scrubjay.spans')).toBe(String(round + 1));
      await storage.stop();
      expect(storage.health().state).toBe('stopped');
    }
  });

  test('gives stored rows a longer retention too', async () => {
    const old = create('longer');
    await old.storage.start();
    await old.client.command(
      "INSERT INTO scrubjay.spans (tenant, ts) SELECT 'default', now64(6) - toIntervalDay(3)",
    );
    await old.storage.stop();
    const next = create('longer', { retentionMs: 30 * DAY_MS });
    await next.storage.start();
    const expiry =
      "dateDiff('day', now(), max(delete_ttl_info_max)) > 20, sum(rows) FROM system.parts " +
      "WHERE table = 'spans' AND active";
    await vi.waitFor(async () => expect(await select(next.client, expiry)).toBe('1\t1'), 10_000);
    await next.storage.stop();
  });

  test('refuses a store of a newer program and leaves it as it is', async () => {
    const first = create('newer');
    await first.storage.start();
    await first.client.command(
      "INSERT INTO scrubjay._migrations (version, name, engine) VALUES (99, 'future', 'x')",
    );
    await first.storage.stop();
    const second = create('newer');
    await expect(second.storage.start()).rejects.toMatchObject({
      code: 'SCRUBJAY_ERR_START',
      message: expect.stringMatching(
        /newer Scrubjay \(schema 99, this program knows \d+\)/,
      ) as unknown,
    });
    await second.storage.stop();
  });
});

describe('ClickHouseStorage, server', () => {
  const address = { url: '', username: '', password: '' };
  const engine = new EmbeddedEngine(
    {
      dir: join(root, 'server'),
      database: 'jays',
      memoryBytes: 1024 ** 3,
      logger: createLogger('silent', false),
      metrics: createMetrics(),
      clock: systemClock,
      random: () => 0,
    },
    { up: async (given) => void Object.assign(address, given), down: () => {} },
  );
  beforeAll(() => engine.start());
  afterAll(() => engine.stop());

  test('works against CLICKHOUSE_URL with a database of its own', async () => {
    const { url, username: user, password } = address;
    const { storage, client } = create('unused', { url, user, password, database: 'jays' });
    await storage.start();
    expect(storage.health().name).toMatch(/ \(server\)$/);
    expect(await select(client, 'count() FROM jays.spans')).toBe('0');
    expect(readdirSync(root)).not.toContain('unused');
  });

  test('is refused clearly without rights', async () => {
    const { url, username: user, password } = address;
    const { storage } = create('unused', { url, user, password, database: 'forbidden' });
    await expect(storage.start()).rejects.toMatchObject({
      code: 'SCRUBJAY_ERR_START',
      message: expect.stringContaining('CLICKHOUSE_USER') as unknown,
    });
  });

  test('waits for a server that is away until it is stopped', async () => {
    const { storage } = create('unused', { url: 'http://127.0.0.1:1' });
    const started = storage.start().catch(() => 'given up');
    await vi.waitFor(() => expect(storage.health().error).toContain('ECONNREFUSED'));
    expect(storage.health().state).toBe('starting');
    await storage.stop();
    await expect(started).resolves.toBe('given up');
  });
});
