/** Trace ids in queries: the rules and texts of zipkin2/Span.java normalizeTraceId. */
import { CodedError } from '../base/errors.ts';

/** Both halves of a trace id; `hi` is 0 for one of 64 bits. */
export interface TraceKey {
  readonly hi: bigint;
  readonly lo: bigint;
}

export interface NormalizedTraceId {
  /** 16 or 32 lower-case digits. */
  readonly id: string;
  readonly key: TraceKey;
}

const SHOWN_CHARS_MAX = 64;

/** @throws {SCRUBJAY_ERR_BAD_QUERY} in Zipkin's words */
export function normalizeTraceId(text: string): NormalizedTraceId {
  const fault = faultOf(text);
  if (fault !== undefined) throw new CodedError('SCRUBJAY_ERR_BAD_QUERY', { detail: fault });
  const digits = text.padStart(32, '0');
  const hi = BigInt(`0x${digits.slice(0, 16)}`);
  const lo = BigInt(`0x${digits.slice(16)}`);
  return { id: hi === 0n ? digits.slice(16) : digits, key: { hi, lo } };
}

function faultOf(text: string): string | undefined {
  if (text === '') return 'traceId is empty';
  if (text.length > 32) return 'traceId.length > 32';
  if (!/^[\da-f]+$/.test(text)) {
    return `${text.slice(0, SHOWN_CHARS_MAX)} should be lower-hex encoded with no prefix`;
  }
  return /^0+$/.test(text) ? 'traceId is all zeros' : undefined;
}
