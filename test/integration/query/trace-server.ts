/** The trace routes over a real engine; spans are stored as the log would bring them. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { registerTrace } from '../../../src/api/trace.ts';
import { registerTraces } from '../../../src/api/traces.ts';
import { systemClock } from '../../../src/base/clock.ts';
import { decodeJsonV2 } from '../../../src/codec/json-v2.ts';
import { spansJson } from '../../../src/codec/json-v2-writer.ts';
import { httpSettings } from '../../../src/http/config.ts';
import { createHttpServer } from '../../../src/http/server.ts';
import type { HttpConfig, HttpServer } from '../../../src/http/server.ts';
import { DecodeReport } from '../../../src/model/decode-report.ts';
import { SpanBatch } from '../../../src/model/span-batch.ts';
import { QueryLimiter } from '../../../src/query/limiter.ts';
import { QueryGate } from '../../../src/query/query-gate.ts';
import { TraceSearch } from '../../../src/query/search.ts';
import { TraceById } from '../../../src/query/trace-by-id.ts';
import { TraceMany } from '../../../src/query/trace-many.ts';
import {
  clickhouseSettings,
  type ClickHouseSettingValues,
} from '../../../src/storage/clickhouse/config.ts';
import { NativeBlockEncoder } from '../../../src/storage/clickhouse/native-block.ts';
import { ClickHouseTraceReader } from '../../../src/storage/clickhouse/reader.ts';
import { ClickHouseTraceSearcher } from '../../../src/storage/clickhouse/search.ts';
import { UntimedTenants } from '../../../src/storage/clickhouse/untimed.ts';
import { ClickHouseStorage } from '../../../src/storage/clickhouse/storage.ts';
import { createLogger } from '../../../src/telemetry/logger.ts';
import { createMetrics } from '../../../src/telemetry/metrics.ts';
import { LIMITS as SPAN_LIMITS, admitAll } from '../../unit/codec/v1-batch-reader.ts';
import { storedBarrier } from '../../unit/query/stored-barrier.ts';

const LIMITS = { timeoutMs: 20_000, memoryBytes: 500_000_000, threads: 2 };

const defaultsOf = (settings: Record<string, { default: unknown }>): unknown =>
  Object.fromEntries(Object.entries(settings).map(([key, setting]) => [key, setting.default]));

export interface QueryConfig {
  readonly strict: boolean;
  readonly enabled: boolean;
}

export class TraceServer {
  readonly #dir = mkdtempSync(join(tmpdir(), 'scrubjay-traces-'));
  readonly #logger = createLogger('silent', false);
  readonly #metrics = createMetrics();
  readonly #untimed = new UntimedTenants(systemClock);
  readonly #servers = new Map<string, { server: HttpServer; url: string }>();
  readonly storage = new ClickHouseStorage({
    settings: { ...(defaultsOf(clickhouseSettings) as ClickHouseSettingValues), retentionMs: 0 },
    engineDir: join(this.#dir, 'engine'),
    encoder: new NativeBlockEncoder(),
    createReader: (client) => new ClickHouseTraceReader(client, LIMITS),
    createSearcher: (client) => new ClickHouseTraceSearcher(client, LIMITS, this.#untimed),
    logger: this.#logger,
    metrics: this.#metrics,
    clock: systemClock,
    random: () => 0,
  });
  #batches = 0n;
  readonly #keepsHalf: boolean;
  readonly #unstored: Buffer[] = [];

  /** @param keepsHalf of each list every other span is in the log only, and some in both */
  constructor(keepsHalf = false) {
    this.#keepsHalf = keepsHalf;
  }

  start(): Promise<void> {
    return this.storage.start();
  }

  async stop(): Promise<void> {
    for (const { server } of this.#servers.values()) {
      server.app.server.closeAllConnections();
      await server.app.close();
    }
    await this.storage.stop();
    rmSync(this.#dir, { recursive: true, force: true });
  }

  /** @param body a JSON v2 list that is fit to be accepted */
  async store(tenant: string, body: string): Promise<void> {
    if (!this.#keepsHalf) return this.#insert(tenant, body);
    const spans = JSON.parse(body) as unknown[];
    const kept = JSON.stringify(spans.filter((_, n) => n % 2 === 0));
    const block = this.storage.encoder.encode(this.#decode(tenant, kept), 0n);
    this.#unstored.push(Buffer.from(block));
    return this.#insert(
      tenant,
      JSON.stringify(spans.filter((_, n) => n % 2 === 1 || n % 10 === 0)),
    );
  }

  #decode(tenant: string, body: string): SpanBatch {
    const batch = new SpanBatch(SPAN_LIMITS, 7);
    batch.beginMessage(Buffer.from(tenant), SPAN_LIMITS, Date.now() * 1000);
    decodeJsonV2(Buffer.from(body), batch, admitAll, new DecodeReport());
    this.#untimed.observe(batch);
    return batch;
  }

  async #insert(tenant: string, body: string): Promise<void> {
    const id = ++this.#batches;
    const batch = this.#decode(tenant, body);
    const block = this.storage.encoder.encode(batch, id);
    const path = join(this.#dir, `${id}.native`);
    writeFileSync(path, block);
    const { rows } = batch;
    const { length: bytes } = block;
    await this.storage.writer.insert({ batch: id, path, bytes, rows, days: batch.days() });
  }

  async get(config: QueryConfig, tenant: string, path: string): Promise<Response> {
    const key = JSON.stringify(config);
    const known = this.#servers.get(key) ?? (await this.#listen(config));
    this.#servers.set(key, known);
    return fetch(known.url + path, { headers: { 'x-scope-orgid': tenant } });
  }

  async #listen({ strict, enabled }: QueryConfig): Promise<{ server: HttpServer; url: string }> {
    const clock = systemClock;
    const logger = this.#logger;
    const metrics = this.#metrics;
    const config = { ...(defaultsOf(httpSettings) as HttpConfig), port: 0, host: '127.0.0.1' };
    const server = createHttpServer({ config, logger, metrics, clock });
    const gate = new QueryGate({
      barrier: { ...storedBarrier, unstored: () => Promise.resolve(this.#unstored) },
      limiter: new QueryLimiter({ concurrency: 2, queueMax: 100, isShared: true }),
      timeoutMs: 20_000,
      slowMs: 0,
      clock,
      logger,
      metrics,
    });
    const { reader, searcher } = this.storage;
    const byId = new TraceById(reader, gate, strict);
    const search = new TraceSearch({ searcher, gate, strict, enabled, clock });
    const many = new TraceMany(searcher, gate, strict);
    const tenantOf = (header: string | undefined): string => header ?? '';
    registerTrace(server.app, {
      tenantOf,
      query: { trace: async (...args) => spansJson(await byId.find(...args)) },
    });
    registerTraces(server.app, {
      tenantOf,
      clock,
      lookbackMs: 86_400_000,
      query: {
        search: (...args) => search.search(...args),
        many: (...args) => many.find(...args),
      },
    });
    return { server, url: `http://127.0.0.1:${await server.listen()}` };
  }
}
