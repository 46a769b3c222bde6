/**
 * Spans out of RowBinary: the columns of SPAN_SELECT row by row, in one pass over the answer.
 *
 *   row    := value*                     ; little endian, in the order of SPAN_SELECT
 *   String := varuint(bytes) bytes       ; LowCardinality as its text
 *   Array  := varuint(n) value*   Map := varuint(n) (key value)*
 *
 * Source: ClickHouse docs, formats/RowBinary.
 */
import { formatIp4, formatIp6 } from '../../model/ip.ts';
import {
  FLAG_DEBUG,
  FLAG_LOCAL_IP4_ZERO,
  FLAG_LOCAL_IP6_ZERO,
  FLAG_REMOTE_IP4_ZERO,
  FLAG_REMOTE_IP6_ZERO,
  FLAG_SHARED,
  FLAG_TIMESTAMP,
} from '../../model/span-batch.ts';
import { SPAN_KINDS } from '../../model/span.ts';
import type { Annotation, Endpoint, Span } from '../../model/span.ts';

/** What a row holds, in this order. */
export const SPAN_COLUMNS = [
  'trace_hi',
  'trace_lo',
  'parent_id',
  'id',
  'kind',
  'flags',
  'ts',
  'duration',
  'name',
  'service',
  'local_ip4',
  'local_ip6',
  'local_port',
  'remote',
  'remote_ip4',
  'remote_ip6',
  'remote_port',
  'ann_off',
  'ann_value',
  'tags',
  'exact',
] as const;

/** The same for a statement; `ts` as the number that it is. */
export const SPAN_SELECT = SPAN_COLUMNS.map((name) =>
  name === 'ts' ? 'toUnixTimestamp64Micro(ts)' : name,
).join(',');

const TWO_32 = 4_294_967_296;
const HIGH_WORD_SAFE = 2 ** 20;

/** Reads one answer; @throws RangeError when it ends within a row */
export class RowReader {
  readonly #data: Buffer;
  #p = 0;

  constructor(data: Buffer) {
    this.#data = data;
  }

  /** All rows. */
  spans(): Span[] {
    const spans: Span[] = [];
    while (this.#p < this.#data.length) spans.push(this.#span());
    return spans;
  }

  #span(): Span {
    const traceHi = this.#hex64();
    const traceLo = this.#hex64();
    const parentId = this.#hex64();
    const span: Span = {
      traceId: traceHi === ZERO_ID ? traceLo : traceHi + traceLo,
      id: this.#hex64(),
    };
    if (parentId !== ZERO_ID) span.parentId = parentId;
    const kind = SPAN_KINDS[this.#data.readUInt8(this.#p++)];
    const flags = this.#data.readUInt8(this.#p++);
    const ts = this.#int64();
    const duration = this.#int64();
    const name = this.#string();
    if (kind !== undefined) span.kind = kind;
    if (name !== '') span.name = name;
    if ((flags & FLAG_TIMESTAMP) !== 0) span.timestamp = ts;
    if (duration !== 0) span.duration = duration;
    const local = this.#endpoint(flags & FLAG_LOCAL_IP4_ZERO, flags & FLAG_LOCAL_IP6_ZERO);
    const remote = this.#endpoint(flags & FLAG_REMOTE_IP4_ZERO, flags & FLAG_REMOTE_IP6_ZERO);
    const annotations = this.#annotations(ts);
    const tags = this.#tags();
    const exact = this.#string();
    if (exact !== '') applyExact(exact, span, local, remote);
    if (hasMembers(local)) span.localEndpoint = local;
    if (hasMembers(remote)) span.remoteEndpoint = remote;
    if (annotations.length > 0) span.annotations = annotations;
    if (tags.size > 0) span.tags = tags;
    if ((flags & FLAG_DEBUG) !== 0) span.debug = true;
    if ((flags & FLAG_SHARED) !== 0) span.shared = true;
    return span;
  }

  #endpoint(ip4Zero: number, ip6Zero: number): Endpoint {
    const endpoint: Endpoint = {};
    const service = this.#string();
    if (service !== '') endpoint.serviceName = service;
    const ip4 = this.#data.readUInt32LE(this.#p);
    const ip6 = this.#data.subarray(this.#p + 4, this.#p + 20);
    const port = this.#data.readUInt16LE(this.#p + 20);
    this.#p += 22;
    if (ip4 !== 0 || ip4Zero !== 0) endpoint.ipv4 = formatIp4(ip4);
    if (ip6Zero !== 0 || ip6.some((byte) => byte !== 0)) endpoint.ipv6 = formatIp6(ip6);
    if (port !== 0) endpoint.port = port;
    return endpoint;
  }

  #annotations(ts: number | bigint): Annotation[] {
    const count = this.#varuint();
    const offsets = Array.from({ length: count }, () => this.#int64());
    this.#varuint();
    return offsets.map((offset) => ({ timestamp: plus(ts, offset), value: this.#string() }));
  }

  #tags(): Map<string, string> {
    const count = this.#varuint();
    const pairs: [string, string][] = [];
    for (let i = 0; i < count; i++) pairs.push([this.#string(), this.#string()]);
    return new Map(pairs.toSorted(([a], [b]) => (a < b ? -1 : 1)));
  }

  #hex64(): string {
    const hi = this.#data.readUInt32LE(this.#p + 4);
    const lo = this.#data.readUInt32LE(this.#p);
    this.#p += 8;
    return hi.toString(16).padStart(8, '0') + lo.toString(16).padStart(8, '0');
  }

  /** Signed; a bigint beyond 2^53. */
  #int64(): number | bigint {
    const hi = this.#data.readInt32LE(this.#p + 4);
    const lo = this.#data.readUInt32LE(this.#p);
    this.#p += 8;
    if (hi < HIGH_WORD_SAFE && hi >= -HIGH_WORD_SAFE) return hi * TWO_32 + lo;
    return this.#data.readBigInt64LE(this.#p - 8);
  }

  #varuint(): number {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.#data.readUInt8(this.#p++);
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
  }

  #string(): string {
    const length = this.#varuint();
    const text = this.#data.toString('utf8', this.#p, this.#p + length);
    this.#p += length;
    return text;
  }
}

const ZERO_ID = '0'.repeat(16);

const hasMembers = (endpoint: Endpoint): boolean => Object.keys(endpoint).length > 0;

/** 64-bit addition that wraps, as the offsets were made. */
function plus(ts: number | bigint, offset: number | bigint): number | bigint {
  if (typeof ts === 'number' && typeof offset === 'number') {
    const sum = ts + offset;
    if (Number.isSafeInteger(sum)) return sum;
  }
  const sum = BigInt.asIntN(64, BigInt(ts) + BigInt(offset));
  const number = Number(sum);
  return Number.isSafeInteger(number) ? number : sum;
}

/** `t=` exact timestamp, `l=` and `r=` IPv4 texts of the endpoints. */
function applyExact(exact: string, span: Span, local: Endpoint, remote: Endpoint): void {
  for (const part of exact.split(';')) {
    const text = part.slice(2);
    if (part.startsWith('l=')) local.ipv4 = text;
    else if (part.startsWith('r=')) remote.ipv4 = text;
    else if (part.startsWith('t=') && span.timestamp !== undefined) {
      const value = BigInt(text);
      span.timestamp = Number.isSafeInteger(Number(value)) ? Number(value) : value;
    }
  }
}
