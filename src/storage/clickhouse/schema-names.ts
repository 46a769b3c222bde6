/**
 * The tables of names: small, without partitions. Rows of one key are merged into the one with the
 * latest day; that day is what retention counts from.
 *
 *   names       which service, kind, span name and remote service were seen together
 *   tag_values  values of the tag keys of AUTOCOMPLETE_KEYS
 *   name_marks  by node: all names of its segments before `mark` are in the two tables
 */
export const NAMES_TABLE = 'names';
export const TAG_VALUES_TABLE = 'tag_values';
export const NAME_MARKS_TABLE = 'name_marks';

/** Changes nothing where the tables exist. */
export function createNameTables(database: string): readonly string[] {
  return [
    `CREATE TABLE IF NOT EXISTS ${database}.${NAMES_TABLE} (
  tenant LowCardinality(String),
  service LowCardinality(String),
  kind UInt8,
  name String,
  remote String,
  day Date,
  at DateTime('UTC') DEFAULT now()
)
ENGINE = ReplacingMergeTree(day)
ORDER BY (tenant, service, kind, name, remote)`,
    `CREATE TABLE IF NOT EXISTS ${database}.${TAG_VALUES_TABLE} (
  tenant LowCardinality(String),
  key LowCardinality(String),
  value String,
  day Date,
  at DateTime('UTC') DEFAULT now()
)
ENGINE = ReplacingMergeTree(day)
ORDER BY (tenant, key, value)`,
    `CREATE TABLE IF NOT EXISTS ${database}.${NAME_MARKS_TABLE} (
  node UInt16,
  mark UInt64
)
ENGINE = ReplacingMergeTree(mark)
ORDER BY node`,
  ];
}
