/**
 * Annotations of a batch. Times are kept as offsets from the row's stored timestamp, which
 * compresses to almost nothing; the arithmetic is that of 64-bit integers that wrap, so that any
 * time survives the round trip.
 */
import { ByteDictionary, grown32 } from './byte-dictionary.ts';
import { cutAtCodePoint } from './text.ts';

/** Sums of two such numbers are exact. */
const EXACT_MAX = 4_500_000_000_000_000;
const TWO_32 = 4_294_967_296;

interface Entry {
  time: number | bigint;
  value: number;
}

export class AnnotationColumn {
  readonly values: ByteDictionary;
  valueIndex: Uint32Array = new Uint32Array(2048);
  /** Offsets in µs as pairs of 32-bit words, low word first. */
  offsets: Uint32Array = new Uint32Array(4096);
  count = 0;
  /** Number of annotations up to and with each row. */
  rowEnds: Uint32Array;
  #times: Float64Array = new Float64Array(64);
  readonly #wide = new Map<number, bigint>();
  #rowStart = 0;

  constructor(rows: number, seed: number) {
    this.values = new ByteDictionary(seed);
    this.rowEnds = new Uint32Array(rows);
  }

  get capacityBytes(): number {
    return 12 * this.valueIndex.length;
  }

  /** Annotations of the row being written. */
  get rowCount(): number {
    return this.count - this.#rowStart;
  }

  beginRow(): void {
    this.#rowStart = this.count;
    if (this.#wide.size > 0) this.#wide.clear();
  }

  /**
   * @param timeUs epoch microseconds; any signed 64-bit number
   * @returns whether the value was cut at bytesMax
   */
  add(
    timeUs: number | bigint,
    source: Uint8Array,
    from: number,
    to: number,
    bytesMax: number,
  ): boolean {
    const end = cutAtCodePoint(source, from, to, bytesMax);
    if (this.count === this.valueIndex.length) {
      this.valueIndex = grown32(this.valueIndex, 2 * this.count);
      this.offsets = grown32(this.offsets, 4 * this.count);
    }
    const place = this.count - this.#rowStart;
    if (place === this.#times.length) {
      const times = new Float64Array(2 * place);
      times.set(this.#times);
      this.#times = times;
    }
    this.valueIndex[this.count++] = this.values.intern(source, from, end);
    if (typeof timeUs === 'number' && timeUs <= EXACT_MAX && timeUs >= -EXACT_MAX) {
      this.#times[place] = timeUs;
    } else {
      this.#times[place] = Number(timeUs);
      this.#wide.set(place, BigInt(timeUs));
    }
    return end < to;
  }

  /** @param baseUs the row's stored timestamp, at most 2^52 */
  endRow(row: number, baseUs: number): void {
    const n = this.count - this.#rowStart;
    if (n > 1) this.#orderRow(n);
    for (let i = 0; i < this.count - this.#rowStart; i++) {
      const at = 2 * (this.#rowStart + i);
      const wide = this.#wide.get(i);
      if (wide === undefined) {
        const offset = this.#times[i]! - baseUs;
        this.offsets[at] = offset >>> 0;
        this.offsets[at + 1] = Math.floor(offset / TWO_32) >>> 0;
      } else {
        const offset = BigInt.asUintN(64, wide - BigInt(baseUs));
        this.offsets[at] = Number(offset & 0xffffffffn);
        this.offsets[at + 1] = Number(offset >> 32n);
      }
    }
    this.rowEnds[row] = this.count;
  }

  truncate(count: number): void {
    this.count = count;
  }

  reset(): void {
    this.count = 0;
    this.values.reset();
  }

  grow(rows: number): void {
    this.rowEnds = grown32(this.rowEnds, rows);
  }

  /** By time, then value; of equal ones the first (zipkin2/Span.java, sortedList). */
  #orderRow(n: number): void {
    let ordered = this.#wide.size === 0;
    for (let i = 1; i < n && ordered; i++) ordered = this.#times[i - 1]! < this.#times[i]!;
    if (ordered) return;
    const entries: Entry[] = [];
    for (let i = 0; i < n; i++) {
      const time = this.#wide.get(i) ?? this.#times[i]!;
      entries.push({ time, value: this.valueIndex[this.#rowStart + i]! });
    }
    entries.sort((a, b) => {
      if (a.time < b.time) return -1;
      return a.time > b.time ? 1 : this.values.compare(a.value, b.value);
    });
    this.#wide.clear();
    this.count = this.#rowStart;
    let kept = 0;
    entries.forEach((entry, i) => {
      const before = entries[i - 1];
      if (i > 0 && before!.time === entry.time && before!.value === entry.value) return;
      this.valueIndex[this.count++] = entry.value;
      this.#times[kept] = Number(entry.time);
      if (typeof entry.time === 'bigint') this.#wide.set(kept, entry.time);
      kept++;
    });
  }
}
