import { describe, expect, test } from 'vitest';
import { decodeJsonV2 } from '../../../src/codec/json-v2.ts';
import { DecodeReport } from '../../../src/model/decode-report.ts';
import { createMetrics } from '../../../src/telemetry/metrics.ts';
import { Rejections } from '../../../src/telemetry/rejections.ts';
import { admitAll, newBatch } from '../codec/v1-batch-reader.ts';

const message = { tenant: 'a', client: 'okhttp', format: 'json-v2' };
const reportOf = (spans: unknown[]): DecodeReport => {
  const report = new DecodeReport();
  decodeJsonV2(Buffer.from(JSON.stringify(spans)), newBatch(), admitAll, report);
  return report;
};
const bad = {
  traceId: '1',
  id: 'x',
  kind: 'CLIENT',
  name: 'Get',
  localEndpoint: { serviceName: 'Web' },
  remoteEndpoint: { serviceName: 'db' },
  tags: { 'http.path': '/a/secret/path/of/somebody', a: 'b' },
};

describe('Rejections', () => {
  test('say who sent what, with the values of tags cut', () => {
    const rejections = new Rejections(createMetrics());
    rejections.record(message, reportOf([bad, null, { traceId: '1', id: '2' }]), 0);
    const entry = { at: '1970-01-01T00:00:00.000Z', client: 'okhttp', format: 'json-v2' };
    expect(rejections.summaries('a')).toEqual([
      {
        reason: 'invalid_span_id',
        count: 1,
        clients: { okhttp: 1 },
        recent: [
          {
            ...entry,
            detail: 'x should be lower-hex encoded with no prefix',
            span: {
              service: 'web',
              name: 'get',
              kind: 'CLIENT',
              remoteService: 'db',
              tags: { 'http.path': '/a/secret/path/o…', a: 'b' },
            },
          },
        ],
      },
      {
        reason: 'malformed_span',
        count: 1,
        clients: { okhttp: 1 },
        recent: [{ ...entry, detail: 'Expected a span but was null' }],
      },
    ]);
    expect(rejections.summaries('b')).toEqual([]);
  });

  test('keep the newest and count all', async () => {
    const metrics = createMetrics();
    const rejections = new Rejections(metrics);
    for (let i = 0; i < 50; i++) rejections.record(message, reportOf([{ ...bad, id: `x${i}` }]), i);
    const [summary] = rejections.summaries('a');
    expect([summary?.count, summary?.recent.length]).toEqual([50, 10]);
    expect(summary?.recent[0]?.detail).toMatch(/^x49 /);
    expect(
      await metrics.registry.getSingleMetricAsString('scrubjay_rejected_spans_by_client_total'),
    ).toContain('{reason="invalid_span_id",client="okhttp"} 50');
  });
});
