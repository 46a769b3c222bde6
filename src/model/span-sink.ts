/** Where decoded spans go: the write path behind the distributor, implemented by the ingester. */
import type { CodedError } from '../base/errors.ts';
import type { SpanBatch } from './span-batch.ts';

/** Bytes of the record that a message leaves in the log: see distributor/seen-bodies.ts. */
export const NOTE_BYTES = 20;

export interface SpanSink {
  /** Why nothing can be taken now (log full or failed, stopping); asked for every request. */
  refusal(): CodedError | undefined;
  /**
   * The batch that the next group will be made of. Rows are added and taken back synchronously:
   * after an await it may be another.
   */
  openBatch(): SpanBatch;
  /**
   * Makes the rows that the caller has just added to openBatch() durable, at once with all others
   * of the group. Must be called in the same tick. The note (NOTE_BYTES) is kept with them.
   * @throws CodedError when they are not durable; they are gone from the batch then
   */
  commit(rows: number, note: Uint8Array): Promise<void>;
}

/** All that a query looks at. */
export type QueryScope = 'all' | NarrowScope;

/** Traces by the low 64 bits of their ids, or a time. */
export type NarrowScope =
  | { readonly traces: readonly bigint[] }
  /** Epoch µs, both inclusive; spans without a timestamp are in it too. */
  | { readonly fromUs: number; readonly toUs: number };

export interface FreshnessWait {
  /** @default 'all' */
  readonly scope?: QueryScope;
  /** An earlier value of durableRows. @default its present one */
  readonly until?: number;
  /** Of the configured wait, what the query has waited before, ms. @default 0 */
  readonly waitedMs?: number;
  readonly signal?: AbortSignal;
}

/** What a query waits for, so that it sees everything acknowledged before it began. */
export interface FreshnessBarrier {
  /** Rows that are durable: never less than what was acknowledged. */
  readonly durableRows: number;
  /**
   * Resolves true when of the first `until` rows all that are in scope are in storage; false when
   * that did not happen within the configured wait (SCRUBJAY_FRESHNESS_WAIT), or the signal
   * aborted.
   */
  fresh(wait?: FreshnessWait): Promise<boolean>;
  /**
   * Blocks of the log, as a BlockEncoder made them, in which are those of the first `until` rows
   * that are in scope and were not in storage when it was called, and any others.
   * @returns undefined when they cannot be had: such rows must be waited for
   */
  unstored(scope: NarrowScope, until: number): Promise<Buffer[] | undefined>;
  /** False: unstored() would say undefined, as far as that is known without reading. */
  isReadable(scope: NarrowScope, until: number): boolean;
}
