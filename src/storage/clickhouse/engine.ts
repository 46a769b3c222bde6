/**
 * The embedded engine as its parent sees it: one child process (engine-child.ts) on one directory,
 * started, supervised and stopped. Storage is told the address of each child and when it is gone.
 * Killing the child at any time is safe.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { Backoff } from '../../base/backoff.ts';
import type { Clock } from '../../base/clock.ts';
import { CodedError } from '../../base/errors.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { Metrics } from '../../telemetry/metrics.ts';
import type { ServerAddress } from './client.ts';
import { ENGINE_USER, engineConfigPath, writeEngineConfig } from './engine-config.ts';
import { endOrphan, lockOwner } from './orphan.ts';

export interface EngineOptions {
  /** The engine's alone; created with mode 0700. */
  readonly dir: string;
  readonly database: string;
  readonly memoryBytes: number;
  readonly logger: Logger;
  readonly metrics: Pick<Metrics, 'engineRestarts'>;
  readonly clock: Clock;
  readonly random: () => number;
}

export interface EngineListener {
  /** A child answers there. Awaited before start() resolves. */
  up(address: ServerAddress): Promise<void>;
  /** The child is gone without being asked; another is on its way. */
  down(reason: string): void;
}

const PORT_MS_MAX = 60_000;
const STOP_MS_MAX = 20_000;
/** The child of a killed parent needs up to 3 s to go, 15 s at worst. */
const LOCK_WAIT_MS_MAX = 20_000;
const LOCK_RETRY_MS = 250;
const RESTART_MS_MIN = 100;
const RESTART_MS_MAX = 10_000;
/** A child that listened for so long is restarted at once: queries wait for it. */
const STABLE_MS = 1000;
/** Below keep_alive_timeout of engine.xml. */
const IDLE_SOCKET_MS = 20_000;
const LAST_WORDS_MAX = 20;

export class EmbeddedEngine {
  readonly #options: EngineOptions;
  readonly #listener: EngineListener;
  readonly #dir: string;
  readonly #backoff: Backoff;
  readonly #stop = new AbortController();
  #library = '';
  #shortLives = 0;
  #process: EngineProcess | undefined;
  #supervision: Promise<void> = Promise.resolve();

  constructor(options: EngineOptions, listener: EngineListener) {
    this.#options = options;
    this.#listener = listener;
    this.#dir = resolve(options.dir);
    this.#backoff = new Backoff(RESTART_MS_MIN, RESTART_MS_MAX, options.random);
  }

  /** Process id of the child of the moment. */
  get pid(): number | undefined {
    return this.#process?.pid;
  }

  /**
   * Resolves when a child listens and the listener has been told.
   * @throws SCRUBJAY_ERR_START not supported here, directory in use, or the engine's own words
   */
  async start(): Promise<void> {
    const { clock } = this.#options;
    this.#library = await locateLibrary();
    mkdirSync(this.#dir, { recursive: true, mode: 0o700 });
    chmodSync(this.#dir, 0o700);
    this.#endOrphan();
    const lockDeadlineMs = clock.monotonicMs() + LOCK_WAIT_MS_MAX;
    for (;;) {
      try {
        await this.#launch();
        return;
      } catch (error) {
        if (!(error instanceof LaunchError)) throw error;
        const { signal } = this.#stop;
        if (signal.aborted || !error.locked || clock.monotonicMs() > lockDeadlineMs) {
          throw this.#startError(error);
        }
        await clock.sleep(LOCK_RETRY_MS, signal);
      }
    }
  }

  /** Ends the child: asked first, killed after 20 s. Idempotent. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#process?.stop(this.#options.clock);
    await this.#supervision;
  }

  #endOrphan(): void {
    const pid = endOrphan(this.#dir, engineConfigPath(this.#dir));
    if (pid === undefined) return;
    this.#options.logger.info({ pid }, 'The engine of an earlier process was still there: ended');
  }

  async #launch(): Promise<void> {
    const { database, memoryBytes, logger, clock } = this.#options;
    const password = randomBytes(24).toString('base64url');
    const config = writeEngineConfig({ dir: this.#dir, database, password, memoryBytes });
    const child = new EngineProcess(this.#library, config, this.#dir, logger);
    this.#process = child;
    // A stop() between two launches has nothing to end but this one.
    if (this.#stop.signal.aborted) void child.stop(clock);
    const port = await child.listening(clock);
    const startedMs = clock.monotonicMs();
    await this.#listener.up({
      url: `http://127.0.0.1:${port}`,
      username: ENGINE_USER,
      password,
      idleSocketMs: IDLE_SOCKET_MS,
    });
    this.#supervision = child.exited.then((reason) => this.#revive(reason, startedMs));
  }

  /** At once, but with growing pauses when lives are short; only stop() ends it. */
  async #revive(reason: string, startedMs: number): Promise<void> {
    const { clock, logger, metrics } = this.#options;
    const { signal } = this.#stop;
    if (signal.aborted) return;
    this.#listener.down(reason);
    logger.error({ reason }, 'The embedded engine is gone: starting it again');
    if (clock.monotonicMs() - startedMs >= STABLE_MS) this.#shortLives = 0;
    if (this.#shortLives++ === 0) this.#backoff.reset();
    else await clock.sleep(this.#backoff.nextMs(), signal);
    while (!signal.aborted) {
      metrics.engineRestarts.inc();
      try {
        await this.#launch();
        return;
      } catch (error) {
        if (signal.aborted) return;
        logger.error({ err: error }, 'The embedded engine does not start: trying again');
      }
      await clock.sleep(this.#backoff.nextMs(), signal);
    }
  }

  #startError(error: LaunchError): CodedError {
    const detail = error.locked
      ? `${this.#dir} is already in use by ${ownerOf(this.#dir)}: stop it or set ` +
        'another SCRUBJAY_DATA_DIR'
      : `The embedded engine does not start: ${error.message}`;
    return new CodedError('SCRUBJAY_ERR_START', { detail }, { cause: error });
  }
}

function ownerOf(dir: string): string {
  const pid = lockOwner(dir);
  return pid === undefined ? 'another engine' : `pid ${pid}`;
}

/** A child that ended, or had to be ended, before it listened. */
class LaunchError extends Error {
  /** Another engine has the directory. */
  readonly locked: boolean;

  constructor(message: string, locked: boolean) {
    super(message);
    this.name = 'LaunchError';
    this.locked = locked;
  }
}

/** One child from fork to exit. */
class EngineProcess {
  /** How it ended, for the log. Never rejects. */
  readonly exited: Promise<string>;
  readonly #child: ChildProcess;
  readonly #port: Promise<number>;
  readonly #lastWords: string[] = [];

  constructor(library: string, config: string, dir: string, logger: Logger) {
    // detached: Ctrl-C on a terminal reaches only the parent, which drains first.
    const child = fork(childModule(), [library, config, String(process.pid)], {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      detached: true,
      cwd: dir,
      execArgv: ['--max-old-space-size=64'],
      env: { PATH: '/usr/local/bin:/usr/bin:/bin', HOME: dir, TZ: 'UTC' },
    });
    this.#child = child;
    this.#port = new Promise((settle) => {
      child.on('message', (message) => {
        if (isPortMessage(message)) settle(message.port);
      });
    });
    // Not 'close': it never comes after disconnect(). Its last words may come after 'exit'.
    const silent = new Promise<void>((settle) => {
      if (child.stderr === null) settle();
      else {
        const lines = createInterface({ input: child.stderr });
        lines.on('line', (line) => this.#hear(line, logger)).on('close', settle);
      }
    });
    this.exited = new Promise((settle) => {
      child.on('error', (error) => {
        if (child.pid === undefined) settle(error.message);
      });
      child.on('exit', (code, signal) => {
        void silent.then(() => settle(this.#epitaph(code, signal)));
      });
    });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** The port it listens on. @throws LaunchError when it ends or says nothing for 60 s */
  async listening(clock: Clock): Promise<number> {
    const done = new AbortController();
    const port = await Promise.race([
      this.#port,
      this.exited,
      clock.sleep(PORT_MS_MAX, done.signal),
    ]);
    done.abort();
    if (typeof port === 'number') return port;
    if (port === undefined) {
      this.#child.kill('SIGKILL');
      await this.exited;
      throw new LaunchError(`it did not listen within ${PORT_MS_MAX} ms`, false);
    }
    throw new LaunchError(port, /\bCode: 76\..*Cannot lock file/s.test(port));
  }

  async stop(clock: Clock): Promise<void> {
    const done = new AbortController();
    if (this.#child.connected) this.#child.disconnect();
    const ended = this.exited.then(() => true);
    if ((await Promise.race([ended, clock.sleep(STOP_MS_MAX, done.signal)])) !== true) {
      this.#child.kill('SIGKILL');
    }
    done.abort();
    await this.exited;
  }

  #hear(line: string, logger: Logger): void {
    const record = parseLogLine(line);
    if (record === undefined) {
      if (line.trim() === '') return;
      this.#lastWords.push(line);
      if (this.#lastWords.length > LAST_WORDS_MAX) this.#lastWords.shift();
      logger.warn({ component: 'engine' }, line);
      return;
    }
    const { level, source, message } = record;
    logger[level]({ component: 'engine', source }, message);
  }

  #epitaph(code: number | null, signal: NodeJS.Signals | null): string {
    const how = signal === null ? `exit code ${code ?? 'unknown'}` : `killed by ${signal}`;
    return [how, ...this.#lastWords].join(': ');
  }
}

function isPortMessage(message: unknown): message is { port: number } {
  return (
    typeof message === 'object' &&
    message !== null &&
    'port' in message &&
    typeof message.port === 'number'
  );
}

interface EngineLogRecord {
  level: 'debug' | 'info' | 'warn' | 'error';
  source: string;
  message: string;
}

const LEVELS: Readonly<Record<string, EngineLogRecord['level']>> = {
  Fatal: 'error',
  Critical: 'error',
  Error: 'error',
  Warning: 'warn',
  Notice: 'info',
  Information: 'info',
};

/** A client that went away, an aborted read among them, is not an error of the engine. */
const CLIENT_GONE = /cancelWithException/;
const levelOf = (level: string, source: string): EngineLogRecord['level'] =>
  CLIENT_GONE.test(source) ? 'debug' : (LEVELS[level] ?? 'debug');

/** Its stack traces are addresses without symbols. */
const cut = (message: string): string => message.split(', Stack trace (when', 1)[0] ?? message;

/** One line of the engine's JSON log; undefined for anything else. */
function parseLogLine(line: string): EngineLogRecord | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    const record = JSON.parse(line) as Record<string, unknown>;
    const { level, logger_name: source, message } = record;
    if (typeof level !== 'string' || typeof message !== 'string') return undefined;
    return { level: levelOf(level, String(source)), source: String(source), message: cut(message) };
  } catch {
    return undefined;
  }
}

/** The compiled child beside this file; run from src (tests), the one that the build made. */
function childModule(): string {
  const compiled = import.meta.url.endsWith('.ts')
    ? '../../../dist/storage/clickhouse/engine-child.js'
    : './engine-child.js';
  return fileURLToPath(new URL(compiled, import.meta.url));
}

const PLATFORMS = ['linux-x64', 'linux-arm64', 'darwin-x64', 'darwin-arm64'];
const WAY_OUT = 'set CLICKHOUSE_URL to use a ClickHouse server';

/** Path of libchdb. @throws SCRUBJAY_ERR_START when the engine cannot run here */
async function locateLibrary(): Promise<string> {
  const unsupported = (detail: string, cause?: unknown): CodedError =>
    new CodedError('SCRUBJAY_ERR_START', { detail: `${detail}: ${WAY_OUT}` }, { cause });
  const platform = `${process.platform}-${process.arch}`;
  if (!PLATFORMS.includes(platform)) {
    throw unsupported(`The embedded engine does not run on ${platform}`);
  }
  if (process.platform === 'linux' && isMusl()) {
    throw unsupported('The embedded engine needs glibc and does not run on musl (Alpine)');
  }
  try {
    createRequire(import.meta.url).resolve('ffi-rs');
    const { libchdbPath } = await import('chdb/libchdb');
    const path = libchdbPath();
    if (!existsSync(path)) throw new Error(`${path} is missing`);
    return path;
  } catch (error) {
    const why = 'The packages of the embedded engine (chdb, ffi-rs) are not installed';
    throw unsupported(why, error);
  }
}

/** What this node was linked with says what its child can load. */
function isMusl(): boolean {
  const report = process.report.getReport() as { header?: { glibcVersionRuntime?: string } };
  return report.header?.glibcVersionRuntime === undefined;
}
