/**
 * The members of a v2 span in the order and form that Zipkin's own writers have (zipkin2/internal/
 * V2SpanWriter.java), without a search for names: each step compares the next bytes with what comes
 * next in most spans. Where something else comes, it stops, and json-v2-span.ts goes on from there.
 */
import type { EndpointColumns } from '../model/endpoint-columns.ts';
import type { SpanBatch } from '../model/span-batch.ts';
import { CLOSE_OBJECT, COMMA, QUOTE } from './json-reader.ts';
import type { JsonReader } from './json-reader.ts';
import { Spelling } from './json-text.ts';
import { readEndpointMembers } from './json-v2-parts.ts';
import type { PartTarget } from './json-v2-parts.ts';
import type { JsonValues } from './json-values.ts';

const TRACE_ID = new Spelling('"traceId":"');
const PARENT_ID = new Spelling(',"parentId":"');
const ID = new Spelling(',"id":"');
const KIND = new Spelling(',"kind":"');
const NAME = new Spelling(',"name":"');
const TIMESTAMP = new Spelling(',"timestamp":');
const DURATION = new Spelling(',"duration":');
const LOCAL_ENDPOINT = new Spelling(',"localEndpoint":{');
const REMOTE_ENDPOINT = new Spelling(',"remoteEndpoint":{');
const SERVICE_NAME = new Spelling('"serviceName":"');
const IPV4 = new Spelling('"ipv4":"');
const PORT = new Spelling('"port":');
const CLIENT = new Spelling('CLIENT"');
const SERVER = new Spelling('SERVER"');
const PRODUCER = new Spelling('PRODUCER"');
const CONSUMER = new Spelling('CONSUMER"');

export class UsualMembers {
  hasTraceId = false;
  hasId = false;
  readonly #values: JsonValues;
  readonly #r: JsonReader;

  constructor(values: JsonValues) {
    this.#values = values;
    this.#r = values.reader;
  }

  /**
   * @param from behind the brace that opens the span
   * @returns behind the last member that was read; `from`: none was
   */
  read(target: PartTarget, from: number): number {
    const { batch } = target;
    this.hasTraceId = false;
    this.hasId = false;
    let p = this.#ids(batch, from);
    if (!this.hasId) return p;
    p = this.#kindAndName(batch, p);
    p = this.#times(batch, p);
    const { view, end } = this.#r;
    if (LOCAL_ENDPOINT.isAt(view, p, end)) {
      p = this.#endpoint(target, batch.local, p + LOCAL_ENDPOINT.length);
    }
    if (REMOTE_ENDPOINT.isAt(view, p, end)) {
      p = this.#endpoint(target, batch.remote, p + REMOTE_ENDPOINT.length);
    }
    return p;
  }

  #ids(batch: SpanBatch, from: number): number {
    const values = this.#values;
    const { view, source, end } = this.#r;
    if (!TRACE_ID.isAt(view, from, end)) return from;
    let p = from + TRACE_ID.length;
    if (!values.hex16(p)) return from;
    const { hi, lo } = values;
    if (source[p + 16] === QUOTE) {
      if ((hi | lo) === 0) return from;
      batch.setTraceId(0, 0, hi, lo);
      p += 17;
    } else {
      if (source[p + 32] !== QUOTE || !values.hex16(p + 16)) return from;
      if ((hi | lo | values.hi | values.lo) === 0) return from;
      batch.setTraceId(hi, lo, values.hi, values.lo);
      p += 33;
    }
    this.hasTraceId = true;
    if (PARENT_ID.isAt(view, p, end)) {
      const at = p + PARENT_ID.length;
      if (source[at + 16] !== QUOTE || !values.hex16(at)) return p;
      batch.setParentId(values.hi, values.lo);
      p = at + 17;
    }
    if (!ID.isAt(view, p, end)) return p;
    const at = p + ID.length;
    if (source[at + 16] !== QUOTE || !values.hex16(at) || (values.hi | values.lo) === 0) return p;
    batch.setId(values.hi, values.lo);
    this.hasId = true;
    return at + 17;
  }

  #kindAndName(batch: SpanBatch, from: number): number {
    const r = this.#r;
    const { view, end } = r;
    let p = from;
    if (KIND.isAt(view, p, end)) {
      const at = p + KIND.length;
      if (CLIENT.isAt(view, at, end)) batch.setKind(1);
      else if (SERVER.isAt(view, at, end)) batch.setKind(2);
      else if (PRODUCER.isAt(view, at, end)) batch.setKind(3);
      else if (CONSUMER.isAt(view, at, end)) batch.setKind(4);
      else return p;
      // The last two are two letters longer.
      p = at + (view.getUint8(at + 6) === QUOTE ? 7 : 9);
    }
    if (!NAME.isAt(view, p, end)) return p;
    p += NAME.length;
    const { names, nameIndex, rows } = batch;
    // Names repeat in the order of the code that made them: try the one that came next before.
    const before = rows === 0 ? 0 : nameIndex[rows - 1]!;
    const guess = names.followers[before]!;
    const taken = names.spelledAt(guess, view, p);
    if (taken > 0) {
      nameIndex[rows] = guess;
      return p + taken;
    }
    r.p = p;
    r.readString();
    batch.setName(r.text, r.textFrom, r.textTo);
    names.followers[before] = nameIndex[rows]!;
    return r.p;
  }

  #times(batch: SpanBatch, from: number): number {
    const values = this.#values;
    const { view, end } = this.#r;
    let p = from;
    if (TIMESTAMP.isAt(view, p, end)) {
      const us = values.digits16(p + TIMESTAMP.length);
      if (us < 0) return p;
      batch.setTimestamp(us);
      p += TIMESTAMP.length + 16;
    }
    if (DURATION.isAt(view, p, end)) {
      const us = values.digits(p + DURATION.length);
      if (us < 0) return p;
      batch.setDuration(us);
      p = values.digitsEnd;
    }
    return p;
  }

  /** @returns behind the closing brace */
  #endpoint(target: PartTarget, side: EndpointColumns, from: number): number {
    const { view, source, end } = this.#r;
    const { batch } = target;
    target.looksV2 = true;
    side.clear(batch.rows);
    let p = from;
    if (SERVICE_NAME.isAt(view, p, end)) {
      p = this.#service(batch, side, p + SERVICE_NAME.length);
      if (source[p] !== COMMA) return this.#endpointEnd(target, side, p);
      p++;
    }
    if (IPV4.isAt(view, p, end)) {
      const after = side.setQuotedIp4(batch.rows, source, p + IPV4.length);
      if (after < 0) return this.#endpointRest(target, side, from, p);
      p = after;
      if (source[p] !== COMMA) return this.#endpointEnd(target, side, p);
      p++;
    }
    if (!PORT.isAt(view, p, end)) return this.#endpointRest(target, side, from, p);
    const port = this.#values.digits(p + PORT.length);
    if (port < 0 || port > 65_535) return this.#endpointRest(target, side, from, p);
    side.port[batch.rows] = port;
    return this.#endpointEnd(target, side, this.#values.digitsEnd);
  }

  #endpointEnd(target: PartTarget, side: EndpointColumns, from: number): number {
    const r = this.#r;
    if (r.source[from] === CLOSE_OBJECT) return from + 1;
    r.p = from;
    if (r.more(CLOSE_OBJECT)) readEndpointMembers(this.#values, target, side);
    return r.p;
  }

  /** @param at the member that is unusual; `from`: the first */
  #endpointRest(target: PartTarget, side: EndpointColumns, from: number, at: number): number {
    const r = this.#r;
    r.p = at;
    const isEmpty = at === from && r.closesAtOnce(CLOSE_OBJECT);
    if (!isEmpty) readEndpointMembers(this.#values, target, side);
    return r.p;
  }

  #service(batch: SpanBatch, side: EndpointColumns, from: number): number {
    const r = this.#r;
    const { services, serviceIndex } = side;
    // Most spans of a message come from one service: try the name that came last.
    const guess = services.followers[0]!;
    const taken = services.spelledAt(guess, r.view, from);
    if (taken > 0) {
      serviceIndex[batch.rows] = guess;
      return from + taken;
    }
    r.p = from;
    r.readString();
    batch.setService(side, r.text, r.textFrom, r.textTo);
    services.followers[0] = serviceIndex[batch.rows]!;
    return r.p;
  }
}
