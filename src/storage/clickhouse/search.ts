/** Search in two steps: candidates out of few columns, then whole traces by primary key. */
import type { Span } from '../../model/span.ts';
import type {
  Candidate,
  CandidateRequest,
  ReadOptions,
  TimeRange,
  TraceSearcher,
} from '../contract.ts';
import { IS_UNTIMED, candidateSql, mayGuess, type Reach } from './candidate-sql.ts';
import type { Client, ReadLimits, ReadOptions as ClientRead } from './client.ts';
import { SPANS_TABLE } from './ddl.ts';
import { BY_TRACE } from './reader.ts';
import { RowReader } from './row-reader.ts';
import { hoursSql, tracesSql } from './traces-sql.ts';
import { unstoredCandidates } from './unstored-candidates.ts';
import { unstoredSpans } from './unstored-spans.ts';
import type { UntimedTenants } from './untimed.ts';
import { wholeTraces } from './whole-trace.ts';

const CANDIDATE_BYTES = 17;
/** So many are judged by their spans at less cost than storage can tell. */
const OUTSIDE_MAX = 8;

interface FoundCandidate extends Candidate {
  /** One of the rows that were looked at is in the window. */
  readonly inside: boolean;
}

export class ClickHouseTraceSearcher implements TraceSearcher {
  readonly #client: Client;
  readonly #limits: ReadLimits;
  readonly #table: string;
  readonly #untimed: UntimedTenants;

  constructor(client: Client, limits: ReadLimits, untimed: UntimedTenants) {
    this.#client = client;
    this.#limits = limits;
    this.#table = `${client.database}.${SPANS_TABLE}`;
    this.#untimed = untimed;
  }

  async candidates(request: CandidateRequest, options: ReadOptions): Promise<Candidate[]> {
    const { tenant } = options;
    const known = this.#untimed.has(tenant);
    if (known !== undefined) return this.#candidates(request, options, known);
    // Nearly nobody has spans without a timestamp: that is asked beside the query that hopes so.
    const [candidates, untimed] = await Promise.all([
      this.#candidates(request, options, false),
      this.#hasUntimed(options),
    ]);
    if (!untimed) {
      this.#untimed.foundNone(tenant);
      return candidates;
    }
    this.#untimed.foundSome(tenant);
    return this.#candidates(request, options, true);
  }

  async #candidates(
    request: CandidateRequest,
    options: ReadOptions,
    untimed: boolean,
  ): Promise<Candidate[]> {
    const { unstored = [], tenant } = options;
    const { counting, inWindow } = unstoredCandidates(unstored, tenant, request, untimed);
    const stored = await this.#stored(request, options, untimed, inWindow);
    return counting.length === 0 ? stored : newest([...stored, ...counting], request.limit);
  }

  async traces(
    lows: readonly bigint[],
    strict: boolean,
    options: ReadOptions,
    about?: TimeRange,
  ): Promise<Span[][]> {
    const { sql, params } = tracesSql(this.#table, options.tenant, lows);
    const call = { limits: this.#limits, settings: BY_TRACE, ...signalOf(options) };
    const wanted = { tenant: options.tenant, lows, high: undefined };
    const unstored = unstoredSpans(options.unstored ?? [], wanted);
    // In two halves at a time it takes two thirds of the time, but a third more work.
    const hours = about === undefined || this.#client.reads > 0 ? undefined : hoursSql(about);
    if (hours === undefined) {
      const answer = await this.#client.query(`${sql} FORMAT RowBinary`, { ...call, params });
      return wholeTraces([...unstored, ...new RowReader(answer).spans()], strict);
    }
    const answers = await this.#both(
      [hours.sql, `NOT (${hours.sql})`].map((where) => `${sql} AND ${where} FORMAT RowBinary`),
      { ...call, params: { ...params, ...hours.params } },
    );
    const stored = answers.flatMap((answer) => new RowReader(answer).spans());
    return wholeTraces([...unstored, ...stored], strict);
  }

  /** One failure ends the other. */
  async #both(statements: readonly string[], call: ClientRead): Promise<Buffer[]> {
    const stop = new AbortController();
    const signals = call.signal === undefined ? [stop.signal] : [call.signal, stop.signal];
    const signal = AbortSignal.any(signals);
    try {
      return await Promise.all(
        statements.map((sql) => this.#client.query(sql, { ...call, signal })),
      );
    } catch (error) {
      stop.abort();
      throw error;
    }
  }

  async #stored(
    request: CandidateRequest,
    options: ReadOptions,
    untimed: boolean,
    inWindow: readonly bigint[],
  ): Promise<Candidate[]> {
    if (mayGuess(request, untimed)) {
      const found = await this.#ask(request, options, 'rows');
      if (found.filter(({ inside }) => !inside).length <= OUTSIDE_MAX) return found;
    }
    return this.#ask(request, options, untimed ? 'untimed' : 'window', inWindow);
  }

  async #ask(
    request: CandidateRequest,
    options: ReadOptions,
    reach: Reach,
    inWindow: readonly bigint[] = [],
  ): Promise<FoundCandidate[]> {
    const { tenant } = options;
    const { sql, params } = candidateSql(this.#table, tenant, request, reach, inWindow);
    const answer = await this.#client.query(`${sql} FORMAT RowBinary`, {
      limits: this.#limits,
      params,
      // What is found by word alone is in no projection; asking for one takes its time.
      ...(reach === 'rows' ? { settings: { optimize_use_projections: 0 } } : {}),
      ...signalOf(options),
    });
    return readCandidates(answer);
  }

  async #hasUntimed(options: ReadOptions): Promise<boolean> {
    const answer = await this.#client.query(
      `SELECT 1 FROM ${this.#table} WHERE tenant = {tenant:String} AND ${IS_UNTIMED} ` +
        'LIMIT 1 FORMAT TSV',
      {
        limits: this.#limits,
        params: { tenant: options.tenant },
        // The projection has none of the indexes.
        settings: { optimize_use_projections: 0 },
        ...signalOf(options),
      },
    );
    return answer.length > 0;
  }
}

/** exactOptionalPropertyTypes: what is not given must not be there. */
const signalOf = ({ signal }: ReadOptions): { signal?: AbortSignal } =>
  signal === undefined ? {} : { signal };

/**
 * Each trace once, with the latest time that anything says of it: what storage left out for the
 * limit must not be newer than the last one here, behind which the next page begins.
 */
function newest(candidates: readonly Candidate[], limit: number): Candidate[] {
  const traces = new Map<bigint, Candidate>();
  for (const candidate of candidates) {
    const known = traces.get(candidate.low);
    if (known !== undefined && known.timestampUs >= candidate.timestampUs) continue;
    traces.set(candidate.low, candidate);
  }
  return [...traces.values()].toSorted((a, b) => b.timestampUs - a.timestampUs).slice(0, limit);
}

/** `trace_lo UInt64, at DateTime64(6), inside UInt8` row by row. */
function readCandidates(answer: Buffer): FoundCandidate[] {
  const candidates: FoundCandidate[] = [];
  for (let at = 0; at < answer.length; at += CANDIDATE_BYTES) {
    candidates.push({
      low: answer.readBigUInt64LE(at),
      timestampUs: Number(answer.readBigInt64LE(at + 8)),
      inside: answer[at + 16] !== 0,
    });
  }
  return candidates;
}
