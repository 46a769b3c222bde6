import type { FreshnessBarrier } from '../../../src/model/span-sink.ts';

/** Of a collector that has nothing in its log. */
export const storedBarrier: FreshnessBarrier = {
  durableRows: 0,
  fresh: () => Promise.resolve(true),
  isReadable: () => true,
  unstored: () => Promise.resolve([]),
};
