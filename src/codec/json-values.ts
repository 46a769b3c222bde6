/**
 * Values of members that every JSON form of a span shares: ids, texts and 64-bit integers with the
 * lenient readings of types, each counted.
 */
import type { DecodeReport } from '../model/decode-report.ts';
import type { NormalizeRule } from '../model/reasons.ts';
import { CLOSE_OBJECT, COMMA, JsonReader, QUOTE } from './json-reader.ts';
import { integerOf } from './json-text.ts';

/** By two characters: the byte that they are in lower-case hex; 256: they are not. */
const HEX_PAIRS = new Uint16Array(65_536).fill(256);
for (let byte = 0; byte < 256; byte++) {
  HEX_PAIRS[Buffer.from(byte.toString(16).padStart(2, '0')).readUInt16BE(0)] = byte;
}

const ZEROS = 0x30303030;
const SIXES = 0x06060606;
const HIGH_HALVES = 0xf0f0f0f0 | 0;

/** The number that four digits make, the first in the lowest byte. */
function four(digits: number): number {
  const pairs = (Math.imul(digits, 10) + (digits >>> 8)) & 0x00ff00ff;
  return (Math.imul(pairs, 100) + (pairs >>> 16)) & 0xffff;
}

export class JsonValues {
  readonly reader = new JsonReader();
  report!: DecodeReport;
  /** The halves of what hex16() read last. */
  hi = 0;
  lo = 0;
  /** Where the number that digits() read last ends. */
  digitsEnd = 0;

  /** Reads a string or number into the reader's text. */
  readText(): void {
    const r = this.reader;
    if (r.peek() === QUOTE) {
      r.p++;
      r.readString();
    } else r.readNumber();
  }

  /**
   * Reads a value that should be text into the reader's text; false: there is none. Numbers and
   * booleans count as their text, as Gson has it for numbers.
   */
  readLenientText(): boolean {
    const r = this.reader;
    const c = r.peek();
    if (c === QUOTE) {
      r.p++;
      r.readString();
      return true;
    }
    const kind = r.kind();
    if (kind === 'number') {
      r.readNumber();
      return true;
    }
    const from = r.p;
    r.skipValue();
    if (kind === 'null') return false;
    this.report.normalize('text_typed');
    r.text = r.source;
    r.textFrom = from;
    r.textTo = r.p;
    return kind === 'boolean';
  }

  /** The text of a string or number; undefined, and it stays unread: it is neither. */
  scalarText(): string | undefined {
    const kind = this.reader.kind();
    if (kind !== 'string' && kind !== 'number') return undefined;
    this.readText();
    return this.reader.textString();
  }

  /** Sixteen lower-case hex digits at `at` into hi and lo; false: they are not. */
  hex16(at: number): boolean {
    const { view, end } = this.reader;
    if (at + 16 > end) return false;
    const a = HEX_PAIRS[view.getUint16(at)]!;
    const b = HEX_PAIRS[view.getUint16(at + 2)]!;
    const c = HEX_PAIRS[view.getUint16(at + 4)]!;
    const d = HEX_PAIRS[view.getUint16(at + 6)]!;
    const e = HEX_PAIRS[view.getUint16(at + 8)]!;
    const f = HEX_PAIRS[view.getUint16(at + 10)]!;
    const g = HEX_PAIRS[view.getUint16(at + 12)]!;
    const h = HEX_PAIRS[view.getUint16(at + 14)]!;
    this.hi = ((a << 24) | (b << 16) | (c << 8) | d) >>> 0;
    this.lo = ((e << 24) | (f << 16) | (g << 8) | h) >>> 0;
    return (a | b | c | d | e | f | g | h) < 256;
  }

  /** A number of exactly 16 digits below 9e15 that a comma or brace follows; -1: something else. */
  digits16(at: number): number {
    const { view, source, end } = this.reader;
    if (at + 16 >= end) return -1;
    const next = source[at + 16];
    const first = source[at]!;
    if ((next !== COMMA && next !== CLOSE_OBJECT) || first === 0x30 || first === 0x39) return -1;
    const a = view.getInt32(at, true) ^ ZEROS;
    const b = view.getInt32(at + 4, true) ^ ZEROS;
    const c = view.getInt32(at + 8, true) ^ ZEROS;
    const d = view.getInt32(at + 12, true) ^ ZEROS;
    const over = (a + SIXES) | (b + SIXES) | (c + SIXES) | (d + SIXES);
    if (((over | a | b | c | d) & HIGH_HALVES) !== 0) return -1;
    const high = Math.imul(four(a), 10_000) + four(b);
    return high * 100_000_000 + Math.imul(four(c), 10_000) + four(d);
  }

  /**
   * A number of 1 to 9 digits that a comma or brace follows, which is at `digitsEnd` then; -1:
   * something else.
   */
  digits(at: number): number {
    const { source } = this.reader;
    let p = at;
    let value = 0;
    let c = source[p]!;
    for (; c >= 0x30 && c <= 0x39; c = source[++p]!) value = (Math.imul(value, 10) + c - 0x30) | 0;
    this.digitsEnd = p;
    const count = p - at;
    const plain = count > 0 && count < 10 && (source[at] !== 0x30 || count === 1);
    return plain && (c === COMMA || c === CLOSE_OBJECT) ? value : -1;
  }

  /** An integer of 64 bits; undefined: null, or nothing that could be one, counted as `dropped`. */
  integer(dropped: NormalizeRule = 'time_dropped'): number | bigint | undefined {
    const r = this.reader;
    if (r.source[r.p]! <= 0x20) r.peek();
    const wide = this.digits16(r.p);
    if (wide >= 0) {
      r.p += 16;
      return wide;
    }
    const value = this.digits(r.p);
    if (value >= 0) {
      r.p = this.digitsEnd;
      return value;
    }
    return this.#oddInteger(dropped);
  }

  #oddInteger(dropped: NormalizeRule): number | bigint | undefined {
    const r = this.reader;
    const text = this.scalarText();
    if (text === undefined) {
      if (r.kind() !== 'null') this.report.normalize(dropped);
      r.skipValue();
      return undefined;
    }
    const value = integerOf(text);
    if (Number.isNaN(value)) {
      this.report.normalize(dropped);
      return undefined;
    }
    if (/[.e]/i.test(text) && !Number.isInteger(Number(text)))
      this.report.normalize('fraction_floored');
    return value;
  }
}
