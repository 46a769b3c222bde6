/** The program with a data folder of its own, and Zipkin's test data as if it were of now. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** TEST_MAIN: another build of the program. */
const MAIN =
  process.env['TEST_MAIN'] ?? fileURLToPath(new URL('../../../dist/main.js', import.meta.url));
const TESTDATA = fileURLToPath(new URL('../../fixtures/testdata', import.meta.url));
/** How long ago the latest span of each trace ended. */
const AGE_US = 60_000_000;

export interface Scrubjay {
  readonly url: string;
  stop(): Promise<void>;
}

export async function startScrubjay(): Promise<Scrubjay> {
  const dataDir = mkdtempSync(join(tmpdir(), 'scrubjay-lens-data-'));
  const child = spawn(process.execPath, [MAIN], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      PATH: process.env['PATH'],
      QUERY_PORT: '0',
      SCRUBJAY_LISTEN_HOST: '127.0.0.1',
      SCRUBJAY_DATA_DIR: dataDir,
      SCRUBJAY_LOG_FORMAT: 'json',
    },
  });
  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) {
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      await ended;
    }
    rmSync(dataDir, { recursive: true, force: true, maxRetries: 5 });
  };
  for await (const line of createInterface(child.stdout)) {
    const url = /http:\/\/[\d.]+:\d+/.exec(line)?.[0];
    if (url === undefined) continue;
    child.stdout.resume();
    return { url, stop };
  }
  await stop();
  throw new Error('Scrubjay ended before it listened');
}

interface TestSpan {
  readonly traceId: string;
  readonly name?: string;
  readonly localEndpoint?: { readonly serviceName?: string };
  timestamp?: number;
  duration?: number;
  annotations?: { timestamp: number }[];
}

export interface LoadedTrace {
  readonly traceId: string;
  readonly spans: readonly TestSpan[];
}

/** Posts every file; @returns the traces by the names of their files */
export async function loadTestData(url: string): Promise<ReadonlyMap<string, LoadedTrace>> {
  const traces = new Map<string, LoadedTrace>();
  for (const file of readdirSync(TESTDATA)) {
    const spans = JSON.parse(readFileSync(join(TESTDATA, file), 'utf8')) as TestSpan[];
    moveToNow(spans);
    const body = JSON.stringify(spans);
    const answer = await fetch(`${url}/api/v2/spans`, { method: 'POST', body });
    if (answer.status !== 202) throw new Error(`${file}: ${answer.status} ${await answer.text()}`);
    traces.set(basename(file, '.json'), { traceId: spans[0]!.traceId, spans });
  }
  return traces;
}

function moveToNow(spans: readonly TestSpan[]): void {
  const ends = spans.map(({ timestamp = 0, duration = 0 }) => timestamp + duration);
  const shift = Date.now() * 1000 - AGE_US - Math.max(...ends);
  for (const span of spans) {
    if (span.timestamp !== undefined) span.timestamp += shift;
    for (const annotation of span.annotations ?? []) annotation.timestamp += shift;
  }
}
