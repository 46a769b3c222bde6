/**
 * Finds a string again that a dictionary has seen, by a look at three of its bytes. The dictionary
 * compares the guess with all bytes: a wrong one costs time and nothing else, so guesses may
 * outlive the batch, and any number of dictionaries may share one table.
 */
import type { ByteDictionary } from '../model/byte-dictionary.ts';

const SLOTS = 1024;

export class LikelyEntries {
  readonly #entries = new Uint32Array(SLOTS);

  /** Number of the entry source[from, to), which is not empty; 0: not known. */
  find(dictionary: ByteDictionary, source: DataView, from: number, to: number): number {
    const entry = this.#entries[slotOf(source, from, to)]!;
    return dictionary.isIn(entry, source, from, to - from) ? entry : 0;
  }

  /** The next look for source[from, to) will find this entry. */
  note(entry: number, source: DataView, from: number, to: number): void {
    this.#entries[slotOf(source, from, to)] = entry;
  }
}

function slotOf(source: DataView, from: number, to: number): number {
  const length = to - from;
  const ends = source.getUint8(from) * 5 + source.getUint8(to - 1) * 129;
  return (length * 37 + ends + source.getUint8(from + (length >>> 1)) * 17) & (SLOTS - 1);
}
