/** Who is told of spans on their way: see ingester/group-writer.ts. */
import type { SpanBatch } from './span-batch.ts';

export interface SpanObserver {
  /**
   * Called once for each group of spans, when it is durable and before its senders are answered.
   * The batch belongs to the caller again afterwards. Adds to the time of every acknowledgement.
   * @param batchId of the log segment that holds the group; never smaller than the one before
   * @param bytes of the group's block, which is behind the one before in that segment
   */
  observe(batch: SpanBatch, batchId: bigint, bytes: number): void;
}
