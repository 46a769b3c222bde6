/** Settings of the read side. */
import { durationMs, flag, integer, list } from '../base/settings.ts';

export const querySettings = {
  enabled: flag({
    env: 'QUERY_ENABLED',
    default: true,
    doc: 'Serve the query API; false: this node only takes spans',
  }),
  strictTraceId: flag({
    env: 'STRICT_TRACE_ID',
    default: true,
    doc: 'Match all 128 bits of a trace id; false: the low 64 bits, for sites in transition',
  }),
  timeoutMs: durationMs({
    env: 'QUERY_TIMEOUT',
    default: 11_000,
    doc: 'Longest run of one query; 0 is no limit',
  }),
  lookbackMs: durationMs({
    env: 'QUERY_LOOKBACK',
    default: 86_400_000,
    min: 1,
    doc: 'How far a search without lookback reaches back',
  }),
  concurrency: integer({
    env: 'SCRUBJAY_QUERY_CONCURRENCY',
    default: 8,
    unit: 'queries',
    min: 1,
    max: 64,
    doc: 'Queries that may be in storage at once; 1,000 more may wait, a tenant has half',
  }),
  slowMs: durationMs({
    env: 'SCRUBJAY_SLOW_QUERY',
    default: 1000,
    doc: 'Queries that take this long are logged, without what they asked for; 0 logs none',
  }),
  searchEnabled: flag({
    env: 'SEARCH_ENABLED',
    default: true,
    doc: 'Find traces and list names; false: traces by id and dependencies only',
  }),
  autocompleteKeys: list({
    env: 'AUTOCOMPLETE_KEYS',
    default: [],
    doc: 'Tag keys whose values are listed for search, as `http.host,environment`',
  }),
  autocompleteTtlMs: durationMs({
    env: 'AUTOCOMPLETE_TTL',
    default: 3_600_000,
    doc: 'A value seen again is recorded at most once in this time, and once a day',
  }),
  autocompleteCardinality: integer({
    env: 'AUTOCOMPLETE_CARDINALITY',
    default: 20_000,
    unit: 'values',
    max: 10_000_000,
    doc: 'Values of all `AUTOCOMPLETE_KEYS` that are kept for one tenant',
  }),
  namesMaxAgeSeconds: integer({
    env: 'QUERY_NAMES_MAX_AGE',
    default: 300,
    unit: 'seconds',
    doc: 'How long browsers may keep lists of more than 3 names',
  }),
};
