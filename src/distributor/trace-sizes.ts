/**
 * Finds traces that grow without end, in constant memory: a Misra-Gries summary over every 64th
 * span. It never counts more than there is, so no trace below the limit is refused; a trace beyond
 * it is noticed when it makes up more than about a thousandth of all spans of the hour.
 */
const SAMPLE_EVERY = 64;
const TRACES_MAX = 1024;
const WINDOW_MS = 3_600_000;

export class TraceSizes {
  readonly #spansMax: number;
  readonly #counts = new Map<string, number>();
  readonly #tooLarge = new Set<string>();
  #seen = 0;
  #windowEndMs = 0;

  constructor(spansMax: number) {
    this.#spansMax = spansMax;
  }

  /** Forgets once an hour, so that an id is not shut out for ever. */
  advance(monotonicMs: number): void {
    if (monotonicMs < this.#windowEndMs) return;
    this.#windowEndMs = monotonicMs + WINDOW_MS;
    this.#counts.clear();
    this.#tooLarge.clear();
  }

  /** Counts one span; true when its trace has too many already. */
  isTooLarge(tenant: string, hi: number, lo: number): boolean {
    const sampled = ++this.#seen % SAMPLE_EVERY === 0;
    if (!sampled && this.#tooLarge.size === 0) return false;
    const key = `${tenant}/${hi}/${lo}`;
    if (sampled) this.#count(key);
    return this.#tooLarge.has(key);
  }

  #count(key: string): void {
    const count = (this.#counts.get(key) ?? 0) + SAMPLE_EVERY;
    this.#counts.set(key, count);
    if (count > this.#spansMax) this.#tooLarge.add(key);
    if (this.#counts.size <= TRACES_MAX) return;
    for (const [other, n] of this.#counts) {
      if (n <= SAMPLE_EVERY) this.#counts.delete(other);
      else this.#counts.set(other, n - SAMPLE_EVERY);
    }
  }
}
