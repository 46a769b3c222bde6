/** What search needs beside the rows: RATIONALE.md says what each costs and saves. */
import { SPANS_TABLE } from './ddl.ts';

/** Text indexes are fit for use from this ClickHouse on. */
const TEXT_INDEX_MIN = [26, 2] as const;

/**
 * The columns that candidates are found by, by service and time. The low 64 bits of the trace id
 * are enough: whole traces are read and judged after that.
 */
const P_SEARCH =
  'PROJECTION IF NOT EXISTS p_search (SELECT tenant, service, ts, trace_lo, name, remote, ' +
  'duration, flags, root ORDER BY tenant, service, ts)';

/** Tag keys, `key=value` and annotation texts, each as one token. */
const TEXT_INDEX =
  "text(tokenizer = 'array', dictionary_block_size = 2048, posting_list_codec = 'bitpacking')";
const BLOOM_INDEX = 'bloom_filter(0.01) GRANULARITY 1';

/**
 * Adds projection and indexes; they are made for rows written from now on, older rows are found
 * without them, and get them as their parts are merged.
 * @param database needs no quoting: config.ts sees to that
 * @param engine version of the server, `26.7.2.1`
 */
export function addSearch(database: string, engine: string): string[] {
  const table = `ALTER TABLE ${database}.${SPANS_TABLE}`;
  const words = hasTextIndex(engine) ? TEXT_INDEX : BLOOM_INDEX;
  return [
    `${table} ADD ${P_SEARCH}`,
    `${table} ADD INDEX IF NOT EXISTS ix_q q TYPE ${words}`,
    // Spans without a timestamp are very rare: a look at few entries tells that there are none.
    `${table} ADD INDEX IF NOT EXISTS ix_timed bitAnd(flags, 4) TYPE minmax GRANULARITY 128`,
  ];
}

function hasTextIndex(engine: string): boolean {
  const [major = 0, minor = 0] = engine.split('.').map(Number);
  const [majorMin, minorMin] = TEXT_INDEX_MIN;
  return major > majorMin || (major === majorMin && minor >= minorMin);
}
