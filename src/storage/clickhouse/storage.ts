/**
 * The ClickHouse storage: the embedded engine, or the server of CLICKHOUSE_URL, behind the same
 * client. Engine restarts are invisible but for failed calls of class retry while it is away.
 */
import { hostname } from 'node:os';
import { Backoff } from '../../base/backoff.ts';
import type { Clock } from '../../base/clock.ts';
import { CodedError } from '../../base/errors.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { Metrics } from '../../telemetry/metrics.ts';
import {
  StorageError,
  type BlockEncoder,
  type LinkReader,
  type LinkStore,
  type NameStore,
  type SpanWriter,
  type Storage,
  type StorageHealth,
  type StorageState,
  type TraceReader,
  type TraceSearcher,
} from '../contract.ts';
import { Client, type ReadLimits } from './client.ts';
import type { ClickHouseSettingValues } from './config.ts';
import { EmbeddedEngine } from './engine.ts';
import { ClickHouseLinks } from './links.ts';
import { applyRetention, migrate } from './migrations.ts';
import { ClickHouseNameStore } from './name-store.ts';
import { NativeBlockCutter } from './native-cutter.ts';
import { ClickHouseSpanWriter } from './writer.ts';
import { createSchemaGuard } from './schema-guard.ts';

export interface ClickHouseStorageOptions {
  readonly settings: ClickHouseSettingValues;
  /** Directory of the embedded engine and of nothing else. Not used with CLICKHOUSE_URL. */
  readonly engineDir: string;
  readonly encoder: BlockEncoder;
  readonly createReader: (client: Client) => TraceReader;
  readonly createSearcher: (client: Client) => TraceSearcher;
  readonly logger: Logger;
  readonly metrics: Pick<Metrics, 'engineRestarts'>;
  readonly clock: Clock;
  readonly random: () => number;
}

const PROBE_LIMITS: ReadLimits = { timeoutMs: 10_000, memoryBytes: 100_000_000, threads: 1 };
const RETRY_MS_MIN = 100;
const RETRY_MS_MAX = 10_000;
/** Servers close idle connections after 10 to 30 s, proxies before them sooner. */
const SERVER_IDLE_SOCKET_MS = 2_500;
const VERSION_MIN = [24, 8] as const;

export class ClickHouseStorage implements Storage {
  readonly encoder: BlockEncoder;
  readonly cutter = new NativeBlockCutter();
  readonly writer: SpanWriter;
  readonly reader: TraceReader;
  readonly searcher: TraceSearcher;
  readonly names: NameStore;
  readonly links: LinkReader & LinkStore;
  readonly #options: ClickHouseStorageOptions;
  readonly #client: Client;
  readonly #writer: ClickHouseSpanWriter;
  readonly #engine: EmbeddedEngine | undefined;
  readonly #stop = new AbortController();
  #state: StorageState = 'starting';
  #version = '';
  #error: string | undefined;

  constructor(options: ClickHouseStorageOptions) {
    const { settings } = options;
    this.#options = options;
    this.#client = new Client(settings.database);
    const withSchema = createSchemaGuard(() => this.#ensureSchema());
    this.#writer = new ClickHouseSpanWriter(this.#client, withSchema);
    this.writer = this.#writer;
    this.encoder = options.encoder;
    this.reader = options.createReader(this.#client);
    this.searcher = options.createSearcher(this.#client);
    this.links = new ClickHouseLinks({
      client: this.#client,
      // Collectors that share a server count each for itself.
      owner: settings.url === '' ? '' : `${hostname()} ${options.engineDir}`,
      withSchema,
    });
    this.names = new ClickHouseNameStore(this.#client, withSchema);
    if (settings.url === '') this.#engine = this.#createEngine();
  }

  /** Waits for a server that is away; @throws SCRUBJAY_ERR_START for what waiting does not cure */
  async start(): Promise<void> {
    const { settings, clock, logger, random } = this.#options;
    if (this.#engine === undefined) {
      await this.#client.connect({
        url: settings.url,
        username: settings.user,
        password: settings.password,
        idleSocketMs: SERVER_IDLE_SOCKET_MS,
      });
    } else {
      await this.#engine.start();
    }
    const backoff = new Backoff(RETRY_MS_MIN, RETRY_MS_MAX, random);
    for (;;) {
      try {
        await this.#prepare();
        break;
      } catch (error) {
        if (this.#stop.signal.aborted || !isTransient(error)) throw startError(error, settings);
        this.#error = error.message;
        logger.warn({ cause: error.message }, 'ClickHouse does not answer: trying again');
        await clock.sleep(backoff.nextMs(), this.#stop.signal);
      }
    }
    if (this.#stop.signal.aborted) return;
    this.#state = 'up';
    this.#error = undefined;
    logger.info({ storage: this.health().name }, 'Storage is up');
  }

  /** Inserts under way are cut and in doubt: drain before. Idempotent. */
  async stop(): Promise<void> {
    this.#state = 'stopped';
    this.#stop.abort();
    this.#writer.stop();
    await this.#client.close();
    await this.#engine?.stop();
  }

  health(): StorageHealth {
    const kind = this.#engine === undefined ? 'server' : 'embedded';
    const name = ['ClickHouse', this.#version, `(${kind})`].filter((word) => word !== '').join(' ');
    const error = this.#error ?? this.#client.unreachable;
    const state = this.#state === 'up' && error !== undefined ? 'down' : this.#state;
    return error === undefined ? { state, name } : { state, name, error };
  }

  #createEngine(): EmbeddedEngine {
    const { settings, engineDir, logger, metrics, clock, random } = this.#options;
    const { database, engineMemoryBytes: memoryBytes } = settings;
    return new EmbeddedEngine(
      { dir: engineDir, database, memoryBytes, logger, metrics, clock, random },
      {
        up: async (address) => {
          this.#error = undefined;
          if (this.#stop.signal.aborted) return;
          await this.#client.connect(address);
          this.#writer.onReturn();
        },
        down: (reason) => {
          this.#error = reason;
          void this.#client.close();
        },
      },
    );
  }

  async #prepare(): Promise<void> {
    const { settings, logger } = this.#options;
    const answer = await this.#client.query('SELECT version() FORMAT TSV', {
      limits: PROBE_LIMITS,
      signal: this.#stop.signal,
    });
    this.#version = answer.toString().trim();
    requireVersion(this.#version);
    await migrate(this.#client, this.#version, logger);
    await applyRetention(this.#client, settings.retentionMs, logger);
  }

  /** Tables that were dropped under a running program. */
  async #ensureSchema(): Promise<void> {
    const { settings, logger } = this.#options;
    logger.warn({}, 'A table or column is missing in ClickHouse: applying the schema again');
    await migrate(this.#client, this.#version, logger, true);
    await applyRetention(this.#client, settings.retentionMs, logger);
  }
}

/** @throws SCRUBJAY_ERR_START */
function requireVersion(version: string): void {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const [majorMin, minorMin] = VERSION_MIN;
  if (major > majorMin || (major === majorMin && minor >= minorMin)) return;
  const detail = `ClickHouse ${version} is too old: ${majorMin}.${minorMin} or newer is needed`;
  throw new CodedError('SCRUBJAY_ERR_START', { detail });
}

const isTransient = (error: unknown): error is StorageError =>
  error instanceof StorageError && (error.failure === 'retry' || error.failure === 'memory');

function startError(error: unknown, { user }: ClickHouseSettingValues): unknown {
  if (!(error instanceof StorageError)) return error;
  const detail =
    error.failure === 'auth'
      ? `ClickHouse refuses CLICKHOUSE_USER ${user} (code ${error.code}): ` +
        'check CLICKHOUSE_PASSWORD and the grants of the user'
      : `ClickHouse cannot be used (code ${error.code}): ${error.message}`;
  return new CodedError('SCRUBJAY_ERR_START', { detail }, { cause: error });
}
