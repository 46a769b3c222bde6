/** Several traces by their ids: the rules of `GET /api/v2/traceMany` (ZipkinQueryApiV2.java). */
import { CodedError } from '../base/errors.ts';
import type { Span } from '../model/span.ts';
import { normalizeTraceId } from '../model/trace-id.ts';
import type { NormalizedTraceId } from '../model/trace-id.ts';
import type { TraceSearcher } from '../storage/contract.ts';
import type { QueryGate } from './query-gate.ts';

const ROUTE = '/api/v2/traceMany';
const IDS_MAX = 1000;
const PAGE = 50;

const bad = (detail: string): CodedError => new CodedError('SCRUBJAY_ERR_BAD_QUERY', { detail });

export class TraceMany {
  readonly #searcher: TraceSearcher;
  readonly #gate: QueryGate;
  readonly #strict: boolean;

  /** @param strict false: ids of 64 and 128 bits match by their low 64 bits (STRICT_TRACE_ID) */
  constructor(searcher: TraceSearcher, gate: QueryGate, strict: boolean) {
    this.#searcher = searcher;
    this.#gate = gate;
    this.#strict = strict;
  }

  /**
   * The traces that are there, in the order of their ids.
   * @param rawIds separated by commas
   * @throws {SCRUBJAY_ERR_BAD_QUERY} in Zipkin's words, before the first trace; others as found
   */
  async *find(rawIds: string, tenant: string, signal: AbortSignal): AsyncGenerator<Span[], void> {
    const ids = this.#distinct(parseTraceIds(rawIds));
    const run = this.#gate.begin(ROUTE, tenant, signal);
    try {
      for (let from = 0; from < ids.length; from += PAGE) {
        const page = ids.slice(from, from + PAGE);
        const lows = [...new Set(page.map(({ key }) => key.lo))];
        const traces = await run.call((o) => this.#searcher.traces(lows, this.#strict, o), {
          traces: lows,
        });
        const byId = new Map(traces.map((spans) => [this.#nameOf(spans[0]!.traceId), spans]));
        for (const { id } of page) {
          const spans = byId.get(this.#nameOf(id));
          if (spans !== undefined) yield spans;
        }
      }
    } finally {
      run.end({ ids: ids.length });
    }
  }

  /** What traces are told apart by. */
  #nameOf(id: string): string {
    return this.#strict ? id : id.slice(-16);
  }

  #distinct(ids: readonly NormalizedTraceId[]): NormalizedTraceId[] {
    return [...new Map(ids.map((id) => [this.#nameOf(id.id), id])).values()];
  }
}

/** @throws {SCRUBJAY_ERR_BAD_QUERY} */
function parseTraceIds(text: string): NormalizedTraceId[] {
  if (text === '') throw bad('traceIds parameter is empty');
  const parts = text.split(',');
  // String.split(",", 1000): the last part keeps the rest.
  const rest = parts.splice(IDS_MAX - 1);
  if (rest.length > 0) parts.push(rest.join(','));
  const ids = new Map<string, NormalizedTraceId>();
  for (const part of parts) {
    const id = normalizeTraceId(part);
    if (ids.has(id.id)) throw bad(`redundant traceId: ${part}`);
    ids.set(id.id, id);
  }
  if (ids.size === 1) {
    throw bad('Use /api/v2/trace/{traceId} endpoint to retrieve a single trace');
  }
  return [...ids.values()];
}
