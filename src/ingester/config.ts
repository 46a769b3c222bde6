/** Settings of the way from the log to storage. */
import { durationMs } from '../base/settings.ts';

export const ingesterSettings = {
  freshnessWaitMs: durationMs({
    env: 'SCRUBJAY_FRESHNESS_WAIT',
    default: 5000,
    max: 60_000,
    doc: 'Longest wait of a query for spans acknowledged before it that are not yet stored',
  }),
};
