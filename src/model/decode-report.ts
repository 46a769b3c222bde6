/** What became of one message: counts by reason and rule, and the first examples. */
import { isPolicy, type NormalizeRule, type RejectReason } from './reasons.ts';
import { rowExample } from './row-example.ts';
import type { RowExample } from './row-example.ts';
import type { SpanBatch } from './span-batch.ts';

export interface Rejection {
  /** Place of the span in its message, from 0. */
  readonly index: number;
  readonly reason: RejectReason;
  /** For a person; at most 200 characters. */
  readonly detail: string;
  /** What could be read of it. */
  readonly span?: RowExample;
}

const EXAMPLES_MAX = 10;
const DETAIL_CHARS_MAX = 200;

export class DecodeReport {
  accepted = 0;
  /** Spans not kept because of the span itself: they make the answer a 400. */
  rejected = 0;
  /** Spans not kept by policy (sampling): no fault of the client. */
  unsampled = 0;
  readonly reasons = new Map<RejectReason, number>();
  readonly normalized = new Map<NormalizeRule, number>();
  readonly first: Rejection[] = [];

  get spans(): number {
    return this.accepted + this.rejected + this.unsampled;
  }

  /** Drops the row that is being written; the first ones are remembered as examples. */
  rejectRow(batch: SpanBatch, reason: RejectReason, detail: string): void {
    const shown = !isPolicy(reason) && this.first.length < EXAMPLES_MAX;
    const example = shown ? rowExample(batch) : undefined;
    batch.dropRow();
    this.reject(reason, detail, example);
  }

  /** Counts a span of which no row is being written. */
  reject(reason: RejectReason, detail: string, span?: RowExample): void {
    const index = this.spans;
    this.reasons.set(reason, (this.reasons.get(reason) ?? 0) + 1);
    if (isPolicy(reason)) {
      this.unsampled++;
      return;
    }
    this.rejected++;
    if (this.first.length >= EXAMPLES_MAX) return;
    const entry = { index, reason, detail: detail.slice(0, DETAIL_CHARS_MAX) };
    this.first.push(span === undefined ? entry : { ...entry, span });
  }

  normalize(rule: NormalizeRule): void {
    this.normalized.set(rule, (this.normalized.get(rule) ?? 0) + 1);
  }

  /** The whole message is refused: what was accepted of it so far counts as rejected. */
  refuseAll(reason: RejectReason): void {
    const spans = Math.max(1, this.spans);
    this.accepted = 0;
    this.unsampled = 0;
    this.rejected = spans;
    this.reasons.clear();
    this.reasons.set(reason, spans);
  }
}

/** Decides about each decoded row before it is kept; made by the distributor for one message. */
export interface RowGate {
  /** @returns why the row must go, undefined to keep it */
  admit(batch: SpanBatch): RejectReason | undefined;
}

/** A message that is no list of spans at all. `message` is what Zipkin would say. */
export interface MessageError {
  readonly message: string;
}

/**
 * Decodes one message into rows at the end of the batch. Never throws for any input, never reads
 * past the source. On a MessageError the caller takes the rows back.
 */
export type Decode = (
  source: Uint8Array,
  batch: SpanBatch,
  gate: RowGate,
  report: DecodeReport,
) => MessageError | undefined;
