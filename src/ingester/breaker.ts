/**
 * Keeps tries away from a storage that is down: open after some failures in a row, then one probe
 * at a time after a growing wait, closed again by the first success.
 */
import type { Backoff } from '../base/backoff.ts';

const FAILURES_MAX = 3;
const CLOSED = 0;
const HALF_OPEN = 1;
const OPEN = 2;

export class Breaker {
  readonly #backoff: Backoff;
  readonly #report: (state: number) => void;
  #failures = 0;
  #open = false;
  #probeAtMs = 0;

  /** @param report is told the state: 0 closed, 1 half open, 2 open */
  constructor(backoff: Backoff, report: (state: number) => void) {
    this.#backoff = backoff;
    this.#report = report;
    report(CLOSED);
  }

  get closed(): boolean {
    return !this.#open;
  }

  /** Until the next try may be made; 0 when closed. */
  waitMs(nowMs: number): number {
    return this.#open ? Math.max(0, this.#probeAtMs - nowMs) : 0;
  }

  /** Before each try. */
  trying(): void {
    if (this.#open) this.#report(HALF_OPEN);
  }

  /** @returns true when this closed it */
  succeeded(): boolean {
    const wasOpen = this.#open;
    this.#failures = 0;
    this.#open = false;
    if (!wasOpen) return false;
    this.#backoff.reset();
    this.#report(CLOSED);
    return true;
  }

  /** Storage says that it is back: the next try is made at once. */
  returned(): void {
    if (!this.#open) return;
    this.#backoff.reset();
    this.#probeAtMs = 0;
  }

  /** @returns true when this opened it */
  failed(nowMs: number): boolean {
    const wasOpen = this.#open;
    this.#failures++;
    if (this.#failures < FAILURES_MAX) return false;
    this.#open = true;
    this.#probeAtMs = nowMs + this.#backoff.nextMs();
    this.#report(OPEN);
    return !wasOpen;
  }

  /** A try that told nothing about storage: the state is as before it. */
  undecided(nowMs: number): void {
    if (!this.#open) return;
    this.#probeAtMs = nowMs + this.#backoff.nextMs();
    this.#report(OPEN);
  }
}
