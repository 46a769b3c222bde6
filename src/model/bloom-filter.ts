/** Which traces were added: of those that were, always yes; of others, nearly always no. */

export class BloomFilter {
  readonly #bits: Uint32Array;
  readonly #mask: number;
  readonly #probes: number;

  /**
   * @param words of 32 bits; a power of two
   * @param probes bits that each trace sets
   */
  constructor(words: number, probes: number) {
    this.#bits = new Uint32Array(words);
    this.#mask = 32 * words - 1;
    this.#probes = probes;
  }

  /**
   * @param low, high the two words of the trace's low 64 bits
   * @returns whether it was certainly not there
   */
  add(low: number, high: number): boolean {
    const first = mix(low ^ mix(high ^ 0x9e37_79b9));
    const step = mix(first ^ high) | 1;
    let isNew = false;
    for (let i = 0; i < this.#probes; i++) {
      const bit = (first + i * step) & this.#mask;
      const mask = 1 << (bit & 31);
      if ((this.#bits[bit >>> 5]! & mask) === 0) isNew = true;
      this.#bits[bit >>> 5]! |= mask;
    }
    return isNew;
  }

  has(low: number, high: number): boolean {
    const first = mix(low ^ mix(high ^ 0x9e37_79b9));
    const step = mix(first ^ high) | 1;
    for (let i = 0; i < this.#probes; i++) {
      const bit = (first + i * step) & this.#mask;
      if ((this.#bits[bit >>> 5]! & (1 << (bit & 31))) === 0) return false;
    }
    return true;
  }

  clear(): void {
    this.#bits.fill(0);
  }
}

/** The finalizer of MurmurHash3: ids are random as a rule, but nobody has to draw them so. */
function mix(word: number): number {
  let mixed = Math.imul(word ^ (word >>> 16), 0x85eb_ca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2_ae35);
  return mixed ^ (mixed >>> 16);
}
