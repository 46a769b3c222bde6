/** What every storage must do: the promises of src/storage/contract.ts, as tests. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { decodeJsonV2 } from '../../src/codec/json-v2.ts';
import { spansJson } from '../../src/codec/json-v2-writer.ts';
import { DecodeReport } from '../../src/model/decode-report.ts';
import { SpanBatch } from '../../src/model/span-batch.ts';
import { normalizeTraceId } from '../../src/model/trace-id.ts';
import type { InsertSource, Storage } from '../../src/storage/contract.ts';
import { oracleSpan } from '../unit/codec/json-oracle.ts';
import { LIMITS, admitAll } from '../unit/codec/v1-batch-reader.ts';

type JsonSpan = Record<string, unknown>;

const NOW_US = Date.now() * 1000;
const DAY_US = 86_400_000_000;

/** @param create a storage that is empty, or that keeps what others put in for other tenants */
export function describeStorage(name: string, create: (dir: string) => Storage): void {
  describe(`${name} as a storage`, () => {
    const dir = mkdtempSync(join(tmpdir(), 'scrubjay-kit-'));
    const storage = create(join(dir, 'storage'));
    let batches = 0n;
    beforeAll(() => storage.start());
    afterAll(async () => {
      await storage.stop();
      rmSync(dir, { recursive: true, force: true });
    });

    const batchOf = (tenant: string, list: readonly JsonSpan[]): SpanBatch => {
      const batch = new SpanBatch(LIMITS, 7);
      batch.beginMessage(Buffer.from(tenant), LIMITS, NOW_US);
      const text = JSON.stringify(list, (_, v: unknown) => (typeof v === 'bigint' ? String(v) : v));
      decodeJsonV2(Buffer.from(text), batch, admitAll, new DecodeReport());
      return batch;
    };
    /** What the log has of them: one block for each list. */
    const blocksOf = (tenant: string, ...lists: JsonSpan[][]): Buffer[] =>
      lists.map((list) => Buffer.from(storage.encoder.encode(batchOf(tenant, list), 0n)));
    /** A log segment of the spans: one block for each list. */
    const segmentOf = (tenant: string, ...lists: JsonSpan[][]): InsertSource => {
      const id = ++batches;
      const days = new Map<number, number>();
      const blocks: Uint8Array[] = [];
      let rows = 0;
      for (const list of lists) {
        const batch = batchOf(tenant, list);
        blocks.push(Buffer.from(storage.encoder.encode(batch, id)));
        for (const [day, count] of batch.days()) days.set(day, (days.get(day) ?? 0) + count);
        rows += batch.rows;
      }
      const path = join(dir, `${id}.native`);
      const content = Buffer.concat(blocks);
      writeFileSync(path, Buffer.concat([content, Buffer.alloc(5000)]));
      return { batch: id, path, bytes: content.length, rows, days };
    };
    const read = async (
      tenant: string,
      id: string,
      strict = true,
      unstored: readonly Buffer[] = [],
    ): Promise<JsonSpan[]> => {
      const { key } = normalizeTraceId(id);
      const spans = await storage.reader.trace(key, strict, { tenant, unstored });
      return JSON.parse(spansJson(spans).toString()) as JsonSpan[];
    };
    const insert = (tenant: string, ...lists: JsonSpan[][]): Promise<void> =>
      storage.writer.insert(segmentOf(tenant, ...lists));

    test('reads back every field of a span as it was sent', async () => {
      const span = {
        traceId: '463ac35c9f6413ad48485a3953bb6124',
        parentId: '0000000000000003',
        id: 'a2fb4a1d1a96d312',
        kind: 'SERVER',
        name: 'get /x',
        timestamp: NOW_US,
        duration: 9_007_199_254_740_991,
        localEndpoint: { serviceName: 'web', ipv4: '0.0.0.0', ipv6: '::', port: 65_535 },
        remoteEndpoint: { serviceName: 'db', ipv4: '01.2.3.4', ipv6: '2001:db8::c001', port: 1 },
        annotations: [
          { timestamp: -5, value: '' },
          { timestamp: NOW_US + 1, value: 'é💩' },
        ],
        tags: { '': 'empty key', a: '', error: 'x\0y', [`k${'é'.repeat(50)}`]: 'v'.repeat(60_000) },
        debug: true,
        shared: true,
      };
      await insert('fields', [span]);
      expect(await read('fields', span.traceId)).toEqual([span]);
    });

    test('keeps a time that no day of storage can hold', async () => {
      const far = { traceId: '1', id: '2', timestamp: 9_007_199_254_740_991 };
      await insert('times', [far], [{ traceId: '1', id: '3' }]);
      const spans = await read('times', '1');
      expect(spans).toHaveLength(2);
      expect(spans).toEqual(
        expect.arrayContaining([
          { traceId: '0000000000000001', id: '0000000000000002', timestamp: far.timestamp },
          { traceId: '0000000000000001', id: '0000000000000003' },
        ]),
      );
    });

    test('reads back any span that can be decoded', async () => {
      const text = fc.string({ unit: 'grapheme', maxLength: 12 });
      const endpoint = fc.record(
        { serviceName: text, ipv4: fc.ipV4(), ipv6: fc.ipV6(), port: fc.nat(65_535) },
        { requiredKeys: [] },
      );
      const time = fc.integer({ min: NOW_US - 3 * DAY_US, max: NOW_US });
      const span = fc.record(
        {
          id: fc.stringMatching(/^[1-9a-f][0-9a-f]{15}$/),
          parentId: fc.stringMatching(/^[0-9a-f]{16}$/),
          kind: fc.constantFrom('CLIENT', 'SERVER', 'PRODUCER', 'CONSUMER'),
          name: text,
          timestamp: time,
          duration: fc.nat(),
          localEndpoint: endpoint,
          remoteEndpoint: endpoint,
          annotations: fc.array(fc.record({ timestamp: time, value: text }), { maxLength: 4 }),
          tags: fc.dictionary(text, text, { maxKeys: 5 }),
          debug: fc.boolean(),
          shared: fc.boolean(),
        },
        { requiredKeys: ['id'] },
      );
      const lists = fc.sample(fc.array(span, { minLength: 1, maxLength: 40 }), 12);
      const spans = lists.map((list, n) =>
        list.map((one, i): JsonSpan => ({ ...one, traceId: (n * 100 + i + 1).toString(16) })),
      );
      await insert('any', ...spans);
      const got = await Promise.all(spans.flat().map((one) => read('any', String(one['traceId']))));
      expect(got.flat()).toEqual(spans.flat().map(oracleSpan));
      const unstored = blocksOf('log', ...spans);
      const fromLog = spans
        .flat()
        .map((one) => read('log', String(one['traceId']), true, unstored));
      expect((await Promise.all(fromLog)).flat()).toEqual(spans.flat().map(oracleSpan));
    });

    test('finds rows of the log beside those that are stored, each once', async () => {
      const traceId = '463ac35c9f6413ad48485a3953bb6124';
      const span = (id: string, more: JsonSpan = {}): JsonSpan => ({ traceId, id, ...more });
      const [one, two, three] = ['1', '2', '3'].map((digit) =>
        span(digit.repeat(16), { timestamp: NOW_US + Number(digit) }),
      );
      const narrow = span('4'.repeat(16), { traceId: traceId.slice(16), timestamp: NOW_US + 4 });
      const other = span('5'.repeat(16), { traceId: '9'.repeat(32) });
      const blocks = blocksOf('log beside', [other], [one!, narrow], [two!]);
      await insert('log beside', [three!, two!]);
      const ofTrace = (strict: boolean) => read('log beside', traceId, strict, blocks);
      expect(await ofTrace(true)).toEqual([one, two, three]);
      expect(await ofTrace(false)).toEqual([one, two, three, narrow]);
      expect(await read('nobody', traceId, true, blocks)).toEqual([]);
      const lows = [BigInt(`0x${traceId.slice(16)}`)];
      const options = { tenant: 'log beside', unstored: blocks };
      const [many] = await storage.searcher.traces(lows, false, options);
      expect(JSON.parse(spansJson(many!).toString())).toEqual([one, two, three, narrow]);
    });

    test('finds a 64-bit id alone, or with all that share its low bits, as asked', async () => {
      const wide = { traceId: '463ac35c9f6413ad48485a3953bb6124', id: '0000000000000002' };
      const narrow = { traceId: '48485a3953bb6124', id: '0000000000000003' };
      await insert('widths', [wide, narrow]);
      expect(await read('widths', wide.traceId)).toEqual([wide]);
      expect(await read('widths', narrow.traceId)).toEqual([narrow]);
      const both = await read('widths', narrow.traceId, false);
      expect(both).toHaveLength(2);
    });

    test('keeps tenants apart', async () => {
      await insert('one', [{ traceId: '77', id: '1', name: 'mine' }]);
      expect(await read('other', '77')).toEqual([]);
      expect(await read('one', '77')).toHaveLength(1);
    });

    test('counts spans once that are equal in every field', async () => {
      const span = { traceId: '99', id: '1', timestamp: NOW_US };
      await insert('equal', [span, span, { ...span, name: 'other' }], [{ traceId: '99', id: '2' }]);
      expect(await read('equal', '99')).toHaveLength(3);
    });

    test('says by day what is stored of a batch, and inserts the days that are missing', async () => {
      const list = [0, 1, 2].flatMap((before) =>
        [1, 2].map((i) => ({
          traceId: `a${before}`,
          id: String(i),
          timestamp: NOW_US - before * DAY_US,
        })),
      );
      const source = segmentOf('days', list);
      const today = Math.floor(NOW_US / DAY_US);
      expect(await storage.writer.countBack(source.batch)).toEqual(new Map());
      await storage.writer.insert(source, [today - 1]);
      expect(await storage.writer.countBack(source.batch)).toEqual(new Map([[today - 1, 2]]));
      await storage.writer.insert(source, [today, today - 2]);
      const days = await storage.writer.countBack(source.batch);
      const inOrder = (all: ReadonlyMap<number, number>): [number, number][] =>
        [...all].toSorted(([a], [b]) => a - b);
      expect(inOrder(days)).toEqual(inOrder(source.days));
    });

    test('counts the rows that are there', async () => {
      const before = await storage.reader.countRows();
      await insert('count', [{ traceId: '1', id: '1' }], [{ traceId: '1', id: '2' }]);
      expect(await storage.reader.countRows()).toBe(before + 2);
    });
  });
}
