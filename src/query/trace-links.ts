/** What one trace adds to the dependency links, and to which windows of time. */
import type { DependencyLink } from '../model/dependency-link.ts';
import type { LinkRow } from '../storage/contract.ts';
import { DependencyLinker } from './dependency-linker.ts';

/** Longer times without a span are remembered: a window may lie within them. */
export const GAP_MS = 60_000;

/** A trace that has a timestamp; all times in epoch milliseconds. */
export interface TraceLinks {
  readonly firstMs: number;
  readonly lastMs: number;
  /** Between which its rows are stored; those without timestamp by their arrival. */
  readonly storedFromMs: number;
  readonly storedToMs: number;
  /** Times without a span, longer than GAP_MS: the end of the one before, the start of the next. */
  readonly gaps: readonly { readonly afterMs: number; readonly beforeMs: number }[];
  readonly links: readonly DependencyLink[];
}

/** Rows of one trace in the order in which the linker is given them. */
export function orderRows(rows: readonly LinkRow[]): readonly LinkRow[] {
  const isOrdered = rows.every((row, i) => i === 0 || rows[i - 1]!.storedUs < row.storedUs);
  return isOrdered ? rows : rows.toSorted(compareRows);
}

export const msOf = (timestamp: number | bigint): number => Math.floor(Number(timestamp) / 1000);

/**
 * The same for the same rows in whatever order storage gives them.
 * @param rows all of one trace
 * @returns undefined when it is in no window, as it has no timestamp
 */
export function linksOfTrace(rows: readonly LinkRow[]): TraceLinks | undefined {
  const timesMs = timesOf(rows);
  if (timesMs.length === 0) return undefined;
  const links = new DependencyLinker().putTrace(orderRows(rows)).link();
  let storedFromUs = Number.POSITIVE_INFINITY;
  let storedToUs = 0;
  for (const { storedUs } of rows) {
    if (storedUs < storedFromUs) storedFromUs = storedUs;
    if (storedUs > storedToUs) storedToUs = storedUs;
  }
  return {
    firstMs: timesMs[0]!,
    lastMs: timesMs.at(-1)!,
    storedFromMs: Math.floor(storedFromUs / 1000),
    storedToMs: Math.floor(storedToUs / 1000),
    gaps: gapsOf(timesMs),
    links,
  };
}

/** Ascending. */
function timesOf(rows: readonly LinkRow[]): number[] {
  const timesMs: number[] = [];
  for (const { timestamp } of rows) if (timestamp !== undefined) timesMs.push(msOf(timestamp));
  return timesMs.toSorted((a, b) => a - b);
}

const NO_GAPS: TraceLinks['gaps'] = [];

function gapsOf(timesMs: readonly number[]): TraceLinks['gaps'] {
  if (timesMs.at(-1)! - timesMs[0]! <= GAP_MS) return NO_GAPS;
  return timesMs
    .slice(1)
    .map((beforeMs, i) => ({ afterMs: timesMs[i]!, beforeMs }))
    .filter(({ afterMs, beforeMs }) => beforeMs - afterMs > GAP_MS);
}

/** By time, then by segment: about the order of arrival, which decides between equal pieces. */
function compareRows(left: LinkRow, right: LinkRow): number {
  if (left.storedUs !== right.storedUs) return left.storedUs - right.storedUs;
  if (left.batch !== right.batch) return left.batch < right.batch ? -1 : 1;
  const leftText = textOf(left);
  const rightText = textOf(right);
  if (leftText === rightText) return 0;
  return leftText < rightText ? -1 : 1;
}

/** All that the linker reads: rows that differ in nothing else may change places. */
function textOf(row: LinkRow): string {
  const { id, parentId, kind, shared, localService, localIpv4, localIpv6 } = row;
  const { timestamp, localPort, remoteService, error } = row;
  const times = [timestamp, localPort, error, shared].map(String);
  return JSON.stringify(
    [id, parentId, kind, localService, localIpv4, localIpv6, remoteService, ...times],
    (_, value: unknown) => value ?? '',
  );
}

/** Rows by tenant, then by trace. */
export function groupRows(rows: readonly LinkRow[]): Map<string, Map<string, LinkRow[]>> {
  const tenants = new Map<string, Map<string, LinkRow[]>>();
  let tenant: string | undefined;
  let traces = new Map<string, LinkRow[]>();
  for (const row of rows) {
    if (row.tenant !== tenant) {
      tenant = row.tenant;
      traces = tenants.get(tenant) ?? new Map<string, LinkRow[]>();
      tenants.set(tenant, traces);
    }
    const trace = traces.get(row.trace);
    if (trace === undefined) traces.set(row.trace, [row]);
    else trace.push(row);
  }
  return tenants;
}
