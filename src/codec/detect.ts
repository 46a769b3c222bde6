/**
 * The format of a message by its content; path and content type are only hints, for clients mix
 * them up (zipkin2/SpanBytesDecoderDetector.java sniffs the same first bytes).
 *
 *   `[` `{`          JSON, v1 or v2 span by span; also behind blanks and a byte order mark
 *   0x0a, not 0x00   proto3 ListOfSpans: field 1 of a length that is not 0
 *   0x0c, 0x0b       Thrift list; 0x0a 0x00 a single Thrift struct
 */
import type { Decode } from '../model/decode-report.ts';
import { decodeJsonV1, decodeJsonV2 } from './json-v2.ts';
import { decodeProto3 } from './proto3.ts';
import { decodeThrift } from './thrift.ts';

export interface FormatHint {
  readonly path: 'v1' | 'v2';
  /** As sent; may be empty. */
  readonly contentType: string;
}

export type Detected =
  | { readonly format: string; readonly decode: Decode }
  | { readonly message: string };

const JSON_V2: Detected = { format: 'json-v2', decode: decodeJsonV2 };
const JSON_V1: Detected = { format: 'json-v1', decode: decodeJsonV1 };
const PROTO3: Detected = { format: 'proto3', decode: decodeProto3 };
const THRIFT: Detected = { format: 'thrift', decode: decodeThrift };

const BLANKS = new Set([0x20, 0x09, 0x0a, 0x0d]);
const BYTE_ORDER_MARK = [0xef, 0xbb, 0xbf];

/** How to decode the message, or what Zipkin says of a message that is no list of spans. */
export function detect(body: Uint8Array, hint: FormatHint): Detected {
  const first = body[0];
  if (first === 0x0c || first === 0x0b) return THRIFT;
  if (first === 0x0a && !looksLikeText(body)) return body[1] === 0 ? THRIFT : PROTO3;
  // The one type that Zipkin holds a sender to, for no client says so of anything else.
  if (expected(hint) === 'THRIFT') return refusal('THRIFT');
  let p = BYTE_ORDER_MARK.every((byte, i) => body[i] === byte) ? BYTE_ORDER_MARK.length : 0;
  while (BLANKS.has(body[p]!)) p++;
  if (body[p] === 0x5b || body[p] === 0x7b) return hint.path === 'v1' ? JSON_V1 : JSON_V2;
  return refusal(expected(hint));
}

const refusal = (decoder: string): Detected => ({
  message: `Expected a ${decoder} encoded list\n`,
});

/** A line feed begins proto3, and JSON of an editor: then only blanks come before the bracket. */
function looksLikeText(body: Uint8Array): boolean {
  let p = 0;
  while (BLANKS.has(body[p]!)) p++;
  if (p === body.length) return true;
  // A span of 91 or 123 bytes begins so, too: then its trace id of 8 or 16 bytes follows.
  const isSpan = p === 1 && body[2] === 0x0a && (body[3] === 8 || body[3] === 16);
  return (body[p] === 0x5b || body[p] === 0x7b) && !isSpan;
}

/** The decoder that Zipkin would have chosen, by path and content type. */
function expected({ path, contentType }: FormatHint): string {
  const type = contentType.toLowerCase();
  if (path === 'v2') return type.startsWith('application/x-protobuf') ? 'PROTO3' : 'JSON_V2';
  return type.startsWith('application/x-thrift') ? 'THRIFT' : 'JSON_V1';
}
