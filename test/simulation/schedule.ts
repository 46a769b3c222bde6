/**
 * Time of the simulation: a queue of events, run one after the other, each with all that follows
 * from it without time passing. Nothing here or in what is simulated waits for the real clock or
 * for the event loop, so a seed gives the same order every time.
 */
import type { Clock } from '../../src/base/clock.ts';

const START_MS = 1_700_000_000_000;

interface Entry {
  readonly atMs: number;
  /** Events of one instant run in the order in which they were planned. */
  readonly order: number;
  /** Undefined: taken back. */
  run: (() => void) | undefined;
}

export class Schedule {
  /** Since the start, with a fraction. */
  nowMs = 0;
  /** Events run so far. */
  steps = 0;
  #order = 0;
  /** What somebody, or NTP, set the wall clock to, against where it would be. */
  #jumpedMs = 0;
  #forwardMs = 0;
  /** A binary heap, the earliest first. */
  readonly #heap: Entry[] = [];

  get epochMs(): number {
    return START_MS + Math.floor(this.nowMs) + this.#jumpedMs;
  }

  /** Grows by what passes and by every jump forwards: no clock measures a longer time. */
  get agedMs(): number {
    return this.nowMs + this.#forwardMs;
  }

  /** The wall clock is set, forwards or backwards; no time passes. */
  jump(ms: number): void {
    this.#jumpedMs += ms;
    this.#forwardMs += Math.max(0, ms);
  }

  /** @returns takes it back */
  after(ms: number, run: () => void): () => void {
    const entry: Entry = { atMs: this.nowMs + Math.max(0, ms), order: this.#order++, run };
    this.#heap.push(entry);
    this.#rise(this.#heap.length - 1);
    return () => {
      entry.run = undefined;
    };
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.after(ms, resolve);
    });
  }

  /** Runs the next event. @returns false when there is none */
  async step(): Promise<boolean> {
    for (let next = this.#take(); next !== undefined; next = this.#take()) {
      if (next.run === undefined) continue;
      this.nowMs = next.atMs;
      this.steps++;
      next.run();
      await quiet();
      return true;
    }
    return false;
  }

  /** A clock whose sleepers are only woken while `alive` says so. */
  clock(alive: () => boolean): Clock {
    return {
      nowMs: () => this.epochMs,
      monotonicMs: () => this.nowMs,
      sleep: (ms, signal) => this.#sleepOf(alive, ms, signal),
    };
  }

  #sleepOf(alive: () => boolean, ms: number, signal: AbortSignal | undefined): Promise<void> {
    if (signal?.aborted === true) return Promise.resolve();
    return new Promise((resolve) => {
      // As setTimeout: whole milliseconds, at least one.
      const takeBack = this.after(Math.max(1, Math.floor(ms)), () => {
        signal?.removeEventListener('abort', onAbort);
        if (alive()) resolve();
      });
      const onAbort = (): void => {
        takeBack();
        resolve();
      };
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  #take(): Entry | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || first === last) return first;
    heap[0] = last;
    this.#sink();
    return first;
  }

  #rise(from: number): void {
    const heap = this.#heap;
    let at = from;
    while (at > 0) {
      const parent = Math.floor((at - 1) / 2);
      if (isBefore(heap[parent]!, heap[at]!)) return;
      [heap[parent], heap[at]] = [heap[at]!, heap[parent]!];
      at = parent;
    }
  }

  #sink(): void {
    const heap = this.#heap;
    let at = 0;
    for (;;) {
      let least = at;
      for (const child of [2 * at + 1, 2 * at + 2]) {
        if (child < heap.length && isBefore(heap[child]!, heap[least]!)) least = child;
      }
      if (least === at) return;
      [heap[least], heap[at]] = [heap[at]!, heap[least]!];
      at = least;
    }
  }
}

const isBefore = (one: Entry, other: Entry): boolean =>
  one.atMs < other.atMs || (one.atMs === other.atMs && one.order < other.order);

/** Resolves when no promise is left that can go on: ticks come after all microtasks. */
const quiet = (): Promise<void> =>
  new Promise((resolve) => {
    process.nextTick(resolve);
  });
