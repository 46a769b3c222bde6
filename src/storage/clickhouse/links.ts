/** What dependency links are made of, and where their sums are kept. */
import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import type { ClickHouseSettings } from '@clickhouse/client';
import type { DependencyLink } from '../../model/dependency-link.ts';
import {
  StorageError,
  type LinkBucket,
  type LinkReader,
  type LinkRow,
  type LinkSelection,
  type LinkStore,
  type LinkedDay,
  type RowsByDay,
  type SavedLinks,
} from '../contract.ts';
import type { Client, ReadLimits } from './client.ts';
import { SPANS_TABLE } from './ddl.ts';
import { LINK_SELECT, LinkRowReader } from './link-row-reader.ts';
import { LINKS_TABLE, LINK_COLUMNS } from './schema-links.ts';
import type { SchemaGuard } from './schema-guard.ts';

const HOURS = 24;
const HOUR_S = 3600;
/** Ranges that are left out by the statement: the others are few rows. */
const RANGES_MAX = 16;
/** All rows of a save are one block, so one part: they are saved all at once or not at all. */
const SAVE_SETTINGS: ClickHouseSettings = {
  async_insert: 0,
  max_insert_threads: '1',
  max_insert_block_size: '1000000000',
  min_insert_block_size_rows: '1000000000',
  min_insert_block_size_bytes: '0',
  input_format_parallel_parsing: 0,
  max_execution_time: 60,
};
const COLUMN_NAMES = LINK_COLUMNS.map((column) => column.slice(0, column.indexOf(' ')));
const AT =
  "fromUnixTimestamp64Micro({from:Int64}, 'UTC') AND " +
  "fromUnixTimestamp64Micro({to:Int64}, 'UTC')";
const WITHIN =
  "fromUnixTimestamp64Micro({reachFrom:Int64}, 'UTC') AND " +
  "fromUnixTimestamp64Micro({reachTo:Int64}, 'UTC')";

interface Where {
  readonly where: string;
  readonly params: Readonly<Record<string, unknown>>;
}

/** Of one read, in the background as a rule; queries end theirs themselves. */
const LIMITS: ReadLimits = { timeoutMs: 60_000, memoryBytes: 800_000_000, threads: 2 };
const CUTS_MAX = 5000;
const ROWS_AT_ONCE = 2000;

export interface ClickHouseLinksOptions {
  readonly client: Client;
  /** Of the sums; never the same for two collectors at work. */
  readonly owner: string;
  readonly withSchema: SchemaGuard;
}

export class ClickHouseLinks implements LinkReader, LinkStore {
  readonly #options: ClickHouseLinksOptions;
  readonly #spans: string;
  readonly #links: string;
  #version = 0n;

  constructor(options: ClickHouseLinksOptions) {
    this.#options = options;
    this.#spans = `${options.client.database}.${SPANS_TABLE}`;
    this.#links = `${options.client.database}.${LINKS_TABLE}`;
  }

  async rowsByDay(signal?: AbortSignal): Promise<RowsByDay> {
    const answer = await this.#query(
      `SELECT toUInt32(toDate(ts)) AS day, count() FROM ${this.#spans} GROUP BY day FORMAT TSV`,
      {},
      signal,
    );
    return new Map(linesOf(answer).map(([day, rows]) => [Number(day), Number(rows)]));
  }

  async segments(
    day: number,
    except: readonly { readonly from: bigint; readonly to: bigint }[],
    signal?: AbortSignal,
  ): Promise<ReadonlyMap<bigint, number>> {
    const widest = except.toSorted((a, b) => (b.to - b.from > a.to - a.from ? 1 : -1));
    const outside = widest
      .slice(0, RANGES_MAX)
      .map(({ from, to }) => ` AND (_batch < ${from} OR _batch > ${to})`);
    const answer = await this.#query(
      `SELECT _batch, count() FROM ${this.#spans} ` +
        `WHERE toDate(ts) = toDate({day:UInt16})${outside.join('')} GROUP BY _batch FORMAT TSV`,
      { day },
      signal,
    );
    return new Map(linesOf(answer).map(([batch = '', rows]) => [BigInt(batch), Number(rows)]));
  }

  async rows(selection: LinkSelection, signal?: AbortSignal): Promise<LinkRow[]> {
    const { where, params } = this.#where(selection);
    const answer = await this.#query(
      `SELECT ${LINK_SELECT} FROM ${this.#spans} WHERE ${where} FORMAT RowBinary`,
      params,
      signal,
    );
    const reader = new LinkRowReader(answer);
    const rows: LinkRow[] = [];
    // The event loop is let go now and then: there may be many.
    while (reader.read(rows, ROWS_AT_ONCE)) {
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
    }
    return rows;
  }

  async range(from: bigint, to: bigint, signal?: AbortSignal): Promise<Iterable<LinkRow[]>> {
    const answer = await this.#query(
      `SELECT ${LINK_SELECT} FROM ${this.#spans} ` +
        'WHERE trace_lo BETWEEN {from:UInt64} AND {to:UInt64} ORDER BY trace_lo FORMAT RowBinary',
      { from, to },
      signal,
    );
    return new LinkRowReader(answer).traces(ROWS_AT_ONCE);
  }

  async *traces(day: number, signal?: AbortSignal): AsyncGenerator<Uint32Array, void> {
    for (let hour = 0; hour < HOURS; hour++) {
      const answer = await this.#query(
        `SELECT DISTINCT trace_lo FROM ${this.#spans} WHERE toDate(ts) = toDate({day:UInt16}) ` +
          'AND toStartOfHour(ts) = toDateTime({at:UInt32}) FORMAT RowBinary',
        { day, at: (day * HOURS + hour) * HOUR_S },
        signal,
      );
      const words = new Uint32Array(answer.length / 4);
      for (let i = 0; i < words.length; i++) words[i] = answer.readUInt32LE(4 * i);
      yield words;
    }
  }

  async cuts(ranges: number, signal?: AbortSignal): Promise<bigint[]> {
    const count = Math.min(ranges, CUTS_MAX);
    const levels = Array.from({ length: count - 1 }, (_, i) => ((i + 1) / count).toFixed(9));
    const answer = await this.#query(
      `SELECT arrayJoin(quantiles(${levels.join(',')})(trace_lo)) FROM ${this.#spans} FORMAT TSV`,
      {},
      signal,
    );
    return linesOf(answer)
      .map(([text]) => Math.floor(Number(text)))
      .filter((cut) => cut < 2 ** 64)
      .toSorted((a, b) => a - b)
      .map(BigInt);
  }

  async load(): Promise<SavedLinks> {
    const answer = await this.#options.withSchema(() =>
      this.#query(
        `SELECT ${COLUMN_NAMES.map((name) => textual(name)).join(', ')} ` +
          `FROM ${this.#links} FINAL WHERE owner = {owner:String} FORMAT JSONCompactEachRow`,
        { owner: this.#options.owner },
      ),
    );
    const days: LinkedDay[] = [];
    const buckets: SavedLinks['buckets'][number][] = [];
    for (const line of answer.toString().split('\n')) {
      if (line === '') continue;
      const row = JSON.parse(line) as SavedRow;
      const version = BigInt(row[5]);
      if (version > this.#version) this.#version = version;
      if (row[2] === 'day') days.push(dayOfRow(row));
      else buckets.push({ tenant: row[1], bucket: bucketOfRow(row, row[2]) });
    }
    return { days, buckets };
  }

  async save({ days, buckets }: SavedLinks): Promise<void> {
    const { owner, client } = this.#options;
    const version = String(++this.#version);
    const lines = [
      ...days.map((day) => rowOfDay(owner, version, day)),
      ...buckets.map(({ tenant, bucket }) => rowOfBucket(owner, tenant, version, bucket)),
    ].map((row) => `${JSON.stringify(row)}\n`);
    await this.#options.withSchema(async () => {
      const written = await client.insert(
        `INSERT INTO ${this.#links} (${COLUMN_NAMES.join(', ')}) FORMAT JSONCompactEachRow`,
        Readable.from([Buffer.from(lines.join(''))]),
        { queryId: `sj-links-${randomUUID()}`, settings: SAVE_SETTINGS },
      );
      if (written === lines.length) return;
      throw new StorageError('retry', 0, `${written} of ${lines.length} rows of links written`);
    });
  }

  async clear(): Promise<void> {
    const { owner, client } = this.#options;
    await this.#options.withSchema(() =>
      client.command(`ALTER TABLE ${this.#links} DELETE WHERE owner = {owner:String}`, {
        params: { owner },
        settings: { mutations_sync: '1', max_execution_time: 60 },
      }),
    );
  }

  #where(selection: LinkSelection): Where {
    switch (selection.of) {
      case 'segments': {
        const { day, batches } = selection;
        const where = 'toDate(ts) = toDate({day:UInt16}) AND _batch IN {batches:Array(UInt64)}';
        return { where, params: { day, batches } };
      }
      case 'traces': {
        const { tenants, traces, days } = selection;
        const where =
          'tenant IN {tenants:Array(String)} AND trace_lo IN {traces:Array(UInt64)} ' +
          'AND toDate(ts) IN {days:Array(Date)}';
        const lows = traces.map((trace) => numberOf(trace));
        return { where, params: { tenants, traces: lows, days: days.map((day) => isoDay(day)) } };
      }
      case 'moment':
      default: {
        const { tenant, at, within } = selection;
        const ofTenant = 'tenant = {tenant:String} AND ts BETWEEN';
        const traces = `SELECT trace_lo FROM ${this.#spans} WHERE ${ofTenant} ${AT}`;
        const params = {
          tenant,
          from: at.fromUs,
          to: at.toUs,
          reachFrom: within.fromUs,
          reachTo: within.toUs,
        };
        return { where: `${ofTenant} ${WITHIN} AND trace_lo IN (${traces})`, params };
      }
    }
  }

  #query(
    sql: string,
    params: Readonly<Record<string, unknown>>,
    signal?: AbortSignal,
  ): Promise<Buffer> {
    const { client } = this.#options;
    return client.query(sql, {
      limits: LIMITS,
      params,
      ...(signal === undefined ? {} : { signal }),
    });
  }
}

/** The columns of LINK_COLUMNS; 64-bit numbers as texts. */
type SavedRow = readonly [
  owner: string,
  tenant: string,
  kind: LinkBucket['kind'] | 'day',
  minute: number,
  beforeMinute: number,
  version: string,
  rows: string,
  batchFrom: readonly string[],
  batchTo: readonly string[],
  storedFromMs: string,
  storedToMs: string,
  parents: readonly string[],
  children: readonly string[],
  calls: readonly string[],
  errors: readonly string[],
];

/** 64-bit numbers are beyond what JSON numbers hold. */
function textual(name: string): string {
  if (name.startsWith('batch_') || name === 'calls' || name === 'errors') {
    return `arrayMap(number -> toString(number), ${name})`;
  }
  const isLong = name === 'version' || name === 'rows' || name.startsWith('stored_');
  return isLong ? `toString(${name})` : name;
}

const rowOfDay = (owner: string, version: string, { day, rows, batches }: LinkedDay): SavedRow => [
  owner,
  '',
  'day',
  day,
  0,
  version,
  String(rows),
  batches.map(({ from }) => String(from)),
  batches.map(({ to }) => String(to)),
  '0',
  '0',
  [],
  [],
  [],
  [],
];

const rowOfBucket = (
  owner: string,
  tenant: string,
  version: string,
  { kind, minute, beforeMinute, links, storedFromMs, storedToMs }: LinkBucket,
): SavedRow => [
  owner,
  tenant,
  kind,
  minute,
  beforeMinute,
  version,
  '0',
  [],
  [],
  String(storedFromMs),
  String(storedToMs),
  links.map(({ parent }) => parent),
  links.map(({ child }) => child),
  links.map(({ callCount }) => String(callCount)),
  links.map(({ errorCount }) => String(errorCount ?? 0)),
];

function dayOfRow([, , , day, , , rows, from, to]: SavedRow): LinkedDay {
  const batches = from.map((first, i) => ({ from: BigInt(first), to: BigInt(to[i]!) }));
  return { day, rows: Number(rows), batches };
}

function bucketOfRow(row: SavedRow, kind: LinkBucket['kind']): LinkBucket {
  const [, , , minute, beforeMinute, , , , , from, to, parents, children, calls, errors] = row;
  const links = parents.map((parent, i) => {
    const errorCount = Number(errors[i]);
    const link: DependencyLink = { parent, child: children[i]!, callCount: Number(calls[i]) };
    if (errorCount > 0) link.errorCount = errorCount;
    return link;
  });
  const stored = { storedFromMs: Number(from), storedToMs: Number(to) };
  return { kind, minute, beforeMinute, links, ...stored };
}

const isoDay = (day: number): string =>
  new Date(day * HOURS * HOUR_S * 1000).toISOString().slice(0, 10);

/** A LinkRow's trace. */
const numberOf = (trace: string): bigint => Buffer.from(trace, 'latin1').readBigUInt64BE();

const linesOf = (answer: Buffer): string[][] =>
  answer
    .toString()
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split('\t'));
