/** Whether a trace answers a search, by the rules of zipkin2/storage/QueryRequest.java. */
import type { Span } from '../model/span.ts';

/** A search as checked by its reader: names in lower case, none empty, no span name `all`. */
export interface SearchRequest {
  /** Local; only its spans count for all that follows. */
  readonly serviceName?: string;
  readonly remoteServiceName?: string;
  readonly spanName?: string;
  /** Empty value: a tag of that key or an annotation of that text; else the tag and its value. */
  readonly annotationQuery: ReadonlyMap<string, string>;
  readonly minDurationUs?: number;
  /** Only together with minDurationUs. */
  readonly maxDurationUs?: number;
  readonly endTsMs: number;
  readonly lookbackMs: number;
  /** Most traces in the answer; says nothing about a single one. */
  readonly limit: number;
}

const SEPARATOR = ' and ';
const PARTS_MAX = 100;

/** String.split(" and ", 100): the last part keeps the rest. */
function splitParts(text: string): string[] {
  const parts = text.split(SEPARATOR);
  if (parts.length <= PARTS_MAX) return parts;
  return [...parts.slice(0, PARTS_MAX - 1), parts.slice(PARTS_MAX - 1).join(SEPARATOR)];
}

/** String.trim: everything up to the space, nothing beyond it. */
function trim(text: string): string {
  let from = 0;
  let to = text.length;
  while (from < to && text.charCodeAt(from) <= 0x20) from++;
  while (to > from && text.charCodeAt(to - 1) <= 0x20) to--;
  return text.slice(from, to);
}

/**
 * QueryRequest.Builder.parseAnnotationQuery: `error and http.method=GET`. The last value of a key
 * wins, any value wins over the bare key.
 */
export function parseAnnotationQuery(text: string): Map<string, string> {
  const query = new Map<string, string>();
  if (text === '') return query;
  for (const part of splitParts(text)) {
    const equals = part.indexOf('=');
    if (equals >= 0) query.set(trim(part.slice(0, equals)), trim(part.slice(equals + 1)));
    else if (!query.has(trim(part))) query.set(trim(part), '');
  }
  return query;
}

/** When the trace began: of its first span without parent that says so, else the least of all. */
export function traceTimestampUs(spans: readonly Span[]): number | bigint | undefined {
  let least: number | bigint | undefined;
  for (const { timestamp, parentId } of spans) {
    if (timestamp === undefined) continue;
    if (parentId === undefined) return timestamp;
    if (least === undefined || timestamp < least) least = timestamp;
  }
  return least;
}

function isInWindow(spans: readonly Span[], { endTsMs, lookbackMs }: SearchRequest): boolean {
  const timestamp = traceTimestampUs(spans);
  if (timestamp === undefined) return false;
  return timestamp >= (endTsMs - lookbackMs) * 1000 && timestamp <= endTsMs * 1000;
}

function isInDuration(span: Span, { minDurationUs, maxDurationUs }: SearchRequest): boolean {
  if (span.duration === undefined || minDurationUs === undefined) return false;
  if (span.duration < minDurationUs) return false;
  return maxDurationUs === undefined || span.duration <= maxDurationUs;
}

function answers({ annotations, tags }: Span, key: string, wanted: string): boolean {
  const value = tags?.get(key);
  if (value !== undefined && (wanted === '' || wanted === value)) return true;
  return wanted === '' && annotations?.some((annotation) => annotation.value === key) === true;
}

/**
 * QueryRequest.test: each criterion is met by some span of the service, not all by the same one.
 * @param spans one trace, not merged
 */
export function matches(spans: readonly Span[], request: SearchRequest): boolean {
  if (!isInWindow(spans, request)) return false;
  const { serviceName, remoteServiceName, spanName, minDurationUs, maxDurationUs } = request;
  const some = (met: (span: Span) => boolean): boolean =>
    spans.some(
      (span) =>
        (serviceName === undefined || span.localEndpoint?.serviceName === serviceName) && met(span),
    );
  if (!some(() => true)) return false;
  const remote = remoteServiceName;
  if (remote !== undefined && !some((span) => span.remoteEndpoint?.serviceName === remote))
    return false;
  if (spanName !== undefined && !some((span) => span.name === spanName)) return false;
  const timed = minDurationUs !== undefined || maxDurationUs !== undefined;
  if (timed && !some((span) => isInDuration(span, request))) return false;
  return [...request.annotationQuery].every(([key, wanted]) =>
    some((span) => answers(span, key, wanted)),
  );
}
