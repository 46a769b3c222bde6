/** Zipkin's test data as if it were of now. */
import { readFileSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const TESTDATA = fileURLToPath(new URL('../../fixtures/testdata', import.meta.url));
/** How long ago the latest span of each trace ended. */
const AGE_US = 60_000_000;

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
