import { describe, expect, test } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import type { Clock } from '../../../src/base/clock.ts';
import { QueryLimiter } from '../../../src/query/limiter.ts';
import { QueryGate } from '../../../src/query/query-gate.ts';
import type { QueryGateOptions } from '../../../src/query/query-gate.ts';
import { StorageError } from '../../../src/storage/contract.ts';
import type { FreshnessWait, NarrowScope } from '../../../src/model/span-sink.ts';
import { createMetrics } from '../../../src/telemetry/metrics.ts';
import { LogLines } from '../http/test-server.ts';
import { storedBarrier } from './stored-barrier.ts';

class Warnings extends LogLines {
  readonly warnings: object[] = [];
  override warn(fields?: object): void {
    this.warnings.push(fields ?? {});
  }
}

function gateWith(more: Partial<QueryGateOptions> = {}) {
  const logger = new Warnings();
  const metrics = createMetrics();
  const gate = new QueryGate({
    barrier: storedBarrier,
    limiter: new QueryLimiter({ concurrency: 2, queueMax: 2, isShared: true }),
    timeoutMs: 0,
    slowMs: 0,
    clock: systemClock,
    logger,
    metrics,
    ...more,
  });
  const signal = new AbortController().signal;
  const run = <T>(work: () => Promise<T>): Promise<T> =>
    gate.run('/x', 'a', signal, work, { limit: 10 });
  return { gate, logger, metrics, run, signal };
}

/** Each look at the clock is a second later than the one before. */
function slowClock(): Clock {
  let ms = 0;
  return { ...systemClock, monotonicMs: () => (ms += 1000) };
}

describe('QueryGate', () => {
  test('waits for what was acknowledged before it began, as far as each call looks', async () => {
    const waits: FreshnessWait[] = [];
    const barrier = {
      durableRows: 7,
      fresh: ({ scope, until }: FreshnessWait = {}) => {
        waits.push({ scope: scope!, until: until! });
        return Promise.resolve(true);
      },
      isReadable: () => true,
      unstored: () => Promise.resolve(undefined),
    };
    const { gate, signal } = gateWith({ barrier });
    const run = gate.begin('/x', 'a', signal);
    barrier.durableRows = 9;
    const scope = { traces: [1n] };
    expect(await run.call(({ tenant }) => Promise.resolve(tenant + waits.length))).toBe('a1');
    expect(await run.call(() => Promise.resolve(waits.length), scope)).toBe(2);
    expect(waits).toEqual([
      { scope: 'all', until: 7 },
      { scope, until: 7 },
    ]);
    run.end();
  });

  test('gives what the log has of traces to their reader, and waits for nothing', async () => {
    const blocks = [Buffer.from('block')];
    const asked: unknown[] = [];
    const barrier = {
      durableRows: 7,
      fresh: () => Promise.reject(new Error('it need not wait')),
      isReadable: () => true,
      unstored: (scope: NarrowScope, until: number) => {
        asked.push({ scope, until });
        return Promise.resolve(blocks);
      },
    };
    const { gate, signal } = gateWith({ barrier });
    const run = gate.begin('/x', 'a', signal);
    barrier.durableRows = 9;
    const options = await run.call((o) => Promise.resolve(o), { traces: [1n, 2n] });
    expect(options).toMatchObject({ tenant: 'a', unstored: blocks });
    expect(asked).toEqual([{ scope: { traces: [1n, 2n] }, until: 7 }]);
    run.end();
  });

  test('all its calls together wait no longer than one may', async () => {
    const waited: number[] = [];
    const barrier = {
      durableRows: 0,
      fresh: ({ waitedMs }: FreshnessWait = {}) => {
        waited.push(waitedMs!);
        return Promise.resolve(false);
      },
      isReadable: () => true,
      unstored: () => Promise.resolve(undefined),
    };
    const { gate, signal } = gateWith({ barrier, clock: slowClock() });
    const run = gate.begin('/x', 'a', signal);
    await run.call(() => Promise.resolve());
    await run.call(() => Promise.resolve());
    expect(waited).toEqual([0, 1000]);
    run.end();
  });

  test.each([
    [159, 'SCRUBJAY_ERR_QUERY_TIMEOUT', 500],
    [241, 'SCRUBJAY_ERR_QUERY_TOO_LARGE', 422],
    [396, 'SCRUBJAY_ERR_QUERY_TOO_LARGE', 422],
    [60, 'SCRUBJAY_ERR_STORAGE', 500],
    [0, 'SCRUBJAY_ERR_STORAGE_UNAVAILABLE', 503],
  ])('code %i of ClickHouse is %s', async (code, expected, status) => {
    const { run } = gateWith();
    const failing = run(() => Promise.reject(new StorageError('retry', code, 'SELECT secret')));
    await expect(failing).rejects.toMatchObject({ code: expected, status });
    await expect(failing).rejects.not.toThrow('secret');
  });

  test('other errors stay as they are', async () => {
    const { run } = gateWith();
    await expect(run(() => Promise.reject(new TypeError('a bug')))).rejects.toThrow(TypeError);
  });

  test('cuts a query at its timeout', async () => {
    const { gate, signal } = gateWith({ timeoutMs: 20 });
    const endless = gate.run(
      '/x',
      'a',
      signal,
      ({ signal: inner }) =>
        new Promise((_, reject) => {
          inner?.addEventListener('abort', () => {
            reject(new StorageError('aborted', 0, 'aborted'));
          });
        }),
    );
    await expect(endless).rejects.toMatchObject({
      code: 'SCRUBJAY_ERR_QUERY_TIMEOUT',
      message: 'The query ran longer than 20 ms (QUERY_TIMEOUT)',
    });
  });

  test('counts all calls of a query against its timeout', async () => {
    const { gate, signal } = gateWith({ timeoutMs: 3500, clock: slowClock() });
    const run = gate.begin('/x', 'a', signal);
    await run.call(() => Promise.resolve());
    await run.call(() => Promise.resolve());
    await expect(run.call(() => Promise.resolve())).rejects.toMatchObject({
      code: 'SCRUBJAY_ERR_QUERY_TIMEOUT',
    });
  });

  test('a client that goes away is not told of a timeout', async () => {
    const { gate } = gateWith();
    const client = new AbortController();
    const running = gate.run('/x', 'a', client.signal, () => {
      client.abort(new Error('gone'));
      return Promise.reject(new StorageError('aborted', 0, 'aborted'));
    });
    await expect(running).rejects.toThrow('gone');
  });

  test('measures queries and tells of slow ones what they look like', async () => {
    const { run, logger, metrics } = gateWith({ slowMs: 2000, clock: slowClock() });
    await run(() => Promise.resolve());
    expect(logger.warnings).toEqual([{ route: '/x', ms: 3000, calls: 1, limit: 10 }]);
    const text = await metrics.registry.metrics();
    expect(text).toContain('scrubjay_query_duration_seconds_count{route="/x"} 1');
  });

  test('says nothing of a fast one', async () => {
    const { run, logger } = gateWith({ slowMs: 3001, clock: slowClock() });
    await run(() => Promise.resolve());
    expect(logger.warnings).toEqual([]);
  });
});
