/** Waiting times between tries: full jitter below an exponential ceiling. */
export class Backoff {
  readonly #minMs: number;
  readonly #maxMs: number;
  readonly #random: () => number;
  #tries = 0;

  /** @param random in [0, 1); a constructor parameter so that tests decide */
  constructor(minMs: number, maxMs: number, random: () => number) {
    this.#minMs = minMs;
    this.#maxMs = maxMs;
    this.#random = random;
  }

  /** Milliseconds to wait before the next try: between minMs and a ceiling that doubles. */
  nextMs(): number {
    const ceiling = Math.min(this.#maxMs, this.#minMs * 2 ** this.#tries);
    this.#tries++;
    return this.#minMs + this.#random() * (ceiling - this.#minMs);
  }

  reset(): void {
    this.#tries = 0;
  }
}
