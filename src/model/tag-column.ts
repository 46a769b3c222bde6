/** Tags of a batch: a key dictionary, one value arena, and where each row's tags end. */
import { ByteDictionary, grown, grown32 } from './byte-dictionary.ts';
import { cutAtCodePoint } from './text.ts';

/** Below this many bytes a loop copies faster than TypedArray.set. */
const LOOP_BYTES_MAX = 40;
/** And four at a time, where there is a view of the source, up to this many. */
const WORDS_BYTES_MAX = 200;
const QUICK_BYTES_MAX = 512;
const BACKSLASH = 0x5c;
const QUOTES = 0x22222222;
const BACKSLASHES = 0x5c5c5c5c;
const ONES = 0x01010101;
const HIGHS = 0x80808080 | 0;

export class TagColumn {
  readonly keys: ByteDictionary;
  /** Key of each tag of all rows. */
  keyIndex: Uint32Array = new Uint32Array(8192);
  /** Values in the layout of Native strings: LEB128 length, bytes. */
  values: Uint8Array = new Uint8Array(1 << 17);
  #view = new DataView(this.values.buffer);
  valueBytes = 0;
  count = 0;
  /** Number of tags up to and with each row. */
  rowEnds: Uint32Array;
  #rowStart = 0;
  #rowValueStart = 0;
  #stamp = 0;
  #duplicates = false;

  constructor(rows: number, seed: number) {
    this.keys = new ByteDictionary(seed, '":');
    this.rowEnds = new Uint32Array(rows);
  }

  get capacityBytes(): number {
    return this.values.length + 4 * this.keyIndex.length;
  }

  /** Where the values of the row being written begin in `values`. */
  get rowValueStart(): number {
    return this.#rowValueStart;
  }

  /** Tags of the row being written. */
  get rowCount(): number {
    return this.count - this.#rowStart;
  }

  beginRow(): void {
    this.#rowStart = this.count;
    this.#rowValueStart = this.valueBytes;
    this.#stamp = (this.#stamp + 1) >>> 0 || 1;
    this.#duplicates = false;
  }

  /** Appends a tag whose key is in the dictionary already; its value follows at once. */
  addKey(key: number): void {
    const keys = this.keys;
    if (keys.marks[key] === this.#stamp) this.#duplicates = true;
    keys.marks[key] = this.#stamp;
    if (this.count === this.keyIndex.length) {
      this.keyIndex = grown32(this.keyIndex, 2 * this.count);
    }
    this.keyIndex[this.count++] = key;
  }

  /**
   * @param view of the source, where there is one: then it is copied faster
   * @returns whether the value was cut at bytesMax
   */
  addValue(
    source: Uint8Array,
    from: number,
    to: number,
    bytesMax: number,
    view?: DataView,
  ): boolean {
    const end = to - from > bytesMax ? cutAtCodePoint(source, from, to, bytesMax) : to;
    const length = end - from;
    if (this.valueBytes + length + 9 > this.values.length) {
      this.#reserve(length + 9);
    }
    const values = this.values;
    let p = this.valueBytes;
    let rest = length;
    for (; rest > 127; rest >>>= 7) values[p++] = (rest & 127) | 128;
    values[p++] = rest;
    if (view !== undefined && length <= WORDS_BYTES_MAX) p = this.#copyWords(view, from, p, length);
    else if (length <= LOOP_BYTES_MAX) for (let i = from; i < end; i++) values[p++] = source[i]!;
    else {
      values.set(source.subarray(from, end), p);
      p += length;
    }
    this.valueBytes = p;
    return end < to;
  }

  /**
   * Appends a tag whose value is the JSON text at source[from…], up to its closing quote: the usual
   * short text without escapes, copied while it is read.
   * @param source the message
   * @returns where the text goes on behind the quote; -1, and nothing is appended, for any other
   */
  addQuoted(key: number, source: DataView, from: number, bytesMax: number): number {
    if (this.valueBytes + QUICK_BYTES_MAX + 9 > this.values.length) {
      this.#reserve(QUICK_BYTES_MAX + 9);
    }
    const values = this.values;
    const view = this.#view;
    const start = this.valueBytes + 1;
    const stop = Math.min(source.byteLength - 4, from + QUICK_BYTES_MAX);
    let p = from;
    let q = start;
    let ends = 0;
    // Four bytes at a time; the lowest set bit of `ends` is in the first quote or backslash.
    for (; p <= stop; p += 4, q += 4) {
      const word = source.getInt32(p, true);
      view.setInt32(q, word, true);
      const quote = word ^ QUOTES;
      const backslash = word ^ BACKSLASHES;
      ends = ((quote - ONES) & ~quote & HIGHS) | ((backslash - ONES) & ~backslash & HIGHS);
      if (ends !== 0) break;
    }
    if (ends === 0) return -1;
    const within = (31 - Math.clz32(ends & -ends)) >>> 3;
    p += within;
    q += within;
    const length = q - start;
    if (source.getUint8(p) === BACKSLASH || length > bytesMax) return -1;
    if (length < 128) values[start - 1] = length;
    else {
      values.copyWithin(start + 1, start, q++);
      values[start - 1] = (length & 127) | 128;
      values[start] = length >>> 7;
    }
    this.valueBytes = q;
    this.addKey(key);
    return p + 1;
  }

  endRow(row: number): void {
    if (this.#duplicates) this.#keepLastOfEach();
    this.rowEnds[row] = this.count;
  }

  truncate(count: number, valueBytes: number): void {
    this.count = count;
    this.valueBytes = valueBytes;
  }

  reset(): void {
    this.count = 0;
    this.valueBytes = 0;
    this.#stamp = 0;
    this.keys.reset();
  }

  grow(rows: number): void {
    this.rowEnds = grown32(this.rowEnds, rows);
  }

  /** Copies up to three bytes too many: there is room, and what follows overwrites them. */
  #copyWords(source: DataView, from: number, at: number, length: number): number {
    const view = this.#view;
    const words = Math.min(length, source.byteLength - from - 3);
    let done = 0;
    for (; done < words; done += 4) {
      view.setInt32(at + done, source.getInt32(from + done, true), true);
    }
    for (; done < length; done++) this.values[at + done] = source.getUint8(from + done);
    return at + length;
  }

  #reserve(bytes: number): void {
    this.values = grown(this.values, this.valueBytes + bytes);
    this.#view = new DataView(this.values.buffer);
  }

  #keepLastOfEach(): void {
    const last = new Map<number, Uint8Array>();
    let p = this.#rowValueStart;
    for (let i = this.#rowStart; i < this.count; i++) {
      const start = p;
      let length = 0;
      for (let shift = 0; ; shift += 7) {
        const c = this.values[p++]!;
        length |= (c & 127) << shift;
        if (c < 128) break;
      }
      p += length;
      last.set(this.keyIndex[i]!, this.values.slice(start, p));
    }
    this.count = this.#rowStart;
    this.valueBytes = this.#rowValueStart;
    for (const [key, value] of last) {
      this.keyIndex[this.count++] = key;
      this.values.set(value, this.valueBytes);
      this.valueBytes += value.length;
    }
  }
}
