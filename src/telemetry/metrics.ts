/**
 * Every metric, declared once: name, help, type, labels. Names of ingest.md §5 and, beside them,
 * Zipkin's own collector counters. Only this file knows prom-client.
 */
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';

const SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

export type Metrics = ReturnType<typeof createMetrics>;

/** A fresh registry with all metrics of the program. */
// The return type is the declaration itself: one place per metric.
export function createMetrics() {
  const registry = new Registry();
  const registers = [registry];
  const counter = <L extends string = never>(
    name: string,
    help: string,
    labelNames: readonly L[] = [],
  ) => new Counter({ name, help, labelNames, registers });
  const gauge = <L extends string = never>(
    name: string,
    help: string,
    labelNames: readonly L[] = [],
  ) => new Gauge({ name, help, labelNames, registers });
  const seconds = <L extends string = never>(
    name: string,
    help: string,
    labelNames: readonly L[] = [],
  ) => new Histogram({ name, help, labelNames, buckets: SECONDS, registers });
  collectDefaultMetrics({ register: registry });
  return {
    registry,
    messages: counter('zipkin_collector_messages_total', 'Messages received', ['transport']),
    messagesDropped: counter('zipkin_collector_messages_dropped_total', 'Messages refused whole', [
      'transport',
    ]),
    bytes: counter('zipkin_collector_bytes_total', 'Bytes of inflated messages', ['transport']),
    spans: counter('zipkin_collector_spans_total', 'Spans decoded', ['transport']),
    spansDropped: counter('zipkin_collector_spans_dropped_total', 'Spans not kept', ['transport']),
    messageSpans: gauge('zipkin_collector_message_spans', 'Spans of the last message', [
      'transport',
    ]),
    messageBytes: gauge('zipkin_collector_message_bytes', 'Bytes of the last message', [
      'transport',
    ]),

    spansReceived: counter(
      'scrubjay_spans_received_total',
      'Spans received, whatever became of them',
      ['tenant', 'transport', 'format'],
    ),
    spansAccepted: counter('scrubjay_spans_accepted_total', 'Spans made durable and acknowledged'),
    spansRejected: counter('scrubjay_spans_rejected_total', 'Spans not kept, by reason', [
      'reason',
    ]),
    rejectedByClient: counter(
      'scrubjay_rejected_spans_by_client_total',
      'Spans not kept, by reason and family of the User-Agent',
      ['reason', 'client'],
    ),
    spansRefused: counter(
      'scrubjay_spans_refused_total',
      'Spans of requests that the log did not take',
    ),
    spansDuplicate: counter('scrubjay_spans_duplicate_total', 'Spans of bodies seen before'),
    spansNormalized: counter('scrubjay_spans_normalized_total', 'Lenient readings, by rule', [
      'rule',
    ]),
    spansStored: counter('scrubjay_spans_stored_total', 'Spans counted back from storage'),
    spansPending: gauge(
      'scrubjay_spans_pending',
      'Spans durable in the log and not yet in storage',
    ),
    spansSetAside: gauge(
      'scrubjay_spans_set_aside',
      'Spans set aside as corrupt or refused by storage',
    ),
    overloadShare: gauge(
      'scrubjay_overload_share',
      'Share of traces kept because the log is filling (SCRUBJAY_OVERLOAD=sample); 1: all',
    ),
    ledgerImbalance: gauge('scrubjay_ledger_imbalance', 'Difference of the books; must be 0'),

    ackSeconds: seconds('scrubjay_ack_seconds', 'From the whole body to its acknowledgement'),
    inflightRequests: gauge('scrubjay_ingest_inflight_requests', 'Ingest requests being handled'),
    inflightBytes: gauge('scrubjay_ingest_inflight_bytes', 'Body bytes of requests being handled'),
    walFsyncSeconds: seconds('scrubjay_wal_fsync_seconds', 'Duration of one group fdatasync'),
    walGroupRequests: new Histogram({
      name: 'scrubjay_wal_group_requests',
      help: 'Requests of one commit group',
      buckets: [1, 2, 4, 8, 16, 32, 64, 128, 256],
      registers,
    }),
    walBytes: gauge('scrubjay_wal_bytes', 'Bytes of segments on disk'),
    walSegments: gauge('scrubjay_wal_segments', 'Segments on disk'),
    walOldestUnsentSeconds: gauge(
      'scrubjay_wal_oldest_unsent_seconds',
      'Age of the oldest span not yet in storage',
    ),
    walState: gauge('scrubjay_wal_state', '1 for the present state', ['state']),
    walCorruptBytes: counter(
      'scrubjay_wal_corrupt_bytes_total',
      'Bytes set aside or cut as torn or corrupt',
      ['kind'],
    ),
    insertSeconds: seconds(
      'scrubjay_insert_duration_seconds',
      'Duration of one insert of a segment',
    ),
    insertInDoubt: counter(
      'scrubjay_insert_in_doubt_total',
      'Inserts whose outcome was read back',
      ['outcome'],
    ),
    insertFailures: counter('scrubjay_insert_failures_total', 'Failed inserts, by class', [
      'class',
    ]),
    segmentsDivided: counter(
      'scrubjay_segments_divided_total',
      'Log segments divided because storage did not take them whole, and their parts, by cause',
      ['cause'],
    ),
    breakerState: gauge('scrubjay_breaker_state', '0 closed, 1 half open, 2 open'),
    engineRestarts: counter('scrubjay_engine_restarts_total', 'Restarts of the embedded engine'),
    querySeconds: seconds('scrubjay_query_duration_seconds', 'Duration of one query, by route', [
      'route',
    ]),
    barrierSeconds: seconds(
      'scrubjay_query_barrier_seconds',
      'Wait of queries for acknowledged spans',
    ),
    httpRequests: seconds('http_server_requests_seconds', 'Duration of API requests', [
      'method',
      'status',
      'uri',
    ]),
  };
}
