/** Annotations, binary annotations and endpoints of a v1 JSON span, into its V1Span. */
import type { SpanBatch } from '../model/span-batch.ts';
import { CLOSE_LIST, CLOSE_OBJECT, OPEN_LIST, OPEN_OBJECT, QUOTE, isDigit } from './json-reader.ts';
import { Spelling, memberName } from './json-text.ts';
import type { JsonReader } from './json-reader.ts';
import type { JsonValues } from './json-values.ts';
import { NO_ENDPOINT, isAddressKey } from './v1-span.ts';
import type { V1Endpoint, V1Span } from './v1-span.ts';

const TIMESTAMP = memberName('timestamp');
const VALUE = memberName('value');
const ENDPOINT = memberName('endpoint');
const KEY = memberName('key');
const SERVICE_NAME = memberName('serviceName');
const IPV4 = memberName('ipv4');
const PORT = memberName('port');

const KEY_OPENING = new Spelling('{"key":"');
const VALUE_OPENING = new Spelling('","value":"');
const ENDPOINT_OPENING = new Spelling('","endpoint":');

export class V1JsonParts {
  batch!: SpanBatch;
  readonly #v: JsonValues;
  readonly #r: JsonReader;
  readonly #span: V1Span;

  constructor(values: JsonValues, span: V1Span) {
    this.#v = values;
    this.#r = values.reader;
    this.#span = span;
  }

  annotations(): void {
    if (!this.#opensList()) return;
    do {
      if (this.#r.peek() === OPEN_OBJECT) this.#annotation();
      else this.#dropElement();
    } while (this.#r.more(CLOSE_LIST));
  }

  tags(): void {
    if (!this.#opensList()) return;
    do {
      if (this.#r.peek() !== OPEN_OBJECT) this.#dropElement();
      else if (!this.#usualTag()) this.#anyTag();
    } while (this.#r.more(CLOSE_LIST));
  }

  /** False: there is no element to read. */
  #opensList(): boolean {
    const r = this.#r;
    if (r.peek() === OPEN_LIST) {
      r.p++;
      return !r.closesAtOnce(CLOSE_LIST);
    }
    if (r.kind() !== 'null') this.#v.report.normalize('annotation_dropped');
    r.skipValue();
    return false;
  }

  #dropElement(): void {
    this.#r.skipValue();
    this.#v.report.normalize('annotation_dropped');
  }

  #annotation(): void {
    const r = this.#r;
    const span = this.#span;
    let time: number | bigint | undefined;
    let endpoint: number = NO_ENDPOINT;
    let valueAt = 0;
    let valueLength = -1;
    r.p++;
    if (!r.closesAtOnce(CLOSE_OBJECT)) {
      do {
        r.openName();
        const name = this.#partName();
        if (name === TIMESTAMP) {
          r.peek();
          time = this.#v.integer() ?? time;
        } else if (name === VALUE) {
          if (!this.#v.readLenientText()) continue;
          valueAt = span.textAt(r.text, r.textFrom, r.textTo);
          valueLength = r.textTo - r.textFrom;
        } else if (name === ENDPOINT) endpoint = this.#endpoint(endpoint);
        else r.skipValue();
      } while (r.more(CLOSE_OBJECT));
    }
    if (time === undefined || valueLength < 0) {
      this.#v.report.normalize('annotation_dropped');
      return;
    }
    const annotation = span.addAnnotation();
    if (annotation === undefined) {
      this.batch.truncations++;
      return;
    }
    annotation.time = time;
    annotation.valueAt = valueAt;
    annotation.valueLength = valueLength;
    annotation.endpoint = endpoint;
  }

  /** Reads the name of a member behind its quote, and the colon. */
  #partName(): Spelling | undefined {
    const r = this.#r;
    const first = r.source[r.p];
    if (first === 0x74 && r.takesName(TIMESTAMP)) return TIMESTAMP;
    if (first === 0x76 && r.takesName(VALUE)) return VALUE;
    if (first === 0x65 && r.takesName(ENDPOINT)) return ENDPOINT;
    if (first === 0x6b && r.takesName(KEY)) return KEY;
    r.readName();
    const name = r.textString();
    if (name === 'key') return KEY;
    if (name === 'value') return VALUE;
    if (name === 'endpoint') return ENDPOINT;
    return name === 'timestamp' ? TIMESTAMP : undefined;
  }

  /** A tag spelled as encoders do; false: nothing is read, look closer. */
  #usualTag(): boolean {
    const r = this.#r;
    const { source, end } = r;
    const { view } = this.#span;
    if (!KEY_OPENING.isAt(view, r.p, end)) return false;
    const keyFrom = r.p + KEY_OPENING.length;
    let p = r.plainEnd(keyFrom);
    const keyTo = p;
    if (!VALUE_OPENING.isAt(view, p, end)) return false;
    const valueFrom = p + VALUE_OPENING.length;
    p = r.plainEnd(valueFrom);
    const valueTo = p;
    if (!ENDPOINT_OPENING.isAt(view, p, end)) return false;
    const before = r.p;
    r.p = p + ENDPOINT_OPENING.length;
    const endpoint = this.#endpoint(NO_ENDPOINT);
    if (source[r.p] !== CLOSE_OBJECT) {
      r.p = before;
      return false;
    }
    r.p++;
    this.#keepTag(keyFrom, keyTo - keyFrom, valueFrom, valueTo - valueFrom, endpoint);
    return true;
  }

  /** Values that are no text are dropped, as Zipkin does: only an address may be `true`. */
  #anyTag(): void {
    const r = this.#r;
    const span = this.#span;
    let endpoint: number = NO_ENDPOINT;
    let keyAt = 0;
    let keyLength = -1;
    let valueAt = 0;
    let valueLength = -1;
    let isTrue = false;
    r.p++;
    if (!r.closesAtOnce(CLOSE_OBJECT)) {
      do {
        r.openName();
        const name = this.#partName();
        if (name === KEY) {
          if (!this.#v.readLenientText()) continue;
          keyAt = span.textAt(r.text, r.textFrom, r.textTo);
          keyLength = r.textTo - r.textFrom;
        } else if (name === VALUE) {
          if (r.peek() === QUOTE) {
            r.p++;
            r.readString();
            valueAt = span.textAt(r.text, r.textFrom, r.textTo);
            valueLength = r.textTo - r.textFrom;
          } else if (r.kind() === 'boolean') isTrue = r.readLiteral() === 0x74;
          else r.skipValue();
        } else if (name === ENDPOINT) endpoint = this.#endpoint(endpoint);
        else r.skipValue();
      } while (r.more(CLOSE_OBJECT));
    }
    if (keyLength >= 0 && valueLength < 0 && isTrue && endpoint !== NO_ENDPOINT) {
      if (keyLength === 2 && isAddressKey(span.pairAt(keyAt))) valueLength = 0;
    }
    if (keyLength < 0 || valueLength < 0) {
      this.#v.report.normalize('annotation_dropped');
      return;
    }
    this.#keepTag(keyAt, keyLength, valueAt, valueLength, endpoint);
  }

  #keepTag(
    keyAt: number,
    keyLength: number,
    valueAt: number,
    valueLength: number,
    endpoint: number,
  ): void {
    const tag = this.#span.addTag();
    if (tag === undefined) {
      this.batch.truncations++;
      return;
    }
    tag.keyAt = keyAt;
    tag.keyLength = keyLength;
    tag.valueAt = valueAt;
    tag.valueLength = valueLength;
    tag.endpoint = endpoint;
  }

  /** @param before what null leaves as it is */
  #endpoint(before: number): number {
    const r = this.#r;
    const span = this.#span;
    if (r.peek() !== OPEN_OBJECT) {
      const isNull = r.kind() === 'null';
      if (!isNull) this.#v.report.normalize('endpoint_dropped');
      r.skipValue();
      return isNull ? before : NO_ENDPOINT;
    }
    const length = span.repeatsEndpoint(r.p, r.end);
    if (length > 0) {
      r.p += length;
      return span.repeated;
    }
    const from = r.p;
    const endpoint = span.newEndpoint();
    r.p++;
    if (!r.closesAtOnce(CLOSE_OBJECT)) {
      do {
        r.openName();
        if (r.takesName(SERVICE_NAME)) this.#service(endpoint);
        else if (r.takesName(IPV4)) this.#ip(endpoint, 4);
        else if (r.takesName(PORT)) this.#port(endpoint);
        else this.#anyEndpointMember(endpoint);
      } while (r.more(CLOSE_OBJECT));
    }
    return span.keepEndpoint(endpoint, from, r.p);
  }

  #anyEndpointMember(endpoint: V1Endpoint): void {
    const r = this.#r;
    r.readName();
    const name = r.textString();
    if (name === 'serviceName') this.#service(endpoint);
    else if (name === 'ipv4') this.#ip(endpoint, 4);
    else if (name === 'ipv6') this.#ip(endpoint, 6);
    else if (name === 'port') this.#port(endpoint);
    else r.skipValue();
  }

  #service(endpoint: V1Endpoint): void {
    const r = this.#r;
    const after = r.peek() === QUOTE ? this.#span.setUsualService(endpoint, r.p + 1) : -1;
    if (after > 0) r.p = after;
    else if (this.#v.readLenientText())
      this.#span.setService(endpoint, r.text, r.textFrom, r.textTo);
  }

  #ip(endpoint: V1Endpoint, expected: number): void {
    const r = this.#r;
    if (expected === 4 && r.peek() === QUOTE) {
      const after = this.#span.setQuotedIp4(endpoint, r.p + 1);
      if (after > 0) {
        r.p = after;
        return;
      }
    }
    if (!this.#v.readLenientText() || r.textFrom === r.textTo) return;
    const kind = this.#span.setIpText(endpoint, r.text, r.textFrom, r.textTo);
    if (kind === 0) this.#v.report.normalize('ip_dropped');
    else if (kind !== expected) this.#v.report.normalize('ip_moved');
  }

  #port(endpoint: V1Endpoint): void {
    const r = this.#r;
    r.peek();
    let p = r.p;
    let value = 0;
    for (let c = r.source[p]!; isDigit(c); c = r.source[++p]!) value = value * 10 + c - 0x30;
    const next = r.source[p];
    if (p > r.p && value <= 65_535 && (next === 0x2c || next === CLOSE_OBJECT)) {
      r.p = p;
      endpoint.port = value;
    } else this.#oddPort(endpoint);
  }

  /** Some clients write ports as signed 16-bit numbers (zipkin4net); -1 is Java's "none". */
  #oddPort(endpoint: V1Endpoint): void {
    const r = this.#r;
    if (!this.#v.readLenientText()) return;
    const port = Number(r.textString());
    const signed = port >= -32_768 && port < -1 ? port + 65_536 : port;
    const valid = Number.isInteger(signed) && signed >= 0 && signed <= 65_535;
    if (!valid && port !== -1) this.#v.report.normalize('port_dropped');
    endpoint.port = valid ? signed : 0;
  }
}
