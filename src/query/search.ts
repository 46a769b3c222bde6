/**
 * Search for traces: candidates out of narrow columns, newest first, in windows that widen until
 * there are enough; then the candidates' whole traces, judged exactly as Zipkin does
 * (zipkin2/storage/InMemoryStorage.java, QueryRequest.java). Traces leave as soon as no newer one
 * can follow, so that an answer of any size needs little memory.
 */
import type { Clock } from '../base/clock.ts';
import type { Span } from '../model/span.ts';
import type {
  Candidate,
  CandidateRequest,
  SpanCriteria,
  TimeRange,
  TraceSearcher,
} from '../storage/contract.ts';
import type { QueryGate, QueryRun, QueryShape } from './query-gate.ts';
import { matches, traceTimestampUs } from './search-match.ts';
import type { SearchRequest } from './search-match.ts';
import { SearchWindows } from './search-windows.ts';

export interface TraceSearchOptions {
  readonly searcher: TraceSearcher;
  readonly gate: QueryGate;
  /** STRICT_TRACE_ID */
  readonly strict: boolean;
  /** SEARCH_ENABLED; false: every answer is empty. */
  readonly enabled: boolean;
  readonly clock: Clock;
}

const ROUTE = '/api/v2/traces';
/** Candidates of one statement: 16 bytes each, so many more than are read at a time. */
const CANDIDATES_MIN = 500;
const CANDIDATES_MAX = 50_000;
/** Traces read at a time; the first time some more than needed, as not all will match. */
const PAGE_MAX = 100;
const SPARE = 2;
/** Traces held back for newer ones that may still come, beyond those that are needed. */
const HELD_MAX = 16;

interface Found {
  readonly spans: Span[];
  readonly timestampUs: number;
}

export class TraceSearch {
  readonly #options: TraceSearchOptions;

  constructor(options: TraceSearchOptions) {
    this.#options = options;
  }

  /**
   * The newest traces that match, newest first, each as TraceById has it.
   * @throws CodedError, also after some traces; the signal's reason when it aborts
   */
  async *search(
    request: SearchRequest,
    tenant: string,
    signal: AbortSignal,
  ): AsyncGenerator<Span[], void> {
    if (!this.#options.enabled) return;
    const run = this.#options.gate.begin(ROUTE, tenant, signal);
    const work = new SearchWork(this.#options, request, run);
    try {
      yield* work.traces();
    } finally {
      run.end(shapeOf(request));
    }
  }
}

/** One search under way. */
class SearchWork {
  readonly #options: TraceSearchOptions;
  readonly #request: SearchRequest;
  readonly #run: QueryRun;
  readonly #criteria: SpanCriteria;
  readonly #seen = new Set<bigint>();
  /** Matching traces that have not left, oldest first. */
  #held: Found[] = [];
  #left: number;

  constructor(options: TraceSearchOptions, request: SearchRequest, run: QueryRun) {
    this.#options = options;
    this.#request = request;
    this.#run = run;
    this.#criteria = criteriaOf(request);
    this.#left = request.limit;
  }

  async *traces(): AsyncGenerator<Span[], void> {
    const windows = new SearchWindows(this.#request, this.#options.clock.nowMs());
    while (this.#left > 0) {
      const { window, rows, last } = windows;
      yield* this.#within(window, rows);
      if (last) break;
      const { limit } = this.#request;
      const found = limit - this.#left + this.#held.length;
      // A word that is rare is as cheap to find everywhere as in a part.
      if (found === 0 && this.#criteria.words.length > 0) windows.widenToAll();
      else windows.widen(found, limit);
    }
    yield* this.#leave(Number.NEGATIVE_INFINITY);
  }

  /** Page by page through the candidates of a window, each trace once. */
  async *#within(window: TimeRange, rows: TimeRange): AsyncGenerator<Span[], void> {
    let limit = Math.min(CANDIDATES_MAX, Math.max(CANDIDATES_MIN, 4 * this.#left));
    let notAfterUs: number | undefined;
    while (this.#left > 0) {
      const request: CandidateRequest = {
        criteria: this.#criteria,
        window,
        rows,
        ...(notAfterUs === undefined ? {} : { notAfterUs }),
        limit,
      };
      const { searcher } = this.#options;
      const found = await this.#run.call((o) => searcher.candidates(request, o), rows);
      yield* this.#judge(found.filter(({ low }) => !this.#seen.has(low)));
      const oldest = found.at(-1)?.timestampUs;
      if (oldest === undefined || found.length < limit) break;
      // Of one microsecond there may be more traces than one statement gives.
      if (oldest === notAfterUs) limit *= 2;
      notAfterUs = oldest;
    }
    if (this.#left > 0) yield* this.#leave(window.fromUs);
  }

  async *#judge(candidates: readonly Candidate[]): AsyncGenerator<Span[], void> {
    for (let from = 0; from < candidates.length && this.#left > 0;) {
      const size = Math.min(PAGE_MAX, Math.max(1, this.#left - this.#held.length) + SPARE);
      const page = candidates.slice(from, from + size);
      from += size;
      for (const { low } of page) this.#seen.add(low);
      await this.#read(page);
      yield* this.#leave(candidates[from]?.timestampUs ?? page.at(-1)!.timestampUs);
    }
  }

  async #read(page: readonly Candidate[]): Promise<void> {
    const { searcher, strict } = this.#options;
    const lows = page.map(({ low }) => low);
    const times = page.map(({ timestampUs }) => timestampUs);
    const about = { fromUs: Math.min(...times), toUs: Math.max(...times) };
    const traces = await this.#run.call((o) => searcher.traces(lows, strict, o, about), {
      traces: lows,
    });
    for (const spans of traces) {
      if (!matches(spans, this.#request)) continue;
      this.#held.push({ spans, timestampUs: Number(traceTimestampUs(spans)) });
    }
    this.#held.sort((a, b) => a.timestampUs - b.timestampUs);
  }

  /**
   * Traces of `boundUs` or later: those not read yet began before it. The spans of a service do
   * not begin before their trace but for clocks that differ, so this is order, not truth; when
   * many wait for it, the newest of them go on.
   */
  *#leave(boundUs: number): Generator<Span[], void> {
    for (;;) {
      const newest = this.#held.at(-1);
      if (newest === undefined || this.#left === 0) return;
      const full = this.#held.length > Math.min(this.#left, PAGE_MAX) + HELD_MAX;
      if (newest.timestampUs < boundUs && !full) return;
      this.#held.pop();
      this.#left--;
      yield newest.spans;
    }
  }
}

function criteriaOf(request: SearchRequest): SpanCriteria {
  const { serviceName, remoteServiceName, spanName, annotationQuery } = request;
  const { minDurationUs, maxDurationUs } = request;
  const words = Array.from(annotationQuery, ([key, value]) =>
    value === '' ? key : `${key}=${value}`,
  );
  return {
    ...(serviceName === undefined ? {} : { service: serviceName }),
    ...(remoteServiceName === undefined ? {} : { remote: remoteServiceName }),
    ...(spanName === undefined ? {} : { name: spanName }),
    ...(minDurationUs === undefined ? {} : { minDurationUs }),
    ...(maxDurationUs === undefined ? {} : { maxDurationUs }),
    words,
  };
}

/** Which parameters there are and how wide the search is, nothing of what it asks for. */
function shapeOf(request: SearchRequest): QueryShape {
  return {
    service: request.serviceName !== undefined,
    remote: request.remoteServiceName !== undefined,
    span: request.spanName !== undefined,
    words: request.annotationQuery.size,
    duration: request.minDurationUs !== undefined,
    lookbackMs: request.lookbackMs,
    limit: request.limit,
  };
}
