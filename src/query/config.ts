/** Settings of the read side. */
import { durationMs, flag } from '../base/settings.ts';

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
};
