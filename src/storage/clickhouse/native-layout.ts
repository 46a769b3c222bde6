/**
 * Reads the columns of a Native block (grammar in block-buffer.ts) without decoding them, so that
 * some of their rows can be written again, as Native or as RowBinary. Knows the types of `spans`,
 * by whichever version of the program or of ClickHouse they were written.
 */
import type { BlockBuffer } from './block-buffer.ts';

/** Values of a column, or of what is nested in it. */
export interface Values {
  /** Writes what belongs before everything else of the column. */
  prefix(out: BlockBuffer): void;
  /** Writes the values with these numbers, in their order. */
  take(out: BlockBuffer, picks: readonly number[]): void;
  /** Writes one value as RowBinary has it (grammar in row-reader.ts). */
  row(out: BlockBuffer, pick: number): void;
}

/** @throws RangeError beyond the end */
export class NativeReader {
  readonly bytes: Buffer;
  at = 0;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  varuint(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.bytes.readUInt8(this.at++);
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
    throw new RangeError('a length of more than five bytes');
  }

  text(): string {
    const { start, end } = this.string();
    return this.bytes.toString('utf8', start, end);
  }

  /** Where the bytes of a string are; the reader is behind them. */
  string(): { start: number; end: number } {
    const length = this.varuint();
    const start = this.at;
    this.skip(length);
    return { start, end: this.at };
  }

  uint64(): number {
    const from = this.skip(8);
    return this.bytes.readUInt32LE(from) + this.bytes.readUInt32LE(from + 4) * 2 ** 32;
  }

  /** @returns where it was */
  skip(length: number): number {
    const from = this.at;
    if (from + length > this.bytes.byteLength) throw new RangeError('the block ends early');
    this.at += length;
    return from;
  }
}

const FIXED_BYTES: ReadonlyMap<string, number> = new Map([
  ['UInt8', 1],
  ['Bool', 1],
  ['Enum8', 1],
  ['UInt16', 2],
  ['UInt32', 4],
  ['IPv4', 4],
  ['UInt64', 8],
  ['Int64', 8],
  ['DateTime64', 8],
  ['IPv6', 16],
]);

/** The layout of a type, as far as it matters here. */
type Layout =
  | { readonly of: 'fixed'; readonly bytes: number }
  | { readonly of: 'string' | 'low-cardinality' }
  | { readonly of: 'array'; readonly elements: readonly Layout[] };

/** @throws Error for types that no column of `spans` has */
function layoutOf(type: string): Layout {
  const [, name = '', inner = ''] = /^(\w+)(?:\((.*)\))?$/s.exec(type) ?? [];
  const bytes = FIXED_BYTES.get(name);
  if (bytes !== undefined) return { of: 'fixed', bytes };
  if (type === 'String') return { of: 'string' };
  if (type === 'LowCardinality(String)') return { of: 'low-cardinality' };
  if (name === 'Array') return { of: 'array', elements: [layoutOf(inner)] };
  const [key, value] = inner.split(/,\s*/);
  if (name === 'Map' && key !== undefined && value !== undefined) {
    return { of: 'array', elements: [layoutOf(key), layoutOf(value)] };
  }
  throw new Error(`a column of type ${type} cannot be divided`);
}

/** @returns the column's values; the reader is behind them */
export function readColumn(reader: NativeReader, type: string, rows: number): Values {
  const layout = layoutOf(type);
  readPrefix(reader, layout);
  return readValues(reader, layout, rows);
}

function readPrefix(reader: NativeReader, layout: Layout): void {
  if (layout.of === 'array') for (const element of layout.elements) readPrefix(reader, element);
  if (layout.of === 'low-cardinality' && reader.uint64() !== 1) {
    throw new Error('a dictionary of another version');
  }
}

function readValues(reader: NativeReader, layout: Layout, count: number): Values {
  if (layout.of === 'fixed') return new FixedValues(reader, layout.bytes, count);
  if (layout.of === 'array') return new ArrayValues(reader, layout.elements, count);
  return layout.of === 'string'
    ? new StringValues(reader, count)
    : new DictionaryValues(reader, count);
}

/** Calls with each run of neighbours. */
function forRuns(picks: readonly number[], use: (from: number, to: number) => void): void {
  for (let i = 0; i < picks.length;) {
    const from = picks[i]!;
    let to = from;
    while (i < picks.length && picks[i] === to) {
      to++;
      i++;
    }
    use(from, to);
  }
}

export class FixedValues implements Values {
  /** One behind the other. */
  readonly bytes: Buffer;
  readonly #width: number;

  constructor(reader: NativeReader, width: number, count: number) {
    const from = reader.skip(width * count);
    this.#width = width;
    this.bytes = reader.bytes.subarray(from, reader.at);
  }

  prefix(): void {
    // None.
  }

  take(out: BlockBuffer, picks: readonly number[]): void {
    const width = this.#width;
    forRuns(picks, (from, to) => {
      out.bytes(this.bytes.subarray(from * width, to * width), (to - from) * width);
    });
  }

  row(out: BlockBuffer, pick: number): void {
    const width = this.#width;
    out.bytes(this.bytes.subarray(pick * width, (pick + 1) * width), width);
  }
}

/** Strings with their lengths before them. */
export class StringValues implements Values {
  readonly #bytes: Buffer;
  /** Where each begins, and where the last ends. */
  readonly #starts: Float64Array;

  constructor(reader: NativeReader, count: number) {
    this.#bytes = reader.bytes;
    // Each takes a byte at least: a damaged count must not make us allocate for it.
    if (count > reader.bytes.byteLength) throw new RangeError('more strings than bytes');
    this.#starts = startsOf(reader, count);
  }

  prefix(): void {
    // None.
  }

  take(out: BlockBuffer, picks: readonly number[]): void {
    forRuns(picks, (first, behind) => {
      const from = this.#starts[first]!;
      const to = this.#starts[behind]!;
      out.bytes(this.#bytes.subarray(from, to), to - from);
    });
  }

  row(out: BlockBuffer, pick: number): void {
    const from = this.#starts[pick]!;
    const to = this.#starts[pick + 1]!;
    out.bytes(this.#bytes.subarray(from, to), to - from);
  }

  /** @param value with its length before it */
  equals(pick: number, value: Buffer): boolean {
    const from = this.#starts[pick]!;
    const to = this.#starts[pick + 1]!;
    return to - from === value.byteLength && value.compare(this.#bytes, from, to) === 0;
  }
}

/** Where strings begin, and where the last ends. Most are short, so this is a loop over bytes. */
function startsOf(reader: NativeReader, count: number): Float64Array {
  const { bytes } = reader;
  const starts = new Float64Array(count + 1);
  let at = reader.at;
  for (let i = 0; i < count; i++) {
    starts[i] = at;
    const length = bytes[at]!;
    if (length < 128) {
      at += length + 1;
    } else {
      // Also where the bytes have ended and there is no length.
      reader.at = at;
      at = reader.string().end;
    }
  }
  if (at > bytes.byteLength) throw new RangeError('the block ends early');
  starts[count] = at;
  reader.at = at;
  return starts;
}

/** Of the keys only those in use are written again: many parts may have few rows each. */
export class DictionaryValues implements Values {
  /** The number of the key of each value. */
  readonly index: Uint32Array;
  readonly #keys: StringValues | undefined;
  readonly #keyCount: number = 0;

  constructor(reader: NativeReader, count: number) {
    if (count > reader.bytes.byteLength) throw new RangeError('more values than bytes');
    this.index = new Uint32Array(count);
    if (count === 0) return;
    const width = 1 << (reader.uint64() & 0xff);
    this.#keyCount = reader.uint64();
    this.#keys = new StringValues(reader, this.#keyCount);
    if (reader.uint64() !== count || width > 4) throw new Error('a dictionary of another form');
    const from = reader.skip(width * count);
    const { bytes } = reader;
    for (let i = 0; i < count; i++) {
      const key = width === 1 ? bytes[from + i]! : bytes.readUIntLE(from + width * i, width);
      if (key >= this.#keyCount) throw new RangeError('a key that is not there');
      this.index[i] = key;
    }
  }

  prefix(out: BlockBuffer): void {
    out.lowCardinalityPrefix();
  }

  take(out: BlockBuffer, picks: readonly number[]): void {
    const { keys, index } = this.#used(picks);
    if (index.length === 0) return;
    out.lowCardinalityHead(keys.length);
    this.#keys?.take(out, keys);
    out.lowCardinalityIndex(index, index.length, keys.length);
  }

  row(out: BlockBuffer, pick: number): void {
    this.#keys?.row(out, this.index[pick]!);
  }

  /** @param key with its length before it. @returns its number, -1: no value has it */
  numberOf(key: Buffer): number {
    for (let n = 0; n < this.#keyCount; n++) if (this.#keys!.equals(n, key)) return n;
    return -1;
  }

  #used(picks: readonly number[]): { keys: number[]; index: Uint32Array } {
    const keys = [...new Set(picks.map((pick) => this.index[pick]!))];
    const places = new Map(keys.map((key, place) => [key, place]));
    return { keys, index: Uint32Array.from(picks, (pick) => places.get(this.index[pick]!)!) };
  }
}

/** Array(T), and Map(K, V) as the arrays of its keys and of its values. */
export class ArrayValues implements Values {
  /** Of keys and of values for a Map. */
  readonly elements: readonly Values[];
  readonly #ends: Float64Array;

  constructor(reader: NativeReader, elements: readonly Layout[], count: number) {
    if (count * 8 > reader.bytes.byteLength) throw new RangeError('more arrays than bytes');
    this.#ends = new Float64Array(count);
    let total = 0;
    for (let row = 0; row < count; row++) {
      const end = reader.uint64();
      if (end < total) throw new RangeError('an array that ends before it begins');
      this.#ends[row] = end;
      total = end;
    }
    if (total > reader.bytes.byteLength) throw new RangeError('more elements than bytes');
    this.elements = elements.map((layout) => readValues(reader, layout, total));
  }

  prefix(out: BlockBuffer): void {
    for (const element of this.elements) element.prefix(out);
  }

  take(out: BlockBuffer, picks: readonly number[]): void {
    const inner: number[] = [];
    const ends = new Uint32Array(picks.length);
    for (const [place, pick] of picks.entries()) {
      const { from, to } = this.range(pick);
      for (let element = from; element < to; element++) inner.push(element);
      ends[place] = inner.length;
    }
    out.offsets(ends, picks.length);
    for (const element of this.elements) element.take(out, inner);
  }

  row(out: BlockBuffer, pick: number): void {
    const { from, to } = this.range(pick);
    out.varuint(to - from);
    for (let element = from; element < to; element++) {
      for (const values of this.elements) values.row(out, element);
    }
  }

  /** Which elements are of a row: the first, and the one behind the last. */
  range(row: number): { from: number; to: number } {
    return { from: row === 0 ? 0 : this.#ends[row - 1]!, to: this.#ends[row]! };
  }
}
