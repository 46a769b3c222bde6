/**
 * Sampling by trace id as zipkin2/collector/CollectorSampler.java has it: on the low 64 bits, so
 * that every node and both widths of an id agree.
 */
const INT64_MAX = 0x7fff_ffff_ffff_ffffn;

export class Sampler {
  readonly #all: boolean;
  readonly #boundaryHi: number;
  readonly #boundaryLo: number;

  /** @param rate 0 to 1; used as a 32-bit float, as in Zipkin */
  constructor(rate: number) {
    const asFloat = Math.fround(rate);
    this.#all = asFloat >= 1;
    const boundary = this.#all ? INT64_MAX : BigInt(Math.trunc(Math.fround(2 ** 63 * asFloat)));
    this.#boundaryHi = Number(boundary >> 32n);
    this.#boundaryLo = Number(boundary & 0xffffffffn);
  }

  /** @param hi, lo the words of the low 64 bits of the trace id, unsigned */
  keeps(hi: number, lo: number): boolean {
    if (this.#all) return true;
    // The absolute value of the signed number; its minimum counts as the maximum.
    let absHi = hi;
    let absLo = lo;
    if (hi >= 0x80000000) {
      if (hi === 0x80000000 && lo === 0) return this.#boundaryHi === 0x7fffffff;
      absLo = -lo >>> 0;
      absHi = (~hi + (lo === 0 ? 1 : 0)) >>> 0;
    }
    if (absHi !== this.#boundaryHi) return absHi < this.#boundaryHi;
    return absLo <= this.#boundaryLo;
  }
}
