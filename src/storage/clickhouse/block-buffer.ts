/**
 * Writes the parts of a ClickHouse Native block into one growing buffer.
 *
 *   block        := varuint(columns) varuint(rows) column*
 *   column       := string(name) string(type) data
 *   string       := varuint(bytes) bytes
 *   Array(T)     := prefix(T) uint64(end of row)* T*            ; ends count elements
 *   Map(K,V)     := prefix(K) prefix(V) uint64(end of row)* K* V*
 *   LowCardinality(String) := prefix body
 *     prefix     := uint64(1)                                   ; version: keys are in the block
 *     body       := uint64(width | 0x600) uint64(keys) string* uint64(n) index*  ; none when n = 0
 *     width      := 0: UInt8 | 1: UInt16 | 2: UInt32
 *
 * Source: ClickHouse SerializationLowCardinality.cpp, NativeWriter.cpp. Little endian throughout.
 */
import type { ByteDictionary } from '../../model/byte-dictionary.ts';

const LOW_CARDINALITY_VERSION = 1;
const HAS_KEYS_AND_UPDATES = 0x600;

const BYTES_MIN = 1 << 20;
/** A buffer that one large group has made larger is let go. */
const BYTES_KEPT = 1 << 25;

const widthOf = (keys: number): number => (keys <= 256 ? 0 : keys <= 65_536 ? 1 : 2);

export class BlockBuffer {
  #buffer = Buffer.allocUnsafeSlow(BYTES_MIN);
  #length = 0;

  clear(): void {
    if (this.#buffer.length > BYTES_KEPT) this.#buffer = Buffer.allocUnsafeSlow(BYTES_MIN);
    this.#length = 0;
  }

  /** What was written since clear; valid until then. */
  written(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }

  varuint(value: number): void {
    this.#reserve(5);
    let rest = value;
    for (; rest > 127; rest >>>= 7) this.#buffer[this.#length++] = (rest & 127) | 128;
    this.#buffer[this.#length++] = rest;
  }

  string(value: string): void {
    const bytes = Buffer.byteLength(value);
    this.varuint(bytes);
    this.#reserve(bytes);
    this.#length += this.#buffer.write(value, this.#length, 'utf8');
  }

  bytes(source: Uint8Array, length: number): void {
    this.#reserve(length);
    this.#buffer.set(source.subarray(0, length), this.#length);
    this.#length += length;
  }

  words(source: Uint32Array, count: number): void {
    this.bytes(new Uint8Array(source.buffer, source.byteOffset, 4 * count), 4 * count);
  }

  halves(source: Uint16Array, count: number): void {
    this.bytes(new Uint8Array(source.buffer, source.byteOffset, 2 * count), 2 * count);
  }

  uint64(value: number): void {
    this.#reserve(8);
    this.#length = this.#buffer.writeUInt32LE(value >>> 0, this.#length);
    this.#length = this.#buffer.writeUInt32LE(Math.floor(value / 2 ** 32), this.#length);
  }

  constant64(value: bigint, count: number): void {
    if (count === 0) return;
    this.#reserve(8 * count);
    const start = this.#length;
    this.#buffer.writeBigUInt64LE(value, start);
    this.#length += 8 * count;
    for (let done = 8; done < 8 * count; done *= 2) {
      this.#buffer.copyWithin(start + done, start, start + Math.min(done, 8 * count - done));
    }
  }

  /** Row ends as UInt64. */
  offsets(ends: Uint32Array, rows: number): void {
    this.#reserve(8 * rows);
    const buffer = this.#buffer;
    let p = this.#length;
    for (let row = 0; row < rows; row++, p += 8) {
      const end = ends[row]!;
      buffer[p] = end;
      buffer[p + 1] = end >>> 8;
      buffer[p + 2] = end >>> 16;
      buffer[p + 3] = end >>> 24;
      buffer[p + 4] = 0;
      buffer[p + 5] = 0;
      buffer[p + 6] = 0;
      buffer[p + 7] = 0;
    }
    this.#length = p;
  }

  lowCardinality(dictionary: ByteDictionary, index: Uint32Array, rows: number): void {
    this.lowCardinalityPrefix();
    this.lowCardinalityBody(dictionary, index, rows);
  }

  lowCardinalityPrefix(): void {
    this.uint64(LOW_CARDINALITY_VERSION);
  }

  lowCardinalityBody(dictionary: ByteDictionary, index: Uint32Array, count: number): void {
    if (count === 0) return;
    this.lowCardinalityHead(dictionary.size);
    this.bytes(dictionary.arena, dictionary.arenaBytes);
    this.lowCardinalityIndex(index, count, dictionary.size);
  }

  /** So many keys must follow, as strings. */
  lowCardinalityHead(keys: number): void {
    this.uint64(HAS_KEYS_AND_UPDATES | widthOf(keys));
    this.uint64(keys);
  }

  /** What follows the keys. */
  lowCardinalityIndex(index: Uint32Array, count: number, keys: number): void {
    this.uint64(count);
    const width = widthOf(keys);
    if (width === 0) this.#narrow8(index, count);
    else if (width === 1) this.#narrow16(index, count);
    else this.words(index, count);
  }

  /** Mostly empty strings: `texts` names the rows that have one, in order. */
  sparseTexts(texts: readonly { row: number; text: string }[], rows: number): void {
    let row = 0;
    for (const { row: next, text } of texts) {
      this.#zeros(next - row);
      this.string(text);
      row = next + 1;
    }
    this.#zeros(rows - row);
  }

  #zeros(count: number): void {
    this.#reserve(count);
    this.#buffer.fill(0, this.#length, this.#length + count);
    this.#length += count;
  }

  #narrow8(index: Uint32Array, count: number): void {
    this.#reserve(count);
    const buffer = this.#buffer;
    let p = this.#length;
    for (let i = 0; i < count; i++) buffer[p++] = index[i]!;
    this.#length = p;
  }

  #narrow16(index: Uint32Array, count: number): void {
    this.#reserve(2 * count);
    const buffer = this.#buffer;
    let p = this.#length;
    for (let i = 0; i < count; i++) {
      const value = index[i]!;
      buffer[p++] = value;
      buffer[p++] = value >>> 8;
    }
    this.#length = p;
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(2 * this.#buffer.length, this.#length + bytes));
    larger.set(this.#buffer.subarray(0, this.#length));
    this.#buffer = larger;
  }
}
