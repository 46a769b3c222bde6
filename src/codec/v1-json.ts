/**
 * Zipkin v1 JSON, one span object at a time: the list around it is json-v2.ts's.
 *
 *   span       := { traceId, id, parentId, name, timestamp, duration, debug, annotations,
 *                   binaryAnnotations, … }
 *   annotation := { timestamp, value, endpoint }
 *   binary     := { key, value, endpoint, … }     ; value is text, or true for sa, ca and ma
 *   endpoint   := { serviceName, ipv4, ipv6, port, … }
 *
 * Rules: zipkin2/internal/V1JsonSpanReader.java (zipkin-api zipkin-api.yaml). What Zipkin accepts
 * gives what Zipkin gives; a part that would make it refuse the message is dropped and counted.
 */
import type { DecodeReport, RowGate } from '../model/decode-report.ts';
import type { RejectReason } from '../model/reasons.ts';
import type { SpanBatch } from '../model/span-batch.ts';
import { parseTraceId } from './ids.ts';
import { CLOSE_OBJECT, QUOTE } from './json-reader.ts';
import { memberName } from './json-text.ts';
import { JsonValues } from './json-values.ts';
import { convertV1 } from './v1-convert.ts';
import { V1JsonParts } from './v1-json-parts.ts';
import { V1Span } from './v1-span.ts';

const TRACE_ID = memberName('traceId');
const ID = memberName('id');
const PARENT_ID = memberName('parentId');
const NAME = memberName('name');
const TIMESTAMP = memberName('timestamp');
const DURATION = memberName('duration');
const ANNOTATIONS = memberName('annotations');
const BINARY_ANNOTATIONS = memberName('binaryAnnotations');

const NO_BYTES = new Uint8Array(0);

type IdName = 'traceId' | 'id' | 'parentId';

class V1JsonSpan {
  readonly span: V1Span;
  readonly values = new JsonValues();
  /** A member was met that only the v2 format has. */
  looksV2 = false;
  fault: RejectReason | undefined;
  detail = '';
  readonly #r = this.values.reader;
  readonly #parts: V1JsonParts;

  /** @param seed of hash tables; unknown to senders */
  constructor(seed: number) {
    this.span = new V1Span(seed);
    this.#parts = new V1JsonParts(this.values, this.span);
  }

  /** Reads the object at the reader's place. */
  read(batch: SpanBatch): void {
    this.#parts.batch = batch;
    this.fault = undefined;
    this.looksV2 = false;
    const r = this.#r;
    r.loneSurrogate = false;
    r.peek();
    r.p++;
    if (!r.closesAtOnce(CLOSE_OBJECT)) {
      do {
        r.openName();
        if (!this.#usualMember(r.source[r.p]!)) this.#anyMember();
      } while (r.more(CLOSE_OBJECT));
    }
    if (r.loneSurrogate) this.values.report.normalize('surrogate');
    const { traceId, idHi, idLo } = this.span;
    if ((traceId[2] | traceId[3]) === 0) this.#reject('invalid_trace_id', 'traceId == 0');
    else if ((idHi | idLo) === 0) this.#reject('invalid_span_id', 'id == 0');
  }

  #reject(reason: RejectReason, detail: string): void {
    if (this.fault !== undefined) return;
    this.fault = reason;
    this.detail = detail;
  }

  /** A member whose name is written plainly; false: look closer. */
  #usualMember(first: number): boolean {
    const r = this.#r;
    switch (first) {
      case 0x74: // t
        if (r.takesName(TRACE_ID)) this.#traceId();
        else if (r.takesName(TIMESTAMP)) this.#timestamp();
        else return false;
        return true;
      case 0x69: // i
        if (!r.takesName(ID)) return false;
        this.#id();
        return true;
      case 0x70: // p
        if (!r.takesName(PARENT_ID)) return false;
        this.#parentId();
        return true;
      case 0x6e: // n
        if (!r.takesName(NAME)) return false;
        this.#name();
        return true;
      case 0x64: // d
        if (!r.takesName(DURATION)) return false;
        this.#duration();
        return true;
      case 0x61: // a
        if (!r.takesName(ANNOTATIONS)) return false;
        this.#parts.annotations();
        return true;
      case 0x62: // b
        if (!r.takesName(BINARY_ANNOTATIONS)) return false;
        this.#parts.tags();
        return true;
      default:
        return false;
    }
  }

  #anyMember(): void {
    const r = this.#r;
    r.readName();
    switch (r.textString()) {
      case 'traceId':
        return this.#traceId();
      case 'id':
        return this.#id();
      case 'parentId':
        return this.#parentId();
      case 'name':
        return this.#name();
      case 'timestamp':
        return this.#timestamp();
      case 'duration':
        return this.#duration();
      case 'debug':
        return this.#debug();
      case 'annotations':
        return this.#parts.annotations();
      case 'binaryAnnotations':
        return this.#parts.tags();
      case 'tags':
      case 'localEndpoint':
      case 'remoteEndpoint':
        this.looksV2 ||= r.kind() === 'object';
        return r.skipValue();
      default:
        return r.skipValue();
    }
  }

  /** A string of exactly sixteen digits into #hi and #lo, and behind it. */
  #usualId(): boolean {
    const r = this.#r;
    if (r.peek() !== QUOTE || r.source[r.p + 17] !== QUOTE || !this.values.hex16(r.p + 1))
      return false;
    r.p += 18;
    return true;
  }

  #traceId(): void {
    const r = this.#r;
    const { traceId } = this.span;
    if (this.#usualId()) {
      traceId[0] = 0;
      traceId[1] = 0;
    } else if (
      r.source[r.p] === QUOTE &&
      r.source[r.p + 33] === QUOTE &&
      this.values.hex16(r.p + 1)
    ) {
      traceId[0] = this.values.hi;
      traceId[1] = this.values.lo;
      if (!this.values.hex16(r.p + 17)) return this.#oddTraceId();
      r.p += 34;
    } else return this.#oddTraceId();
    traceId[2] = this.values.hi;
    traceId[3] = this.values.lo;
  }

  #oddTraceId(): void {
    const text = this.#idText('traceId');
    const words = text === undefined ? undefined : this.#idWords(text);
    if (words === undefined) {
      if (text !== undefined) this.#reject('invalid_trace_id', notHex(text));
      return;
    }
    // Between 16 and 32 digits the upper ones are lost in Zipkin; a UUID has 36 characters.
    const wide = text!.length >= 32;
    this.span.traceId = wide ? [...words] : [0, 0, words[2], words[3]];
  }

  #id(): void {
    if (!this.#usualId()) {
      const text = this.#idText('id');
      if (text === undefined) return;
      const words = this.#idWords(text);
      if (words === undefined) {
        this.#reject('invalid_span_id', notHex(text));
        return;
      }
      [, , this.values.hi, this.values.lo] = words;
    }
    this.span.idHi = this.values.hi;
    this.span.idLo = this.values.lo;
  }

  #parentId(): void {
    if (!this.#usualId()) {
      const text = this.#idText('parentId');
      if (text === undefined) return;
      const words = this.#idWords(text);
      if (words === undefined) {
        this.values.report.normalize('parent_dropped');
        return;
      }
      [, , this.values.hi, this.values.lo] = words;
    }
    this.span.parentHi = this.values.hi;
    this.span.parentLo = this.values.lo;
  }

  /** The text of an id of any form; undefined: there is none. */
  #idText(name: IdName): string | undefined {
    const text = this.values.scalarText();
    if (text !== undefined) return text;
    const kind = this.#r.kind();
    this.#r.skipValue();
    if (kind === 'null') return undefined;
    if (name === 'parentId') this.values.report.normalize('parent_dropped');
    else this.#reject('malformed_span', `Expected a string but was ${kind} (${name})`);
    return undefined;
  }

  /** Undefined: no id. All ids of v1 may have up to 32 digits, and zero is judged later. */
  #idWords(text: string): readonly [number, number, number, number] | undefined {
    if (text.length <= 32 && /^0+$/.test(text)) return [0, 0, 0, 0];
    const { words, fault } = parseTraceId(text, this.values.report);
    return fault === '' ? words : undefined;
  }

  #name(): void {
    const r = this.#r;
    if (!this.values.readLenientText()) return;
    this.span.nameAt = this.span.textAt(r.text, r.textFrom, r.textTo);
    this.span.nameLength = r.textTo - r.textFrom;
  }

  #timestamp(): void {
    this.#r.peek();
    this.span.timestamp = this.values.integer() ?? this.span.timestamp;
  }

  #duration(): void {
    this.#r.peek();
    this.span.duration = this.values.integer() ?? this.span.duration;
  }

  #debug(): void {
    const r = this.#r;
    const kind = r.kind();
    if (kind === 'boolean') {
      if (r.readLiteral() === 0x74) this.span.debug = true;
      return;
    }
    if (kind !== 'null') this.values.report.normalize('flag_typed');
    const text = this.values.scalarText();
    if (text === undefined) r.skipValue();
    else if (/^(?:true|1)$/i.test(text)) this.span.debug = true;
  }
}

const notHex = (text: string): string =>
  `${text.slice(0, 100)} should be a 1 to 32 character lower-hex string with no prefix`;

let decoder: V1JsonSpan | undefined;

/**
 * Appends the rows of the span object that begins at `from`; rejects it when it has no usable ids.
 * @param source valid UTF-8
 * @returns where the object ends; -1, and nothing is done, when it has members of the v2 format
 * @throws MALFORMED, TRUNCATED
 */
export function decodeV1JsonSpan(
  source: Uint8Array,
  from: number,
  batch: SpanBatch,
  gate: RowGate,
  report: DecodeReport,
): number {
  decoder ??= new V1JsonSpan(batch.seed);
  const { span, values } = decoder;
  const { reader } = values;
  values.report = report;
  if (reader.source !== source) reader.open(source);
  reader.p = from;
  span.begin(source);
  decoder.read(batch);
  if (decoder.looksV2) return -1;
  const bytes = reader.p - from;
  const max = batch.limits.spanBytesMax;
  if (bytes > max) {
    report.reject('span_too_large', `${bytes} bytes, limit ${max} (SCRUBJAY_MAX_SPAN_BYTES)`);
  } else if (decoder.fault === undefined) convertV1(span, batch, gate, report);
  else report.reject(decoder.fault, decoder.detail);
  return reader.p;
}

/** Lets go of the message, which may be large. */
export function forgetV1Json(): void {
  decoder?.values.reader.open(NO_BYTES);
  decoder?.span.release();
}
