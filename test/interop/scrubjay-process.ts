/** The program as it is built, as a process of its own: a free port, an empty data folder. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
const START_MS_MAX = 50_000;
const STOP_MS_MAX = 20_000;
const ANSWER_MS_MAX = 10_000;
const POLL_MS = 50;
const LOG_LINES_KEPT = 50;

/** Recorded spans are as old as the recording. */
export const ANY_AGE = {
  SCRUBJAY_RETENTION: '0',
  SCRUBJAY_REJECT_OLDER_THAN: '0',
  SCRUBJAY_REJECT_NEWER_THAN: '0',
} as const;

export interface Scrubjay {
  readonly url: string;
  readonly port: number;
  /** SIGTERM. @throws Error when it does not end with 0 in time; it has ended all the same */
  stop(): Promise<void>;
  /** SIGKILL; the engine finds out by itself. */
  kill(): Promise<void>;
}

/** @param ownDir a data folder that is the caller's to remove; a fresh one when it is not given */
export async function startScrubjay(
  settings: Record<string, string> = {},
  ownDir?: string,
): Promise<Scrubjay> {
  const dataDir = ownDir ?? mkdtempSync(path.join(tmpdir(), 'scrubjay-interop-'));
  const child = spawn(process.execPath, [MAIN], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      PATH: process.env['PATH'],
      QUERY_PORT: '0',
      SCRUBJAY_LISTEN_HOST: '127.0.0.1',
      SCRUBJAY_DATA_DIR: dataDir,
      SCRUBJAY_LOG_FORMAT: 'json',
      ...settings,
    },
  });
  // It must not outlive a run that is cut short.
  const kill = (): boolean => child.kill('SIGKILL');
  process.once('exit', kill);
  const lines: string[] = [];
  const ended = once(child, 'close');
  const endedWithin = async (ms: number): Promise<unknown> => {
    const late = setTimeout(kill, ms);
    const [code, signal] = (await ended) as [number | null, string | null];
    clearTimeout(late);
    process.off('exit', kill);
    if (ownDir === undefined) rmSync(dataDir, { recursive: true, force: true, maxRetries: 5 });
    return code ?? signal;
  };
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM');
    const end = await endedWithin(STOP_MS_MAX);
    if (end !== 0) throw new Error(`Scrubjay ended with ${String(end)}\n${lines.join('\n')}`);
  };

  const url = await new Promise<string | undefined>((resolve) => {
    const late = setTimeout(resolve, START_MS_MAX, undefined);
    createInterface(child.stdout).on('line', (line) => {
      lines.push(line);
      if (lines.length > LOG_LINES_KEPT) lines.shift();
      const { msg, url: ready } = readLogLine(line);
      if (msg !== 'Ready') return;
      clearTimeout(late);
      resolve(ready);
    });
    child.once('close', () => {
      clearTimeout(late);
      resolve(undefined);
    });
  });
  if (url === undefined) {
    kill();
    await endedWithin(STOP_MS_MAX);
    throw new Error(`Scrubjay was not ready in time\n${lines.join('\n')}`);
  }
  const killed = async (): Promise<void> => {
    kill();
    await endedWithin(STOP_MS_MAX);
  };
  return { url, port: Number(new URL(url).port), stop, kill: killed };
}

function readLogLine(line: string): { msg?: string; url?: string } {
  try {
    return JSON.parse(line) as { msg?: string; url?: string };
  } catch {
    return {};
  }
}

/** A span as the query API answers it. */
export interface FoundSpan {
  readonly traceId: string;
  readonly parentId?: string;
  readonly id: string;
  readonly kind?: string;
  readonly name?: string;
  readonly timestamp?: number;
  readonly duration?: number;
  readonly localEndpoint?: FoundEndpoint;
  readonly remoteEndpoint?: FoundEndpoint;
  readonly annotations?: readonly { readonly timestamp: number; readonly value: string }[];
  readonly tags?: Readonly<Record<string, string>>;
  readonly debug?: boolean;
  readonly shared?: boolean;
}

export interface FoundEndpoint {
  readonly serviceName?: string;
  readonly ipv4?: string;
  readonly ipv6?: string;
  readonly port?: number;
}

/** What the path answers, which must be 200 and JSON. */
export async function getJson<T>(
  { url }: Pick<Scrubjay, 'url'>,
  pathAndQuery: string,
  headers: Record<string, string> = {},
): Promise<T> {
  const signal = AbortSignal.timeout(ANSWER_MS_MAX);
  const answer = await fetch(url + pathAndQuery, { headers, signal });
  const text = await answer.text();
  if (answer.status !== 200) throw new Error(`GET ${pathAndQuery}: ${answer.status} ${text}`);
  return JSON.parse(text) as T;
}

/** The trace of an id, or of a header that somebody pasted; a trace that is not there is empty. */
export async function getTrace(
  { url }: Pick<Scrubjay, 'url'>,
  reference: string,
  headers: Record<string, string> = {},
): Promise<FoundSpan[]> {
  const signal = AbortSignal.timeout(ANSWER_MS_MAX);
  const where = `${url}/api/v2/trace/${encodeURIComponent(reference)}`;
  const answer = await fetch(where, { headers, signal });
  const text = await answer.text();
  if (answer.status === 404) return [];
  if (answer.status !== 200) throw new Error(`GET ${where}: ${answer.status} ${text}`);
  return JSON.parse(text) as FoundSpan[];
}

/** Asks again and again until there is an answer; after `ms` it throws. */
export async function until<T>(
  what: string,
  ms: number,
  ask: () => T | undefined | Promise<T | undefined>,
): Promise<T> {
  const deadline = performance.now() + ms;
  for (;;) {
    const found = await ask();
    if (found !== undefined) return found;
    if (performance.now() > deadline) throw new Error(`${what}: not within ${ms} ms`);
    await sleep(POLL_MS);
  }
}
