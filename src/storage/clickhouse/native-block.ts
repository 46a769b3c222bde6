/** Batches as ClickHouse Native blocks: what the log holds and an insert sends as it is. */
import type { SpanBatch } from '../../model/span-batch.ts';
import type { BlockEncoder } from '../contract.ts';
import { BlockBuffer } from './block-buffer.ts';
import { COLUMNS } from './columns.ts';

export class NativeBlockEncoder implements BlockEncoder {
  readonly #buffer = new BlockBuffer();

  encode(batch: SpanBatch, batchId: bigint): Uint8Array {
    const out = this.#buffer;
    out.clear();
    out.varuint(COLUMNS.length);
    out.varuint(batch.rows);
    for (const column of COLUMNS) {
      out.string(column.name);
      out.string(column.type);
      column.write(out, batch, batchId);
    }
    return out.written();
  }
}
