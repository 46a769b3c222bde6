/** One Span struct of zipkinCore.thrift into a V1Span. */
import { isUtf8 } from 'node:buffer';
import type { SpanBatch } from '../model/span-batch.ts';
import { BOOL, I16, I32, I64, LIST, STRING, STRUCT, ThriftWire, fieldOf } from './thrift-wire.ts';
import { NO_ENDPOINT, isAddressKey } from './v1-span.ts';
import type { V1Endpoint, V1Span } from './v1-span.ts';

const TRACE_ID = fieldOf(I64, 1);
const NAME = fieldOf(STRING, 3);
const ID = fieldOf(I64, 4);
const PARENT_ID = fieldOf(I64, 5);
const ANNOTATIONS = fieldOf(LIST, 6);
const BINARY_ANNOTATIONS = fieldOf(LIST, 8);
const DEBUG = fieldOf(BOOL, 9);
const TIMESTAMP = fieldOf(I64, 10);
const DURATION = fieldOf(I64, 11);
const TRACE_ID_HIGH = fieldOf(I64, 12);

const ANNOTATION_TIMESTAMP = fieldOf(I64, 1);
const ANNOTATION_VALUE = fieldOf(STRING, 2);
const ANNOTATION_HOST = fieldOf(STRUCT, 3);

const TAG_KEY = fieldOf(STRING, 1);
const TAG_VALUE = fieldOf(STRING, 2);
const TAG_TYPE = fieldOf(I32, 3);
const TAG_HOST = fieldOf(STRUCT, 4);

const HOST_IPV4 = fieldOf(I32, 1);
const HOST_PORT = fieldOf(I16, 2);
const HOST_SERVICE = fieldOf(STRING, 3);
const HOST_IPV6 = fieldOf(STRING, 4);

/** AnnotationType: how the bytes of a binary annotation's value are to be read. */
const TYPE_BOOL = 0;
const TYPE_BYTES = 1;
const TYPE_I16 = 2;
const TYPE_I32 = 3;
const TYPE_I64 = 4;
const TYPE_DOUBLE = 5;
const TYPE_STRING = 6;

export class ThriftSpan {
  readonly wire: ThriftWire = new ThriftWire();
  readonly span: V1Span;
  readonly #value = new ThriftWire();

  constructor(span: V1Span) {
    this.span = span;
  }

  /** Reads the struct at the wire's place; what is wrong with it is the wire's problem. */
  read(batch: SpanBatch): void {
    const { wire, span } = this;
    span.begin(wire.source);
    const id = span.traceId;
    while (wire.nextField()) {
      switch (wire.field) {
        case TRACE_ID:
          wire.words();
          id[2] = wire.hi;
          id[3] = wire.lo;
          break;
        case TRACE_ID_HIGH:
          wire.words();
          id[0] = wire.hi;
          id[1] = wire.lo;
          break;
        case ID:
          wire.words();
          span.idHi = wire.hi;
          span.idLo = wire.lo;
          break;
        case PARENT_ID:
          wire.words();
          span.parentHi = wire.hi;
          span.parentLo = wire.lo;
          break;
        case NAME:
          if (!wire.string()) return;
          span.nameAt = span.textAt(wire.text, wire.textFrom, wire.textTo);
          span.nameLength = wire.textTo - wire.textFrom;
          break;
        case TIMESTAMP:
          span.timestamp = wire.i64();
          break;
        case DURATION:
          span.duration = wire.i64();
          break;
        case DEBUG:
          span.debug = wire.u8() === 1;
          break;
        case ANNOTATIONS:
          this.#annotations(batch);
          break;
        case BINARY_ANNOTATIONS:
          this.#tags(batch);
          break;
        default:
          wire.skip(wire.type);
      }
    }
  }

  #annotations(batch: SpanBatch): void {
    const { wire } = this;
    const count = wire.listOf();
    if (count > 0 && wire.type !== STRUCT) this.#skipList(count);
    else for (let i = 0; i < count && wire.problem === ''; i++) this.#annotation(batch);
  }

  #tags(batch: SpanBatch): void {
    const { wire } = this;
    const count = wire.listOf();
    if (count > 0 && wire.type !== STRUCT) this.#skipList(count);
    else for (let i = 0; i < count && wire.problem === ''; i++) this.#tag(batch);
  }

  #skipList(count: number): void {
    this.wire.skipValues(count);
    this.wire.report.normalize('annotation_dropped');
  }

  #annotation(batch: SpanBatch): void {
    const { wire, span } = this;
    let time: number | bigint = 0;
    let valueAt = 0;
    let valueLength = -1;
    let endpoint: number = NO_ENDPOINT;
    while (wire.nextField()) {
      if (wire.field === ANNOTATION_TIMESTAMP) time = wire.i64();
      else if (wire.field === ANNOTATION_VALUE) {
        if (!wire.string()) return;
        valueAt = span.textAt(wire.text, wire.textFrom, wire.textTo);
        valueLength = wire.textTo - wire.textFrom;
      } else if (wire.field === ANNOTATION_HOST) endpoint = this.#endpoint();
      else wire.skip(wire.type);
    }
    if (time === 0 || valueLength < 0) {
      wire.report.normalize('annotation_dropped');
      return;
    }
    const annotation = span.addAnnotation();
    if (annotation === undefined) {
      batch.truncations++;
      return;
    }
    annotation.time = time;
    annotation.valueAt = valueAt;
    annotation.valueLength = valueLength;
    annotation.endpoint = endpoint;
  }

  #tag(batch: SpanBatch): void {
    const { wire, span } = this;
    let keyAt = 0;
    let keyLength = -1;
    let valueFrom = -1;
    let valueTo = 0;
    let type = TYPE_BYTES;
    let endpoint: number = NO_ENDPOINT;
    while (wire.nextField()) {
      if (wire.field === TAG_KEY) {
        if (!wire.string()) return;
        keyAt = span.textAt(wire.text, wire.textFrom, wire.textTo);
        keyLength = wire.textTo - wire.textFrom;
      } else if (wire.field === TAG_VALUE) {
        if (!wire.bytes()) return;
        valueFrom = wire.textFrom;
        valueTo = wire.textTo;
      } else if (wire.field === TAG_TYPE) type = wire.i32();
      else if (wire.field === TAG_HOST) endpoint = this.#endpoint();
      else wire.skip(wire.type);
    }
    if (wire.problem !== '') return;
    wire.text = wire.source;
    wire.textFrom = valueFrom;
    wire.textTo = valueTo;
    const isAddress = keyLength === 2 && isAddressKey(span.pairAt(keyAt));
    const usable = isAddress ? this.#isAddress(type, endpoint) : this.#valueAsText(type);
    if (keyLength < 0 || valueFrom < 0 || !usable) {
      wire.report.normalize('annotation_dropped');
      return;
    }
    const tag = span.addTag();
    if (tag === undefined) {
      batch.truncations++;
      return;
    }
    tag.keyAt = keyAt;
    tag.keyLength = keyLength;
    tag.valueAt = span.textAt(wire.text, wire.textFrom, wire.textTo);
    tag.valueLength = wire.textTo - wire.textFrom;
    tag.endpoint = endpoint;
  }

  /** The value of an address is the byte 1; any text will do, for zipkin-ruby writes "1". */
  #isAddress(type: number, endpoint: number): boolean {
    const { source, textFrom, textTo } = this.wire;
    if (type === TYPE_STRING) return true;
    const isOne = textTo - textFrom === 1 && source[textFrom] === 1;
    return type === TYPE_BOOL && isOne && endpoint !== NO_ENDPOINT;
  }

  /**
   * Makes a text of the value in wire.text; false: it is none. Zipkin keeps strings alone, but a
   * number or a flag says as much as its text does.
   */
  #valueAsText(type: number): boolean {
    const { wire } = this;
    const { source, textFrom, textTo } = wire;
    if (textFrom < 0) return false;
    if (type === TYPE_STRING) {
      wire.repair();
      return true;
    }
    const value = this.#value;
    value.open(source.subarray(textFrom, textTo), wire.report);
    const text = typedText(type, value);
    // A value shorter or longer than its type is no value of the type.
    if (text === undefined || value.problem !== '' || value.at !== value.end) return false;
    wire.report.normalize('tag_typed');
    wire.text = Buffer.from(text);
    wire.textFrom = 0;
    wire.textTo = wire.text.length;
    return true;
  }

  #endpoint(): number {
    const { wire, span } = this;
    const length = span.repeatsEndpoint(wire.at, wire.end);
    if (length > 0) {
      wire.at += length;
      return span.repeated;
    }
    const from = wire.at;
    const endpoint = span.newEndpoint();
    while (wire.nextField()) {
      if (wire.field === HOST_IPV4) this.#ip4(endpoint, wire.i32());
      else if (wire.field === HOST_PORT) endpoint.port = wire.i16() & 0xffff;
      else if (wire.field === HOST_SERVICE) {
        if (!wire.string()) return NO_ENDPOINT;
        span.setService(endpoint, wire.text, wire.textFrom, wire.textTo);
      } else if (wire.field === HOST_IPV6) {
        if (!wire.bytes()) return NO_ENDPOINT;
        this.#ip6(endpoint, wire.textFrom, wire.textTo - wire.textFrom);
      } else wire.skip(wire.type);
    }
    if (wire.problem !== '') return NO_ENDPOINT;
    return span.keepEndpoint(endpoint, from, wire.at);
  }

  /** 0 is none. */
  #ip4(endpoint: V1Endpoint, value: number): void {
    if (value === 0) return;
    endpoint.hasIp4 = true;
    endpoint.ip4 = value >>> 0;
    endpoint.odd = false;
  }

  /** Sixteen bytes; an IPv4 address inside them (::a.b.c.d, ::ffff:a.b.c.d) is one. */
  #ip6(endpoint: V1Endpoint, at: number, length: number): void {
    const { source, report } = this.wire;
    const last = (source[at + length - 4]! << 24) | (source[at + length - 3]! << 16);
    const ip4 = (last | (source[at + length - 2]! << 8) | source[at + length - 1]!) >>> 0;
    if (length === 4) {
      endpoint.hasIp4 = true;
      endpoint.ip4 = ip4;
      report.normalize('ip_moved');
      return;
    }
    if (length !== 16) {
      if (length > 0) report.normalize('ip_dropped');
      return;
    }
    let any = 0;
    for (let i = at; i < at + 10; i++) any |= source[i]!;
    const flag = (source[at + 10]! << 8) | source[at + 11]!;
    // ::1 is the host itself and no IPv4 address.
    if (any === 0 && (flag === 0xffff || (flag === 0 && ip4 !== 1))) {
      endpoint.hasIp4 = true;
      endpoint.ip4 = ip4;
      if (flag !== 0) report.normalize('ip_moved');
      return;
    }
    endpoint.hasIp6 = true;
    endpoint.ip6.set(source.subarray(at, at + 16));
  }
}

/** The text of a value that is no string; undefined: the type is unknown. */
function typedText(type: number, value: ThriftWire): string | undefined {
  switch (type) {
    case TYPE_BOOL:
      return value.u8() === 0 ? 'false' : 'true';
    case TYPE_I16:
      return String(value.i16());
    case TYPE_I32:
      return String(value.i32());
    case TYPE_I64:
      return String(value.i64());
    case TYPE_DOUBLE:
      return String(value.double());
    case TYPE_BYTES: {
      // "No encoding, or type is unknown": text as it is, anything else as Zipkin's v1 API had it.
      const { source } = value;
      value.at = value.end;
      const bytes = Buffer.from(source.buffer, source.byteOffset, source.length);
      return bytes.toString(isUtf8(source) ? 'utf8' : 'base64');
    }
    default:
      return undefined;
  }
}
