/**
 * Strict JSON (RFC 8259) read byte by byte, without values being made: what every JSON codec of
 * this folder shares. Raw control characters inside strings are let pass, as Gson does.
 * Syntax errors are thrown as MALFORMED or TRUNCATED and caught at the codec's boundary.
 */
import type { Spelling } from './json-text.ts';

export const MALFORMED = new Error('Malformed');
export const TRUNCATED = new Error('End of input');

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const QUOTES = 0x22222222;
const BACKSLASHES = 0x5c5c5c5c;
const ONES = 0x01010101;
const HIGHS = 0x80808080 | 0;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;
const COMMA = 0x2c;
const COLON = 0x3a;

/** Characters that end an escape: `\n` -> 10, … ; 0 where there is no such escape. */
const ESCAPES = new Uint8Array(128);
for (const [from, to] of ['""', '\\\\', '//', 'b\b', 'f\f', 'n\n', 'r\r', 't\t']) {
  ESCAPES[from!.charCodeAt(0)] = to!.charCodeAt(0);
}

/** Value of a lower-case hex digit; 256 for any other byte. */
const LOWER_HEX = new Uint16Array(256).fill(256);
for (let i = 0; i < 16; i++) LOWER_HEX[i.toString(16).charCodeAt(0)] = i;

const isSpace = (c: number): boolean => c === 0x20 || c === 0x0a || c === 0x0d || c === 0x09;
const isDigit = (c: number): boolean => c >= 0x30 && c <= 0x39;

export type ValueKind = 'string' | 'number' | 'object' | 'list' | 'null' | 'boolean';

export class JsonReader {
  source: Uint8Array = new Uint8Array(0);
  view: DataView = new DataView(new ArrayBuffer(0));
  p = 0;
  end = 0;
  /** The string or number read last: text[textFrom, textTo), in the source or unescaped. */
  text: Uint8Array = new Uint8Array(0);
  textFrom = 0;
  textTo = 0;
  /** Whether unescaping met a lone surrogate, which becomes `?` as in Java. */
  loneSurrogate = false;
  #scratch: Uint8Array = new Uint8Array(1024);
  #nesting: Uint8Array = new Uint8Array(64);

  /** @param source valid UTF-8 */
  open(source: Uint8Array): void {
    this.source = source;
    this.view = new DataView(source.buffer, source.byteOffset, source.length);
    this.p = 0;
    this.end = source.length;
  }

  /** The first byte that is no white space; it stays unread. */
  peek(): number {
    const source = this.source;
    let c = source[this.p]!;
    while (c <= 0x20 && isSpace(c)) c = source[++this.p]!;
    if (this.p >= this.end) throw TRUNCATED;
    return c;
  }

  expect(wanted: number): void {
    if (this.peek() !== wanted) throw MALFORMED;
    this.p++;
  }

  /** After a member or element: true to go on, false when `close` was read. */
  more(close: number): boolean {
    const c = this.peek();
    this.p++;
    if (c === COMMA) return true;
    if (c !== close) throw MALFORMED;
    return false;
  }

  /** Is the object or list that was just opened empty? Then its end is read. */
  closesAtOnce(close: number): boolean {
    if (this.peek() !== close) return false;
    this.p++;
    return true;
  }

  /** Reads the quote that begins a member name. */
  openName(): void {
    if (this.peek() !== QUOTE) throw MALFORMED;
    this.p++;
  }

  /**
   * Is the text at the present place exactly `name`, which ends in `":`? Then it is read, and a
   * blank behind it, as Python writes one.
   */
  takesName(name: Spelling): boolean {
    if (!name.isAt(this.view, this.p, this.end)) return false;
    const after = this.p + name.length;
    this.p = this.source[after] === 0x20 ? after + 1 : after;
    return true;
  }

  /** Reads a member name of any form behind its quote, and the colon. */
  readName(): void {
    this.readString();
    this.expect(COLON);
  }

  /** Reads a string behind its opening quote into `text`. */
  readString(): void {
    const { source, end } = this;
    const from = this.p;
    for (let p = this.plainEnd(from); p < end; p++) {
      const c = source[p]!;
      if (c === QUOTE) {
        this.text = source;
        this.textFrom = from;
        this.textTo = p;
        this.p = p + 1;
        return;
      }
      if (c === BACKSLASH) {
        this.#unescape(from, p);
        return;
      }
    }
    throw TRUNCATED;
  }

  /**
   * Where the first quote or backslash may be: everything before is neither. Four bytes at a time,
   * so up to the last three bytes of the source, which the caller looks at one by one.
   */
  plainEnd(from: number): number {
    const { view } = this;
    const last = this.end - 4;
    for (let p = from; p <= last; p += 4) {
      const word = view.getInt32(p, true);
      const quote = word ^ QUOTES;
      const backslash = word ^ BACKSLASHES;
      const ends = ((quote - ONES) & ~quote & HIGHS) | ((backslash - ONES) & ~backslash & HIGHS);
      if (ends !== 0) return p + ((31 - Math.clz32(ends & -ends)) >>> 3);
    }
    return last < from ? from : from + ((last - from + 4) & ~3);
  }

  /** Reads a number token into `text`; its grammar is checked. */
  readNumber(): void {
    const { source } = this;
    const from = this.p;
    let p = from;
    if (source[p] === 0x2d) p++;
    if (source[p] === 0x30) p++;
    else p = this.#digits(p);
    if (source[p] === 0x2e) p = this.#digits(p + 1);
    if ((source[p]! | 0x20) === 0x65) {
      p++;
      if (source[p] === 0x2b || source[p] === 0x2d) p++;
      p = this.#digits(p);
    }
    this.text = source;
    this.textFrom = from;
    this.textTo = p;
    this.p = p;
  }

  /** What begins at the present place; nothing is read. */
  kind(): ValueKind {
    const c = this.peek();
    if (c === QUOTE) return 'string';
    if (c === OPEN_OBJECT) return 'object';
    if (c === OPEN_LIST) return 'list';
    if (c === 0x2d || isDigit(c)) return 'number';
    return (c | 0x20) === 0x6e ? 'null' : 'boolean';
  }

  /** Reads true, false or null, in any case as Gson does; the lower-case first letter. */
  readLiteral(): number {
    const first = this.peek() | 0x20;
    const word = first === 0x74 ? 'true' : first === 0x66 ? 'false' : 'null';
    for (let i = 0; i < word.length; i++) {
      if (this.p + i >= this.end) throw TRUNCATED;
      if ((this.source[this.p + i]! | 0x20) !== word.charCodeAt(i)) throw MALFORMED;
    }
    this.p += word.length;
    return first;
  }

  /** Reads any value without keeping it; nesting costs a byte a level, no stack. */
  skipValue(): void {
    let depth = 0;
    for (;;) {
      const c = this.peek();
      if (c === OPEN_OBJECT || c === OPEN_LIST) {
        this.p++;
        const close = c + 2;
        if (!this.closesAtOnce(close)) {
          if (depth === this.#nesting.length) this.#deepen();
          this.#nesting[depth++] = close;
          if (close === CLOSE_OBJECT) this.#skipName();
          continue;
        }
      } else this.#skipScalar(c);
      for (;;) {
        if (depth === 0) return;
        const close = this.#nesting[depth - 1]!;
        if (this.more(close)) {
          if (close === CLOSE_OBJECT) this.#skipName();
          break;
        }
        depth--;
      }
    }
  }

  textString(): string {
    const { text, textFrom, textTo } = this;
    return Buffer.from(text.buffer, text.byteOffset + textFrom, textTo - textFrom).toString('utf8');
  }

  /** Where reading stopped, as Gson counts: `line 1 column 26`. */
  place(): string {
    let line = 1;
    let lineStart = 0;
    for (let i = 0; i < Math.min(this.p, this.end); i++) {
      if (this.source[i] !== 0x0a) continue;
      line++;
      lineStart = i + 1;
    }
    return `line ${line} column ${Math.min(this.p, this.end) - lineStart + 1}`;
  }

  #skipName(): void {
    this.openName();
    this.#skipString();
    this.expect(COLON);
  }

  #skipString(): void {
    const { source, end } = this;
    for (let p = this.plainEnd(this.p); p < end; p++) {
      const c = source[p]!;
      if (c === QUOTE) {
        this.p = p + 1;
        return;
      }
      if (c === BACKSLASH) {
        this.readString();
        return;
      }
    }
    throw TRUNCATED;
  }

  #skipScalar(c: number): void {
    if (c === QUOTE) {
      this.p++;
      this.#skipString();
    } else if (c === 0x2d || isDigit(c)) this.readNumber();
    else this.readLiteral();
  }

  #digits(from: number): number {
    let p = from;
    while (isDigit(this.source[p]!)) p++;
    if (p === from) throw p >= this.end ? TRUNCATED : MALFORMED;
    return p;
  }

  #deepen(): void {
    const deeper = new Uint8Array(2 * this.#nesting.length);
    deeper.set(this.#nesting);
    this.#nesting = deeper;
  }

  /** The string from `from`, whose first backslash is at `at`, into the scratch. */
  #unescape(from: number, at: number): void {
    const { source, end } = this;
    let out = 0;
    let p = at;
    this.#reserve(at - from + 8);
    this.#scratch.set(source.subarray(from, at));
    out = at - from;
    while (p < end) {
      const c = source[p]!;
      if (out + 8 > this.#scratch.length) this.#reserve(2 * this.#scratch.length);
      if (c === QUOTE) {
        this.text = this.#scratch;
        this.textFrom = 0;
        this.textTo = out;
        this.p = p + 1;
        return;
      }
      if (c !== BACKSLASH) {
        this.#scratch[out++] = c;
        p++;
        continue;
      }
      const escape = source[p + 1];
      if (escape === 0x75) {
        const unit = this.#codeUnit(p + 2);
        p += 6;
        const pairs =
          unit >= 0xd800 && unit < 0xdc00 && source[p] === BACKSLASH && source[p + 1] === 0x75;
        const low = pairs ? this.#codeUnit(p + 2) : 0;
        if (low >= 0xdc00 && low < 0xe000) {
          p += 6;
          out = this.#putCodePoint(out, 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00));
        } else out = this.#putCodePoint(out, unit);
        continue;
      }
      const plain = ESCAPES[escape ?? 0] ?? 0;
      if (plain === 0) throw p + 1 >= end ? TRUNCATED : MALFORMED;
      this.#scratch[out++] = plain;
      p += 2;
    }
    throw TRUNCATED;
  }

  #codeUnit(at: number): number {
    if (at + 4 > this.end) throw TRUNCATED;
    let unit = 0;
    for (let i = at; i < at + 4; i++) {
      const c = this.source[i]!;
      const digit = LOWER_HEX[c >= 0x41 && c <= 0x46 ? c | 0x20 : c]!;
      if (digit === 256) throw MALFORMED;
      unit = unit * 16 + digit;
    }
    return unit;
  }

  #putCodePoint(at: number, codePoint: number): number {
    const out = this.#scratch;
    let p = at;
    if (codePoint < 0x80) out[p++] = codePoint;
    else if (codePoint < 0x800) {
      out[p++] = 0xc0 | (codePoint >> 6);
      out[p++] = 0x80 | (codePoint & 63);
    } else if (codePoint >= 0xd800 && codePoint < 0xe000) {
      this.loneSurrogate = true;
      out[p++] = 0x3f;
    } else {
      if (codePoint < 0x10000) out[p++] = 0xe0 | (codePoint >> 12);
      else {
        out[p++] = 0xf0 | (codePoint >> 18);
        out[p++] = 0x80 | ((codePoint >> 12) & 63);
      }
      out[p++] = 0x80 | ((codePoint >> 6) & 63);
      out[p++] = 0x80 | (codePoint & 63);
    }
    return p;
  }

  #reserve(bytes: number): void {
    if (this.#scratch.length >= bytes) return;
    const larger = new Uint8Array(bytes);
    larger.set(this.#scratch);
    this.#scratch = larger;
  }
}

export { CLOSE_LIST, CLOSE_OBJECT, COLON, COMMA, OPEN_LIST, OPEN_OBJECT, QUOTE, isDigit };
