/** A span as the read side has it: Zipkin v2's fields, absent members left out. */
export type SpanKind = 'CLIENT' | 'SERVER' | 'PRODUCER' | 'CONSUMER';

/** Index is the stored number; 0 is no kind. The same numbers as zipkin.proto. */
export const SPAN_KINDS = [undefined, 'CLIENT', 'SERVER', 'PRODUCER', 'CONSUMER'] as const;

export interface Endpoint {
  serviceName?: string;
  ipv4?: string;
  ipv6?: string;
  /** 1 to 65,535 */
  port?: number;
}

export interface Annotation {
  /** Epoch microseconds; a bigint beyond 2^53. */
  timestamp: number | bigint;
  value: string;
}

export interface Span {
  /** 16 or 32 lower-case hex digits. */
  traceId: string;
  /** 16 lower-case hex digits. */
  parentId?: string;
  /** 16 lower-case hex digits. */
  id: string;
  kind?: SpanKind;
  name?: string;
  /** Epoch microseconds; a bigint beyond 2^53. */
  timestamp?: number | bigint;
  /** Microseconds, at least 1; a bigint beyond 2^53. */
  duration?: number | bigint;
  localEndpoint?: Endpoint;
  remoteEndpoint?: Endpoint;
  /** By timestamp, then value; no two equal. */
  annotations?: Annotation[];
  /** Sorted by key (UTF-16 code units), keys unique. */
  tags?: Map<string, string>;
  debug?: true;
  shared?: true;
}
