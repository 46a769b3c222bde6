/**
 * Dependency links as sums: derived from `spans`, may be dropped at any time.
 *
 *   kind = 'day'     which rows are in the sums: minute is the day since 1970, `rows` their number,
 *                    ranges of log segments from `batch_from` to `batch_to`
 *   kind = 'opened' | 'closed' | 'gap'   calls and errors by pair of services, in minutes
 *
 * `owner` is the collector that keeps the sums: each counts for itself.
 */
export const LINKS_TABLE = 'links';

/** `name type` of each column, in the order of the rows that are inserted and read. */
export const LINK_COLUMNS = [
  'owner String',
  'tenant LowCardinality(String)',
  "kind Enum8('day' = 0, 'opened' = 1, 'closed' = 2, 'gap' = 3)",
  'minute UInt32',
  'before_minute UInt32',
  'version UInt64',
  'rows UInt64',
  'batch_from Array(UInt64)',
  'batch_to Array(UInt64)',
  'stored_from_ms Int64',
  'stored_to_ms Int64',
  'parents Array(LowCardinality(String))',
  'children Array(LowCardinality(String))',
  'calls Array(Int64)',
  'errors Array(Int64)',
] as const;

/** Changes nothing where the table exists. */
export function createLinksTable(database: string): readonly string[] {
  return [
    `CREATE TABLE IF NOT EXISTS ${database}.${LINKS_TABLE} (
  ${LINK_COLUMNS.join(',\n  ')}
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (owner, tenant, kind, minute, before_minute)`,
  ];
}
