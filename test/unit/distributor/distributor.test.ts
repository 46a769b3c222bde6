import { beforeEach, describe, expect, test } from 'vitest';
import { CodedError } from '../../../src/base/errors.ts';
import type { Clock } from '../../../src/base/clock.ts';
import { decodeJsonV2 } from '../../../src/codec/json-v2.ts';
import { loadConfig } from '../../../src/config/load.ts';
import { Distributor } from '../../../src/distributor/distributor.ts';
import type { SpanSink } from '../../../src/model/span-sink.ts';
import { SpanBatch } from '../../../src/model/span-batch.ts';
import { Ledger } from '../../../src/telemetry/ledger.ts';
import { createMetrics } from '../../../src/telemetry/metrics.ts';
import { LIMITS, readBatch } from '../codec/v1-batch-reader.ts';
import { Rejections } from '../../../src/telemetry/rejections.ts';
import { noTracer } from '../no-tracer.ts';

const NOW_MS = 1_700_006_400_000;
const clock: Clock = { nowMs: () => NOW_MS, monotonicMs: () => 0, sleep: () => Promise.resolve() };

/** Takes everything; commits are settled by the test. */
class FakeSink implements SpanSink {
  batch = new SpanBatch(LIMITS, 1);
  refused: CodedError | undefined;
  failure: CodedError | undefined;
  filling = false;
  commits: { rows: number; note: Uint8Array }[] = [];
  readonly #ledger: Ledger;
  constructor(ledger: Ledger) {
    this.#ledger = ledger;
  }
  refusal(): CodedError | undefined {
    return this.refused;
  }
  openBatch(): SpanBatch {
    return this.batch;
  }
  commit(rows: number, note: Uint8Array): Promise<void> {
    if (this.failure !== undefined) return Promise.reject(this.failure);
    this.commits.push({ rows, note });
    this.#ledger.accept(rows);
    return Promise.resolve();
  }
}

let ledger: Ledger;
let sink: FakeSink;
const create = (env: Record<string, string> = {}, time = clock): Distributor => {
  const metrics = createMetrics();
  ledger = new Ledger(metrics);
  sink = new FakeSink(ledger);
  const { config } = loadConfig(new Map(Object.entries(env)));
  const ages = { olderThanMs: 7 * 86_400_000, newerThanMs: 86_400_000 };
  return new Distributor({
    config: config.distributor,
    ages,
    dedupWindowMs: 1000,
    sink,
    fillingLogBytes: () => (sink.filling ? 1 : 0),
    rejections: new Rejections(metrics),
    tracer: noTracer,
    ledger,
    metrics,
    clock: time,
  });
};
let distributor: Distributor;
beforeEach(() => {
  distributor = create();
});

const push = (spans: unknown, tenant = 'default', to = distributor) =>
  to.push({
    tenant,
    transport: 'http',
    format: 'json-v2',
    client: 'test',
    body: Buffer.from(typeof spans === 'string' ? spans : JSON.stringify(spans)),
    decode: decodeJsonV2,
  });
const span = (more: object = {}) => ({ traceId: '1', id: '2', ...more });
const books = () => {
  const { received, accepted, rejected, refused, duplicate, imbalance, reasons } = ledger.entries();
  return { received, accepted, rejected, refused, duplicate, imbalance, reasons };
};
const none = {
  received: 0,
  accepted: 0,
  rejected: 0,
  refused: 0,
  duplicate: 0,
  imbalance: 0,
  reasons: {},
};

describe('Distributor', () => {
  test('hands valid spans to the sink and says accepted when they are durable', async () => {
    expect(await push([span(), span({ id: '3' })])).toEqual({ kind: 'accepted' });
    expect(readBatch(sink.batch)).toEqual([
      { traceId: '0000000000000001', id: '0000000000000002' },
      { traceId: '0000000000000001', id: '0000000000000003' },
    ]);
    expect(books()).toEqual({ ...none, received: 2, accepted: 2 });
  });

  test('keeps the good spans of a message and reports the bad ones', async () => {
    const outcome = await push([span(), span({ id: 'x' }), span({ id: '4' })]);
    expect(outcome).toMatchObject({
      kind: 'partial',
      report: {
        accepted: 2,
        rejected: 1,
        first: [
          {
            index: 1,
            reason: 'invalid_span_id',
            detail: 'x should be lower-hex encoded with no prefix',
          },
        ],
      },
    });
    expect(books()).toEqual({
      ...none,
      received: 3,
      accepted: 2,
      rejected: 1,
      reasons: { invalid_span_id: 1 },
    });
  });

  test('takes every row back of a message that is refused whole', async () => {
    await push([span()]);
    const outcome = await push(`${JSON.stringify([span({ id: '3' })]).slice(0, -1)},]`);
    expect(outcome).toMatchObject({
      kind: 'rejected',
      message: 'Malformed reading List<Span> from json',
    });
    expect(sink.batch.rows).toBe(1);
    expect(books()).toEqual({
      ...none,
      received: 2,
      accepted: 1,
      rejected: 1,
      reasons: { malformed_message: 1 },
    });
  });

  test('says of a message without a usable span what is wrong with the first', async () => {
    expect(await push([{}, null])).toMatchObject({
      kind: 'rejected',
      message: 'Missing : traceId id reading List<Span> from json',
    });
    expect(books()).toMatchObject({ received: 2, rejected: 2, imbalance: 0 });
    expect(sink.commits).toEqual([]);
  });

  test('stores a body that comes again once, also while the first is being written', async () => {
    const outcomes = await Promise.all([
      push([span(), span({ id: '3' })]),
      push([span(), span({ id: '3' })]),
    ]);
    expect(outcomes).toEqual([{ kind: 'accepted' }, { kind: 'accepted' }]);
    expect(await push([span(), span({ id: '3' })])).toEqual({ kind: 'accepted' });
    expect(sink.commits).toHaveLength(1);
    expect(books()).toEqual({ ...none, received: 6, accepted: 2, duplicate: 4 });
  });

  test('knows the bodies of an earlier run by what the log remembers', async () => {
    await push([span()]);
    const { note } = sink.commits[0]!;
    const restarted = create();
    restarted.remember(note);
    expect(await push([span()], 'default', restarted)).toEqual({ kind: 'accepted' });
    expect(books()).toEqual({ ...none, received: 1, duplicate: 1 });
  });

  test('does not take equal bodies of two tenants for one', async () => {
    await push([span()], 'a');
    await push([span()], 'b');
    expect(sink.commits).toHaveLength(2);
  });

  test('books the whole message as refused when the log fails, and takes it when it comes again', async () => {
    sink.failure = new CodedError('SCRUBJAY_ERR_WAL_FAILED', { cause: 'EIO' });
    expect(await push([span(), { id: '1' }])).toEqual({ kind: 'refused', error: sink.failure });
    expect(books()).toEqual({ ...none, received: 2, refused: 2 });
    sink.failure = undefined;
    expect(await push([span(), { id: '1' }])).toMatchObject({ kind: 'partial' });
  });

  test('refuses before decoding when the sink takes nothing', async () => {
    sink.refused = new CodedError('SCRUBJAY_ERR_DRAINING');
    expect(await push([span()])).toEqual({ kind: 'refused', error: sink.refused });
    expect(sink.batch.rows).toBe(0);
  });

  test.each([
    [-8 * 86_400_000, 'too_old'],
    [2 * 86_400_000, 'too_far_in_future'],
  ])('rejects a span that is %d ms from now as %s', async (offsetMs, reason) => {
    const outcome = await push([
      span({ timestamp: (NOW_MS + offsetMs) * 1000 }),
      span({ id: '3' }),
    ]);
    expect(outcome).toMatchObject({
      kind: 'partial',
      report: { accepted: 1, first: [{ index: 0, reason }] },
    });
  });

  test('answers accepted when sampling keeps nothing, and keeps debug spans', async () => {
    distributor = create({ COLLECTOR_SAMPLE_RATE: '0' });
    expect(await push([span()])).toEqual({ kind: 'accepted' });
    expect(await push([span({ debug: true })])).toEqual({ kind: 'accepted' });
    expect(books()).toEqual({
      ...none,
      received: 2,
      accepted: 1,
      rejected: 1,
      reasons: { not_sampled: 1 },
    });
  });

  test('asks for a tenant only when tenancy is on', () => {
    expect(distributor.tenantOf(undefined)).toBe('default');
    expect(distributor.tenantOf('x')).toBe('default');
    const strict = create({ SCRUBJAY_TENANCY: 'header' });
    expect(strict.tenantOf("a-B_0!.*'()")).toBe("a-B_0!.*'()");
    expect(() => strict.tenantOf(undefined)).toThrow('X-Scope-OrgID is missing');
    for (const bad of ['.', '..', 'a/b', 'a b', 'é', 'x'.repeat(151)]) {
      expect(() => strict.tenantOf(bad)).toThrow('X-Scope-OrgID must be');
    }
  });
});

describe('Distributor, more than may be sent', () => {
  test('refuses the next message of a tenant over its rate, and no other tenant', async () => {
    distributor = create({ SCRUBJAY_INGESTION_RATE_SPANS: '2', SCRUBJAY_TENANCY: 'header' });
    expect(await push([span(), span({ id: '3' }), span({ id: '4' })], 'a')).toEqual({
      kind: 'accepted',
    });
    expect(await push([span({ id: '5' })], 'a')).toMatchObject({
      kind: 'refused',
      error: { code: 'SCRUBJAY_ERR_RATE_LIMITED', retryAfterS: 1 },
    });
    expect(await push([span({ id: '6' })], 'b')).toEqual({ kind: 'accepted' });
    expect(books()).toEqual({ ...none, received: 4, accepted: 4 });
  });

  test('samples whole traces while the log fills, and books what it leaves out', async () => {
    let nowMs = 0;
    distributor = create({ SCRUBJAY_OVERLOAD: 'sample' }, { ...clock, monotonicMs: () => nowMs });
    await push([span()]);
    sink.filling = true;
    for (let n = 1; n <= 8; n++) {
      nowMs += 1000;
      await push([span({ id: String(n + 10), debug: true })]);
    }
    const before = sink.batch.rows;
    const spans = Array.from({ length: 500 }, (_, n) => [
      span({ traceId: (n + 100).toString(16) }),
      span({ traceId: (n + 100).toString(16), id: '3' }),
    ]).flat();
    const wrong = span({ traceId: 'fff', tags: { error: '' } });
    expect(await push([...spans, wrong])).toEqual({ kind: 'accepted' });
    const kept = readBatch(sink.batch).slice(before);
    expect(kept.at(-1)).toMatchObject({ tags: { error: '' } });
    expect(kept.length).toBeLessThan(30);
    expect((kept.length - 1) % 2).toBe(0);
    expect(books()).toEqual({
      ...none,
      received: 9 + 1001,
      accepted: 9 + kept.length,
      rejected: 1001 - kept.length,
      reasons: { overload_sampled: 1001 - kept.length },
    });
  });
});
