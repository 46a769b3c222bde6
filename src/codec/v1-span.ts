/**
 * A span of the v1 format between its bytes and its rows. One object is filled again for every
 * span, parts included: nothing is made per span once the pools have grown.
 *
 * Texts are ranges of the message; those that had to be rewritten (escapes, invalid UTF-8) lie in
 * a scratch, which a negative place tells: `~at` is the place there.
 */
import { ByteDictionary, grown } from '../model/byte-dictionary.ts';
import { parseIp, parseQuotedIp4 } from '../model/ip.ts';
import type { IpKind, ParsedIp } from '../model/ip.ts';
import { lowerCased } from '../model/text.ts';

/** More annotations or tags of one span are not read: what is beyond must not cost memory. */
const PARTS_MAX = 2048;
const ENDPOINTS_MAX = 2 * PARTS_MAX;
/** Names of refused spans count too: nothing else bounds them. */
const SERVICES_BYTES_MAX = 1 << 20;
const SERVICES_MAX = 4096;
const SCRATCH_KEPT = 1 << 20;
const EMPTY = new Uint8Array(0);
const EMPTY_VIEW = new DataView(EMPTY.buffer);
const parsed: ParsedIp = { ip4: 0, ip6: new Uint8Array(16), odd: false };

/** No endpoint, or one that says nothing. */
export const NO_ENDPOINT = -1;

/** Microseconds, any signed 64-bit number; a bigint beyond 2^53. */
export type Micros = number | bigint;

/** a + b of signed 64-bit integers, which wrap. */
export function sum(a: Micros, b: Micros): Micros {
  if (typeof a === 'number' && typeof b === 'number') {
    const result = a + b;
    if (Number.isSafeInteger(result)) return result;
  }
  return narrowed(BigInt(a) + BigInt(b));
}

/** a - b of signed 64-bit integers, which wrap. */
export function difference(a: Micros, b: Micros): Micros {
  if (typeof a === 'number' && typeof b === 'number') {
    const result = a - b;
    if (Number.isSafeInteger(result)) return result;
  }
  return narrowed(BigInt(a) - BigInt(b));
}

function narrowed(value: bigint): Micros {
  const wrapped = BigInt.asIntN(64, value);
  const number = Number(wrapped);
  return Number.isSafeInteger(number) ? number : wrapped;
}

/** Two letters as one number, as V1Span.pairAt reads them. */
export const letters = (text: string): number => (text.charCodeAt(0) << 8) | text.charCodeAt(1);

const SA = letters('sa');
const CA = letters('ca');
const MA = letters('ma');

/** Is it the key of a binary annotation that holds the address of a peer? */
export const isAddressKey = (key: number): boolean => key === SA || key === CA || key === MA;

export class V1Annotation {
  time: Micros = 0;
  valueAt = 0;
  valueLength = 0;
  endpoint: number = NO_ENDPOINT;
  /** The next one of the same row; for the converter. */
  next: V1Annotation | undefined;
}

/** A binary annotation: a tag, or the address of a peer when its key is `sa`, `ca` or `ma`. */
export class V1Tag {
  keyAt = 0;
  keyLength = 0;
  valueAt = 0;
  valueLength = 0;
  endpoint: number = NO_ENDPOINT;
  next: V1Tag | undefined;
}

export class V1Endpoint {
  /** Lower-cased, its number in `V1Span.services`; 0 is none. */
  service = 0;
  hasIp4 = false;
  ip4 = 0;
  hasIp6 = false;
  readonly ip6: Uint8Array = new Uint8Array(16);
  /** The IPv4 text has leading zeros and stays as it is: at `textAt`, of `textLength` bytes. */
  odd = false;
  textAt = 0;
  textLength = 0;
  /** 0 is none. */
  port = 0;

  clear(): void {
    this.service = 0;
    this.hasIp4 = false;
    this.hasIp6 = false;
    this.odd = false;
    this.port = 0;
  }

  get isEmpty(): boolean {
    return this.service === 0 && !this.hasIp4 && !this.hasIp6 && this.port === 0;
  }

  equals(other: V1Endpoint): boolean {
    if (this === other) return true;
    if (this.service !== other.service || this.port !== other.port) return false;
    if (this.hasIp4 !== other.hasIp4 || this.hasIp6 !== other.hasIp6) return false;
    if (this.odd || other.odd) return false;
    if (this.hasIp4 && this.ip4 !== other.ip4) return false;
    return !this.hasIp6 || Buffer.compare(this.ip6, other.ip6) === 0;
  }
}

export class V1Span {
  source: Uint8Array = EMPTY;
  /** Of the source. */
  view: DataView = EMPTY_VIEW;
  scratch: Uint8Array = new Uint8Array(1024);
  /** Names of services of this and earlier spans, lower-cased: equal names, equal numbers. */
  readonly services: ByteDictionary;
  /** Trace id as 32-bit words, highest first; the upper two are 0 for 64 bits. */
  traceId: [number, number, number, number] = [0, 0, 0, 0];
  idHi = 0;
  idLo = 0;
  parentHi = 0;
  parentLo = 0;
  nameAt = 0;
  nameLength = 0;
  timestamp: Micros = 0;
  duration: Micros = 0;
  debug = false;
  annotationCount = 0;
  tagCount = 0;
  endpointCount = 0;
  readonly annotations: V1Annotation[] = [];
  readonly tags: V1Tag[] = [];
  readonly endpoints: V1Endpoint[] = [];
  #scratchUsed = 0;
  #lastFrom = 0;
  #lastLength = 0;
  #lastEndpoint: number = NO_ENDPOINT;

  /** @param seed of the table of services; unknown to senders */
  constructor(seed: number) {
    this.services = new ByteDictionary(seed);
  }

  begin(source: Uint8Array): void {
    if (source !== this.source) {
      this.source = source;
      this.view = new DataView(source.buffer, source.byteOffset, source.byteLength);
    }
    this.traceId.fill(0);
    this.idHi = 0;
    this.idLo = 0;
    this.parentHi = 0;
    this.parentLo = 0;
    this.nameLength = 0;
    this.timestamp = 0;
    this.duration = 0;
    this.debug = false;
    this.annotationCount = 0;
    this.tagCount = 0;
    this.endpointCount = 0;
    this.#scratchUsed = 0;
    this.#lastLength = 0;
    const { size, arenaBytes } = this.services;
    if (size > SERVICES_MAX || arenaBytes > SERVICES_BYTES_MAX) this.services.reset();
    if (this.scratch.length > SCRATCH_KEPT) this.scratch = new Uint8Array(1024);
  }

  /** Lets go of the message. */
  release(): void {
    this.source = EMPTY;
    this.view = EMPTY_VIEW;
  }

  /** Undefined when there are too many: the batch counts that as a truncation. */
  addAnnotation(): V1Annotation | undefined {
    if (this.annotationCount === PARTS_MAX) return undefined;
    if (this.annotationCount === this.annotations.length) this.annotations.push(new V1Annotation());
    return this.annotations[this.annotationCount++]!;
  }

  addTag(): V1Tag | undefined {
    if (this.tagCount === PARTS_MAX) return undefined;
    if (this.tagCount === this.tags.length) this.tags.push(new V1Tag());
    return this.tags[this.tagCount++]!;
  }

  /** An endpoint to be filled; keepEndpoint gives its number. */
  newEndpoint(): V1Endpoint {
    if (this.endpointCount === this.endpoints.length) this.endpoints.push(new V1Endpoint());
    const endpoint = this.endpoints[this.endpointCount]!;
    endpoint.clear();
    return endpoint;
  }

  /** @param from where the bytes that spelled the endpoint begin, up to `to` */
  keepEndpoint(endpoint: V1Endpoint, from: number, to: number): number {
    this.#lastFrom = from;
    this.#lastLength = to - from;
    const none = endpoint.isEmpty || this.endpointCount === ENDPOINTS_MAX;
    this.#lastEndpoint = none ? NO_ENDPOINT : this.endpointCount++;
    return this.#lastEndpoint;
  }

  /**
   * Is the endpoint at `at` spelled as the one before? All parts of a span have the same one, as a
   * rule; it is read once then.
   * @returns its length, 0 when it is another; `repeated` is its number
   */
  repeatsEndpoint(at: number, end: number): number {
    const length = this.#lastLength;
    if (length === 0 || length > end - at) return 0;
    const { source, view } = this;
    const from = this.#lastFrom;
    let i = 0;
    for (; i + 4 <= length; i += 4) {
      if (view.getInt32(from + i, true) !== view.getInt32(at + i, true)) return 0;
    }
    for (; i < length; i++) if (source[from + i] !== source[at + i]) return 0;
    return length;
  }

  get repeated(): number {
    return this.#lastEndpoint;
  }

  setService(endpoint: V1Endpoint, bytes: Uint8Array, from: number, to: number): void {
    if (this.endpointCount === ENDPOINTS_MAX) return;
    const lower = lowerCased(bytes, from, to);
    endpoint.service =
      lower === undefined
        ? this.services.intern(bytes, from, to)
        : this.services.intern(lower, 0, lower.length);
    this.services.followers[0] = endpoint.service;
  }

  /**
   * Sets the service that JSON text at source[from…] names, when it is the one that came last.
   * @returns where the text goes on behind its closing quote; -1: it is another
   */
  setUsualService(endpoint: V1Endpoint, from: number): number {
    const usual = this.services.followers[0]!;
    const taken = this.services.spelledAt(usual, this.view, from);
    if (taken === 0) return -1;
    endpoint.service = usual;
    return from + taken;
  }

  /**
   * Sets the IPv4 address of JSON text at source[from…].
   * @returns as setUsualService
   */
  setQuotedIp4(endpoint: V1Endpoint, from: number): number {
    const after = parseQuotedIp4(this.source, from, endpoint);
    if (after >= 0) {
      endpoint.hasIp4 = true;
      endpoint.odd = false;
    }
    return after;
  }

  /** Sets the address that the text is, whatever its kind; 0: it is none. */
  setIpText(endpoint: V1Endpoint, bytes: Uint8Array, from: number, to: number): IpKind {
    const kind = parseIp(bytes, from, to, parsed);
    if (kind === 4) {
      endpoint.hasIp4 = true;
      endpoint.ip4 = parsed.ip4;
      endpoint.odd = parsed.odd;
      if (parsed.odd) {
        endpoint.textAt = this.textAt(bytes, from, to);
        endpoint.textLength = to - from;
      }
    }
    if (kind === 6) {
      endpoint.hasIp6 = true;
      endpoint.ip6.set(parsed.ip6);
    }
    return kind;
  }

  /** Where the text is for the parts of this span; copied unless it is in the message. */
  textAt(bytes: Uint8Array, from: number, to: number): number {
    if (bytes === this.source) return from;
    const at = this.#scratchUsed;
    const end = at + to - from;
    if (end > this.scratch.length) this.scratch = grown(this.scratch, end);
    this.scratch.set(bytes.subarray(from, to), at);
    this.#scratchUsed = end;
    return ~at;
  }

  /** The array that holds a text of this place. */
  bytesAt(at: number): Uint8Array {
    return at < 0 ? this.scratch : this.source;
  }

  /** Two bytes of a text as one number. */
  pairAt(at: number): number {
    const bytes = this.bytesAt(at);
    const from = at < 0 ? ~at : at;
    return (bytes[from]! << 8) | bytes[from + 1]!;
  }

  /** By time, then value. */
  sortAnnotations(): void {
    const { annotations, annotationCount } = this;
    let sorted = true;
    for (let i = 1; i < annotationCount && sorted; i++) {
      sorted = this.#compareAnnotations(annotations[i - 1]!, annotations[i]!) <= 0;
    }
    if (sorted) return;
    const part = annotations.slice(0, annotationCount);
    part.sort((a, b) => this.#compareAnnotations(a, b));
    for (let i = 0; i < annotationCount; i++) annotations[i] = part[i]!;
  }

  /** By key; of equal keys as they came. */
  sortTags(): void {
    const part = this.tags.slice(0, this.tagCount);
    part.sort((a, b) => this.#compareTexts(a.keyAt, a.keyLength, b.keyAt, b.keyLength));
    for (let i = 0; i < this.tagCount; i++) this.tags[i] = part[i]!;
  }

  #compareAnnotations(a: V1Annotation, b: V1Annotation): number {
    if (a.time < b.time) return -1;
    if (a.time > b.time) return 1;
    return this.#compareTexts(a.valueAt, a.valueLength, b.valueAt, b.valueLength);
  }

  #compareTexts(a: number, aLength: number, b: number, bLength: number): number {
    return Buffer.compare(this.#text(a, aLength), this.#text(b, bLength));
  }

  #text(at: number, length: number): Uint8Array {
    return at < 0
      ? this.scratch.subarray(~at, ~at + length)
      : this.source.subarray(at, at + length);
  }
}
