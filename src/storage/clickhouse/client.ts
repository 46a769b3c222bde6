/**
 * The one way to ClickHouse, embedded or server: HTTP through @clickhouse/client. Hides which
 * server is behind it at the moment, and turns every failure into a StorageError.
 * Statements name tables as `database.table`: no default database is set.
 */
import { addAbortSignal, type Readable } from 'node:stream';
import {
  ClickHouseError,
  ClickHouseLogLevel,
  createClient,
  type ClickHouseClient,
  type ClickHouseSettings,
} from '@clickhouse/client';
import { StorageError, type StorageFailure } from '../contract.ts';

/** Where a server listens and who we are there. */
export interface ServerAddress {
  readonly url: string;
  readonly username: string;
  readonly password: string;
  /** Idle sockets are closed by us after this time: below the server's keep_alive_timeout. */
  readonly idleSocketMs: number;
  /** PEM files of a private authority, with client certificate if asked for. */
  readonly tls?: { ca_cert: Buffer } | { ca_cert: Buffer; cert: Buffer; key: Buffer };
}

export interface CallOptions {
  /** Values of `{name:Type}` in the statement; bigint and arrays are fine. */
  readonly params?: Readonly<Record<string, unknown>>;
  readonly settings?: ClickHouseSettings;
  readonly signal?: AbortSignal;
  readonly queryId?: string;
}

/** What one read may cost; the server enforces it. */
export interface ReadLimits {
  readonly timeoutMs: number;
  readonly memoryBytes: number;
  readonly threads: number;
}

export interface ReadOptions extends CallOptions {
  readonly limits: ReadLimits;
  /** An answer beyond it fails with code 396. @default 256 MiB */
  readonly answerBytesMax?: number;
}

export interface InsertOptions extends CallOptions {
  readonly queryId: string;
}

const ANSWER_BYTES_MAX = 256 * 1024 * 1024;
const CONNECTIONS_MAX = 16;
/** Silence on a socket; longer than any max_execution_time we send. */
const REQUEST_TIMEOUT_MS = 600_000;
/** A read that the server should have ended itself is cut this much later. */
const READ_GRACE_MS = 5_000;
const TIMEOUT_EXCEEDED = 159;
const TOO_MANY_ROWS_OR_BYTES = 396;
const EXCEPTION_TAG_HEADER = 'x-clickhouse-exception-tag';
/** An exception that follows a part of the answer: its text and marks are shorter than this. */
const EXCEPTION_TAIL_BYTES = 32 * 1024;

const FAILURES: ReadonlyMap<number, StorageFailure> = new Map(
  (
    [
      ['retry', [159, 202, 203, 209, 210, 242, 252, 394, 999]],
      ['memory', [241]],
      ['schema', [16, 47, 60, 81]],
      ['auth', [192, 193, 497, 516]],
      ['poison', [6, 26, 27, 33, 41, 53, 62, 70, 117, 128, 131, 190, 469, 691]],
    ] as const
  ).flatMap(([failure, codes]) => codes.map((code) => [code, failure] as const)),
);

/** What to do about a ClickHouse error code; 0 and unknown ones: try again. */
export function failureOfCode(code: number): StorageFailure {
  return FAILURES.get(code) ?? 'retry';
}

/** @param signal the caller's: when it is aborted, so was the call, whatever the error says */
export function toStorageError(error: unknown, signal?: AbortSignal): StorageError {
  if (error instanceof StorageError) return error;
  const cause = error instanceof Error ? error : new Error(String(error));
  if (signal?.aborted === true) return new StorageError('aborted', 0, 'aborted', { cause });
  const code = codeOf(cause);
  return new StorageError(failureOfCode(code), code, describe(cause), { cause });
}

function codeOf(error: Error): number {
  if (error instanceof ClickHouseError) return Number(error.code);
  return Number(/\bCode: (\d+)\. DB::/.exec(error.message)?.[1] ?? 0);
}

/** Connection errors to several addresses come without a message of their own. */
function describe(error: Error): string {
  const text = error.message === '' && 'code' in error ? String(error.code) : error.message;
  return text.slice(0, 2000);
}

const timedOut = (limits: ReadLimits): StorageError =>
  new StorageError('retry', TIMEOUT_EXCEEDED, `no answer within ${limits.timeoutMs} ms`);

const isConnectionLost = (error: unknown): boolean =>
  error instanceof Error &&
  'code' in error &&
  (error.code === 'ECONNRESET' || error.code === 'EPIPE');

export class Client {
  readonly database: string;
  #client: ClickHouseClient | undefined;
  #unreachable: string | undefined;
  #reads = 0;

  /** @param database must need no quoting: config.ts sees to that */
  constructor(database: string) {
    this.database = database;
  }

  /** Why the last call got no answer; undefined when it got one. */
  get unreachable(): string | undefined {
    return this.#unreachable;
  }

  /** Reads under way. */
  get reads(): number {
    return this.#reads;
  }

  /** From now on calls go to this server; those under way fail as lost connections do. */
  async connect(address: ServerAddress): Promise<void> {
    const previous = this.#client;
    this.#client = createClient({
      url: address.url,
      username: address.username,
      password: address.password,
      ...(address.tls === undefined ? {} : { tls: address.tls }),
      application: 'scrubjay',
      request_timeout: REQUEST_TIMEOUT_MS,
      max_open_connections: CONNECTIONS_MAX,
      compression: { request: false, response: false },
      keep_alive: {
        enabled: true,
        idle_socket_ttl: address.idleSocketMs,
        eagerly_destroy_stale_sockets: true,
      },
      log: { level: ClickHouseLogLevel.OFF },
    });
    this.#unreachable = undefined;
    await previous?.close();
  }

  /** Cuts what is under way; calls fail with class retry until the next connect. Idempotent. */
  async close(): Promise<void> {
    const previous = this.#client;
    this.#client = undefined;
    await previous?.close();
  }

  /** A statement without an answer: DDL, KILL QUERY. */
  async command(sql: string, options: CallOptions = {}): Promise<void> {
    await this.#attempt(options.signal, async (client) => {
      await client.command({ query: sql, ...callParameters(options) });
    });
  }

  /**
   * A read; `sql` ends with the FORMAT of the answer. Bound by `limits`, killed on the server
   * when the signal aborts, sent again once when an idle connection was lost.
   */
  async query(sql: string, options: ReadOptions): Promise<Buffer> {
    const { limits, signal: caller, settings } = options;
    const deadline = new Deadline(limits.timeoutMs + READ_GRACE_MS, caller);
    const { signal } = deadline;
    const call = {
      query: sql,
      ...callParameters({ ...options, signal, settings: readSettings(limits, settings) }),
    };
    const bytesMax = options.answerBytesMax ?? ANSWER_BYTES_MAX;
    this.#reads++;
    try {
      return await this.#attempt(caller, async (client) => {
        try {
          return await collect(await client.exec(call), signal, bytesMax);
        } catch (error) {
          if (deadline.over) throw timedOut(limits);
          if (signal.aborted || !isConnectionLost(error)) throw error;
          return collect(await client.exec(call), signal, bytesMax);
        }
      });
    } finally {
      this.#reads--;
      deadline.clear();
    }
  }

  /**
   * Streams `body` as the data of an INSERT; resolves with the rows that the server says it wrote.
   * The stream is destroyed on every path.
   */
  async insert(sql: string, body: Readable, options: InsertOptions): Promise<number> {
    try {
      return await this.#attempt(options.signal, async (client) => {
        const { signal } = options;
        const answer = await client.exec({
          query: sql,
          values: body,
          ...callParameters(options),
        });
        await collect(answer, signal, EXCEPTION_TAIL_BYTES);
        return Number(answer.summary?.written_rows ?? 0);
      });
    } finally {
      body.destroy();
    }
  }

  async #attempt<T>(
    signal: AbortSignal | undefined,
    call: (client: ClickHouseClient) => Promise<T>,
  ): Promise<T> {
    const client = this.#client;
    if (signal?.aborted === true) throw new StorageError('aborted', 0, 'aborted');
    if (client === undefined) throw new StorageError('retry', 0, 'ClickHouse is not running');
    try {
      const value = await call(client);
      this.#unreachable = undefined;
      return value;
    } catch (error) {
      const failure = toStorageError(error, signal);
      const silent = failure.failure === 'retry' && failure.code === 0;
      if (client === this.#client && failure.failure !== 'aborted') {
        this.#unreachable = silent ? failure.message : undefined;
      }
      throw failure;
    }
  }
}

/** Aborts with the caller or after `ms`. AbortSignal.any would stay tied to long-lived callers. */
class Deadline {
  readonly #controller = new AbortController();
  readonly #caller: AbortSignal | undefined;
  readonly #timer: NodeJS.Timeout;
  readonly #abort = (): void => this.#controller.abort();

  constructor(ms: number, caller: AbortSignal | undefined) {
    this.#caller = caller;
    this.#timer = setTimeout(this.#abort, ms);
    if (caller?.aborted === true) this.#abort();
    caller?.addEventListener('abort', this.#abort, { once: true });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** The time is up, and the caller did not abort before. */
  get over(): boolean {
    return this.signal.aborted && this.#caller?.aborted !== true;
  }

  clear(): void {
    clearTimeout(this.#timer);
    this.#caller?.removeEventListener('abort', this.#abort);
  }
}

type ExecAnswer = Awaited<ReturnType<ClickHouseClient['exec']>>;

/** @throws what the server says after the answer began, and when there is more than `bytesMax` */
async function collect(
  answer: ExecAnswer,
  signal: AbortSignal | undefined,
  bytesMax: number,
): Promise<Buffer> {
  const { stream } = answer;
  if (signal !== undefined) addAbortSignal(signal, stream);
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > bytesMax) {
        const text = `the answer is over ${bytesMax} bytes`;
        throw new StorageError('retry', TOO_MANY_ROWS_OR_BYTES, text);
      }
      chunks.push(chunk);
    }
  } catch (error) {
    throw lateException(chunks, answer) ?? error;
  }
  const late = lateException(chunks, answer);
  if (late !== undefined) throw late;
  return Buffer.concat(chunks, bytes);
}

/** `__exception__ CRLF tag CRLF text …` after a part of the answer; the status was 200 by then. */
function lateException(chunks: readonly Buffer[], answer: ExecAnswer): Error | undefined {
  const tag = answer.response_headers[EXCEPTION_TAG_HEADER];
  if (typeof tag !== 'string') return undefined;
  let tail: Buffer = Buffer.alloc(0);
  for (let i = chunks.length - 1; i >= 0 && tail.length < EXCEPTION_TAIL_BYTES; i--) {
    tail = Buffer.concat([chunks[i] ?? tail, tail]);
  }
  const at = tail.lastIndexOf(`__exception__\r\n${tag}\r\n`);
  return at === -1 ? undefined : new Error(tail.toString('utf8', at).slice(0, 2000));
}

function readSettings(limits: ReadLimits, own: ClickHouseSettings = {}): ClickHouseSettings {
  return {
    ...own,
    readonly: '2',
    cancel_http_readonly_queries_on_client_close: 1,
    max_execution_time: limits.timeoutMs / 1000,
    max_memory_usage: String(limits.memoryBytes),
    max_threads: limits.threads,
  };
}

/** exactOptionalPropertyTypes: what is not given must not be there. */
function callParameters(options: CallOptions): {
  clickhouse_settings?: ClickHouseSettings;
  query_params?: Record<string, unknown>;
  abort_signal?: AbortSignal;
  query_id?: string;
} {
  return {
    ...(options.settings === undefined ? {} : { clickhouse_settings: options.settings }),
    ...(options.params === undefined ? {} : { query_params: { ...options.params } }),
    ...(options.signal === undefined ? {} : { abort_signal: options.signal }),
    ...(options.queryId === undefined ? {} : { query_id: options.queryId }),
  };
}
