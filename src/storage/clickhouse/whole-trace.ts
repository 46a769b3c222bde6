/** Rows of traces as the traces that they make. */
import { isDeepStrictEqual } from 'node:util';
import type { Span } from '../../model/span.ts';

const LOW_CHARS = 16;

/** @param strict false: ids that share their low 64 bits are of one trace */
export function wholeTraces(spans: readonly Span[], strict: boolean): Span[][] {
  const traces = new Map<string, Span[]>();
  for (const span of spans) {
    const id = strict ? span.traceId : span.traceId.slice(-LOW_CHARS);
    const trace = traces.get(id);
    if (trace === undefined) traces.set(id, [span]);
    else trace.push(span);
  }
  return Array.from(traces.values(), wholeTrace);
}

/**
 * The spans of one trace by time, those without timestamp last. Spans equal in every field count
 * once: a client may report one twice.
 */
export function wholeTrace(spans: readonly Span[]): Span[] {
  const byId = new Map<string, Span[]>();
  const distinct = spans.filter((span) => {
    const same = byId.get(span.id);
    if (same === undefined) byId.set(span.id, [span]);
    else if (same.some((other) => isDeepStrictEqual(other, span))) return false;
    else same.push(span);
    return true;
  });
  return distinct.toSorted(compareTimes);
}

function compareTimes({ timestamp: a }: Span, { timestamp: b }: Span): number {
  if (a === b) return 0;
  if (a === undefined) return 1;
  if (b === undefined) return -1;
  return a < b ? -1 : 1;
}
