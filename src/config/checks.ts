/** What no setting can know alone: relations between values, Zipkin's settings without effect. */
import { formatBytes, formatDuration } from '../base/units.ts';
import type { Environment } from './env.ts';
import type { Config } from './groups.ts';

/** Reporters flush every 1 to 5 s, and clients and proxies drop idle connections after 60 to 72. */
const KEEP_ALIVE_SAFE_MS = 72_000;

const IGNORED: ReadonlyArray<readonly [name: RegExp, consequence: string]> = [
  [/^STORAGE_TYPE$/, 'spans are stored in ClickHouse (CLICKHOUSE_URL, else the embedded engine)'],
  [
    /^(?:ES_HOSTS|CASSANDRA_CONTACT_POINTS|MYSQL_HOST|MYSQL_JDBC_URL)$/,
    'spans are stored in ClickHouse, and what that storage holds is not read',
  ],
  [
    /^(?:KAFKA_BOOTSTRAP_SERVERS|RABBIT_ADDRESSES|RABBIT_URI|ACTIVEMQ_URL|PULSAR_SERVICE_URL)$/,
    'spans are taken over HTTP only',
  ],
];

/**
 * Contradictions go to `problems` and stop the start; what merely surprises is returned.
 * Each line names the settings, their values and what would follow.
 */
export function crossCheck(config: Config, problems: string[]): string[] {
  checkSizes(config, problems);
  checkLog(config, problems);
  return [...warnHttp(config), ...warnSpans(config)];
}

function checkSizes({ http }: Config, problems: string[]): void {
  const body = formatBytes(http.bodyBytesMax);
  if (http.inflatedBytesMax < http.bodyBytesMax) {
    const inflated = formatBytes(http.inflatedBytesMax);
    problems.push(
      `SCRUBJAY_INGEST_MAX_INFLATED_BYTES (${inflated}) is below ` +
        `SCRUBJAY_INGEST_MAX_BODY_BYTES (${body}): bodies between the two could never be accepted`,
    );
  }
  if (http.inflightBytesMax < http.bodyBytesMax) {
    const inflight = formatBytes(http.inflightBytesMax);
    problems.push(
      `SCRUBJAY_INGEST_MAX_INFLIGHT_BYTES (${inflight}) is below ` +
        `SCRUBJAY_INGEST_MAX_BODY_BYTES (${body}): larger bodies would be answered 503 for ever`,
    );
  }
}

function checkLog({ wal }: Config, problems: string[]): void {
  if (wal.segmentBytesMax > wal.walBytesMax) {
    const segment = formatBytes(wal.segmentBytesMax);
    problems.push(
      `SCRUBJAY_WAL_SEGMENT_BYTES (${segment}) is above ` +
        `SCRUBJAY_WAL_MAX_BYTES (${formatBytes(wal.walBytesMax)}): ` +
        'the log would be full before its first segment is',
    );
  }
}

function warnHttp({ http, query, ingester, receiver }: Config): string[] {
  const warnings: string[] = [];
  if (http.keepAliveMs < KEEP_ALIVE_SAFE_MS) {
    warnings.push(
      `SCRUBJAY_KEEP_ALIVE (${formatDuration(http.keepAliveMs)}) is below 72s: reporters and ` +
        'proxies may send on a connection that is being closed, and those spans are lost',
    );
  }
  if (query.timeoutMs > 0 && ingester.freshnessWaitMs >= query.timeoutMs) {
    warnings.push(
      `SCRUBJAY_FRESHNESS_WAIT (${formatDuration(ingester.freshnessWaitMs)}) is not below ` +
        `QUERY_TIMEOUT (${formatDuration(query.timeoutMs)}): queries may time out while waiting`,
    );
  }
  if (!receiver.httpEnabled) {
    warnings.push('COLLECTOR_HTTP_ENABLED is false: this node takes no spans');
  }
  return warnings;
}

function warnSpans({ distributor }: Config): string[] {
  const warnings: string[] = [];
  if (distributor.tenancy === 'header' && distributor.rateSpans + distributor.rateBytes === 0) {
    warnings.push(
      'SCRUBJAY_TENANCY is header and there is no SCRUBJAY_INGESTION_RATE_SPANS or _BYTES: ' +
        'one tenant can fill the log, and then all are answered 503',
    );
  }
  if (distributor.sampleRate === 0) {
    warnings.push('COLLECTOR_SAMPLE_RATE is 0: only debug spans are kept');
  }
  if (distributor.tagValueBytesMax > distributor.spanBytesMax) {
    warnings.push(
      `SCRUBJAY_MAX_TAG_VALUE_BYTES (${formatBytes(distributor.tagValueBytesMax)}) is above ` +
        `SCRUBJAY_MAX_SPAN_BYTES (${formatBytes(distributor.spanBytesMax)}): ` +
        'a span with such a tag is rejected, not cut',
    );
  }
  return warnings;
}

/** Settings of a Zipkin server that are set and have no effect here. */
export function ignoredVariables(environment: Environment, known: readonly string[]): string[] {
  return [...environment.keys()].flatMap((name) => {
    const consequence = known.includes(name)
      ? undefined
      : IGNORED.find(([pattern]) => pattern.test(name))?.[1];
    return consequence === undefined ? [] : [`${name} has no effect: ${consequence}`];
  });
}
