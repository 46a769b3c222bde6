import { expect, test } from 'vitest';
import { registerMetrics } from '../../../src/api/metrics.ts';
import { createMetrics } from '../../../src/telemetry/metrics.ts';
import { send, startServer } from '../http/test-server.ts';

const NAMES = [
  'counter.zipkin_collector.messages',
  'counter.zipkin_collector.messages_dropped',
  'counter.zipkin_collector.bytes',
  'counter.zipkin_collector.spans',
  'counter.zipkin_collector.spans_dropped',
  'gauge.zipkin_collector.message_spans',
  'gauge.zipkin_collector.message_bytes',
];

const serve = (metrics: ReturnType<typeof createMetrics>) =>
  startServer({
    register: ({ app }) => {
      registerMetrics(app, { metrics });
    },
  });

test('before any message there are exactly the 14 counters of Zipkin, all zero', async () => {
  const { port } = await serve(createMetrics());
  const answer = await send(port, 'GET', '/metrics');
  expect(answer.status).toBe(200);
  expect(answer.headers['content-type']).toBe('application/json');
  const expected = NAMES.flatMap((name) => [`"${name}.http":0.0`, `"${name}.grpc":0.0`]);
  expect(answer.body).toBe(`{${expected.join(',')}}`);
});

test('every transport that received something is told', async () => {
  const metrics = createMetrics();
  metrics.messages.inc({ transport: 'http' }, 2);
  metrics.bytes.inc({ transport: 'http' }, 1.5e21);
  metrics.messageSpans.set({ transport: 'http' }, 3);
  metrics.spans.inc({ transport: 'kafka' }, 7);
  const { port } = await serve(metrics);
  const { body } = await send(port, 'GET', '/metrics');
  const read = JSON.parse(body) as Record<string, number>;
  expect(Object.fromEntries(Object.entries(read).filter(([, value]) => value !== 0))).toEqual({
    'counter.zipkin_collector.messages.http': 2,
    'counter.zipkin_collector.bytes.http': 1.5e21,
    'counter.zipkin_collector.spans.kafka': 7,
    'gauge.zipkin_collector.message_spans.http': 3,
  });
  expect(body).toContain('"counter.zipkin_collector.messages.http":2.0');
});
