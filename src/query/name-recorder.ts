/**
 * Brings the names of a NameIndex into storage: every second what is new, and after a start what a
 * killed process had no time for. Names are never the only copy of anything: the spans have them.
 *
 * A mark per node says up to which log segment all names are recorded. It is moved only when that
 * is so, and names of segments beyond it are looked up in the stored spans at the next start.
 */
import { Backoff } from '../base/backoff.ts';
import type { Clock } from '../base/clock.ts';
import type { NameStore } from '../storage/contract.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { NameIndex } from './name-index.ts';

export interface NameRecorderOptions {
  readonly index: NameIndex;
  readonly store: NameStore;
  readonly clock: Clock;
  readonly logger: Logger;
  /** In [0, 1): jitter of waiting times. */
  readonly random: () => number;
  /** Segments that an earlier run left, whatever was recorded of them. */
  readonly recovered: readonly bigint[];
  /** How many of them are not in storage yet. */
  readonly unstored: () => number;
}

const RECORD_MS = 1000;
/** Looking whether the segments of earlier runs are in storage by now. */
const RECOVERY_POLL_MS = 200;
/** Names of those that are, while others are not. */
const RECOVERY_SCAN_MS = 10_000;
const RETRY_MS_MAX = 30_000;
const MARK_MS = 60_000;
const ENTRIES_PER_INSERT_MAX = 50_000;
/** A first question after the start does not wait longer for names of earlier runs. */
const RECOVERY_WAIT_MS = 2000;

export class NameRecorder {
  readonly #options: NameRecorderOptions;
  readonly #stop = new AbortController();
  #running: Promise<unknown> = Promise.resolve();
  #recovered = false;
  #marked: bigint | undefined;
  #markedMs = Number.NEGATIVE_INFINITY;

  constructor(options: NameRecorderOptions) {
    this.#options = options;
  }

  /** To be called once, when storage works. */
  start(): void {
    const { index, clock } = this.#options;
    const recovering = this.#recover();
    this.#running = Promise.all([recovering, this.#run()]);
    index.recovering(Promise.race([recovering, clock.sleep(RECOVERY_WAIT_MS, this.#stop.signal)]));
  }

  /**
   * Records what is left; call it when no more spans come.
   * @param deadlineMs longest time for it; what is left then is found by the next start
   */
  async stop(deadlineMs: number): Promise<void> {
    this.#stop.abort();
    const timer = new AbortController();
    await Promise.race([this.#finish(), this.#options.clock.sleep(deadlineMs, timer.signal)]);
    timer.abort();
  }

  async #finish(): Promise<void> {
    await this.#running;
    try {
      await this.#record(true);
    } catch (error) {
      const { logger } = this.#options;
      logger.info({ err: error }, 'The last names are looked up in the spans at the next start');
    }
  }

  async #run(): Promise<void> {
    const { index, clock, logger, random } = this.#options;
    const { signal } = this.#stop;
    const backoff = new Backoff(RECORD_MS, RETRY_MS_MAX, random);
    let failing = false;
    for (;;) {
      await clock.sleep(failing ? backoff.nextMs() : RECORD_MS, signal);
      if (signal.aborted) return;
      try {
        await this.#record(false);
        index.tidy();
        backoff.reset();
        failing = false;
      } catch (error) {
        if (!failing) logger.warn({ err: error }, 'Names are not recorded: trying again');
        failing = true;
      }
    }
  }

  async #record(last: boolean): Promise<void> {
    const { index, store, clock } = this.#options;
    const { lastBatch } = index;
    for (;;) {
      const taken = index.takeUnrecorded(ENTRIES_PER_INSERT_MAX);
      if (taken.length === 0) break;
      try {
        await store.record(taken);
      } catch (error) {
        index.restoreUnrecorded(taken);
        throw error;
      }
    }
    // Before recovery is done it would pass over what recovery is to find.
    if (!this.#recovered || lastBatch === undefined || lastBatch === this.#marked) return;
    if (!last && clock.monotonicMs() - this.#markedMs < MARK_MS) return;
    await store.mark(lastBatch);
    this.#marked = lastBatch;
    this.#markedMs = clock.monotonicMs();
  }

  /** Never rejects. */
  async #recover(): Promise<void> {
    const { index, store, clock, logger, random, recovered, unstored } = this.#options;
    const { signal } = this.#stop;
    const backoff = new Backoff(RECORD_MS, RETRY_MS_MAX, random);
    let scannedMs = Number.NEGATIVE_INFINITY;
    let scanned = -1;
    while (!signal.aborted) {
      const left = unstored();
      let waitMs = RECOVERY_POLL_MS;
      const isDue = clock.monotonicMs() - scannedMs >= RECOVERY_SCAN_MS;
      if (left !== scanned && (left === 0 || isDue)) {
        try {
          await store.recordUnmarked(index.autocompleteKeys, recovered);
          index.reload();
          [scanned, scannedMs] = [left, clock.monotonicMs()];
        } catch (error) {
          logger.warn({ err: error }, 'Names of earlier runs are not complete: trying again');
          waitMs = backoff.nextMs();
        }
      }
      if (scanned === 0) {
        this.#recovered = true;
        return;
      }
      await clock.sleep(waitMs, signal);
    }
  }
}
