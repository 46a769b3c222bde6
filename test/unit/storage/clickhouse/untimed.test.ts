import { describe, expect, test } from 'vitest';
import { decodeJsonV2 } from '../../../../src/codec/json-v2.ts';
import { DecodeReport } from '../../../../src/model/decode-report.ts';
import type { SpanBatch } from '../../../../src/model/span-batch.ts';
import { UntimedTenants } from '../../../../src/storage/clickhouse/untimed.ts';
import { LIMITS, admitAll, newBatch } from '../../codec/v1-batch-reader.ts';
import { ManualClock } from '../../wal/log-fixture.ts';

type Sent = readonly [tenant: string, timestamp: number | undefined];

function batchOf(...spans: readonly Sent[]): SpanBatch {
  const batch = newBatch();
  for (const [tenant, timestamp] of spans) {
    batch.beginMessage(Buffer.from(tenant), LIMITS, 1_700_000_000_000_000);
    const body = JSON.stringify([{ traceId: '1', id: '2', timestamp }]);
    decodeJsonV2(Buffer.from(body), batch, admitAll, new DecodeReport());
  }
  return batch;
}

describe('Tenants with spans without a timestamp', () => {
  test('are unknown until storage was asked', () => {
    expect(new UntimedTenants(new ManualClock()).has('a')).toBe(undefined);
  });

  test('are known from the span on, whatever storage said before', () => {
    const untimed = new UntimedTenants(new ManualClock());
    untimed.foundNone('a');
    untimed.foundNone('b');
    untimed.observe(batchOf(['a', 5], ['b', undefined], ['a', 6]));
    expect([untimed.has('a'), untimed.has('b')]).toEqual([false, true]);
    untimed.foundNone('b');
    expect(untimed.has('b')).toBe(true);
  });

  test('are asked for again after 30 s: other collectors write too', async () => {
    const clock = new ManualClock();
    const untimed = new UntimedTenants(clock);
    untimed.foundNone('a');
    await clock.advance(29_999);
    expect(untimed.has('a')).toBe(false);
    await clock.advance(1);
    expect(untimed.has('a')).toBe(undefined);
  });
});
