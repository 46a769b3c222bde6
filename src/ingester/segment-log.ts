/** What the ingester asks of the log: wal/wal.ts has this shape, tests have their own. */
import type { CodedError } from '../base/errors.ts';
import type { InsertSource } from '../storage/contract.ts';
import type { Divide } from '../wal/division.ts';

/** What the log keeps beside one block. */
export interface BlockMeta {
  readonly rows: number;
  /** Days since 1970-01-01 UTC -> rows. */
  readonly days: ReadonlyMap<number, number>;
  readonly note: Uint8Array;
}

/** A segment that takes no more blocks. It stays on disk until remove or setAside. */
export interface ClosedSegment extends InsertSource {
  /** Found at the start: nobody knows how much of it is in storage. */
  readonly recovered: boolean;
  /** Epoch milliseconds. */
  readonly firstAppendMs: number;
}

export interface SegmentLog {
  /** Segments that an earlier process left, in the order in which they were written. */
  readonly recovered: readonly ClosedSegment[];
  /** True when closeOpen would close something. */
  readonly hasOpenRows: boolean;
  /**
   * Called once for each segment that was closed, in the order in which their rows were appended;
   * set before the first append.
   */
  onClosed: (segment: ClosedSegment) => void;
  /**
   * The batch id of the segment that the next append goes to; rotates first when the block would
   * not fit. That segment stays open until the append or releaseBatch.
   */
  batchFor(rows: number, bytes: number): bigint | Promise<bigint>;
  /** The caller will not append what it asked a batch id for. */
  releaseBatch(): void;
  /**
   * Durable when it resolves. One call at a time; the bytes may be changed afterwards.
   * @throws CodedError when not durable: the rows will not be in any closed segment
   */
  append(chunks: readonly Uint8Array[], meta: BlockMeta): Promise<void>;
  /**
   * So many bytes from `offset` of what was appended to a segment. Undefined when it is not in the
   * log as it was written, or not any more: it was stored, set aside or divided.
   */
  read(batch: bigint, offset: number, bytes: number): Promise<Buffer | undefined>;
  /** Closes the open segment if it has rows, after an append that was promised or is running. */
  closeOpen(): Promise<void>;
  /** For segments that are in storage. May be called again when it rejected. */
  remove(segment: ClosedSegment): Promise<void>;
  /** For segments that storage never takes: kept for a person. May be called again likewise. */
  setAside(segment: ClosedSegment, why: string): Promise<void>;
  /**
   * Puts the parts of a segment in its place and resolves to them. Once it was called, it is what
   * is left to do with the segment, again if it rejected; unless `divide` threw: nothing happened.
   */
  divide(segment: ClosedSegment, divide: Divide): Promise<readonly ClosedSegment[]>;
  /** Why nothing can be appended now. */
  admit(): CodedError | undefined;
  close(): Promise<void>;
}

/** What a line of the operator's log says of a segment. */
export const fieldsOf = ({ batch, path, rows }: ClosedSegment): object => ({
  batch: String(batch),
  path,
  rows,
});
