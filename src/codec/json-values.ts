/**
 * Values of members that every JSON form of a span shares: ids, texts and 64-bit integers with the
 * lenient readings of types, each counted.
 */
import type { DecodeReport } from '../model/decode-report.ts';
import type { NormalizeRule } from '../model/reasons.ts';
import { CLOSE_OBJECT, JsonReader, LOWER_HEX, QUOTE, isDigit } from './json-reader.ts';
import { integerOf } from './json-text.ts';

export class JsonValues {
  readonly reader = new JsonReader();
  report!: DecodeReport;
  /** The halves of what hex16() read last. */
  hi = 0;
  lo = 0;

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
    const { source } = this.reader;
    let hi = 0;
    let lo = 0;
    let seen = 0;
    for (let i = at; i < at + 8; i++) {
      const digit = LOWER_HEX[source[i]!]!;
      seen |= digit;
      hi = (hi << 4) | digit;
    }
    for (let i = at + 8; i < at + 16; i++) {
      const digit = LOWER_HEX[source[i]!]!;
      seen |= digit;
      lo = (lo << 4) | digit;
    }
    this.hi = hi >>> 0;
    this.lo = lo >>> 0;
    return seen < 256;
  }

  /** An integer of 64 bits; undefined: null, or nothing that could be one, counted as `dropped`. */
  integer(dropped: NormalizeRule = 'time_dropped'): number | bigint | undefined {
    const r = this.reader;
    const { source } = r;
    if (source[r.p]! <= 0x20) r.peek();
    let p = r.p;
    let value = 0;
    for (let c = source[p]!; isDigit(c); c = source[++p]!) value = value * 10 + c - 0x30;
    const digits = p - r.p;
    const next = source[p];
    const whole = next === 0x2c || next === CLOSE_OBJECT;
    if (whole && digits > 0 && digits < 16 && (source[r.p] !== 0x30 || digits === 1)) {
      r.p = p;
      return value;
    }
    if (whole && digits === 16 && source[r.p]! < 0x39 && source[r.p] !== 0x30) {
      r.p = p;
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
