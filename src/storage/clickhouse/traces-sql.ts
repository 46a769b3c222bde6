/** The statement that reads whole traces. */
import { TIMESTAMP_US_MAX } from '../../model/span-batch.ts';
import type { TimeRange } from '../contract.ts';
import type { Statement } from './candidate-sql.ts';
import { SPAN_SELECT } from './row-reader.ts';

const HOUR_US = 3_600_000_000;
/** How much later than what was found of it a trace goes on, as a rule. */
const AFTER_US = 600_000_000;
const HOURS_MAX = 4;

/** All spans of the traces with these low 64 bits of their ids, wherever they are. */
export function tracesSql(table: string, tenant: string, lows: readonly bigint[]): Statement {
  const sql =
    `SELECT ${SPAN_SELECT} FROM ${table} ` +
    'WHERE tenant = {tenant:String} AND trace_lo IN {lows:Array(UInt64)}';
  return { sql, params: { tenant, lows } };
}

/**
 * A condition that most rows of these traces meet, on the hours of the primary key; undefined when
 * those are too many for it to be of use.
 */
export function hoursSql({ fromUs, toUs }: TimeRange): Statement | undefined {
  const fromHourUs = Math.floor(fromUs / HOUR_US) * HOUR_US;
  if (toUs + AFTER_US - fromHourUs > HOURS_MAX * HOUR_US) return undefined;
  const hour = (name: string): string =>
    `toStartOfHour(fromUnixTimestamp64Micro({${name}:Int64}, 'UTC'))`;
  const sql = `toStartOfHour(ts) BETWEEN ${hour('hoursFrom')} AND ${hour('hoursTo')}`;
  const at = (us: number): number => Math.min(Math.max(0, Math.trunc(us)), TIMESTAMP_US_MAX);
  return { sql, params: { hoursFrom: at(fromUs), hoursTo: at(toUs + AFTER_US) } };
}
