/**
 * GET /metrics: Zipkin's collector counters as one flat JSON object, for those who read Zipkin's.
 * Everything else is at /prometheus. Source: zipkin-server ZipkinMetricsController.java.
 */
import type { FastifyInstance, FastifyReply } from 'fastify';
import { addRoute } from '../http/paths.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { JSON_TYPE, answerBytes } from './answers.ts';

type CollectorMetrics = Pick<
  Metrics,
  | 'messages'
  | 'messagesDropped'
  | 'bytes'
  | 'spans'
  | 'spansDropped'
  | 'messageSpans'
  | 'messageBytes'
>;

export interface MetricsDependencies {
  readonly metrics: CollectorMetrics;
}

/** Always there, as in Zipkin with its defaults; others once they have received something. */
const TRANSPORTS = ['http', 'grpc'];

/** Member names without their transport. */
const MEMBERS: readonly (readonly [name: string, metric: keyof CollectorMetrics])[] = [
  ['counter.zipkin_collector.messages', 'messages'],
  ['counter.zipkin_collector.messages_dropped', 'messagesDropped'],
  ['counter.zipkin_collector.bytes', 'bytes'],
  ['counter.zipkin_collector.spans', 'spans'],
  ['counter.zipkin_collector.spans_dropped', 'spansDropped'],
  ['gauge.zipkin_collector.message_spans', 'messageSpans'],
  ['gauge.zipkin_collector.message_bytes', 'messageBytes'],
];

/** A Java double: with a fraction, whatever its value. */
const doubleText = (value: number): string => {
  const text = String(value);
  return /^-?\d+$/.test(text) ? `${text}.0` : text;
};

async function valuesOf(metric: CollectorMetrics[keyof CollectorMetrics]) {
  const { values } = await metric.get();
  return new Map(values.map(({ labels, value }) => [String(labels.transport), value]));
}

async function metricsJson(metrics: CollectorMetrics): Promise<string> {
  const members: string[] = [];
  for (const [name, metric] of MEMBERS) {
    const values = await valuesOf(metrics[metric]);
    for (const transport of new Set([...TRANSPORTS, ...values.keys()])) {
      members.push(`"${name}.${transport}":${doubleText(values.get(transport) ?? 0)}`);
    }
  }
  return `{${members.join(',')}}`;
}

export function registerMetrics(app: FastifyInstance, { metrics }: MetricsDependencies): void {
  addRoute(app, 'GET', '/metrics', async (_request, reply): Promise<FastifyReply> =>
    answerBytes(reply, 200, JSON_TYPE, Buffer.from(await metricsJson(metrics))),
  );
}
