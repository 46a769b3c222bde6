/** The statements that make the tables. Settings of merges and fsync are the server's defaults. */
import { COLUMNS } from './columns.ts';

export const SPANS_TABLE = 'spans';

/** Names of the stored columns, in the order of the Native block. */
export const SPAN_COLUMN_LIST = COLUMNS.map(({ name }) => name).join(', ');

/** `name type, …` as input() takes it. */
export const SPAN_STRUCTURE = COLUMNS.map(({ name, type }) => `${name} ${type}`).join(', ');

/** Computed at insert or at read: never in a block. */
const DERIVED_COLUMNS = [
  "err Bool MATERIALIZED mapContains(tags, 'error') CODEC(ZSTD(1))",
  'root Bool MATERIALIZED parent_id = 0 CODEC(ZSTD(1))',
  // What annotationQuery matches: tag keys, annotation values, `key=value`.
  'q Array(String) ALIAS arrayConcat(mapKeys(tags), ann_value, ' +
    "arrayMap(kv -> concat(kv.1, '=', kv.2), CAST(tags, 'Array(Tuple(String, String))')))",
];

const INDEXES = [
  'INDEX ix_trace trace_lo TYPE bloom_filter(0.01) GRANULARITY 1',
  'INDEX ix_batch _batch TYPE minmax GRANULARITY 1',
];

/**
 * `spans`, sorted by trace because search answers whole traces; a partition is a UTC day, the unit
 * of retention and of an insert's atomicity. Changes nothing where the table exists.
 * @param database needs no quoting: config.ts sees to that
 */
export function createSpansTable(database: string): string {
  const stored = COLUMNS.map(({ name, type, codec }) =>
    codec === '' ? `${name} ${type}` : `${name} ${type} CODEC(${codec})`,
  );
  const lines = [...stored, ...DERIVED_COLUMNS, ...INDEXES];
  return `CREATE TABLE IF NOT EXISTS ${database}.${SPANS_TABLE} (
  ${lines.join(',\n  ')}
)
ENGINE = MergeTree
PARTITION BY toDate(ts)
ORDER BY (tenant, toStartOfHour(ts), trace_lo, ts)
SETTINGS index_granularity = 1024, min_compress_block_size = 16384, ttl_only_drop_parts = 1`;
}
