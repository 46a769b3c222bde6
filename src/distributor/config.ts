/** Settings of what is kept of a span: sampling, tenants, limits. */
import type { SettingValues } from '../base/settings.ts';
import { bytes, choice, decimal, durationMs, integer, type Setting } from '../base/settings.ts';

/** A duration in ms, 0 for off, or `retention`: as long as storage keeps spans. */
function ageLimit(o: { env: string; doc: string }): Setting<number | 'retention'> {
  const duration = durationMs({ ...o, default: 0 });
  return {
    ...duration,
    default: 'retention',
    allowed: `retention or ${duration.allowed}`,
    parse: (text) =>
      text.trim().toLowerCase() === 'retention' ? 'retention' : duration.parse(text),
    format: (value) => (value === 'retention' ? value : duration.format(value)),
  };
}

const routingSettings = {
  sampleRate: {
    ...decimal({
      env: 'COLLECTOR_SAMPLE_RATE',
      default: 1,
      min: 0,
      max: 1,
      unit: 'rate',
      doc: 'Share of traces to keep, the same ones on every node; debug spans are always kept',
    }),
    allowed: 'between 0 and 1',
  },
  tenancy: choice({
    env: 'SCRUBJAY_TENANCY',
    of: ['off', 'header'],
    default: 'off',
    doc: 'Whose spans: off, all belong to one tenant; header, `X-Scope-OrgID` names the tenant',
  }),
};

const limitSettings = {
  spanBytesMax: bytes({
    env: 'SCRUBJAY_MAX_SPAN_BYTES',
    default: 256 * 1024,
    min: 1024,
    doc: 'A larger span is rejected as `span_too_large`',
  }),
  tagsPerSpanMax: integer({
    env: 'SCRUBJAY_MAX_TAGS_PER_SPAN',
    default: 256,
    unit: 'tags',
    doc: 'Tags beyond it are dropped and counted as `truncated`',
  }),
  annotationsPerSpanMax: integer({
    env: 'SCRUBJAY_MAX_ANNOTATIONS_PER_SPAN',
    default: 256,
    unit: 'annotations',
    doc: 'Annotations beyond it are dropped and counted as `truncated`',
  }),
  tagKeyBytesMax: bytes({
    env: 'SCRUBJAY_MAX_TAG_KEY_BYTES',
    default: 256,
    min: 1,
    doc: 'A longer tag key is cut at a character and counted as `truncated`',
  }),
  tagValueBytesMax: bytes({
    env: 'SCRUBJAY_MAX_TAG_VALUE_BYTES',
    default: 64 * 1024,
    min: 1,
    doc: 'A longer tag value is cut at a character and counted as `truncated`',
  }),
  annotationBytesMax: bytes({
    env: 'SCRUBJAY_MAX_ANNOTATION_BYTES',
    default: 16 * 1024,
    min: 1,
    doc: 'A longer annotation is cut at a character and counted as `truncated`',
  }),
  nameBytesMax: bytes({
    env: 'SCRUBJAY_MAX_NAME_BYTES',
    default: 512,
    min: 1,
    doc: 'A longer span name is cut at a character and counted as `truncated`',
  }),
  serviceNameBytesMax: bytes({
    env: 'SCRUBJAY_MAX_SERVICE_NAME_BYTES',
    default: 256,
    min: 1,
    doc: 'A longer service name is cut at a character and counted as `truncated`',
  }),
  rejectOlderThanMs: ageLimit({
    env: 'SCRUBJAY_REJECT_OLDER_THAN',
    doc: 'Spans older than this are rejected as `too_old`; 0 is off',
  }),
  rejectNewerThanMs: durationMs({
    env: 'SCRUBJAY_REJECT_NEWER_THAN',
    default: 86_400_000,
    doc: 'Spans further in the future are rejected as `too_far_in_future`; 0 is off',
  }),
  traceSpansMax: integer({
    env: 'SCRUBJAY_MAX_TRACE_SPANS',
    default: 1_000_000,
    min: 1,
    unit: 'spans',
    doc: 'Spans of one trace beyond it are rejected as `trace_too_large`',
  }),
};

const rateSettings = {
  rateSpans: integer({
    env: 'SCRUBJAY_INGESTION_RATE_SPANS',
    default: 0,
    unit: 'spans',
    doc: 'Spans a second that each tenant may send, 0 is off; more: see SCRUBJAY_OVERLOAD',
  }),
  burstSpans: integer({
    env: 'SCRUBJAY_INGESTION_BURST_SPANS',
    default: 0,
    unit: 'spans',
    doc: 'Spans that a tenant may send at once after a rest; 0: those of one second',
  }),
  rateBytes: bytes({
    env: 'SCRUBJAY_INGESTION_RATE_BYTES',
    default: 0,
    doc: 'Inflated bytes a second that each tenant may send, 0 is off',
  }),
  burstBytes: bytes({
    env: 'SCRUBJAY_INGESTION_BURST_BYTES',
    default: 0,
    doc: 'Bytes that a tenant may send at once after a rest; 0: those of one second',
  }),
  overload: choice({
    env: 'SCRUBJAY_OVERLOAD',
    of: ['refuse', 'sample'],
    default: 'refuse',
    doc:
      'Beyond a rate: refuse (429) or sample (whole traces; errors and debug are kept); sample ' +
      'does so too while the log is over 80 % full and grows',
  }),
};

export const distributorSettings = { ...routingSettings, ...limitSettings, ...rateSettings };
export type DistributorConfig = SettingValues<typeof distributorSettings>;
