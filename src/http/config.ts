/** Settings of the HTTP server: where it listens, how much it takes in, how it drains. */
import { bytes, durationMs, integer, list, text } from '../base/settings.ts';

export const httpSettings = {
  port: integer({
    env: 'QUERY_PORT',
    default: 9411,
    min: 0,
    max: 65_535,
    unit: 'port number',
    doc: 'Port of everything: spans in, queries, health, metrics; 0 picks a free one',
  }),
  host: text({
    env: 'SCRUBJAY_LISTEN_HOST',
    default: '0.0.0.0',
    allowed: 'an address or host name of this machine',
    test: (value) => /^[\w.:%-]+$/.test(value),
    doc: 'Address to listen on: all, as in Zipkin, and no password; `127.0.0.1` keeps others out',
  }),
  bodyBytesMax: bytes({
    env: 'SCRUBJAY_INGEST_MAX_BODY_BYTES',
    default: 12 * 1024 ** 2,
    min: 1024,
    max: 1024 ** 3,
    doc: 'Largest request body as sent; a larger one is answered 413',
  }),
  inflatedBytesMax: bytes({
    env: 'SCRUBJAY_INGEST_MAX_INFLATED_BYTES',
    default: 48 * 1024 ** 2,
    min: 1024,
    max: 1024 ** 3,
    doc: 'Largest request body once inflated; a larger one is answered 413',
  }),
  inflightBytesMax: bytes({
    env: 'SCRUBJAY_INGEST_MAX_INFLIGHT_BYTES',
    default: 64 * 1024 ** 2,
    min: 1024,
    doc: 'Body bytes handled at the same time, then 503; a tenant may have what it leaves free',
  }),
  inflightRequestsMax: integer({
    env: 'SCRUBJAY_INGEST_MAX_INFLIGHT_REQUESTS',
    default: 2000,
    min: 1,
    unit: 'requests',
    doc: 'Ingest requests handled at the same time, then 503; shared likewise by tenants',
  }),
  keepAliveMs: durationMs({
    env: 'SCRUBJAY_KEEP_ALIVE',
    default: 75_000,
    min: 1000,
    doc: 'How long an idle connection stays open; longer than the pauses of reporters and proxies',
  }),
  drainDelayMs: durationMs({
    env: 'SCRUBJAY_DRAIN_DELAY',
    default: 0,
    max: 3_600_000,
    doc: 'After SIGTERM: how long to go on serving while load balancers take this node out',
  }),
  allowedOrigins: list({
    env: 'ZIPKIN_QUERY_ALLOWED_ORIGINS',
    default: ['*'],
    doc: 'Origins whose browser pages may call the query API (CORS); `none` allows none',
  }),
};
