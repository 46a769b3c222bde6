/** Dependency links with the real engine: rows as they are read, sums as they are kept. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import { decodeJsonV2 } from '../../../src/codec/json-v2.ts';
import { DecodeReport } from '../../../src/model/decode-report.ts';
import { SpanBatch } from '../../../src/model/span-batch.ts';
import type { LinkRow, Storage } from '../../../src/storage/contract.ts';
import { LinkIndex } from '../../../src/query/link-index.ts';
import { openStorage } from '../open-storage.ts';
import { createLogger } from '../../../src/telemetry/logger.ts';
import { LIMITS, admitAll } from '../../unit/codec/v1-batch-reader.ts';

type JsonSpan = Record<string, unknown>;

const DAY_MS = 86_400_000;
const DAY = 19_675;
/** 23:59:59.9 of that day. */
const LATE_US = (DAY + 1) * DAY_MS * 1000 - 100_000;
const { signal } = new AbortController();
const root = mkdtempSync(join(tmpdir(), 'scrubjay-links-'));

const createIndex = ({ links }: Storage): LinkIndex =>
  new LinkIndex({
    reader: links,
    store: links,
    clock: systemClock,
    logger: createLogger('silent', false),
    busy: () => false,
    arrivals: () => 0,
  });

/** A client and its server. */
const call = (traceId: string, timestamp: number, error = false): JsonSpan[] => [
  {
    traceId,
    id: '00000000000000ff',
    kind: 'CLIENT',
    timestamp,
    localEndpoint: { serviceName: 'a', ipv4: '10.0.0.1' },
  },
  {
    traceId,
    id: '00000000000000ff',
    kind: 'SERVER',
    shared: true,
    timestamp: timestamp + 1000,
    localEndpoint: { serviceName: 'b', ipv6: '2001:db8::1', port: 80 },
    ...(error ? { tags: { error: '' } } : {}),
  },
];

const window = { fromMs: 1, toMs: (DAY + 10) * DAY_MS };

describe('Links in ClickHouse', () => {
  let { storage, client } = openStorage(join(root, 'engine'), { retentionMs: 0 });
  let index = createIndex(storage);
  let batches = 0n;
  beforeAll(() => storage.start());
  afterAll(async () => {
    await storage.stop();
    rmSync(root, { recursive: true, force: true });
  });

  const insert = async (tenant: string, spans: readonly JsonSpan[]): Promise<void> => {
    const id = ++batches;
    const batch = new SpanBatch(LIMITS, 7);
    batch.beginMessage(Buffer.from(tenant), LIMITS, LATE_US);
    decodeJsonV2(Buffer.from(JSON.stringify(spans)), batch, admitAll, new DecodeReport());
    const block = Buffer.from(storage.encoder.encode(batch, id));
    const path = join(root, `${id}.native`);
    writeFileSync(path, block);
    const days = batch.days();
    const { rows } = batch;
    await storage.writer.insert({ batch: id, path, bytes: block.length, rows, days });
  };
  const ask = (tenant: string, asked = window) => index.links(tenant, asked, signal);
  const reopen = async (): Promise<void> => {
    await index.stop(10_000);
    await storage.stop();
    ({ storage, client } = openStorage(join(root, 'engine'), { retentionMs: 0 }));
    await storage.start();
    index = createIndex(storage);
  };

  test('rows have all that the linker reads', async () => {
    const endpoint = { serviceName: 'ä', ipv4: '01.2.3.4', ipv6: '::', port: 65_535 };
    await insert('rows', [
      {
        traceId: 'ffffffffffffffff8000000000000001',
        parentId: '8000000000000003',
        id: '8000000000000002',
        kind: 'CONSUMER',
        shared: true,
        timestamp: 4_294_965_600_000_007,
        localEndpoint: endpoint,
        remoteEndpoint: { serviceName: 'r'.repeat(200) },
        tags: { error: '' },
      },
      { traceId: '1', id: '2' },
    ]);
    const rows = [...(await storage.links.range(0n, 2n ** 64n - 1n, signal))].flat();
    const text = (id: string): string => Buffer.from(id, 'hex').toString('latin1');
    const bare = {
      tenant: 'rows',
      batch: 1n,
      parentId: undefined,
      kind: undefined,
      shared: false,
      timestamp: undefined,
      localService: undefined,
      localIpv4: undefined,
      localIpv6: undefined,
      localPort: undefined,
      remoteService: undefined,
      error: false,
    };
    const byTrace = (a: LinkRow, b: LinkRow): number => (a.trace < b.trace ? -1 : 1);
    expect(rows.toSorted(byTrace)).toEqual([
      {
        ...bare,
        trace: text('0000000000000001'),
        id: text('0000000000000002'),
        storedUs: LATE_US,
      },
      {
        ...bare,
        trace: text('8000000000000001'),
        parentId: text('8000000000000003'),
        id: text('8000000000000002'),
        kind: 'CONSUMER',
        shared: true,
        storedUs: 4_294_965_600_000_000,
        timestamp: 4_294_965_600_000_007,
        localService: 'ä',
        localIpv4: '01.2.3.4',
        localIpv6: '::',
        localPort: 65_535,
        remoteService: 'r'.repeat(200),
        error: true,
      },
    ]);
  });

  test('links are counted by the low 64 bits, over midnight, and kept over restarts', async () => {
    const [client_, server] = call('1111111111111111000000000000000a', LATE_US);
    await insert('t', [client_!]);
    expect(await ask('t')).toEqual([]);
    await insert('t', [{ ...server, traceId: '000000000000000a', timestamp: LATE_US + 200_000 }]);
    await insert('t', call('000000000000000b', LATE_US, true));
    const links = [{ parent: 'a', child: 'b', callCount: 2, errorCount: 1 }];
    expect(await ask('t')).toEqual(links);
    await reopen();
    expect(await ask('t')).toEqual(links);
    // Both windows cut the minute in which the second trace is.
    const cut = LATE_US / 1000 + 2;
    expect(await ask('t', { fromMs: cut, toMs: cut + DAY_MS })).toEqual([
      { parent: 'a', child: 'b', callCount: 1 },
    ]);
    expect(await ask('t', { fromMs: cut - DAY_MS, toMs: cut - 2 })).toEqual(links);
    expect(await ask('t', { fromMs: cut, toMs: cut + 1 })).toEqual([]);
  });

  test('a span that comes after the restart changes what was kept', async () => {
    await reopen();
    await insert('t', [
      { ...call('000000000000000a', LATE_US)[1], timestamp: LATE_US, tags: { error: 'x' } },
    ]);
    expect(await ask('t')).toEqual([{ parent: 'a', child: 'b', callCount: 2, errorCount: 2 }]);
  });

  test('links are counted anew when their table was dropped', async () => {
    const before = await ask('t');
    await index.stop(10_000);
    await client.command('DROP TABLE scrubjay.links SYNC');
    index = createIndex(storage);
    // The table is made again, the question must be put again.
    await expect(ask('t')).rejects.toThrow('links');
    expect(await ask('t')).toEqual(before);
    await reopen();
    expect(await ask('t')).toEqual(before);
  });

  test('links of rows that were deleted are gone', async () => {
    await client.command(`ALTER TABLE scrubjay.spans DELETE WHERE _batch > 1 AND _batch < 4`, {
      settings: { mutations_sync: '1' },
    });
    expect(await ask('t')).toEqual([{ parent: 'a', child: 'b', callCount: 1, errorCount: 1 }]);
    await client.command('TRUNCATE TABLE scrubjay.spans');
    expect(await ask('t')).toEqual([]);
  });

  test('ranges by trace id have all rows, each once', async () => {
    const traces = Array.from({ length: 50 }, (_, i) => (i + 1).toString(16).padStart(16, '0'));
    await insert(
      'cuts',
      traces.flatMap((traceId) => call(traceId, LATE_US)),
    );
    const cuts = await storage.links.cuts(4, signal);
    expect(cuts).toHaveLength(3);
    const starts = [0n, ...cuts];
    const sizes = await Promise.all(
      starts.map(async (from, i) => {
        const to = (starts[i + 1] ?? 2n ** 64n) - 1n;
        return [...(await storage.links.range(from, to, signal))].flat().length;
      }),
    );
    expect(sizes.reduce((a, b) => a + b)).toBe(100);
    expect(Math.max(...sizes)).toBeLessThan(50);
  });
});
