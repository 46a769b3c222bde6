/** Settings of the ClickHouse storage: where it is, how long it keeps, what a query may use. */
import { bytes, durationMs, integer, text, type SettingValues } from '../../base/settings.ts';

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;
const DAY_MS = 86_400_000;

const isServerUrl = (value: string): boolean =>
  value === '' || (/^https?:\/\/[^/]/i.test(value) && URL.canParse(value));

/** An identifier that needs no quoting anywhere; `default` and `system` belong to ClickHouse. */
const isDatabaseName = (value: string): boolean =>
  /^[A-Za-z_]\w{0,62}$/.test(value) &&
  !['default', 'system', 'information_schema'].includes(value.toLowerCase());

export const clickhouseSettings = {
  /** Credentials in it are not read: they have settings of their own. */
  url: text({
    env: 'CLICKHOUSE_URL',
    doc: 'URL of the HTTP interface of a ClickHouse server; empty runs the embedded engine',
    default: '',
    allowed: 'http(s)://host:port or empty',
    test: isServerUrl,
  }),
  user: text({
    env: 'CLICKHOUSE_USER',
    doc: 'User on the server of CLICKHOUSE_URL',
    default: 'default',
  }),
  password: text({
    env: 'CLICKHOUSE_PASSWORD',
    doc: 'Password of CLICKHOUSE_USER',
    default: '',
    secret: true,
  }),
  /** Created when it is missing. */
  database: text({
    env: 'CLICKHOUSE_DATABASE',
    doc: 'Database of all tables, created when it is missing',
    default: 'scrubjay',
    allowed: 'letters, digits and _, not starting with a digit; not default or system',
    test: isDatabaseName,
  }),
  /** Kept at least this long; whole UTC days are dropped, so up to two days longer. 0: for ever. */
  retentionMs: durationMs({
    env: 'SCRUBJAY_RETENTION',
    doc: 'How long spans are kept at least; whole days are dropped; 0 keeps them for ever',
    default: 7 * DAY_MS,
    max: 36_500 * DAY_MS,
  }),
  /** The engine's own accounting; its process is larger by the mapped part of the library. */
  engineMemoryBytes: bytes({
    env: 'SCRUBJAY_ENGINE_MEMORY',
    doc: 'Memory that the embedded engine may use',
    default: GIB,
    min: 256 * MIB,
  }),
  queryMemoryBytes: bytes({
    env: 'SCRUBJAY_QUERY_MEMORY',
    doc: 'Memory that one query may use in ClickHouse',
    default: 384 * MIB,
    min: 16 * MIB,
  }),
  queryThreads: integer({
    env: 'SCRUBJAY_QUERY_THREADS',
    doc: 'Threads that one query may use in ClickHouse',
    default: 2,
    min: 1,
    max: 256,
    unit: 'threads',
  }),
} as const;

export type ClickHouseSettingValues = SettingValues<typeof clickhouseSettings>;
