/** The ways to traces: by id, by several ids, by search. */
import type { Span } from '../model/span.ts';
import type { TraceReader } from '../storage/contract.ts';
import type { SearchRequest } from './search-match.ts';
import { TraceSearch } from './search.ts';
import type { TraceSearchOptions } from './search.ts';
import { TraceById } from './trace-by-id.ts';
import { TraceMany } from './trace-many.ts';

export interface TracesOptions extends TraceSearchOptions {
  readonly reader: TraceReader;
}

export class Traces {
  readonly #byId: TraceById;
  readonly #many: TraceMany;
  readonly #search: TraceSearch;

  constructor(options: TracesOptions) {
    const { reader, searcher, gate, strict } = options;
    this.#byId = new TraceById(reader, gate, strict);
    this.#many = new TraceMany(searcher, gate, strict);
    this.#search = new TraceSearch(options);
  }

  /** @see TraceById.find */
  trace(rawId: string, tenant: string, signal: AbortSignal): Promise<Span[]> {
    return this.#byId.find(rawId, tenant, signal);
  }

  /** @see TraceMany.find */
  many(rawIds: string, tenant: string, signal: AbortSignal): AsyncGenerator<Span[], void> {
    return this.#many.find(rawIds, tenant, signal);
  }

  /** @see TraceSearch.search */
  search(
    request: SearchRequest,
    tenant: string,
    signal: AbortSignal,
  ): AsyncGenerator<Span[], void> {
    return this.#search.search(request, tenant, signal);
  }
}
