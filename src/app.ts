/**
 * The composition root: every part of the data flow is made and wired here, in its order.
 *
 * http → receiver → codec → distributor → wal → ingester → storage/clickhouse → query → api → http
 */
import { randomInt } from 'node:crypto';
import { resolve } from 'node:path';
import { registerDependencies } from './api/dependencies.ts';
import { registerGrafana } from './api/grafana.ts';
import { registerHealth } from './api/health.ts';
import { logHealth, storageHealth } from './api/health-components.ts';
import { registerInfo } from './api/info.ts';
import { registerLedger } from './api/ledger.ts';
import { registerMetrics } from './api/metrics.ts';
import { registerNames } from './api/names.ts';
import { registerPrometheus } from './api/prometheus.ts';
import { traceQueries } from './api/query-tracing.ts';
import { registerRejections } from './api/rejections.ts';
import { registerTrace } from './api/trace.ts';
import { registerTraces } from './api/traces.ts';
import { registerUiConfig } from './api/ui-config.ts';
import { systemClock } from './base/clock.ts';
import { eventLoopBusy } from './base/event-loop.ts';
import { detect } from './codec/detect.ts';
import { decodeJsonV2 } from './codec/json-v2.ts';
import { spansJson } from './codec/json-v2-writer.ts';
import { traceIdOfReference } from './codec/trace-reference.ts';
import { formatTraceparent, parseTraceContext } from './codec/traceparent.ts';
import type { Config } from './config/groups.ts';
import { readVersion } from './config/version.ts';
import { agesOf, Distributor, limitsOf } from './distributor/distributor.ts';
import { DEFAULT_TENANT } from './distributor/tenant.ts';
import { listen } from './http/listen.ts';
import { createHttpServer } from './http/server.ts';
import type { HttpServer } from './http/server.ts';
import { Ingester } from './ingester/ingester.ts';
import type { FreshnessBarrier } from './model/span-sink.ts';
import { Dependencies } from './query/dependencies.ts';
import { LinkIndex } from './query/link-index.ts';
import { NameIndex } from './query/name-index.ts';
import { sortedJson } from './query/name-json.ts';
import { NameRecorder } from './query/name-recorder.ts';
import { QueryLimiter } from './query/limiter.ts';
import { QueryGate } from './query/query-gate.ts';
import { Traces } from './query/traces.ts';
import { registerReceiver } from './receiver/receiver.ts';
import { NativeBlockEncoder } from './storage/clickhouse/native-block.ts';
import { retentionDays } from './storage/clickhouse/migrations.ts';
import { ClickHouseTraceReader } from './storage/clickhouse/reader.ts';
import { ClickHouseTraceSearcher } from './storage/clickhouse/search.ts';
import { ClickHouseStorage } from './storage/clickhouse/storage.ts';
import { UntimedTenants } from './storage/clickhouse/untimed.ts';
import { Ledger } from './telemetry/ledger.ts';
import type { Logger } from './telemetry/logger.ts';
import { createMetrics, type Metrics } from './telemetry/metrics.ts';
import { Rejections } from './telemetry/rejections.ts';
import { SelfTracer } from './telemetry/self-tracing.ts';
import { LOG_FOLDER } from './wal/config.ts';
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
/** Saving sums of links; the next start counts again what is missing. */
const STOP_LINKS_MS_MAX = 3000;
/** What no limit means: longer than any client waits. */
const QUERY_MS_MAX = 600_000;
/** Calls of queries that wait for their turn. */
const QUERY_QUEUE_MAX = 1000;
/** Above this share of its time the event loop has nothing to spare for the background. */
const BUSY_SHARE = 0.75;
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
  readonly links: LinkIndex | undefined;
}

class Collector implements App {
  readonly #config: Config;
  readonly #logger: Logger;
  readonly #metrics: Metrics = createMetrics();
  readonly #ledger = new Ledger(this.#metrics);
  readonly #rejections = new Rejections(this.#metrics);
  readonly #tracer: SelfTracer;
  #distributor: Distributor | undefined;
  readonly #dataDir: string;
  readonly #storage: ClickHouseStorage;
  readonly #untimed = new UntimedTenants(clock);
  /** Undefined when search is disabled. */
  readonly #names: NameIndex | undefined;
  #parts: Parts | undefined;
  #listening = false;
  #starting: Promise<StartInfo> | undefined;
  #stopping: Promise<void> | undefined;

  constructor(config: Config, logger: Logger) {
    this.#config = config;
    this.#logger = logger;
    this.#dataDir = resolve(config.node.dataDir);
    this.#tracer = this.#createTracer();
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
      dir: resolve(this.#dataDir, LOG_FOLDER),
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
    const links = this.#config.query.enabled ? this.#createLinks() : undefined;
    this.#parts = { http, ingester, recorder, links };
    ingester.start();
    const stored = this.#startOnStorage(storageReady, recorder, links);
    // A server that is away must not keep spans out: the log takes them meanwhile.
    if (this.#config.clickhouse.url === '') await stored;
    else stored.catch((error: unknown) => this.#logger.error({ err: error }, 'No storage'));
    await this.#tracer.open();
    this.#register(http, wal, ingester);
    const port = await listen(http, this.#config.http.port);
    this.#listening = true;
    return {
      version: readVersion(),
      url: `http://${this.#config.http.host}:${port}`,
      dataDir: this.#dataDir,
      storage: this.#storage.health().name,
    };
  }

  async #startOnStorage(
    storageReady: Promise<void>,
    recorder: NameRecorder | undefined,
    links: LinkIndex | undefined,
  ): Promise<void> {
    await storageReady;
    recorder?.start();
    links?.start();
  }

  async #stop(): Promise<void> {
    // A start under way is let finish, but not to wait for storage.
    if (!this.#listening) await this.#storage.stop();
    await this.#starting?.catch(() => undefined);
    await this.#parts?.http.drain();
    await this.#tracer.close();
    await this.#parts?.ingester.stop(STOP_MS_MAX);
    await this.#parts?.recorder?.stop(STOP_NAMES_MS_MAX);
    await this.#parts?.links?.stop(STOP_LINKS_MS_MAX);
    await this.#storage.stop();
  }

  #createTracer(): SelfTracer {
    return new SelfTracer({
      settings: this.#config.telemetry,
      clock,
      random: Math.random,
      parse: parseTraceContext,
      formatTraceparent,
      deliver: (json) => this.#storeOwnSpans(json),
      onDropped: (spans, cause) => {
        this.#logger.debug({ spans, err: cause }, 'Spans of its own were dropped');
      },
    });
  }

  /** Without an activity: storing our own spans makes no new ones. */
  async #storeOwnSpans(body: Uint8Array): Promise<void> {
    const outcome = await this.#distributor?.push({
      tenant: DEFAULT_TENANT,
      transport: 'self',
      format: 'json-v2',
      client: 'scrubjay',
      body,
      decode: decodeJsonV2,
    });
    if (outcome === undefined) throw new Error('not started');
    if (outcome.kind === 'refused') throw outcome.error;
    if (outcome.kind === 'rejected') throw new Error(outcome.message);
  }

  #createStorage(): ClickHouseStorage {
    const { clickhouse, query } = this.#config;
    const limits = {
      timeoutMs: query.timeoutMs === 0 ? QUERY_MS_MAX : query.timeoutMs,
      memoryBytes: clickhouse.queryMemoryBytes,
      threads: clickhouse.queryThreads,
    };
    return new ClickHouseStorage({
      settings: clickhouse,
      engineDir: resolve(this.#dataDir, 'engine'),
      encoder: new NativeBlockEncoder(),
      createReader: (client) => new ClickHouseTraceReader(client, limits),
      createSearcher: (client) => new ClickHouseTraceSearcher(client, limits, this.#untimed),
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

  #createLinks(): LinkIndex {
    return new LinkIndex({
      reader: this.#storage.links,
      store: this.#storage.links,
      clock,
      logger: this.#logger,
      busy: eventLoopBusy(BUSY_SHARE),
      arrivals: () => this.#ledger.entries().stored,
    });
  }

  #createIngester(wal: Wal, storageReady: Promise<void>): Ingester {
    return new Ingester({
      log: wal,
      encoder: this.#storage.encoder,
      cutter: this.#storage.cutter,
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
      tracer: this.#tracer,
      observers: [...(this.#names === undefined ? [] : [this.#names]), this.#untimed],
    });
  }

  #createDistributor(wal: Wal, ingester: Ingester): Distributor {
    const { distributor: config, clickhouse, wal: walConfig } = this.#config;
    const distributor = new Distributor({
      config,
      ages: agesOf(config, clickhouse.retentionMs),
      dedupWindowMs: walConfig.notesKeptMs,
      sink: ingester,
      fillingLogBytes: () => wal.fillingBytes,
      ledger: this.#ledger,
      metrics: this.#metrics,
      rejections: this.#rejections,
      tracer: this.#tracer,
      clock,
    });
    this.#distributor = distributor;
    for (const { note } of wal.recoveredNotes()) distributor.remember(note);
    return distributor;
  }

  #createGate(barrier: FreshnessBarrier): QueryGate {
    const { concurrency, timeoutMs, slowMs } = this.#config.query;
    const isShared = this.#config.distributor.tenancy === 'header';
    return new QueryGate({
      barrier,
      limiter: new QueryLimiter({ concurrency, queueMax: QUERY_QUEUE_MAX, isShared }),
      timeoutMs,
      slowMs,
      clock,
      logger: this.#logger,
      metrics: this.#metrics,
    });
  }

  #registerTraces(
    app: HttpServer['app'],
    gate: QueryGate,
    tenantOf: (header: string | undefined) => string,
  ): void {
    const { strictTraceId: strict, searchEnabled: enabled, lookbackMs } = this.#config.query;
    const { reader, searcher } = this.#storage;
    const traces = new Traces({ reader, searcher, gate, strict, enabled, clock });
    registerTrace(app, {
      tenantOf,
      query: {
        trace: async (rawId, tenant, signal) =>
          spansJson(await traces.trace(traceIdOfReference(rawId), tenant, signal)),
      },
    });
    registerTraces(app, { tenantOf, clock, lookbackMs, query: traces });
    const links = this.#parts?.links;
    if (links !== undefined) {
      registerDependencies(app, { tenantOf, lookbackMs, query: new Dependencies(links, gate) });
    }
    registerGrafana(app, { tenantOf, clock, lookbackMs, query: traces, names: this.#names });
  }

  #register(http: HttpServer, wal: Wal, ingester: Ingester): void {
    const { receiver, http: limits, query, ui } = this.#config;
    const { app, admission } = http;
    const distributor = this.#createDistributor(wal, ingester);
    const tenantOf = (header: string | undefined): string => distributor.tenantOf(header);
    const [metrics, ledger] = [this.#metrics, this.#ledger];
    const { reader } = this.#storage;
    traceQueries(app, this.#tracer);
    registerReceiver(app, {
      config: receiver,
      limits,
      admission,
      distributor,
      detect,
      metrics,
      tracer: this.#tracer,
      clock,
    });
    if (query.enabled) {
      this.#registerTraces(app, this.#createGate(ingester), tenantOf);
      registerNames(app, {
        query: this.#names,
        autocompleteKeys: sortedJson(query.autocompleteKeys),
        maxAgeSeconds: query.namesMaxAgeSeconds,
        tenantOf,
      });
      const { searchEnabled } = query;
      if (ui.enabled) registerUiConfig(app, { ...ui, searchEnabled });
    }
    registerHealth(app, {
      components: () => [storageHealth(this.#storage), logHealth(wal)],
      draining: () => http.draining,
    });
    registerRejections(app, { rejections: this.#rejections, tenantOf });
    registerInfo(app, { version: readVersion(), commit: 'unknown' });
    registerMetrics(app, { metrics });
    registerPrometheus(app, { metrics, ledger });
    registerLedger(app, { ledger, clock, countRows: (signal) => reader.countRows(signal) });
  }
}
