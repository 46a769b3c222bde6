/**
 * The composition root: every part of the data flow is made and wired here, in its order.
 *
 * http → receiver → codec → distributor → wal → ingester → storage/clickhouse → query → api → http
 */
import { randomInt } from 'node:crypto';
import { resolve } from 'node:path';
import { registerHealth } from './api/health.ts';
import type { HealthComponent } from './api/health.ts';
import { registerInfo } from './api/info.ts';
import { registerLedger } from './api/ledger.ts';
import { registerNames } from './api/names.ts';
import { registerPrometheus } from './api/prometheus.ts';
import { registerTrace } from './api/trace.ts';
import { systemClock } from './base/clock.ts';
import { CodedError } from './base/errors.ts';
import { detect } from './codec/detect.ts';
import { spansJson } from './codec/json-v2-writer.ts';
import type { Config } from './config/groups.ts';
import { readVersion } from './config/version.ts';
import { Distributor, limitsOf } from './distributor/distributor.ts';
import { createHttpServer } from './http/server.ts';
import type { HttpServer } from './http/server.ts';
import { Ingester } from './ingester/ingester.ts';
import { NameIndex } from './query/name-index.ts';
import { sortedJson } from './query/name-json.ts';
import { NameRecorder } from './query/name-recorder.ts';
import { TraceById } from './query/trace-by-id.ts';
import { registerReceiver } from './receiver/receiver.ts';
import { retentionDays } from './storage/clickhouse/migrations.ts';
import { NativeBlockEncoder } from './storage/clickhouse/native-block.ts';
import { ClickHouseTraceReader } from './storage/clickhouse/reader.ts';
import { ClickHouseStorage } from './storage/clickhouse/storage.ts';
import { Ledger } from './telemetry/ledger.ts';
import type { Logger } from './telemetry/logger.ts';
import { createMetrics } from './telemetry/metrics.ts';
import type { Metrics } from './telemetry/metrics.ts';
import { Wal } from './wal/wal.ts';

export interface StartInfo {
  readonly version: string;
  readonly url: string;
  readonly dataDir: string;
  readonly storage: string;
}

export interface App {
  /** Resolves when spans are taken and queries answered. @throws CodedError for an operator */
  start(): Promise<StartInfo>;
  /** Drains and ends everything; safe at any time, idempotent. */
  stop(): Promise<void>;
}

/** Bringing the log into storage at the end; what is left is inserted by the next start. */
const STOP_MS_MAX = 15_000;
/** Recording the last names; the next start finds them in the spans. */
const STOP_NAMES_MS_MAX = 3000;
const SEED_MAX = 2 ** 32;

const clock = systemClock;

export function createApp(config: Config, logger: Logger): App {
  return new Collector(config, logger);
}

/** The parts that exist from start to stop. */
interface Parts {
  readonly http: HttpServer;
  readonly ingester: Ingester;
  readonly recorder: NameRecorder | undefined;
}

class Collector implements App {
  readonly #config: Config;
  readonly #logger: Logger;
  readonly #metrics: Metrics = createMetrics();
  readonly #ledger = new Ledger(this.#metrics);
  readonly #dataDir: string;
  readonly #storage: ClickHouseStorage;
  /** Undefined when search is disabled. */
  readonly #names: NameIndex | undefined;
  #parts: Parts | undefined;
  #starting: Promise<StartInfo> | undefined;
  #stopping: Promise<void> | undefined;

  constructor(config: Config, logger: Logger) {
    this.#config = config;
    this.#logger = logger;
    this.#dataDir = resolve(config.node.dataDir);
    this.#storage = this.#createStorage();
    this.#names = config.query.searchEnabled ? this.#createNames() : undefined;
  }

  start(): Promise<StartInfo> {
    this.#starting ??= this.#start();
    return this.#starting;
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #start(): Promise<StartInfo> {
    const { wal: walConfig } = this.#config;
    const wal = await Wal.open({
      dir: resolve(this.#dataDir, 'wal'),
      config: walConfig,
      clock,
      logger: this.#logger,
      metrics: this.#metrics,
    });
    const storageReady = this.#storage.start();
    const ingester = this.#createIngester(wal, storageReady);
    const http = createHttpServer({
      config: this.#config.http,
      logger: this.#logger,
      metrics: this.#metrics,
      clock,
    });
    const recorder = this.#createRecorder(wal, ingester);
    this.#parts = { http, ingester, recorder };
    ingester.start();
    await storageReady;
    recorder?.start();
    this.#register(http, wal, ingester);
    const port = await listen(http, this.#config.http.port);
    return {
      version: readVersion(),
      url: `http://${this.#config.http.host}:${port}`,
      dataDir: this.#dataDir,
      storage: this.#storage.health().name,
    };
  }

  async #stop(): Promise<void> {
    // A start under way is let finish: it cannot be cut at every step.
    await this.#starting?.catch(() => undefined);
    await this.#parts?.http.drain();
    await this.#parts?.ingester.stop(STOP_MS_MAX);
    await this.#parts?.recorder?.stop(STOP_NAMES_MS_MAX);
    await this.#storage.stop();
  }

  #createStorage(): ClickHouseStorage {
    const { clickhouse, query } = this.#config;
    return new ClickHouseStorage({
      settings: clickhouse,
      engineDir: resolve(this.#dataDir, 'engine'),
      encoder: new NativeBlockEncoder(),
      createReader: (client) =>
        new ClickHouseTraceReader(client, {
          timeoutMs: query.timeoutMs,
          memoryBytes: clickhouse.queryMemoryBytes,
          threads: clickhouse.queryThreads,
        }),
      logger: this.#logger,
      metrics: this.#metrics,
      clock,
      random: Math.random,
    });
  }

  #createNames(): NameIndex {
    const { query, clickhouse } = this.#config;
    return new NameIndex({
      ...query,
      store: this.#storage.names,
      clock,
      logger: this.#logger,
      seed: randomInt(SEED_MAX),
      retentionDays: retentionDays(clickhouse.retentionMs),
      shared: clickhouse.url !== '',
    });
  }

  #createRecorder(wal: Wal, ingester: Ingester): NameRecorder | undefined {
    if (this.#names === undefined) return undefined;
    return new NameRecorder({
      index: this.#names,
      store: this.#storage.names,
      clock,
      logger: this.#logger,
      random: Math.random,
      recovered: wal.recovered.map(({ batch }) => batch),
      unstored: () => ingester.pendingSegments().filter(({ recovered }) => recovered).length,
    });
  }

  #createIngester(wal: Wal, storageReady: Promise<void>): Ingester {
    return new Ingester({
      log: wal,
      encoder: this.#storage.encoder,
      writer: this.#storage.writer,
      storageReady,
      ledger: this.#ledger,
      metrics: this.#metrics,
      logger: this.#logger,
      clock,
      random: Math.random,
      seed: randomInt(SEED_MAX),
      limits: limitsOf(this.#config.distributor),
      freshnessWaitMs: this.#config.ingester.freshnessWaitMs,
      ...(this.#names === undefined ? {} : { observer: this.#names }),
    });
  }

  #createDistributor(wal: Wal, ingester: Ingester): Distributor {
    const { distributor: config, clickhouse, wal: walConfig } = this.#config;
    const { rejectOlderThanMs: older, rejectNewerThanMs: newerThanMs } = config;
    const distributor = new Distributor({
      config,
      ages: { olderThanMs: older === 'retention' ? clickhouse.retentionMs : older, newerThanMs },
      dedupWindowMs: walConfig.notesKeptMs,
      sink: ingester,
      ledger: this.#ledger,
      metrics: this.#metrics,
      clock,
    });
    for (const { note } of wal.recoveredNotes()) distributor.remember(note);
    return distributor;
  }

  #register(http: HttpServer, wal: Wal, ingester: Ingester): void {
    const { receiver, http: limits, query } = this.#config;
    const { app, admission } = http;
    const distributor = this.#createDistributor(wal, ingester);
    const tenantOf = (header: string | undefined): string => distributor.tenantOf(header);
    const metrics = this.#metrics;
    const ledger = this.#ledger;
    const { reader } = this.#storage;
    registerReceiver(app, {
      config: receiver,
      limits,
      admission,
      distributor,
      detect,
      metrics,
      clock,
    });
    if (query.enabled) {
      const traces = new TraceById(reader, ingester, query.strictTraceId);
      registerTrace(app, {
        tenantOf,
        query: {
          trace: async (rawId, tenant, signal) =>
            spansJson(await traces.find(rawId, tenant, signal)),
        },
      });
      registerNames(app, {
        query: this.#names,
        autocompleteKeys: sortedJson(query.autocompleteKeys),
        maxAgeSeconds: query.namesMaxAgeSeconds,
        tenantOf,
      });
    }
    registerHealth(app, {
      components: () => [storageHealth(this.#storage), logHealth(wal)],
      draining: () => http.draining,
    });
    registerInfo(app, { version: readVersion(), commit: 'unknown' });
    registerPrometheus(app, { metrics, ledger });
    registerLedger(app, { ledger, clock, countRows: (signal) => reader.countRows(signal) });
  }
}

/** A storage that is away keeps the node in rotation: the log takes what comes. */
function storageHealth(storage: ClickHouseStorage): HealthComponent {
  const { state, name, error } = storage.health();
  const status = state === 'up' ? 'UP' : 'DOWN';
  return { name, status, essential: false, ...(error === undefined ? {} : { error }) };
}

function logHealth(wal: Wal): HealthComponent {
  const refusal = wal.admit();
  const { state } = wal.state();
  const name = 'Log';
  if (refusal !== undefined)
    return { name, status: 'DOWN', error: refusal.message, essential: true };
  if (state === 'ok') return { name, status: 'UP', essential: true };
  return { name, status: 'UP', error: `state ${state}: storage does not keep up`, essential: true };
}

async function listen(http: HttpServer, port: number): Promise<number> {
  try {
    return await http.listen();
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code !== 'EADDRINUSE' && code !== 'EACCES') throw error;
    const why = code === 'EADDRINUSE' ? 'is taken: stop what listens there' : 'may not be used';
    const detail = `Port ${port} ${why}, or set QUERY_PORT to another one`;
    throw new CodedError('SCRUBJAY_ERR_START', { detail }, { cause: error });
  }
}
