/** How much there is to do for the event loop. */
import { performance } from 'node:perf_hooks';

const MEASURE_MS = 500;

/** @returns a question whether the loop was at work for more than this share of the time lately */
export function eventLoopBusy(share: number): () => boolean {
  let last = performance.eventLoopUtilization();
  let lastMs = performance.now();
  let busy = false;
  return () => {
    if (performance.now() - lastMs < MEASURE_MS) return busy;
    const next = performance.eventLoopUtilization();
    busy = performance.eventLoopUtilization(next, last).utilization > share;
    last = next;
    lastMs = performance.now();
    return busy;
  };
}
