/**
 * W3C Trace Context: the header `traceparent`.
 *
 *   traceparent := version "-" traceId "-" parentId "-" flags ; of version 00 this and no more
 *   version     := 2 lower-case hex digits, not "ff"          ; later ones may add "-" and more
 *   traceId     := 32 digits, not all zero
 *   parentId    := 16 digits, not all zero                    ; the span of the caller
 *   flags       := 2 digits                                   ; bit 0: sampled
 *
 * https://www.w3.org/TR/trace-context/#traceparent-header. The header knows neither debug nor the
 * parent of the caller's span. An id of 64 bits is one of 128 whose high half is zero.
 */
import { parseB3 } from './b3.ts';
import type { IdentifiedContext, TraceContext } from './b3.ts';

const TRACEPARENT = /^([\da-f]{2})-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})(-.*)?$/;
const ZEROS = /^0+$/;
const SAMPLED = 1;

/** The value of the header; undefined: malformed. */
export function parseTraceparent(
  value: string,
): (IdentifiedContext & { readonly sampled: boolean }) | undefined {
  const match = TRACEPARENT.exec(value);
  if (match === null) return undefined;
  const [, version, traceId = '', spanId = '', flags = '', more] = match;
  if (version === 'ff' || (version === '00' && more !== undefined)) return undefined;
  if (ZEROS.test(traceId) || ZEROS.test(spanId)) return undefined;
  const sampled = (Number.parseInt(flags, 16) & SAMPLED) === SAMPLED;
  return { traceId, spanId, sampled };
}

/** Version 00; what is not decided yet counts as not sampled: the header cannot say otherwise. */
export function formatTraceparent({ traceId, spanId, sampled }: IdentifiedContext): string {
  return `00-${traceId.padStart(32, '0')}-${spanId}-${sampled === true ? '01' : '00'}`;
}

/**
 * The context of a request, of whichever header: B3's ids before W3C's, and denied when either
 * denies. Undefined: no header says anything.
 */
export function parseTraceContext(
  get: (name: string) => string | undefined,
): TraceContext | undefined {
  const b3 = parseB3(get);
  const value = get('traceparent');
  const w3c = value === undefined ? undefined : parseTraceparent(value);
  if (b3 === undefined || w3c === undefined) return b3 ?? w3c;
  const context = b3.traceId === undefined ? { ...w3c, ...b3 } : b3;
  return w3c.sampled ? context : { ...context, sampled: false, debug: false };
}
