/**
 * Rows of `spans` as dependency links read them, out of RowBinary: the columns of LINK_SELECT row
 * by row. Reading 10 million of them is part of some tasks, so texts that repeat are made once.
 *
 * Source of the format: ClickHouse docs, formats/RowBinary; see row-reader.ts.
 */
import { formatIp4, formatIp6 } from '../../model/ip.ts';
import {
  FLAG_LOCAL_IP4_ZERO,
  FLAG_LOCAL_IP6_ZERO,
  FLAG_SHARED,
  FLAG_TIMESTAMP,
} from '../../model/span-batch.ts';
import { SPAN_KINDS } from '../../model/span.ts';
import type { LinkRow } from '../contract.ts';

/** What a row holds, in this order. Ids come with their highest byte first, as texts sort. */
export const LINK_SELECT = [
  'tenant',
  'byteSwap(trace_lo)',
  'byteSwap(id)',
  'byteSwap(parent_id)',
  'kind',
  'flags',
  'toUnixTimestamp64Micro(ts)',
  'service',
  'local_ip4',
  'local_ip6',
  'local_port',
  'remote',
  'err',
  '_batch',
  'exact',
].join(',');

const TWO_32 = 4_294_967_296;
const ID_BYTES = 8;
const IP6_BYTES = 16;
/** Texts beyond are forgotten: they do not repeat. */
const TEXTS_MAX = 100_000;

/** Reads one answer; @throws RangeError when it ends within a row */
export class LinkRowReader {
  readonly #data: Buffer;
  /** The same, a byte to a character: pieces of a text cost less than pieces of a buffer. */
  readonly #chars: string;
  readonly #texts = new Map<string, string>();
  readonly #addresses = new Map<number, string>();
  #p = 0;
  #batch = 0n;
  #batchLow = 0;
  #batchHigh = 0;

  constructor(data: Buffer) {
    this.#data = data;
    this.#chars = data.toString('latin1');
  }

  /** Reads the next rows, up to `max`, behind those in `rows`; false when it was the last. */
  read(rows: LinkRow[], max: number): boolean {
    for (let i = 0; i < max && this.#p < this.#data.length; i++) rows.push(this.#row());
    return this.#p < this.#data.length;
  }

  /** Lists of `min` rows or some more: never is a trace in two, if the rows are sorted by trace. */
  *traces(min: number): Generator<LinkRow[], void> {
    let rows: LinkRow[] = [];
    while (this.#p < this.#data.length) {
      const row = this.#row();
      if (rows.length >= min && row.trace !== rows.at(-1)!.trace) {
        yield rows;
        rows = [];
      }
      rows.push(row);
    }
    if (rows.length > 0) yield rows;
  }

  #row(): LinkRow {
    const tenant = this.#text();
    const trace = this.#id();
    const id = this.#id();
    const parentId = this.#id();
    const kind = SPAN_KINDS[this.#data.readUInt8(this.#p++)];
    const flags = this.#data.readUInt8(this.#p++);
    const storedUs =
      this.#data.readInt32LE(this.#p + 4) * TWO_32 + this.#data.readUInt32LE(this.#p);
    this.#p += 8;
    const localService = this.#text();
    const ip4 = this.#ip4((flags & FLAG_LOCAL_IP4_ZERO) !== 0);
    const localIpv6 = this.#ip6((flags & FLAG_LOCAL_IP6_ZERO) !== 0);
    const localPort = this.#data.readUInt16LE(this.#p);
    this.#p += 2;
    const remoteService = this.#text();
    const error = this.#data.readUInt8(this.#p++) !== 0;
    const batch = this.#batchId();
    const exact = this.#text();
    const isTimed = (flags & FLAG_TIMESTAMP) !== 0;
    return {
      tenant,
      trace,
      batch,
      storedUs,
      id,
      parentId: parentId === ZERO_ID ? undefined : parentId,
      kind,
      shared: (flags & FLAG_SHARED) !== 0,
      timestamp: isTimed ? (exactTimestamp(exact) ?? storedUs) : undefined,
      localService: localService === '' ? undefined : localService,
      localIpv4: exactPart(exact, 'l=') ?? ip4,
      localIpv6,
      localPort: localPort === 0 ? undefined : localPort,
      remoteService: remoteService === '' ? undefined : remoteService,
      error,
    };
  }

  /** A byte to a character: order and equality are those of the numbers. */
  #id(): string {
    const id = this.#chars.slice(this.#p, this.#p + ID_BYTES);
    this.#p += ID_BYTES;
    return id;
  }

  #ip4(isZero: boolean): string | undefined {
    const ip4 = this.#data.readUInt32LE(this.#p);
    this.#p += 4;
    if (ip4 === 0 && !isZero) return undefined;
    let text = this.#addresses.get(ip4);
    if (text === undefined) {
      text = formatIp4(ip4);
      if (this.#addresses.size < TEXTS_MAX) this.#addresses.set(ip4, text);
    }
    return text;
  }

  #ip6(isZero: boolean): string | undefined {
    const from = this.#p;
    this.#p += IP6_BYTES;
    for (let at = from; at < this.#p; at += 4) {
      if (this.#data.readUInt32LE(at) !== 0) return formatIp6(this.#data.subarray(from, this.#p));
    }
    return isZero ? formatIp6(this.#data.subarray(from, this.#p)) : undefined;
  }

  #batchId(): bigint {
    const low = this.#data.readUInt32LE(this.#p);
    const high = this.#data.readUInt32LE(this.#p + 4);
    if (low !== this.#batchLow || high !== this.#batchHigh) {
      this.#batch = this.#data.readBigUInt64LE(this.#p);
      [this.#batchLow, this.#batchHigh] = [low, high];
    }
    this.#p += ID_BYTES;
    return this.#batch;
  }

  #text(): string {
    let length = this.#data.readUInt8(this.#p++);
    for (let shift = 7; length >= 2 ** shift; shift += 7) {
      length += (this.#data.readUInt8(this.#p++) - 1) * 2 ** shift;
    }
    if (length === 0) return '';
    const end = this.#p + length;
    if (end > this.#data.length) throw new RangeError('the answer ends within a text');
    const bytes = this.#chars.slice(this.#p, end);
    let text = this.#texts.get(bytes);
    if (text === undefined) {
      text = this.#data.toString('utf8', this.#p, end);
      if (this.#texts.size < TEXTS_MAX) this.#texts.set(bytes, text);
    }
    this.#p = end;
    return text;
  }
}

const ZERO_ID = '\0'.repeat(ID_BYTES);

/** `t=` and `l=` of the column `exact`: what the typed columns cannot hold. */
function exactPart(exact: string, key: string): string | undefined {
  if (exact === '') return undefined;
  return exact
    .split(';')
    .find((part) => part.startsWith(key))
    ?.slice(key.length);
}

function exactTimestamp(exact: string): number | bigint | undefined {
  const text = exactPart(exact, 't=');
  if (text === undefined) return undefined;
  const number = Number(text);
  return Number.isSafeInteger(number) ? number : BigInt(text);
}
