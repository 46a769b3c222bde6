/**
 * The closed vocabularies: why a span was not kept, and which lenient reading it needed. The same
 * words are metric labels, ledger keys and members of the 400 body.
 */
export const REJECT_REASONS = [
  'invalid_trace_id',
  'invalid_span_id',
  'malformed_span',
  'malformed_message',
  'span_too_large',
  'too_old',
  'too_far_in_future',
  'trace_too_large',
  'not_sampled',
  'overload_sampled',
] as const;
export type RejectReason = (typeof REJECT_REASONS)[number];

/** Not kept by policy: no fault of the client, so no error in its answer. */
export const isPolicy = (reason: RejectReason): boolean =>
  reason === 'not_sampled' || reason === 'overload_sampled';

export const NORMALIZE_RULES = [
  'id_case',
  'id_uuid',
  'parent_dropped',
  'fraction_floored',
  'time_dropped',
  'tag_null_dropped',
  'tag_typed',
  'tags_dropped',
  'kind_unknown',
  'kind_case',
  'flag_typed',
  'text_typed',
  'port_dropped',
  'ip_moved',
  'ip_dropped',
  'endpoint_dropped',
  'annotation_dropped',
  'nul_skipped',
  'surrogate',
  'utf8',
  'trailing_text',
  'list_joined',
  'list_missing',
  'truncated',
] as const;
export type NormalizeRule = (typeof NORMALIZE_RULES)[number];
