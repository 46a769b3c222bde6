/**
 * Puts the pieces of a trace together, by the rules of zipkin2/internal/Trace.java: a span may be
 * sent in several pieces, and client and server may share one span id.
 *
 * The rules read few fields. They run on LinkSpan, whole spans and narrow rows alike; mergeTrace
 * then does to whole spans what was decided on their narrow form.
 */
import type { Annotation, Endpoint, Span, SpanKind } from '../model/span.ts';

/**
 * What merging, tree and dependency links read of a span; no member is ever '' or 0. The
 * trace id is not among them: links do not depend on it. All parts of the local endpoint are:
 * pieces are ordered and joined by them, so a mere equality key would give other links.
 */
export interface LinkSpan {
  readonly id: string;
  /** Never the own id. */
  readonly parentId?: string | undefined;
  readonly kind?: SpanKind | undefined;
  /** Never on a CLIENT. */
  readonly shared?: boolean | undefined;
  readonly timestamp?: number | bigint | undefined;
  readonly localService?: string | undefined;
  readonly localIpv4?: string | undefined;
  readonly localIpv6?: string | undefined;
  readonly localPort?: number | undefined;
  readonly remoteService?: string | undefined;
  /** There is a tag `error`, whatever its value. */
  readonly error: boolean;
}

/** The narrow form of a whole span. */
export interface NarrowSpan extends LinkSpan {
  readonly source: Span;
}

export function linkSpanOf(span: Span): NarrowSpan {
  const local = span.localEndpoint;
  return {
    id: span.id,
    parentId: span.parentId,
    kind: span.kind,
    shared: span.shared === true,
    timestamp: span.timestamp,
    localService: local?.serviceName,
    localIpv4: local?.ipv4,
    localIpv6: local?.ipv6,
    localPort: local?.port,
    remoteService: span.remoteEndpoint?.serviceName,
    error: span.tags?.has('error') === true,
    source: span,
  };
}

export function hasLocalEndpoint(span: LinkSpan): boolean {
  return (
    span.localService !== undefined ||
    span.localIpv4 !== undefined ||
    span.localIpv6 !== undefined ||
    span.localPort !== undefined
  );
}

/** Code unit order as String.compareTo; absent last. */
function compareParts(left: string | undefined, right: string | undefined): number {
  if (left === right) return 0;
  if (left === undefined) return 1;
  if (right === undefined) return -1;
  return left < right ? -1 : 1;
}

/** Absent endpoint first, so that its data joins the first piece with one. Ports do not count. */
function compareEndpoints(left: LinkSpan, right: LinkSpan): number {
  const leftPresent = hasLocalEndpoint(left);
  const rightPresent = hasLocalEndpoint(right);
  if (leftPresent !== rightPresent) return leftPresent ? 1 : -1;
  return (
    compareParts(left.localService, right.localService) ||
    compareParts(left.localIpv4, right.localIpv4) ||
    compareParts(left.localIpv6, right.localIpv6)
  );
}

/** Clients first, shared last. */
function rank(span: LinkSpan): number {
  if (span.shared === true) return 2;
  return span.kind === 'CLIENT' ? 0 : 1;
}

/** Trace.java CLEANUP_COMPARATOR. */
function comparePieces(left: LinkSpan, right: LinkSpan): number {
  if (left.id !== right.id) return left.id < right.id ? -1 : 1;
  return rank(left) - rank(right) || compareEndpoints(left, right);
}

type Draft = { -readonly [K in keyof LinkSpan]: LinkSpan[K] };

function draftOf(span: LinkSpan): Draft {
  return {
    id: span.id,
    parentId: span.parentId,
    kind: span.kind,
    shared: span.shared,
    timestamp: span.timestamp,
    localService: span.localService,
    localIpv4: span.localIpv4,
    localIpv6: span.localIpv6,
    localPort: span.localPort,
    remoteService: span.remoteService,
    error: span.error,
  };
}

/** Span.Builder.merge: what is there stays. */
function absorb(into: Draft, next: LinkSpan): void {
  into.parentId ??= next.parentId;
  into.kind ??= next.kind;
  into.timestamp ??= next.timestamp;
  into.localService ??= next.localService;
  into.localIpv4 ??= next.localIpv4;
  into.localIpv6 ??= next.localIpv6;
  into.localPort ??= next.localPort;
  into.remoteService ??= next.remoteService;
  into.error ||= next.error;
}

function agree<T>(left: T | undefined, right: T | undefined): boolean {
  return left === undefined || right === undefined || left === right;
}

/** Trace.java EndpointTracker: one endpoint may be sent in parts. */
function sameEndpoint(left: LinkSpan, right: LinkSpan): boolean {
  return (
    agree(left.localService, right.localService) &&
    agree(left.localIpv4, right.localIpv4) &&
    agree(left.localIpv6, right.localIpv6) &&
    agree(left.localPort, right.localPort)
  );
}

interface Runs {
  readonly merged: LinkSpan[];
  /** Of each merged span, the end of its pieces in the sorted list. */
  readonly ends: number[];
}

/**
 * What of the previous span of the same id belongs on this one: the shared flag that some servers
 * leave out, and the parent that was not propagated. The first piece decides, not the merged span.
 */
function corrected(
  first: LinkSpan,
  draft: Draft | undefined,
  previous: LinkSpan,
): Draft | undefined {
  let shared = first.shared === true;
  let result = draft;
  if (!shared && previous.kind === 'CLIENT' && first.kind === 'SERVER') {
    shared = true;
    result ??= draftOf(first);
    result.shared = true;
  }
  if (shared && first.parentId === undefined && previous.parentId !== undefined) {
    result ??= draftOf(first);
    result.parentId = previous.parentId;
  }
  return result;
}

function mergeRuns(sorted: readonly LinkSpan[]): Runs {
  const merged: LinkSpan[] = [];
  const ends: number[] = [];
  let previous: LinkSpan | undefined;
  let at = 0;
  while (at < sorted.length) {
    const first = sorted[at]!;
    let draft: Draft | undefined;
    for (at++; at < sorted.length; at++) {
      const next = sorted[at]!;
      if (next.id !== first.id || (next.shared === true) !== (first.shared === true)) break;
      if (!sameEndpoint(draft ?? first, next)) break;
      draft ??= draftOf(first);
      absorb(draft, next);
    }
    if (previous?.id === first.id) draft = corrected(first, draft, previous);
    previous = draft ?? first;
    merged.push(previous);
    ends.push(at);
  }
  return { merged, ends };
}

/**
 * The spans of a trace by id, pieces joined, clients before servers. The same decisions as
 * mergeTrace, for those who need no more than links.
 */
export function mergeLinkSpans(spans: readonly LinkSpan[]): LinkSpan[] {
  if (spans.length <= 1) return [...spans];
  return mergeRuns(spans.toSorted(comparePieces)).merged;
}

function fill<T>(into: T, from: T, keys: readonly (keyof T)[]): void {
  for (const key of keys) {
    if (into[key] === undefined && from[key] !== undefined) into[key] = from[key];
  }
}

const ENDPOINT_PARTS = ['serviceName', 'ipv4', 'ipv6', 'port'] as const;
const FIRST_WINS = ['parentId', 'kind', 'name', 'timestamp', 'duration'] as const;

function mergeEndpoint(into: Span, from: Span, side: 'localEndpoint' | 'remoteEndpoint'): void {
  const source = from[side];
  if (source === undefined) return;
  const endpoint: Endpoint = { ...into[side] };
  fill(endpoint, source, ENDPOINT_PARTS);
  into[side] = endpoint;
}

function compareAnnotations(left: Annotation, right: Annotation): number {
  if (left.timestamp !== right.timestamp) return left.timestamp < right.timestamp ? -1 : 1;
  return compareParts(left.value, right.value);
}

/** In order, equal ones once. */
function mergeAnnotations(pieces: readonly Span[]): Annotation[] {
  const sorted = pieces.flatMap((piece) => piece.annotations ?? []).toSorted(compareAnnotations);
  return sorted.filter((one, i) => i === 0 || compareAnnotations(sorted[i - 1]!, one) !== 0);
}

/** By key; the last piece wins. */
function mergeTags(pieces: readonly Span[]): Map<string, string> {
  const tags = new Map<string, string>();
  for (const piece of pieces) for (const [key, value] of piece.tags ?? []) tags.set(key, value);
  return new Map([...tags].toSorted(([left], [right]) => compareParts(left, right)));
}

/** Span.Builder.merge of all pieces. */
function joined(pieces: readonly Span[]): Span {
  const [first, ...others] = pieces;
  const span: Span = { ...first! };
  if (others.length === 0) return span;
  for (const next of others) {
    fill(span, next, FIRST_WINS);
    mergeEndpoint(span, next, 'localEndpoint');
    mergeEndpoint(span, next, 'remoteEndpoint');
    if (next.debug === true) span.debug = true;
  }
  const annotations = mergeAnnotations(pieces);
  if (annotations.length > 0) span.annotations = annotations;
  const tags = mergeTags(pieces);
  if (tags.size > 0) span.tags = tags;
  return span;
}

/** The first one of 128 bits, else the last. */
function bestTraceId(sorted: readonly NarrowSpan[]): string {
  const whole = sorted.find(({ source }) => source.traceId.length === 32);
  return (whole ?? sorted.at(-1)!).source.traceId;
}

/**
 * Trace.merge: one span per id and side of the call, in the order of ids, clients before servers;
 * one trace id, missing shared flags and parents of servers filled in. Spans that need no change
 * are the given objects; given objects are never changed.
 */
export function mergeTrace(spans: readonly Span[]): Span[] {
  if (spans.length <= 1) return [...spans];
  const sorted = spans.map((span) => linkSpanOf(span)).toSorted(comparePieces);
  const traceId = bestTraceId(sorted);
  const { merged, ends } = mergeRuns(sorted);
  return merged.map((link, i) => {
    const pieces = sorted.slice(ends[i - 1] ?? 0, ends[i]).map(({ source }) => source);
    const first = pieces[0]!;
    const sameIdLength = first.traceId.length === traceId.length;
    if (sameIdLength && link === sorted[ends[i]! - 1]) return first;
    const span = joined(pieces);
    if (!sameIdLength) span.traceId = traceId;
    if (link.parentId !== undefined) span.parentId = link.parentId;
    if (link.shared === true) span.shared = true;
    return span;
  });
}
