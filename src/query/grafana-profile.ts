/**
 * Traces as Grafana's Zipkin data source needs them. Its decoder (zipkin-go) fails a whole trace
 * for one value out of range, and its trace view (TraceView/components/model of grafana/grafana)
 * - drops spans that do not say when they began,
 * - knows the service of a span by the id of the span alone,
 * - reads times of annotations, which Zipkin has in microseconds, as milliseconds,
 * - finds neither services nor the direction of calls unless tags tell them,
 * and its list of traces breaks for all when one trace has no span without parent.
 */
import type { Annotation, Endpoint, Span } from '../model/span.ts';
import { earliest, groupedBy, unshare } from './unshare.ts';

export interface GrafanaProfile {
  /** Unit of the times of annotations in the answer; `ms` is what Grafana takes them for. */
  readonly annotationUnit: 'ms' | 'us';
}

/** Times within which zipkin-go's nanoseconds stay in 64 bits, and its writer does not refuse. */
const TIME_US_MIN = 1_000_000;
const TIME_US_MAX = 9_223_372_036_854_774n;

type Micros = number | bigint;

/**
 * The spans of a trace, each after its parent and the root first, if there is one. Every span has
 * an id of its own and a time.
 * @param spans one trace, as it is stored; not changed
 */
export function grafanaTrace(spans: readonly Span[], profile: GrafanaProfile): Span[] {
  const ordered = inTreeOrder(unshare(spans));
  fillTimestamps(ordered);
  for (const span of ordered) adapt(span, profile);
  return ordered;
}

/**
 * Traces for a list, of which Grafana shows name and duration of the first span without parent.
 * Equal entries would be one, so later ones also tell when they began.
 */
export class GrafanaList {
  readonly #labels = new Set<string>();
  readonly #profile: GrafanaProfile;

  constructor(profile: GrafanaProfile) {
    this.#profile = profile;
  }

  /** The next trace of the list. */
  entry(spans: readonly Span[]): Span[] {
    const trace = grafanaTrace(spans, this.#profile);
    const root = trace[0];
    if (root === undefined) return trace;
    delete root.parentId;
    root.duration ??= lengthOf(trace, root.timestamp!);
    root.name = this.#distinct(root);
    return trace;
  }

  #distinct({ name = 'unknown', timestamp = 0, duration = 0, traceId }: Span): string {
    const labelOf = (text: string): string => `${text} ${BigInt(duration) / 1000n}`;
    const time = timeText(timestamp);
    const names = [name, `${name} at ${time}`, `${name} at ${time} ${traceId}`];
    const free = names.find((text) => !this.#labels.has(labelOf(text))) ?? names.at(-1)!;
    this.#labels.add(labelOf(free));
    return free;
  }
}

/** `2026-11-21 09:41:07.123`, in UTC. */
function timeText(us: Micros): string {
  const date = new Date(Number(us) / 1000);
  // Later than JavaScript can tell.
  return Number.isNaN(date.getTime())
    ? String(us)
    : date.toISOString().slice(0, -1).replace('T', ' ');
}

/** From the beginning of the root to the last end, at least 1. */
function lengthOf(trace: readonly Span[], fromUs: Micros): Micros {
  let toUs = BigInt(fromUs) + 1n;
  for (const { timestamp = 0, duration = 0 } of trace) {
    const endUs = BigInt(timestamp) + BigInt(duration);
    if (endUs > toUs) toUs = endUs;
  }
  return narrow(clamped(toUs - BigInt(fromUs), 1n));
}

/** Breadth first; of several spans at the top those without parent come first, then by time. */
function inTreeOrder(spans: readonly Span[]): Span[] {
  const byId = new Set(spans.map(({ id }) => id));
  const children = groupedBy(spans, ({ parentId }) =>
    parentId !== undefined && byId.has(parentId) ? parentId : undefined,
  );
  const tops = children.get(undefined) ?? [];
  const roots = tops.filter(({ parentId }) => parentId === undefined);
  const orphans = tops.filter(({ parentId }) => parentId !== undefined);
  const ordered = [roots, orphans].flatMap((part) => firstInFront(part));
  // The list grows while it is read.
  for (const { id } of ordered) for (const child of children.get(id) ?? []) ordered.push(child);
  return ordered;
}

function firstInFront(spans: readonly Span[]): Span[] {
  if (spans.length < 2) return [...spans];
  const first = earliest(spans);
  return [first, ...spans.filter((span) => span !== first)];
}

/** Where it is missing: the first annotation, else the parent's, else the earliest of all. */
function fillTimestamps(ordered: readonly Span[]): void {
  const times = ordered.flatMap((span) => timeOf(span) ?? []);
  const least = times.reduce((min, time) => (time < min ? time : min), times[0] ?? TIME_US_MIN);
  const byId = new Map<string, Span>();
  for (const span of ordered) {
    const parent = span.parentId === undefined ? undefined : byId.get(span.parentId);
    span.timestamp = timeOf(span) ?? parent?.timestamp ?? least;
    byId.set(span.id, span);
  }
}

/** When the span says it began; undefined when it does not, or in no way that can be shown. */
function timeOf({ timestamp, annotations }: Span): Micros | undefined {
  if (timestamp !== undefined) return narrow(clamped(BigInt(timestamp), BigInt(TIME_US_MIN)));
  const first = annotations?.find((annotation) => annotation.timestamp >= TIME_US_MIN);
  return first === undefined ? undefined : narrow(clamped(BigInt(first.timestamp), 1n));
}

function clamped(us: bigint, min: bigint): bigint {
  if (us < min) return min;
  return us > TIME_US_MAX ? TIME_US_MAX : us;
}

function narrow(value: bigint): Micros {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

function adapt(span: Span, { annotationUnit }: GrafanaProfile): void {
  const { duration, localEndpoint, remoteEndpoint, annotations } = span;
  const tags = tagsOf(span);
  if (tags.size > 0) span.tags = tags;
  if (duration !== undefined) span.duration = narrow(clamped(BigInt(duration), 1n));
  if (localEndpoint !== undefined) span.localEndpoint = withPlainIp(localEndpoint);
  if (remoteEndpoint !== undefined) span.remoteEndpoint = withPlainIp(remoteEndpoint);
  if (annotations === undefined) return;
  const divisor = annotationUnit === 'ms' ? 1000n : 1n;
  span.annotations = annotations.map(({ timestamp, value }): Annotation => ({
    timestamp: narrow(clamped(BigInt(timestamp) / divisor, 1n)),
    value,
  }));
}

/** What Grafana looks for in tags; what the sender says there itself is better. */
function tagsOf({ tags, kind, localEndpoint, remoteEndpoint }: Span): Map<string, string> {
  const all = new Map(tags);
  const add = (key: string, value: string | undefined): void => {
    if (value !== undefined && !all.has(key)) all.set(key, value);
  };
  add('peer.service', remoteEndpoint?.serviceName);
  add('service.name', localEndpoint?.serviceName);
  add('span.kind', kind?.toLowerCase());
  return all;
}

/** Zipkin keeps `01.2.3.4` as it is; in Go that is no address. */
function withPlainIp(endpoint: Endpoint): Endpoint {
  const { ipv4 } = endpoint;
  if (ipv4 === undefined || !/(?:^|\.)0\d/.test(ipv4)) return endpoint;
  return { ...endpoint, ipv4: ipv4.split('.').map(Number).join('.') };
}
