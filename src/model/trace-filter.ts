/**
 * On which days a trace may have spans in storage. Most traces that come are new, and this says so
 * without asking. A Bloom filter per day, in parts of a fixed size; when all together are too
 * large, the oldest day is let go of.
 */
import { BloomFilter } from './bloom-filter.ts';

const PART_WORDS = 2 ** 19;
/** So many traces fill a part: two in a thousand that are not there look as if they were. */
const PART_TRACES = 1_000_000;
const PROBES = 4;
/** 64 MiB: 32 million traces. */
export const PARTS_MAX = 32;

/** @param trace 8 characters of a byte each, highest first */
export function wordsOf(trace: string): readonly [low: number, high: number] {
  let [low, high] = [0, 0];
  for (let i = 0; i < 4; i++) high = (high << 8) | trace.charCodeAt(i);
  for (let i = 4; i < 8; i++) low = (low << 8) | trace.charCodeAt(i);
  return [low >>> 0, high >>> 0];
}

interface Part {
  readonly bits: BloomFilter;
  traces: number;
}

/** Days are counted since 1970-01-01 UTC. */
export class TraceFilter {
  readonly #days = new Map<number, Part[]>();
  readonly #partsMax: number;
  #parts = 0;
  /** Days before it are no longer known. */
  #firstDay = Number.NEGATIVE_INFINITY;

  constructor(partsMax = PARTS_MAX) {
    this.#partsMax = partsMax;
  }

  /** Days before it were let go of for want of memory. */
  get firstDay(): number {
    return this.#firstDay;
  }

  /** @param low, high the two words of the trace's low 64 bits */
  add(day: number, low: number, high: number): void {
    if (day < this.#firstDay) return;
    let part = this.#days.get(day)?.at(-1);
    if (part === undefined || part.traces >= PART_TRACES) {
      part = this.#addPart(day);
      if (part === undefined) return;
    }
    if (part.bits.add(low, high)) part.traces++;
  }

  /** Ascending; [] when the trace is certainly new as far back as firstDay. */
  daysOf(low: number, high: number): number[] {
    const days: number[] = [];
    for (const [day, parts] of this.#days) {
      if (parts.some(({ bits }) => bits.has(low, high))) days.push(day);
    }
    return days.toSorted((a, b) => a - b);
  }

  forget(day: number): void {
    this.#parts -= this.#days.get(day)?.length ?? 0;
    this.#days.delete(day);
  }

  /** @returns undefined when there is no room for so old a day */
  #addPart(day: number): Part | undefined {
    while (this.#parts >= this.#partsMax) {
      const oldest = Math.min(...this.#days.keys());
      this.#firstDay = oldest + 1;
      this.forget(oldest);
      if (oldest >= day) return undefined;
    }
    const part = { bits: new BloomFilter(PART_WORDS, PROBES), traces: 0 };
    const parts = this.#days.get(day);
    if (parts === undefined) this.#days.set(day, [part]);
    else parts.push(part);
    this.#parts++;
    return part;
  }
}
