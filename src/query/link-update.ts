/**
 * Brings a LinkState up to what is stored. Rows are known by the day and the log segment that they
 * came with, and a segment's rows of a day are stored all at once: what is not counted is found by
 * comparing two short lists. Of the traces that got new rows, what they were counted for is taken
 * back and counted anew.
 */
import type { Clock } from '../base/clock.ts';
import { wordsOf } from '../model/trace-filter.ts';
import type { LinkReader, LinkRow, RowsByDay } from '../storage/contract.ts';
import type { Logger } from '../telemetry/logger.ts';
import { type CountedSegments, type LinkMemory, LinkState, dayOf } from './link-state.ts';
import { groupRows, linksOfTrace } from './trace-links.ts';
import type { TraceLinks } from './trace-links.ts';

export interface LinkUpdateOptions {
  readonly reader: LinkReader;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly memory?: LinkMemory;
  /** Rows read at a time. */
  readonly stepRows?: number;
}

const STEP_ROWS = 50_000;
/** Rows read at a time when all are. */
const RANGE_ROWS = 100_000;
/** Fewer new rows are never a reason to begin anew. */
const ANEW_ROWS_MIN = 300_000;
const LOOKUP_TRACES_MAX = 5000;
/** The event loop is let go this often. */
const SLICE_MS = 2;

interface Segment {
  readonly day: number;
  readonly batch: bigint;
  readonly rows: number;
}

/** A trace that got new rows. */
interface Change {
  readonly tenant: string;
  readonly trace: string;
  readonly rows: readonly LinkRow[];
  readonly before: TraceLinks | undefined;
  after: TraceLinks | undefined;
}

export class LinkUpdate {
  readonly #options: LinkUpdateOptions;
  readonly #stepRows: number;
  #sliceEndMs = 0;

  constructor(options: LinkUpdateOptions) {
    this.#options = options;
    this.#stepRows = options.stepRows ?? STEP_ROWS;
  }

  /**
   * Counts all that is stored when it is called; on failure the state has what was counted so far.
   * @param rest waited for after each part of the work; true leaves what can wait for the next run
   * @returns the same state, or one that was made anew
   * @throws StorageError
   */
  async run(
    state: LinkState,
    signal: AbortSignal,
    rest: () => Promise<boolean>,
  ): Promise<LinkState> {
    const { reader } = this.#options;
    const stored = await reader.rowsByDay(signal);
    if (!keeps(state, stored)) return this.#anew(stored, signal, rest, 'rows were removed');
    const pending: Segment[] = [];
    for (const [day, rows] of stored) {
      const counted = state.days.get(day);
      if (counted?.rows === rows) continue;
      const segments = await this.#segmentsOf(day, state, signal);
      // More rows, and no segment that is new: somebody else wrote to the table.
      if (segments.length === 0) return this.#anew(stored, signal, rest, 'segments grew');
      pending.push(...segments);
    }
    const rows = sumRows(pending);
    if (rows > ANEW_ROWS_MIN && rows > state.rows) {
      return this.#anew(stored, signal, rest, 'much is new');
    }
    pending.sort((a, b) => (a.batch < b.batch ? -1 : Number(a.batch > b.batch)));
    for (let at = 0; at < pending.length;) {
      let end = at + 1;
      for (let size = pending[at]!.rows; end < pending.length; end++) {
        size += pending[end]!.rows;
        if (size > this.#stepRows) break;
      }
      await this.#step(state, pending.slice(at, end), signal);
      at = end;
      if (at < pending.length && (await rest())) break;
    }
    return state;
  }

  /** Makes the filter of a state that was loaded. */
  async fillFilter(state: LinkState, signal: AbortSignal): Promise<void> {
    const newestFirst = [...state.days.keys()].toSorted((a, b) => b - a);
    for (const day of newestFirst) {
      if (day < state.filter.firstDay) return;
      for await (const words of this.#options.reader.traces(day, signal)) {
        for (let i = 0; i < words.length; i += 2) state.filter.add(day, words[i]!, words[i + 1]!);
        await this.#pause();
      }
    }
  }

  async #segmentsOf(day: number, state: LinkState, signal: AbortSignal): Promise<Segment[]> {
    const batches = state.days.get(day)?.batches;
    const found = await this.#options.reader.segments(day, batches?.ranges ?? [], signal);
    return Array.from(found, ([batch, rows]) => ({ day, batch, rows })).filter(
      ({ batch }) => batches?.has(batch) !== true,
    );
  }

  async #step(state: LinkState, segments: readonly Segment[], signal: AbortSignal): Promise<void> {
    const { reader } = this.#options;
    const byDay = byDays(segments);
    const rows: LinkRow[] = [];
    for (const { day, rowsOf } of byDay) {
      const batches = [...rowsOf.keys()];
      for (const row of await reader.rows({ of: 'segments', day, batches }, signal)) rows.push(row);
    }
    const changes = await this.#changesOf(state, rows, signal);
    for (const change of changes) {
      change.after = linksOfTrace(change.rows);
      await this.#pause();
    }
    // From here on nothing waits: no query sees a part of it.
    for (const { tenant, trace, before, after, rows: all } of changes) {
      state.replace(tenant, before, after);
      state.recent.put(tenant, trace, { rows: all, links: after });
    }
    addToFilter(state, rows);
    state.count(byDay);
  }

  async #changesOf(
    state: LinkState,
    rows: readonly LinkRow[],
    signal: AbortSignal,
  ): Promise<Change[]> {
    const changes: Change[] = [];
    const old: { tenant: string; trace: string; fresh: LinkRow[]; days: number[] }[] = [];
    for (const [tenant, traces] of groupRows(rows)) {
      for (const [trace, fresh] of traces) {
        const recent = state.recent.get(tenant, trace);
        const days = recent === undefined ? oldDays(state, trace, fresh) : [];
        if (days.length > 0) old.push({ tenant, trace, fresh, days });
        else {
          const all = recent === undefined ? fresh : [...recent.rows, ...fresh];
          changes.push({ tenant, trace, rows: all, before: recent?.links, after: undefined });
        }
      }
    }
    for (let at = 0; at < old.length; at += LOOKUP_TRACES_MAX) {
      const page = old.slice(at, at + LOOKUP_TRACES_MAX);
      const stored = await this.#storedRows(state, page, signal);
      for (const { tenant, trace, fresh } of page) {
        const known = stored.get(tenant)?.get(trace) ?? [];
        const before = linksOfTrace(known);
        changes.push({ tenant, trace, rows: [...known, ...fresh], before, after: undefined });
        await this.#pause();
      }
    }
    return changes;
  }

  /** Rows of traces that are counted. */
  async #storedRows(
    state: LinkState,
    page: readonly { tenant: string; trace: string; days: readonly number[] }[],
    signal: AbortSignal,
  ): Promise<Map<string, Map<string, LinkRow[]>>> {
    const tenants = [...new Set(page.map(({ tenant }) => tenant))];
    const traces = page.map(({ trace }) => trace);
    const days = [...new Set(page.flatMap(({ days: each }) => each))];
    const rows = await this.#options.reader.rows({ of: 'traces', tenants, traces, days }, signal);
    return groupRows(rows.filter(state.counted()));
  }

  /** Counts everything from the beginning, trace by trace in the order of their ids. */
  async #anew(
    stored: RowsByDay,
    signal: AbortSignal,
    rest: () => Promise<boolean>,
    why: string,
  ): Promise<LinkState> {
    const { reader, clock, logger, memory = {} } = this.#options;
    const startMs = clock.monotonicMs();
    const state = new LinkState(memory);
    const segments: Segment[] = [];
    for (const day of stored.keys()) segments.push(...(await this.#segmentsOf(day, state, signal)));
    const byDay = byDays(segments);
    const pending = new Map(byDay.map(({ day, rowsOf }) => [day, rowsOf]));
    const ranges = rangesOf(await this.#cuts(sumRows(segments), signal));
    const read = (index: number): Promise<Iterable<LinkRow[]>> | undefined => {
      const range = ranges[index];
      const lists = range === undefined ? undefined : reader.range(range.from, range.to, signal);
      lists?.catch(() => undefined);
      return lists;
    };
    let next = read(0);
    for (let i = 0; next !== undefined; i++) {
      const lists = await next;
      next = read(i + 1);
      for (const list of lists) {
        addTraces(
          state,
          list.filter((row) => pending.get(dayOf(row))?.has(row.batch) === true),
        );
        await this.#pause();
      }
      await rest();
    }
    state.count(byDay);
    const ms = Math.round(clock.monotonicMs() - startMs);
    logger.info({ rows: state.rows, ms, why }, 'Dependency links of all spans were counted');
    return state;
  }

  async #cuts(rows: number, signal: AbortSignal): Promise<bigint[]> {
    const ranges = Math.ceil(rows / RANGE_ROWS);
    return ranges > 1 ? this.#options.reader.cuts(ranges, signal) : [];
  }

  async #pause(): Promise<void> {
    const { clock } = this.#options;
    if (clock.monotonicMs() < this.#sliceEndMs) return;
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
    this.#sliceEndMs = clock.monotonicMs() + SLICE_MS;
  }
}

/** False when rows that are counted are gone; days that are over their time are let go of. */
function keeps(state: LinkState, stored: RowsByDay): boolean {
  const gone = [...state.days.keys()].filter((day) => !stored.has(day));
  if (gone.length > 0) {
    const before = Math.max(...gone) + 1;
    const kept = [...state.days.keys()].filter((day) => stored.has(day));
    if (kept.length === 0 || Math.min(...kept) < before) return false;
    state.forgetBefore(before);
  }
  for (const [day, { rows }] of state.days) if ((stored.get(day) ?? 0) < rows) return false;
  return true;
}

/** Days on which rows of the trace may be that are not among the new ones. */
function oldDays(state: LinkState, trace: string, fresh: readonly LinkRow[]): number[] {
  const { filter, days } = state;
  const old = filter.daysOf(...wordsOf(trace));
  if (filter.firstDay === Number.NEGATIVE_INFINITY) return old;
  // No longer known of: looked at only when the trace is of about that time.
  const near = new Set(fresh.flatMap((row) => [dayOf(row) - 1, dayOf(row), dayOf(row) + 1]));
  for (const day of days.keys()) if (day < filter.firstDay && near.has(day)) old.push(day);
  return old;
}

/** Counts traces of which nothing is counted. */
function addTraces(state: LinkState, rows: readonly LinkRow[]): void {
  for (const [tenant, traces] of groupRows(rows)) {
    for (const trace of traces.values()) {
      const links = linksOfTrace(trace);
      state.replace(tenant, undefined, links);
      state.recent.pass(links);
    }
  }
  addToFilter(state, rows);
}

function addToFilter({ filter }: LinkState, rows: readonly LinkRow[]): void {
  let last: LinkRow | undefined;
  for (const row of rows) {
    const isSame = last?.trace === row.trace && dayOf(last) === dayOf(row);
    if (!isSame) filter.add(dayOf(row), ...wordsOf(row.trace));
    last = row;
  }
}

const sumRows = (segments: readonly Segment[]): number =>
  segments.reduce((sum, { rows }) => sum + rows, 0);

function byDays(segments: readonly Segment[]): CountedSegments[] {
  const days = new Map<number, Map<bigint, number>>();
  for (const { day, batch, rows } of segments) {
    const rowsOf = days.get(day);
    if (rowsOf === undefined) days.set(day, new Map([[batch, rows]]));
    else rowsOf.set(batch, rows);
  }
  return Array.from(days, ([day, rowsOf]) => ({ day, rowsOf }));
}

/** @param cuts ascending */
function rangesOf(cuts: readonly bigint[]): { from: bigint; to: bigint }[] {
  const starts = [...new Set([0n, ...cuts])];
  return starts.map((from, i) => ({ from, to: (starts[i + 1] ?? 2n ** 64n) - 1n }));
}
