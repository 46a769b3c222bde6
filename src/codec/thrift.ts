/**
 * Zipkin v1 spans in Thrift's binary protocol (proto/zipkinCore.thrift):
 *
 *   message := list+ | span            ; further lists and a span without a list: lenient
 *   list    := 0x0c count span*        ; Zipkin does not look at the type, so 0x0b passes as well
 *   span    := struct of thrift-span.ts
 *
 * Rules: zipkin2/internal/ThriftCodec.java of https://github.com/openzipkin/zipkin. Where Zipkin
 * loses what it accepted, this does not: typed binary annotations are tags, mapped IPv4 addresses
 * are IPv4, a second list counts. A span without ids is rejected alone; bytes that are no Thrift
 * refuse all, for behind them nothing can be found.
 */
import type { Decode, DecodeReport, MessageError, RowGate } from '../model/decode-report.ts';
import type { SpanBatch } from '../model/span-batch.ts';
import { ThriftSpan } from './thrift-span.ts';
import { BOOL, I64, LIST, STRING, STRUCT } from './thrift-wire.ts';
import type { ThriftWire } from './thrift-wire.ts';
import { convertV1 } from './v1-convert.ts';
import { V1Span } from './v1-span.ts';

/** A message with more spans without ids than this is none of ours. */
const FAULTS_MAX = 65_536;
const LIST_HEADER_BYTES = 5;
const FIELD_ID_MAX = 12;
const NAME_ID = 3;

class ThriftSpans {
  readonly #span: ThriftSpan;
  readonly #wire: ThriftWire;
  #batch!: SpanBatch;
  #gate!: RowGate;
  #report!: DecodeReport;
  #faults = 0;

  /** @param seed of hash tables; unknown to senders */
  constructor(seed: number) {
    this.#span = new ThriftSpan(new V1Span(seed));
    this.#wire = this.#span.wire;
  }

  decode(source: Uint8Array, ...to: [SpanBatch, RowGate, DecodeReport]): string {
    [this.#batch, this.#gate, this.#report] = to;
    this.#faults = 0;
    const wire = this.#wire;
    wire.open(source, this.#report);
    let what = 'List<Span>';
    if (isBareSpan(source)) {
      this.#report.normalize('list_missing');
      this.#spanStruct();
      what = 'Span';
    } else if (source[0] === STRUCT || source[0] === STRING) {
      this.#list();
      if (wire.problem === '') this.#moreLists();
    } else if (source.length > 0) return 'Expected a THRIFT encoded list\n';
    const { problem } = wire;
    if (problem === '' && wire.at < wire.end) this.#report.normalize('trailing_text');
    this.#span.span.release();
    wire.open(EMPTY, this.#report);
    return problem === '' ? '' : `${problem} reading ${what} from TBinary`;
  }

  #list(): void {
    const wire = this.#wire;
    // As Zipkin, whatever the type says.
    wire.u8();
    const count = wire.length();
    // Each takes a byte at least: more of them than bytes cannot be read to the end.
    if (count > wire.end - wire.at) wire.at = wire.end;
    if (count > 0) wire.has(1);
    for (let i = 0; i < count && wire.problem === ''; i++) this.#spanStruct();
  }

  /** Lists behind the first, which Zipkin ignores; anything else there is ignored here as well. */
  #moreLists(): void {
    const wire = this.#wire;
    let joined = 0;
    while (wire.end - wire.at >= LIST_HEADER_BYTES && wire.source[wire.at] === STRUCT) {
      const from = wire.at;
      wire.skip(LIST);
      const whole = wire.problem === '';
      const to = wire.at;
      wire.problem = '';
      wire.at = from;
      if (!whole) break;
      if (to > from + LIST_HEADER_BYTES && joined++ === 0) this.#report.normalize('list_joined');
      this.#list();
      if (wire.problem !== '') return;
    }
  }

  #spanStruct(): void {
    const wire = this.#wire;
    const { span } = this.#span;
    const report = this.#report;
    const from = wire.at;
    this.#span.read(this.#batch);
    if (wire.problem !== '') return;
    const bytes = wire.at - from;
    const max = this.#batch.limits.spanBytesMax;
    if (bytes > max) {
      report.reject('span_too_large', `${bytes} bytes, limit ${max} (SCRUBJAY_MAX_SPAN_BYTES)`);
    } else if ((span.traceId[2] | span.traceId[3]) === 0) {
      this.#fault();
      report.reject('invalid_trace_id', 'traceId == 0');
    } else if ((span.idHi | span.idLo) === 0) {
      this.#fault();
      report.reject('invalid_span_id', 'id == 0');
    } else convertV1(span, this.#batch, this.#gate, report);
  }

  #fault(): void {
    if (++this.#faults > FAULTS_MAX) this.#wire.fail('Malformed: too many spans without ids');
  }
}

const EMPTY = new Uint8Array(0);

/** Some clients send one struct without a list (zipkin-js to Kafka): its first field begins it. */
function isBareSpan(source: Uint8Array): boolean {
  const [type, high, id] = source;
  if (type === undefined || high !== 0 || id === undefined) return false;
  if (type === I64 || type === LIST || type === BOOL) return id > 0 && id <= FIELD_ID_MAX;
  // A name: as a list it would have more spans than there are bytes.
  return type === STRING && id === NAME_ID && id << 16 > source.length;
}

let spans: ThriftSpans | undefined;

export const decodeThrift: Decode = (source, ...to): MessageError | undefined => {
  spans ??= new ThriftSpans(to[0].seed);
  const message = spans.decode(source, ...to);
  return message === '' ? undefined : { message };
};
