import { describe, expect, test, vi } from 'vitest';
import { decodeJsonV2 } from '../../../src/codec/json-v2.ts';
import { formatTraceparent, parseTraceContext } from '../../../src/codec/traceparent.ts';
import { telemetrySettings } from '../../../src/telemetry/config.ts';
import { NO_ACTIVITY, SelfTracer } from '../../../src/telemetry/self-tracing.ts';
import type { RequestHeaders, SelfTracerOptions } from '../../../src/telemetry/self-tracing.ts';
import { decodeWith } from '../codec/v1-batch-reader.ts';
import type { JsonSpan } from '../codec/v1-batch-reader.ts';
import { FakeClock, settle } from '../ingester/fakes.ts';

const TRACE = '463ac35c9f6413ad48485a3953bb6124';
const SPAN = 'a2fb4a1d1a96d312';
const SPANS_QUEUED_MAX = 2048;
/** In every test the clock starts here: spans of the year 1970 are not spans. */
const BEGAN_MS = 1_700_000_000_000;

interface Fixture {
  readonly tracer: SelfTracer;
  readonly clock: FakeClock;
  readonly delivered: JsonSpan[][];
  readonly dropped: [spans: number, cause: unknown][];
}

interface Changes {
  readonly settings?: Partial<SelfTracerOptions['settings']>;
  readonly random?: () => number;
  readonly deliver?: (spans: JsonSpan[], tracer: SelfTracer) => Promise<void>;
}

async function openTracer(changes: Changes = {}): Promise<Fixture> {
  const clock = new FakeClock();
  await clock.advance(BEGAN_MS);
  const delivered: JsonSpan[][] = [];
  const dropped: [number, unknown][] = [];
  const tracer: SelfTracer = new SelfTracer({
    settings: {
      selfTracingEnabled: true,
      selfTracingSampleRate: 1,
      selfTracingTracesPerSecond: 1,
      selfTracingFlushIntervalMs: 1000,
      ...changes.settings,
    },
    clock,
    random: changes.random ?? (() => 0.5),
    parse: parseTraceContext,
    formatTraceparent,
    deliver: async (json) => {
      const { error, report, spans } = decodeWith(decodeJsonV2, json);
      if (error !== undefined || report.rejected > 0) throw new Error('not Zipkin JSON');
      delivered.push(spans);
      await changes.deliver?.(spans, tracer);
    },
    onDropped: (spans, cause) => dropped.push([spans, cause]),
  });
  await tracer.open();
  return { tracer, clock, delivered, dropped };
}

/** The spans of the requests, one after the other and one second apart. */
async function traced(fixture: Fixture, ...requests: RequestHeaders[]): Promise<JsonSpan[]> {
  for (const headers of requests) {
    fixture.tracer.start('receive', 'SERVER', headers).end();
    await fixture.clock.advance(1000);
  }
  await fixture.tracer.close();
  return fixture.delivered.flat();
}

describe('A trace of the program itself', () => {
  test('arrives as Zipkin spans with their kinds, tags, error and times', async () => {
    const { tracer, clock, delivered } = await openTracer();
    const receive = tracer.start('receive', 'SERVER', {});
    receive.tag('http.method', 'POST');
    receive.tag('http.status_code', 503);
    await clock.advance(2);
    const decode = receive.child('decode');
    decode.tag('spans', 7);
    await clock.advance(3);
    decode.end();
    const insert = receive.child('insert', 'CLIENT', 'clickhouse');
    insert.error(new Error('away'));
    insert.end();
    receive.end();
    await clock.advance(1000);

    const [[first, second, root]] = delivered as [[JsonSpan, JsonSpan, JsonSpan]];
    expect(delivered).toHaveLength(1);
    const us = BEGAN_MS * 1000;
    const shared = { traceId: root['traceId'], localEndpoint: { serviceName: 'scrubjay' } };
    expect(root).toEqual({
      ...shared,
      id: root['id'],
      kind: 'SERVER',
      name: 'receive',
      timestamp: us,
      duration: 5000,
      tags: { 'http.method': 'POST', 'http.status_code': '503' },
    });
    expect(first).toEqual({
      ...shared,
      id: first['id'],
      parentId: root['id'],
      name: 'decode',
      timestamp: us + 2000,
      duration: 3000,
      tags: { spans: '7' },
    });
    expect(second).toEqual({
      ...shared,
      id: second['id'],
      parentId: root['id'],
      kind: 'CLIENT',
      name: 'insert',
      timestamp: us + 5000,
      duration: 1,
      remoteEndpoint: { serviceName: 'clickhouse' },
      tags: { error: 'away' },
    });
    await tracer.close();
  });

  test('tells the services it calls, in B3 and W3C', async () => {
    const { tracer } = await openTracer();
    const activity = tracer.start('query', 'SERVER', { b3: `${TRACE}-${SPAN}-1` });
    const { b3, traceparent } = activity.headers();
    const context = parseTraceContext((name) => (name === 'b3' ? b3 : traceparent));
    expect(context).toEqual({ traceId: TRACE, spanId: context?.spanId, sampled: true });
    expect(context?.spanId).not.toBe(SPAN);
    expect(traceparent).toBe(`00-${TRACE}-${context?.spanId}-01`);
    await tracer.close();
  });
});

describe('A caller', () => {
  test.each<[string, RequestHeaders]>([
    ['in B3', { b3: `${TRACE}-${SPAN}-1` }],
    ['in B3 that has not decided', { b3: `${TRACE}-${SPAN}` }],
    ['in several B3 headers', { 'x-b3-traceid': TRACE, 'x-b3-spanid': SPAN, 'x-b3-sampled': '1' }],
    [
      'in several B3 headers behind a malformed one',
      { b3: 'garbage', 'x-b3-traceid': TRACE, 'x-b3-spanid': SPAN },
    ],
    ['in W3C', { traceparent: `00-${TRACE}-${SPAN}-01` }],
  ])('%s is the parent', async (_, headers) => {
    const spans = await traced(await openTracer(), headers);
    expect(spans).toMatchObject([{ traceId: TRACE, parentId: SPAN, name: 'receive' }]);
    expect(spans[0]).not.toHaveProperty('debug');
  });

  test('with an id of 64 bits keeps it', async () => {
    const spans = await traced(await openTracer(), { b3: `48485a3953bb6124-${SPAN}-1` });
    expect(spans).toMatchObject([{ traceId: '48485a3953bb6124', parentId: SPAN }]);
  });

  test('that debugs makes every span of the trace one of debug', async () => {
    const { tracer, delivered } = await openTracer();
    const activity = tracer.start('receive', 'SERVER', { b3: `${TRACE}-${SPAN}-d` });
    activity.child('decode').end();
    activity.end();
    await tracer.close();
    expect(delivered.flat()).toMatchObject([{ debug: true }, { debug: true }]);
  });

  test('that only says yes begins a new trace', async () => {
    const [span] = await traced(await openTracer({ random: () => 1 }), { b3: '1' });
    expect(span).toMatchObject({ name: 'receive' });
    expect(span).not.toHaveProperty('parentId');
  });

  test.each<RequestHeaders>([
    { b3: '0' },
    { b3: `${TRACE}-${SPAN}-0` },
    { 'x-b3-sampled': '0' },
    { 'x-b3-sampled': 'false' },
    { traceparent: `00-${TRACE}-${SPAN}-00` },
    { b3: `${TRACE}-${SPAN}-1`, traceparent: `00-${TRACE}-${SPAN}-00` },
  ])('that says no is not traced: %o', async (headers) => {
    const fixture = await openTracer();
    expect(fixture.tracer.start('receive', 'SERVER', headers)).toBe(NO_ACTIVITY);
    expect(await traced(fixture, headers)).toEqual([]);
  });

  test('decides before the rate does', async () => {
    const never = { selfTracingSampleRate: 0 };
    const yes = { b3: `${TRACE}-${SPAN}-1` };
    expect(await traced(await openTracer({ settings: never }), yes)).toHaveLength(1);
    const undecided = { b3: `${TRACE}-${SPAN}` };
    expect(await traced(await openTracer({ settings: never }), undecided, {})).toEqual([]);
  });

  test('cannot have more than 100 traces a second', async () => {
    const { tracer, clock } = await openTracer();
    const begin = (): boolean =>
      tracer.start('receive', 'SERVER', { b3: `${TRACE}-${SPAN}-1` }).recording;
    expect(Array.from({ length: 300 }, begin).filter(Boolean)).toHaveLength(100);
    await clock.advance(1000);
    expect(begin()).toBe(true);
    await tracer.close();
  });
});

describe('Sampling', () => {
  test('traces the share that is set', async () => {
    const draws = [0.1, 0.3, 0.24, 0.25];
    const { tracer } = await openTracer({
      settings: { selfTracingSampleRate: 0.25, selfTracingTracesPerSecond: 0 },
      random: () => draws.shift()!,
    });
    const recorded = [1, 2, 3, 4].map(() => tracer.start('receive', 'SERVER').recording);
    expect(recorded).toEqual([true, false, true, false]);
    await tracer.close();
  });

  test('begins so many traces a second and of each name', async () => {
    const { tracer, clock } = await openTracer({ settings: { selfTracingTracesPerSecond: 2 } });
    const begin = (name: string): boolean => tracer.start(name, 'SERVER', {}).recording;
    expect(['receive', 'receive', 'receive'].map(begin)).toEqual([true, true, false]);
    expect(begin('query')).toBe(true);
    await clock.advance(999);
    expect(begin('receive')).toBe(false);
    await clock.advance(1);
    expect(['receive', 'receive', 'receive'].map(begin)).toEqual([true, true, false]);
    await tracer.close();
  });

  test('knows no limit at 0', async () => {
    const { tracer } = await openTracer({ settings: { selfTracingTracesPerSecond: 0 } });
    const recorded = Array.from({ length: 50 }, () => tracer.start('receive', 'SERVER').recording);
    expect(recorded).not.toContain(false);
    await tracer.close();
  });
});

describe('The insert of a segment', () => {
  test('belongs to the first trace that has spans in it, and only once', async () => {
    const { tracer, delivered } = await openTracer({
      settings: { selfTracingTracesPerSecond: 0 },
    });
    const [first, second] = [tracer.start('receive', 'SERVER'), tracer.start('receive', 'SERVER')];
    for (const activity of [first, second]) {
      tracer.handOver(activity);
      activity.end();
    }
    tracer.claim(7n, tracer.takeOver());
    tracer.claim(7n, second);
    tracer.claim(8n, tracer.takeOver());
    const insert = tracer.resume(7n, 'insert', 'CLIENT', 'clickhouse');
    insert.end();
    expect(tracer.resume(7n, 'insert', 'CLIENT', 'clickhouse')).toBe(NO_ACTIVITY);
    expect(tracer.resume(8n, 'insert', 'CLIENT', 'clickhouse')).toBe(NO_ACTIVITY);
    await tracer.close();
    const [receive, , inserted] = delivered.flat();
    expect(inserted).toMatchObject({ traceId: receive?.['traceId'], parentId: receive?.['id'] });
  });

  test('is forgotten when too many wait', async () => {
    const { tracer } = await openTracer({ settings: { selfTracingTracesPerSecond: 0 } });
    for (let batch = 1n; batch <= 65n; batch++) {
      tracer.handOver(tracer.start('receive', 'SERVER'));
      tracer.claim(batch, tracer.takeOver());
    }
    const recorded = [1n, 2n, 65n].map((batch) => tracer.resume(batch, 'insert', 'CLIENT'));
    expect(recorded.map(({ recording }) => recording)).toEqual([false, true, true]);
    await tracer.close();
  });
});

describe('Spans of its own', () => {
  test('are stored without making more of them', async () => {
    const batches: bigint[] = [];
    // The pipeline as it is behind HTTP: a segment of our own spans closes and is inserted.
    const deliver = (_: JsonSpan[], tracer: SelfTracer): Promise<void> => {
      const append = NO_ACTIVITY.child('append');
      tracer.handOver(append);
      append.end();
      batches.push(BigInt(batches.length));
      tracer.claim(batches.at(-1)!, tracer.takeOver());
      tracer.resume(batches.at(-1)!, 'insert', 'CLIENT').end();
      return Promise.resolve();
    };
    const { tracer, clock, delivered } = await openTracer({ deliver });
    tracer.start('receive', 'SERVER', {}).end();
    await clock.advance(60_000);
    expect(delivered.map((spans) => spans.length)).toEqual([1]);
    expect(clock.sleepers).toBe(0);
    await tracer.close();
  });

  test('go out one batch at a time, each after the interval', async () => {
    const release: (() => void)[] = [];
    const { tracer, clock, delivered } = await openTracer({
      settings: { selfTracingTracesPerSecond: 0 },
      deliver: () =>
        new Promise((resolve) => {
          release.push(resolve);
        }),
    });
    tracer.start('query', 'SERVER').end();
    await clock.advance(999);
    expect(delivered).toEqual([]);
    await clock.advance(1);
    tracer.start('query', 'SERVER').end();
    await clock.advance(5000);
    expect(delivered).toHaveLength(1);
    release.pop()!();
    await clock.advance(1000);
    expect(delivered).toHaveLength(2);
    release.pop()!();
    await tracer.close();
  });

  test('are dropped and counted when too many wait or nobody takes them', async () => {
    const cause = new Error('the log is full');
    const { tracer, dropped } = await openTracer({
      settings: { selfTracingTracesPerSecond: 0 },
      deliver: () => Promise.reject(cause),
    });
    const late = tracer.start('query', 'SERVER');
    for (let i = 0; i < SPANS_QUEUED_MAX + 2; i++) tracer.start('query', 'SERVER').end();
    expect(dropped).toEqual([
      [1, 'queue full'],
      [1, 'queue full'],
    ]);
    await tracer.close();
    late.end();
    await settle();
    expect(dropped.slice(2)).toEqual([
      [SPANS_QUEUED_MAX, cause],
      [1, 'stopped'],
    ]);
  });

  test('that are finished are delivered at the end, before their time', async () => {
    const { tracer, delivered } = await openTracer();
    tracer.start('receive', 'SERVER').end();
    await tracer.close();
    expect(delivered).toHaveLength(1);
    expect(tracer.start('receive', 'SERVER')).toBe(NO_ACTIVITY);
  });
});

describe('Settings of self-tracing', () => {
  test('take a bare interval for seconds, as Zipkin does', () => {
    const { selfTracingFlushIntervalMs: interval } = telemetrySettings;
    const values = ['1', ' 5 ', '1.5', '250ms', '0', '-1', 'x'].map((text) => interval.parse(text));
    expect(values.join()).toBe('1000,5000,1500,250,,,');
  });
});

describe('Self-tracing that is off', () => {
  test('is one activity that does nothing', async () => {
    const { tracer, clock } = await openTracer({ settings: { selfTracingEnabled: false } });
    const activity = tracer.start('receive', 'SERVER', { b3: `${TRACE}-${SPAN}-d` });
    expect(activity).toBe(NO_ACTIVITY);
    expect(activity.child('decode')).toBe(NO_ACTIVITY);
    activity.tag('spans', 1);
    activity.error(new Error('x'));
    activity.end();
    tracer.handOver(activity);
    tracer.claim(1n, tracer.takeOver());
    expect(tracer.resume(1n, 'insert', 'CLIENT')).toBe(NO_ACTIVITY);
    expect(activity.headers()).toEqual({});
    expect([activity.recording, clock.sleepers]).toEqual([false, 0]);
    await tracer.close();
  });

  test('does not load the SDK of OpenTelemetry, let alone make a provider', async () => {
    vi.doMock('@opentelemetry/sdk-trace-base', () => {
      throw new Error('loaded');
    });
    vi.resetModules();
    const fresh = await import('../../../src/telemetry/self-tracing.ts');
    const options = (selfTracingEnabled: boolean): SelfTracerOptions => ({
      settings: {
        selfTracingEnabled,
        selfTracingSampleRate: 1,
        selfTracingTracesPerSecond: 1,
        selfTracingFlushIntervalMs: 1000,
      },
      clock: new FakeClock(),
      random: () => 0,
      parse: parseTraceContext,
      formatTraceparent,
      deliver: () => Promise.resolve(),
      onDropped: () => undefined,
    });
    await expect(new fresh.SelfTracer(options(false)).open()).resolves.toBeUndefined();
    await expect(new fresh.SelfTracer(options(true)).open()).rejects.toThrow();
    vi.doUnmock('@opentelemetry/sdk-trace-base');
  });
});
