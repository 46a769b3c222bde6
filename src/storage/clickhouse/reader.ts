/** Reads spans: bound parameters only, every query limited in time, memory and threads. */
import type { ClickHouseSettings } from '@clickhouse/client';
import type { Span } from '../../model/span.ts';
import type { TraceKey } from '../../model/trace-id.ts';
import type { ReadOptions, TraceReader } from '../contract.ts';
import type { Client, ReadLimits } from './client.ts';
import { RowReader, SPAN_SELECT } from './row-reader.ts';
import { unstoredSpans } from './unstored-spans.ts';
import { wholeTrace } from './whole-trace.ts';

/**
 * Reading the few granules is cheaper than asking the index while reading, and the projection is
 * never better than the primary key.
 */
export const BY_TRACE: ClickHouseSettings = {
  use_skip_indexes_on_data_read: 0,
  optimize_use_projections: 0,
};

export class ClickHouseTraceReader implements TraceReader {
  readonly #client: Client;
  readonly #limits: ReadLimits;
  readonly #table: string;

  constructor(client: Client, limits: ReadLimits) {
    this.#client = client;
    this.#limits = limits;
    this.#table = `${client.database}.spans`;
  }

  async trace(key: TraceKey, strict: boolean, options: ReadOptions): Promise<Span[]> {
    const exact = strict ? ' AND trace_hi={hi:UInt64}' : '';
    const where = `tenant={tenant:String} AND trace_lo={lo:UInt64}${exact}`;
    const answer = await this.#client.query(
      `SELECT ${SPAN_SELECT} FROM ${this.#table} WHERE ${where} FORMAT RowBinary`,
      {
        limits: this.#limits,
        params: { tenant: options.tenant, lo: key.lo, ...(strict ? { hi: key.hi } : {}) },
        settings: BY_TRACE,
        ...(options.signal === undefined ? {} : { signal: options.signal }),
      },
    );
    const stored = new RowReader(answer).spans();
    const wanted = { tenant: options.tenant, lows: [key.lo], high: strict ? key.hi : undefined };
    return wholeTrace([...stored, ...unstoredSpans(options.unstored ?? [], wanted)]);
  }

  async countRows(signal?: AbortSignal): Promise<number> {
    const answer = await this.#client.query(`SELECT count() FROM ${this.#table} FORMAT TSV`, {
      limits: this.#limits,
      ...(signal === undefined ? {} : { signal }),
    });
    return Number(answer.toString());
  }
}
