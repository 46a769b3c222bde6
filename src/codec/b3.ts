/**
 * B3: a trace context in HTTP headers, as Zipkin's clients send it.
 *
 *   b3                := context | sampling
 *   context           := traceId "-" spanId ("-" sampling)? ("-" parentSpanId)?
 *   sampling          := "1" | "0" | "d"             ; accept, deny, debug; none: not yet decided
 *   traceId           := 16 or 32 lower-case hex digits, not all zero
 *   spanId, parent…   := 16 lower-case hex digits, not all zero
 *
 *   X-B3-TraceId      := 1 to 32 digits              ; padded on the left
 *   X-B3-SpanId       := 1 to 16 digits
 *   X-B3-ParentSpanId := 1 to 16 digits              ; not at the root of a trace
 *   X-B3-Sampled      := "1" | "0" | "true" | "false"
 *   X-B3-Flags        := "1"                         ; debug, all else is nothing
 *
 * https://github.com/openzipkin/b3-propagation; where that is silent, what Brave answers
 * (brave/propagation/B3SingleFormat.java, B3Propagation.java): what is malformed counts as absent.
 */

/** What a request says of the trace that it belongs to. */
export interface TraceContext {
  /** 16 or 32 lower-case hex digits; absent, as spanId then is, when only sampling is said. */
  readonly traceId?: string;
  /** 16 lower-case hex digits. */
  readonly spanId?: string;
  /** 16 lower-case hex digits; absent at the root of a trace. */
  readonly parentId?: string;
  /** Absent: whoever reads this decides. */
  readonly sampled?: boolean;
  /** Record it whatever the rate; implies sampled. */
  readonly debug?: boolean;
}

/** A context with its ids. */
export type IdentifiedContext = TraceContext & Required<Pick<TraceContext, 'traceId' | 'spanId'>>;

const SINGLE = /^((?:[\da-f]{16}){1,2})-([\da-f]{16})(?:-([01d]))?(?:-([\da-f]{16}))?$/;
const ZEROS = /^0+$/;
const HEX = /^[\da-f]+$/;
const SAMPLING: ReadonlyMap<string, TraceContext> = new Map([
  ['0', { sampled: false }],
  ['1', { sampled: true }],
  ['d', { sampled: true, debug: true }],
]);
const SAMPLED: ReadonlyMap<string, boolean> = new Map([
  ['1', true],
  ['0', false],
  // Of old instrumentation.
  ['true', true],
  ['false', false],
]);

/** The value of the header `b3`; undefined: malformed. */
export function parseB3Single(value: string): TraceContext | undefined {
  if (value.length === 1) return SAMPLING.get(value);
  const match = SINGLE.exec(value);
  if (match === null) return undefined;
  const [, traceId = '', spanId = '', sampling, parentId] = match;
  if (ZEROS.test(traceId) || ZEROS.test(spanId)) return undefined;
  if (parentId !== undefined && ZEROS.test(parentId)) return undefined;
  return {
    traceId: withoutZeroHalf(traceId),
    spanId,
    ...(parentId === undefined ? {} : { parentId }),
    ...(sampling === undefined ? {} : SAMPLING.get(sampling)),
  };
}

/** The headers `X-B3-…`; undefined: none that say anything, or malformed. */
export function parseB3Multi(get: (name: string) => string | undefined): TraceContext | undefined {
  const sampledText = get('x-b3-sampled');
  const sampled = sampledText === undefined ? undefined : SAMPLED.get(sampledText.toLowerCase());
  if (sampledText !== undefined && sampled === undefined) return undefined;
  const sampling = multiSampling(sampled, get('x-b3-flags') === '1');
  const traceIdText = get('x-b3-traceid');
  if (traceIdText === undefined) return sampling;
  const traceId = idOf(traceIdText, 32);
  const spanId = idOf(get('x-b3-spanid'), 16);
  if (traceId === undefined || spanId === undefined) return undefined;
  const parentText = get('x-b3-parentspanid');
  if (parentText === undefined) return { traceId, spanId, ...sampling };
  const parentId = idOf(parentText, 16);
  return parentId === undefined ? undefined : { traceId, spanId, parentId, ...sampling };
}

/** The single header wins; when it is malformed or absent, the others are asked. */
export function parseB3(get: (name: string) => string | undefined): TraceContext | undefined {
  const single = get('b3');
  return (single === undefined ? undefined : parseB3Single(single)) ?? parseB3Multi(get);
}

/** The value of the header `b3`; undefined: there is nothing to say. */
export function formatB3Single(context: TraceContext): string | undefined {
  const { traceId, spanId, parentId } = context;
  const sampling = samplingText(context);
  if (traceId === undefined || spanId === undefined) return sampling;
  return [traceId, spanId, sampling, parentId].filter((part) => part !== undefined).join('-');
}

/** The headers `X-B3-…`, under the names as they are written. */
export function formatB3Multi(context: TraceContext): Record<string, string> {
  const { traceId, spanId, parentId, sampled, debug } = context;
  return {
    ...(traceId === undefined ? {} : { 'X-B3-TraceId': traceId }),
    ...(spanId === undefined ? {} : { 'X-B3-SpanId': spanId }),
    ...(parentId === undefined ? {} : { 'X-B3-ParentSpanId': parentId }),
    // Debug implies sampled, which is then not to be said as well.
    ...(debug === true ? { 'X-B3-Flags': '1' } : {}),
    ...(debug === true || sampled === undefined ? {} : { 'X-B3-Sampled': sampled ? '1' : '0' }),
  };
}

function samplingText({ sampled, debug }: TraceContext): string | undefined {
  if (debug === true) return 'd';
  if (sampled === undefined) return undefined;
  return sampled ? '1' : '0';
}

function multiSampling(sampled: boolean | undefined, debug: boolean): TraceContext | undefined {
  if (debug) return { sampled: true, debug };
  return sampled === undefined ? undefined : { sampled };
}

/** Digits padded to the 16 or 32 of an id; undefined: not an id. */
function idOf(text: string | undefined, digitsMax: 16 | 32): string | undefined {
  if (text === undefined || text.length > digitsMax || !HEX.test(text) || ZEROS.test(text)) {
    return undefined;
  }
  return text.length <= 16 ? text.padStart(16, '0') : withoutZeroHalf(text.padStart(32, '0'));
}

/** An id of 128 bits whose high half is zero is the id of 64 bits. */
const withoutZeroHalf = (traceId: string): string =>
  traceId.length === 32 && traceId.startsWith('0000000000000000') ? traceId.slice(16) : traceId;
