/** The state of the log for people and for alarms. */
import type { Metrics } from '../telemetry/metrics.ts';

const STATES = ['ok', 'spooling', 'brown-out', 'full', 'failed'] as const;

export interface WalState {
  readonly state: (typeof STATES)[number];
  /** Bytes of blocks not yet removed. */
  readonly bytes: number;
  /** Segments with such blocks, the open one too. */
  readonly segments: number;
  /** Age in milliseconds of the oldest such block. */
  readonly oldestUnsentMs: number | undefined;
}

export class WalGauges {
  readonly #metrics: Metrics;
  #shown: WalState['state'] | undefined;

  constructor(metrics: Metrics) {
    this.#metrics = metrics;
  }

  show({ state, bytes, segments, oldestUnsentMs }: WalState): void {
    const { walBytes, walSegments, walOldestUnsentSeconds, walState } = this.#metrics;
    walBytes.set(bytes);
    walSegments.set(segments);
    walOldestUnsentSeconds.set((oldestUnsentMs ?? 0) / 1000);
    if (state === this.#shown) return;
    this.#shown = state;
    for (const name of STATES) walState.set({ state: name }, name === state ? 1 : 0);
  }
}
