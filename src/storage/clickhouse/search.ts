/** Search in two steps: candidates out of few columns, then whole traces by primary key. */
import type { Span } from '../../model/span.ts';
import type { Candidate, CandidateRequest, ReadOptions, TraceSearcher } from '../contract.ts';
import { IS_UNTIMED, candidateSql } from './candidate-sql.ts';
import type { Client, ReadLimits } from './client.ts';
import { SPANS_TABLE } from './ddl.ts';
import { BY_TRACE } from './reader.ts';
import { RowReader, SPAN_SELECT } from './row-reader.ts';
import type { UntimedTenants } from './untimed.ts';
import { wholeTraces } from './whole-trace.ts';

const CANDIDATE_BYTES = 16;

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

  async traces(lows: readonly bigint[], strict: boolean, options: ReadOptions): Promise<Span[][]> {
    const answer = await this.#client.query(
      `SELECT ${SPAN_SELECT} FROM ${this.#table} ` +
        'WHERE tenant = {tenant:String} AND trace_lo IN {lows:Array(UInt64)} FORMAT RowBinary',
      {
        limits: this.#limits,
        params: { tenant: options.tenant, lows },
        settings: BY_TRACE,
        ...signalOf(options),
      },
    );
    return wholeTraces(new RowReader(answer).spans(), strict);
  }

  async #candidates(
    request: CandidateRequest,
    options: ReadOptions,
    untimed: boolean,
  ): Promise<Candidate[]> {
    const { sql, params } = candidateSql(this.#table, options.tenant, request, untimed);
    const answer = await this.#client.query(`${sql} FORMAT RowBinary`, {
      limits: this.#limits,
      params,
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

/** `trace_lo UInt64, at DateTime64(6)` row by row. */
function readCandidates(answer: Buffer): Candidate[] {
  const candidates: Candidate[] = [];
  for (let at = 0; at < answer.length; at += CANDIDATE_BYTES) {
    candidates.push({
      low: answer.readBigUInt64LE(at),
      timestampUs: Number(answer.readBigInt64LE(at + 8)),
    });
  }
  return candidates;
}
