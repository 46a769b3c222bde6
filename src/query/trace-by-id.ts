/** A trace by its id, in every form in which an id is written. */
import { CodedError } from '../base/errors.ts';
import type { Span } from '../model/span.ts';
import { normalizeTraceId } from '../model/trace-id.ts';
import type { ReadOptions, TraceReader } from '../storage/contract.ts';
import type { QueryGate } from './query-gate.ts';

const ROUTE = '/api/v2/trace/{traceId}';

export class TraceById {
  readonly #reader: TraceReader;
  readonly #gate: QueryGate;
  readonly #strict: boolean;

  /** @param strict false: ids of 64 and 128 bits match by their low 64 bits (STRICT_TRACE_ID) */
  constructor(reader: TraceReader, gate: QueryGate, strict: boolean) {
    this.#reader = reader;
    this.#gate = gate;
    this.#strict = strict;
  }

  /**
   * The spans of the trace as they were sent, everything acknowledged before the call included.
   * @throws {SCRUBJAY_ERR_BAD_QUERY} not an id {SCRUBJAY_ERR_NOT_FOUND} no such trace
   */
  async find(rawId: string, tenant: string, signal: AbortSignal): Promise<Span[]> {
    const { id, key } = normalizeTraceId(rawId.trim());
    const read = (options: ReadOptions): Promise<Span[]> =>
      this.#reader.trace(key, this.#strict, options);
    const scope = { traces: [key.lo] };
    const spans = await this.#gate.run(ROUTE, tenant, signal, read, {}, scope);
    if (spans.length === 0)
      throw new CodedError('SCRUBJAY_ERR_NOT_FOUND', { detail: `${id} not found` });
    return spans;
  }
}
