/**
 * Thrift's TBinaryProtocol on one message, big endian:
 *
 *   struct = *( type id value ) 0x00      ; id is an i16
 *   list   = type count *value            ; also set; count is an i32
 *   map    = type type count *( value value )
 *   string = length *OCTET                ; length is an i32
 *
 * https://github.com/apache/thrift/blob/master/doc/specs/thrift-binary-protocol.md
 *
 * The first problem ends all: it is kept, reading jumps to the end, and every further read gives
 * 0, which ends structs. Lengths and counts are held against the bytes that are left before
 * anything is done with them.
 */
import { isUtf8 } from 'node:buffer';
import type { DecodeReport } from '../model/decode-report.ts';
import { decodeUtf8 } from '../model/text.ts';

export const BOOL = 2;
export const BYTE = 3;
export const DOUBLE = 4;
export const I16 = 6;
export const I32 = 8;
export const I64 = 10;
export const STRING = 11;
export const STRUCT = 12;
export const MAP = 13;
export const SET = 14;
export const LIST = 15;

/** No honest message nests deeper; unknown fields do at most. */
const DEPTH_MAX = 64;
const WIDE = 1 << 21;
const TWO_32 = 4_294_967_296;

/** Bytes of a value of each type if they are always the same, else 0. */
const SIZES = new Uint8Array(256);
/** The fewest bytes of a value of each type; 0: there is no such type. */
const SIZES_MIN = new Uint8Array(256);
for (const [type, size] of [
  [BOOL, 1],
  [BYTE, 1],
  [DOUBLE, 8],
  [I16, 2],
  [I32, 4],
  [I64, 8],
] as const) {
  SIZES[type] = size;
  SIZES_MIN[type] = size;
}
for (const [type, size] of [
  [STRING, 4],
  [STRUCT, 1],
  [MAP, 6],
  [SET, 5],
  [LIST, 5],
] as const) {
  SIZES_MIN[type] = size;
}

/** A field as one number, for comparison with ThriftWire.field. */
export const fieldOf = (type: number, id: number): number => (type << 16) | id;

export class ThriftWire {
  source: Uint8Array = new Uint8Array(0);
  at = 0;
  end = 0;
  /** What is wrong with the message, in Zipkin's words; empty: nothing. */
  problem = '';
  report!: DecodeReport;
  /** The header read last: `type << 16 | id`, and its type. */
  field = 0;
  type = 0;
  /** The last i64 as unsigned words. */
  hi = 0;
  lo = 0;
  /** The last string: text[textFrom, textTo). */
  text: Uint8Array = this.source;
  textFrom = 0;
  textTo = 0;
  #view: DataView = new DataView(new ArrayBuffer(0));
  // Containers being skipped: their types and how many values are to come.
  readonly #outer = new Uint8Array(DEPTH_MAX);
  readonly #keys = new Uint8Array(DEPTH_MAX);
  readonly #values = new Uint8Array(DEPTH_MAX);
  readonly #left = new Float64Array(DEPTH_MAX);

  open(source: Uint8Array, report: DecodeReport): void {
    this.source = source;
    this.#view = new DataView(source.buffer, source.byteOffset, source.byteLength);
    this.at = 0;
    this.end = source.length;
    this.problem = '';
    this.report = report;
  }

  fail(problem: string): void {
    if (this.problem === '') this.problem = problem;
    this.at = this.end;
  }

  /** Are there so many bytes? If not, the message is cut off. */
  has(bytes: number): boolean {
    const available = this.end - this.at;
    if (bytes <= available) return true;
    this.fail(`Truncated: length ${bytes} > bytes available ${available}`);
    return false;
  }

  u8(): number {
    return this.has(1) ? this.source[this.at++]! : 0;
  }

  i16(): number {
    if (!this.has(2)) return 0;
    this.at += 2;
    return this.#view.getInt16(this.at - 2);
  }

  i32(): number {
    if (!this.has(4)) return 0;
    this.at += 4;
    return this.#view.getInt32(this.at - 4);
  }

  /** An i64 into `hi` and `lo`. */
  words(): void {
    if (!this.has(8)) {
      this.hi = 0;
      this.lo = 0;
      return;
    }
    this.hi = this.#view.getUint32(this.at);
    this.lo = this.#view.getUint32(this.at + 4);
    this.at += 8;
  }

  /** An i64; a bigint beyond 2^53. */
  i64(): number | bigint {
    this.words();
    const high = this.hi | 0;
    if (high < WIDE && high > -WIDE) return high * TWO_32 + this.lo;
    return (BigInt(high) << 32n) | BigInt(this.lo);
  }

  double(): number {
    if (!this.has(8)) return 0;
    this.at += 8;
    return this.#view.getFloat64(this.at - 8);
  }

  /** A count or length; 0 when it is none. */
  length(): number {
    const length = this.i32();
    if (length >= 0) return length;
    this.fail(`Malformed: length ${length}`);
    return 0;
  }

  /** Reads a field's header; false at the end of the struct. */
  nextField(): boolean {
    const type = this.u8();
    if (type === 0) return false;
    this.type = type;
    this.field = (type << 16) | (this.i16() & 0xffff);
    return this.problem === '';
  }

  /** Reads a string as it is; false: the message is cut off. */
  bytes(): boolean {
    const length = this.length();
    this.text = this.source;
    this.textFrom = this.at;
    this.textTo = this.at;
    if (!this.has(length)) return false;
    this.at += length;
    this.textTo = this.at;
    return this.problem === '';
  }

  /** Reads a string as text: U+FFFD stands for what is no UTF-8. */
  string(): boolean {
    if (!this.bytes()) return false;
    this.repair();
    return true;
  }

  /** The string read last as text. Words of four bytes make that cheap for ASCII. */
  repair(): void {
    const view = this.#view;
    const { source, textFrom, textTo } = this;
    let p = textFrom;
    for (; p + 4 <= textTo; p += 4) if ((view.getInt32(p) & 0x80808080) !== 0) break;
    for (; p < textTo; p++) {
      if (source[p]! < 0x80) continue;
      if (isUtf8(source.subarray(textFrom, textTo))) return;
      this.report.normalize('utf8');
      this.text = Buffer.from(decodeUtf8(source, textFrom, textTo));
      this.textFrom = 0;
      this.textTo = this.text.length;
      return;
    }
  }

  /** Reads the type and count of a list; the count is 0 when it cannot be. */
  listOf(): number {
    this.type = this.u8();
    const count = this.length();
    return this.#fits(count, SIZES_MIN[this.type]!) ? count : 0;
  }

  /** Reads the values of a list whose beginning listOf read. */
  skipValues(count: number): void {
    this.#skipRest(this.#openValues(this.type, this.type, count, 1, 0));
  }

  /** Reads a value of any type without keeping it; nesting costs no stack. */
  skip(type: number): void {
    this.#skipRest(this.#skipOrOpen(type, 0));
  }

  #skipRest(opened: number): void {
    let depth = opened;
    while (depth > 0 && this.problem === '') {
      const top = depth - 1;
      if (this.#outer[top] === STRUCT) {
        depth = this.nextField() ? this.#skipOrOpen(this.type, depth) : top;
      } else if (this.#left[top] === 0) depth = top;
      else {
        const types = this.#left[top]!-- % 2 === 0 ? this.#keys : this.#values;
        depth = this.#skipOrOpen(types[top]!, depth);
      }
    }
  }

  /** Reads a plain value, or the beginning of one that holds others. @returns the new depth */
  #skipOrOpen(type: number, depth: number): number {
    const size = SIZES[type]!;
    if (size > 0) {
      if (this.has(size)) this.at += size;
      return depth;
    }
    switch (type) {
      case STRING:
        this.bytes();
        return depth;
      case STRUCT:
        return this.#push(STRUCT, 0, 0, 0, depth);
      case MAP: {
        const key = this.u8();
        const value = this.u8();
        return this.#openValues(key, value, this.length(), 2, depth);
      }
      case SET:
      case LIST: {
        const value = this.u8();
        return this.#openValues(value, value, this.length(), 1, depth);
      }
      default:
        this.fail(`Malformed: type ${type}`);
        return depth;
    }
  }

  /** `count` values, or pairs of a key and a value: `per` is 1 or 2. */
  #openValues(key: number, value: number, count: number, per: number, depth: number): number {
    const keyMin = per === 2 ? SIZES_MIN[key]! : 0;
    const valueMin = SIZES_MIN[value]!;
    const known = valueMin > 0 && (per === 1 || keyMin > 0);
    if (!this.#fits(count, known ? keyMin + valueMin : 0) || count === 0) return depth;
    if (SIZES[value]! > 0 && (per === 1 || SIZES[key]! > 0)) {
      this.at += count * (keyMin + valueMin);
      return depth;
    }
    return this.#push(LIST, key, value, per * count, depth);
  }

  /** Can the bytes that are left hold so many values? */
  #fits(count: number, least: number): boolean {
    if (count === 0) return true;
    if (least === 0) {
      this.fail('Malformed: list of no type');
      return false;
    }
    if (count * least <= this.end - this.at) return true;
    // What Zipkin says when it has read all values there are.
    this.at = this.end;
    return this.has(1);
  }

  #push(outer: number, key: number, value: number, left: number, depth: number): number {
    if (depth === DEPTH_MAX) {
      this.fail('Malformed: maximum skip depth exceeded');
      return depth;
    }
    this.#outer[depth] = outer;
    this.#keys[depth] = key;
    this.#values[depth] = value;
    this.#left[depth] = left;
    return depth + 1;
  }
}
