/**
 * The wire format of protocol buffers: varints, length-delimited blocks, skipping, text.
 * Positions go in and out as numbers; -1 says that the bytes are no valid encoding, and `problem`
 * what is wrong. Nothing here reads at or behind the `end` that it was given.
 *
 *   message = *( tag value )
 *   tag     = varint                   ; field number << 3 | wire type; number 1 to 2^29 - 1
 *   value   = varint                   ; wire type 0: 1 to 10 bytes, 7 bits each, low bits first
 *           / 8OCTET                   ; 1: little endian
 *           / varint *OCTET            ; 2: that many bytes
 *           / *( tag value ) tag       ; 3: a group, up to the tag with wire type 4 of its number
 *           / 4OCTET                   ; 5: little endian
 *
 * https://protobuf.dev/programming-guides/encoding/
 */
import { isUtf8 } from 'node:buffer';
import type { DecodeReport } from '../model/decode-report.ts';
import { decodeUtf8 } from '../model/text.ts';

/** As deep as the official parsers go. */
const GROUP_DEPTH_MAX = 100;
const VARINT_BYTES_MAX = 10;
const TWO_32 = 4_294_967_296;

export class Wire {
  readonly source: Uint8Array;
  readonly view: DataView;
  /** The last varint, as unsigned words. */
  low = 0;
  high = 0;
  /** Where the last block ends. */
  to = 0;
  /** Why the last position was -1, in Zipkin's words. */
  problem = '';
  readonly #report: DecodeReport;

  constructor(source: Uint8Array, report: DecodeReport) {
    // Of a Buffer, subarray is slow; and code that all codecs share sees one class only.
    this.source = new Uint8Array(source.buffer, source.byteOffset, source.byteLength);
    this.view = new DataView(source.buffer, source.byteOffset, source.byteLength);
    this.#report = report;
  }

  /** @returns the position behind the varint at p, whose value is `high`, `low` */
  varint(p: number, end: number): number {
    if (p < end) {
      const c = this.source[p]!;
      if (c < 128) {
        this.low = c;
        this.high = 0;
        return p + 1;
      }
    }
    return this.#longVarint(p, end);
  }

  /** @returns the position behind the tag at p, which is `low` */
  tag(p: number, end: number): number {
    const next = this.varint(p, end);
    return next > 0 && this.high !== 0 ? this.fail('Malformed: tag of more than 32 bits') : next;
  }

  /** @returns where the bytes begin whose length is at p; they end at `to` */
  block(p: number, end: number): number {
    if (p < end) {
      const length = this.source[p]!;
      const to = p + 1 + length;
      if (length < 128 && to <= end) {
        this.to = to;
        return p + 1;
      }
    }
    return this.#longBlock(p, end);
  }

  /** @returns the position behind the value of an unknown field; p is behind its tag */
  skip(p: number, end: number, tag: number, depth: number = 0): number {
    if (tag >>> 3 === 0) return this.fail('Malformed: field number 0');
    switch (tag & 7) {
      case 0:
        return this.varint(p, end);
      case 1:
        return end - p < 8 ? this.short(8, end - p) : p + 8;
      case 2:
        return this.block(p, end) < 0 ? -1 : this.to;
      case 3:
        return this.#skipGroup(p, end, tag, depth);
      case 5:
        return end - p < 4 ? this.short(4, end - p) : p + 4;
      default:
        return this.fail(`Malformed: invalid wireType ${tag & 7}`);
    }
  }

  /** Sets `problem`. @returns -1 */
  fail(problem: string): number {
    this.problem = problem;
    return -1;
  }

  /** Fails because there are fewer bytes than the encoding needs. @returns -1 */
  short(wanted: number, available: number): number {
    return this.fail(`Truncated: length ${wanted} > bytes available ${available}`);
  }

  /**
   * The text of source[from, to) with U+FFFD in place of what is no UTF-8; undefined when all is
   * well. Ids make nearly every whole message invalid UTF-8, so each string is looked at; words of
   * four bytes make that cheap for ASCII.
   */
  repaired(from: number, to: number): Uint8Array | undefined {
    const last = to - 4;
    let seen = 0;
    if (last < from) for (let p = from; p < to; p++) seen |= this.source[p]!;
    else {
      seen = this.view.getInt32(last);
      for (let p = from; p < last; p += 4) seen |= this.view.getInt32(p);
    }
    return (seen & 0x80808080) === 0 ? undefined : this.#repairedText(from, to);
  }

  #repairedText(from: number, to: number): Uint8Array | undefined {
    if (isUtf8(this.source.subarray(from, to))) return undefined;
    this.#report.normalize('utf8');
    return Buffer.from(decodeUtf8(this.source, from, to));
  }

  #longVarint(p: number, end: number): number {
    const source = this.source;
    const last = end - p > VARINT_BYTES_MAX ? p + VARINT_BYTES_MAX : end;
    let low = 0;
    let high = 0;
    let shift = 0;
    for (let at = p; at < last; shift += 7) {
      const c = source[at++]!;
      const bits = c & 127;
      if (shift < 28) low |= bits << shift;
      else if (shift > 28) high |= bits << (shift - 32);
      else {
        low |= bits << 28;
        high = bits >>> 4;
      }
      if (c < 128) {
        this.low = low >>> 0;
        this.high = high >>> 0;
        return at;
      }
    }
    return last === end ? this.short(1, 0) : this.fail('Greater than 64-bit varint');
  }

  #longBlock(p: number, end: number): number {
    const from = this.varint(p, end);
    if (from < 0) return from;
    const length = this.high * TWO_32 + this.low;
    if (length > end - from) return this.short(length, end - from);
    this.to = from + length;
    return from;
  }

  #skipGroup(p: number, end: number, start: number, depth: number): number {
    if (depth === GROUP_DEPTH_MAX) return this.fail('Malformed: groups too deep');
    let at = p;
    while (at >= 0 && at < end) {
      at = this.tag(at, end);
      if (at < 0) return at;
      const tag = this.low;
      if (tag === start + 1) return at;
      at = this.skip(at, end, tag, depth + 1);
    }
    return at < 0 ? at : this.fail('Malformed: group without end');
  }
}

/** The signed 64-bit number of two words: a bigint only where a number would not be exact. */
export function int64(high: number, low: number): number | bigint {
  if (high >= -0x200000 && high < 0x200000) return high * TWO_32 + low;
  return (BigInt(high) << 32n) | BigInt(low);
}
