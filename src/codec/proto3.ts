/**
 * Zipkin's protocol buffers into rows: zipkin.proto3.ListOfSpans, see proto/zipkin.proto and
 * https://github.com/openzipkin/zipkin-api. Bytes go straight into columns; no object per span.
 *
 *   ListOfSpans = *( 1 Span )
 *   Span        = { 1 trace_id: bytes, 2 parent_id: bytes, 3 id: bytes, 4 kind: enum 0 to 4,
 *                   5 name: string, 6 timestamp: fixed64, 7 duration: uint64,
 *                   8 local_endpoint, 9 remote_endpoint: Endpoint, *( 10 Annotation ),
 *                   *( 11 TagsEntry ), 12 debug: bool, 13 shared: bool }
 *
 * Fields come in any order. Of a field that comes twice the last one is valid, as in Zipkin; a
 * known field with another wire type is an unknown field, and those are skipped at every level.
 * Bytes that are no encoding spoil their own span only, as long as the list around it is sound.
 */
import type { Decode, DecodeReport, MessageError, RowGate } from '../model/decode-report.ts';
import type { RejectReason } from '../model/reasons.ts';
import { FLAG_DEBUG, FLAG_SHARED } from '../model/span-batch.ts';
import type { SpanBatch } from '../model/span-batch.ts';
import { EndpointReader } from './proto3-endpoint.ts';
import { LikelyEntries } from './proto3-likely.ts';
import { PartReader } from './proto3-parts.ts';
import { int64, Wire } from './proto3-wire.ts';

const SPANS = 0x0a;

const TRACE_ID = 0x0a;
const PARENT_ID = 0x12;
const ID = 0x1a;
const KIND = 0x20;
const NAME = 0x2a;
const TIMESTAMP = 0x31;
const DURATION = 0x38;
const LOCAL_ENDPOINT = 0x42;
const REMOTE_ENDPOINT = 0x4a;
const ANNOTATION = 0x52;
const TAG = 0x5a;
const DEBUG = 0x60;
const SHARED = 0x68;

const KIND_MAX = 4;
const HEX_FIELD_BYTES_MAX = 32;
const MISSING_TRACE_ID = 'Missing : traceId';
const MISSING_ID = 'Missing : id';
const MISSING_BOTH = 'Missing : traceId id';

const likelyNames = new LikelyEntries();
const likelyLocals = new LikelyEntries();
const likelyRemotes = new LikelyEntries();

/** Decodes ListOfSpans; the empty message is the empty list. */
export const decodeProto3: Decode = (source, batch, gate, report) => {
  const wire = new Wire(source, report);
  const spans = new SpanReader(wire, batch, gate, report);
  const end = source.length;
  let p = 0;
  while (p < end) {
    p = wire.tag(p, end);
    if (p < 0) return refusal(wire.problem);
    const tag = wire.low;
    if (tag === SPANS) {
      const from = wire.block(p, end);
      if (from < 0) return refusal(wire.problem);
      p = wire.to;
      spans.read(from, p);
    } else {
      const next = wire.skip(p, end, tag);
      if (next < 0) return refusal(problemOfList(wire, p, end));
      p = next;
    }
  }
  spans.finish();
  return undefined;
};

function refusal(problem: string): MessageError {
  return { message: `${problem} reading List<Span> from proto3` };
}

/** Zipkin takes whatever begins a message for a span: what it would say of text such as `[{"t`. */
function problemOfList(wire: Wire, p: number, end: number): string {
  const problem = wire.problem;
  return wire.block(p, end) < 0 && wire.problem.startsWith('Truncated') ? wire.problem : problem;
}

class SpanReader {
  readonly #wire: Wire;
  readonly #batch: SpanBatch;
  readonly #gate: RowGate;
  readonly #report: DecodeReport;
  readonly #local: EndpointReader;
  readonly #remote: EndpointReader;
  readonly #parts: PartReader;
  /** Of the span being read, empty when the id is valid. */
  #traceIdProblem = '';
  #idProblem = '';

  constructor(wire: Wire, batch: SpanBatch, gate: RowGate, report: DecodeReport) {
    this.#wire = wire;
    this.#batch = batch;
    this.#gate = gate;
    this.#report = report;
    this.#local = new EndpointReader(wire, batch, report, batch.local, likelyLocals);
    this.#remote = new EndpointReader(wire, batch, report, batch.remote, likelyRemotes);
    this.#parts = new PartReader(wire, batch, report);
  }

  /** Reads the span source[from, to) and keeps or drops its row. */
  read(from: number, to: number): void {
    const batch = this.#batch;
    const max = batch.limits.spanBytesMax;
    if (to - from > max) {
      this.#report.reject('span_too_large', `span of ${to - from} bytes, at most ${max} are taken`);
      return;
    }
    batch.beginRow();
    this.#traceIdProblem = MISSING_TRACE_ID;
    this.#idProblem = MISSING_ID;
    this.#parts.beginRow();
    if (this.#readFields(from, to) < 0) return this.#drop('malformed_span', this.#wire.problem);
    if (this.#traceIdProblem !== '') {
      const both = this.#traceIdProblem === MISSING_TRACE_ID && this.#idProblem === MISSING_ID;
      return this.#drop('invalid_trace_id', both ? MISSING_BOTH : this.#traceIdProblem);
    }
    if (this.#idProblem !== '') return this.#drop('invalid_span_id', this.#idProblem);
    batch.endRow();
    const reason = this.#gate.admit(batch);
    if (reason !== undefined) return this.#drop(reason, reason);
    batch.keepRow();
    this.#report.accepted++;
  }

  finish(): void {
    this.#parts.repairValues();
  }

  #drop(reason: RejectReason, detail: string): void {
    this.#report.rejectRow(this.#batch, reason, detail);
  }

  #readFields(start: number, end: number): number {
    const wire = this.#wire;
    const source = wire.source;
    let p = start;
    while (p < end) {
      let tag = source[p++]!;
      if (tag > 127) {
        p = wire.tag(p - 1, end);
        if (p < 0) return p;
        tag = wire.low;
      }
      if ((tag & 7) === 2) {
        const from = wire.block(p, end);
        if (from < 0) return from;
        p = this.#readBlock(tag, from, wire.to);
      } else p = this.#readScalar(tag, p, end);
      if (p < 0) return p;
    }
    return p;
  }

  #readBlock(tag: number, from: number, to: number): number {
    switch (tag) {
      case TAG:
        return this.#parts.readTag(from, to);
      case TRACE_ID:
        this.#readTraceId(from, to);
        return to;
      case PARENT_ID:
        this.#readParentId(from, to);
        return to;
      case ID:
        this.#readId(from, to);
        return to;
      case NAME:
        this.#readName(from, to);
        return to;
      case LOCAL_ENDPOINT:
        return this.#local.read(from, to);
      case REMOTE_ENDPOINT:
        return this.#remote.read(from, to);
      case ANNOTATION:
        return this.#parts.readAnnotation(from, to);
      default:
        return tag >>> 3 === 0 ? this.#wire.fail('Malformed: field number 0') : to;
    }
  }

  #readScalar(tag: number, p: number, end: number): number {
    const wire = this.#wire;
    if (tag === TIMESTAMP) {
      if (end - p < 8) return wire.short(8, end - p);
      this.#setTimestamp(wire.view.getInt32(p + 4, true), wire.view.getUint32(p, true));
      return p + 8;
    }
    if (tag !== KIND && tag !== DURATION && tag !== DEBUG && tag !== SHARED) {
      return wire.skip(p, end, tag);
    }
    const next = wire.varint(p, end);
    if (next < 0) return next;
    if (tag === DURATION) this.#setDuration(wire.high, wire.low);
    else if (tag === KIND) this.#setKind(wire.high, wire.low);
    else this.#setFlag(tag === DEBUG ? FLAG_DEBUG : FLAG_SHARED, wire.high, wire.low);
    return next;
  }

  #setTimestamp(high: number, low: number): void {
    if (high < 0) this.#report.normalize('time_dropped');
    this.#batch.setTimestamp(high < 0 ? 0 : int64(high, low));
  }

  #setDuration(high: number, low: number): void {
    if (high > 0x7fffffff) this.#report.normalize('time_dropped');
    this.#batch.setDuration(high > 0x7fffffff ? 0 : int64(high, low));
  }

  /** As in Zipkin, only a kind that it knows replaces an earlier one. */
  #setKind(high: number, low: number): void {
    if (high !== 0 || low > KIND_MAX) this.#report.normalize('kind_unknown');
    else if (low !== 0) this.#batch.setKind(low);
  }

  #setFlag(flag: number, high: number, low: number): void {
    if (high !== 0 || low > 1) this.#report.normalize('flag_typed');
    if (high !== 0 || low !== 0) this.#batch.setFlag(flag, true);
  }

  #readTraceId(from: number, to: number): void {
    const view = this.#wire.view;
    const length = to - from;
    let hiHi = 0;
    let hiLo = 0;
    let loHi = 0;
    let loLo = 0;
    if (length === 16) {
      hiHi = view.getInt32(from);
      hiLo = view.getInt32(from + 4);
      loHi = view.getInt32(from + 8);
      loLo = view.getInt32(from + 12);
    } else if (length > 16 || length === 0) {
      this.#traceIdProblem = problemOfLength('traceId', length, 16);
      return;
    } else {
      // Shorter ones are padded with zeros in front.
      hiHi = this.#wordBefore(to - 12, from);
      hiLo = this.#wordBefore(to - 8, from);
      loHi = this.#wordBefore(to - 4, from);
      loLo = this.#wordBefore(to, from);
    }
    this.#traceIdProblem = (hiHi | hiLo | loHi | loLo) === 0 ? 'traceId is all zeros' : '';
    this.#batch.setTraceId(hiHi, hiLo, loHi, loLo);
  }

  #readId(from: number, to: number): void {
    const length = to - from;
    if (length > 8 || length === 0) {
      this.#idProblem = problemOfLength('id', length, 8);
      return;
    }
    const hi = this.#wordBefore(to - 4, from);
    const lo = this.#wordBefore(to, from);
    // Zipkin takes zeros of fewer bytes, and so do we.
    this.#idProblem = length === 8 && (hi | lo) === 0 ? 'id is all zeros' : '';
    this.#batch.setId(hi, lo);
  }

  /** Empty and zero mean none. Zipkin refuses one that is too long; the span is good without. */
  #readParentId(from: number, to: number): void {
    const length = to - from;
    const hi = length > 8 ? 0 : this.#wordBefore(to - 4, from);
    const lo = length > 8 ? 0 : this.#wordBefore(to, from);
    if (length > 0 && (hi | lo) === 0) this.#report.normalize('parent_dropped');
    this.#batch.setParentId(hi, lo);
  }

  /** The big-endian word that ends at `to`; bytes before `from` count as 0. */
  #wordBefore(to: number, from: number): number {
    if (to - from >= 4) return this.#wire.view.getInt32(to - 4);
    let word = 0;
    for (let i = from; i < to; i++) word = (word << 8) | this.#wire.source[i]!;
    return word;
  }

  #readName(from: number, to: number): void {
    const batch = this.#batch;
    const { source, view } = this.#wire;
    if (from === to) {
      batch.nameIndex[batch.rows] = 0;
      return;
    }
    const likely = likelyNames.find(batch.names, view, from, to);
    // An entry may be longer than the limit of this message: limits differ by tenant.
    if (likely > 0 && to - from <= batch.limits.nameBytesMax) {
      batch.nameIndex[batch.rows] = likely;
      return;
    }
    const text = this.#wire.repaired(from, to);
    if (text === undefined) batch.setName(source, from, to);
    else batch.setName(text, 0, text.length);
    likelyNames.note(batch.nameIndex[batch.rows]!, view, from, to);
  }
}

/** What Zipkin says of an id of that many bytes. */
function problemOfLength(name: string, length: number, bytesMax: number): string {
  if (length === 0) return `${name} == null`;
  if (length <= HEX_FIELD_BYTES_MAX) return `${name}.length > ${2 * bytesMax}`;
  return `hex field greater than 32 chars long: ${length}`;
}
