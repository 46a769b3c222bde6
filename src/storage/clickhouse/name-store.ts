/** Names in their tables, and names out of `spans` where nobody had time to record them. */
import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import type { ClickHouseSettings } from '@clickhouse/client';
import type { NameEntry } from '../../model/name-set.ts';
import type { TagValue } from '../../model/tag-values.ts';
import {
  StorageError,
  type NameStore,
  type NamesOfTenant,
  type RecordedNames,
} from '../contract.ts';
import type { Client, ReadLimits } from './client.ts';
import { SPANS_TABLE } from './ddl.ts';
import { NAMES_TABLE, NAME_MARKS_TABLE, TAG_VALUES_TABLE } from './schema-names.ts';
import type { SchemaGuard } from './schema-guard.ts';

const DAY_MS = 86_400_000;
const LIMITS: ReadLimits = { timeoutMs: 10_000, memoryBytes: 200_000_000, threads: 2 };
const INSERT_SETTINGS: ClickHouseSettings = { async_insert: 0, max_execution_time: 60 };
/** One pass over columns of the newest spans, in the background. */
const SCAN_SETTINGS: ClickHouseSettings = {
  async_insert: 0,
  max_execution_time: 600,
  max_threads: 2,
  max_memory_usage: '800000000',
  max_rows_to_group_by: '2000000',
  group_by_overflow_mode: 'any',
};
/** Clocks of replicas differ, and an insert is seen after the time that its rows bear. */
const OVERLAP_S = 60;
const VALUE_BYTES_MAX = 1024;
const NODE_BITS = 48n;

type Row = readonly (string | number)[];

export class ClickHouseNameStore implements NameStore {
  readonly #client: Client;
  readonly #withSchema: SchemaGuard;

  constructor(client: Client, withSchema: SchemaGuard) {
    this.#client = client;
    this.#withSchema = withSchema;
  }

  async record(names: readonly NamesOfTenant[]): Promise<void> {
    const entries = names.flatMap(({ tenant, names: of }) =>
      of.map((e): Row => [tenant, e.service, e.kind, e.name, e.remote, isoDay(e.day)]),
    );
    const values = names.flatMap(({ tenant, values: of }) =>
      of.map((v): Row => [tenant, v.key, v.value, isoDay(v.day)]),
    );
    await this.#withSchema(async () => {
      const columns = 'tenant, service, kind, name, remote, day';
      await this.#insert(`${NAMES_TABLE} (${columns})`, entries);
      await this.#insert(`${TAG_VALUES_TABLE} (tenant, key, value, day)`, values);
    });
  }

  recorded(tenant: string, sinceS: number, max: number): Promise<RecordedNames> {
    return this.#withSchema(async () => {
      const params = { tenant, since: Math.max(0, sinceS - OVERLAP_S), max };
      const [names, values] = await Promise.all([
        this.#select(NAMES_TABLE, 'service, kind, name, remote', params),
        this.#select(TAG_VALUES_TABLE, 'key, value', params),
      ]);
      const latest = (to: number, row: Row): number => Math.max(to, Number(row.at(-1)));
      return {
        names: names.map(entryOf),
        values: values.map(valueOf),
        toS: values.reduce(latest, names.reduce(latest, 0)),
      };
    });
  }

  async mark(batch: bigint): Promise<void> {
    const table = `${this.#client.database}.${NAME_MARKS_TABLE}`;
    await this.#withSchema(() =>
      this.#client.command(
        `INSERT INTO ${table} (node, mark) SELECT {node:UInt16}, {batch:UInt64}`,
        { params: { node: batch >> NODE_BITS, batch }, settings: INSERT_SETTINGS },
      ),
    );
  }

  async recordUnmarked(keys: readonly string[], batches: readonly bigint[]): Promise<void> {
    const { database } = this.#client;
    await this.#withSchema(async () => {
      const unmarked = await this.#unmarked();
      const where =
        batches.length === 0 ? unmarked : `(${unmarked} OR _batch IN {batches:Array(UInt64)})`;
      const call = { settings: SCAN_SETTINGS, params: { batches, max: VALUE_BYTES_MAX } };
      await this.#client.command(
        `INSERT INTO ${database}.${NAMES_TABLE} (tenant, service, kind, name, remote, day) ` +
          'SELECT tenant, service, toUInt8(kind), name, remote, max(toDate(ts)) ' +
          `FROM ${database}.${SPANS_TABLE} WHERE ${where} AND service != '' ` +
          'GROUP BY tenant, service, kind, name, remote',
        call,
      );
      for (const key of keys) {
        await this.#client.command(
          `INSERT INTO ${database}.${TAG_VALUES_TABLE} (tenant, key, value, day) ` +
            'SELECT tenant, {key:String}, tags[{key:String}] AS value, max(toDate(ts)) ' +
            `FROM ${database}.${SPANS_TABLE} WHERE ${where} AND mapContains(tags, {key:String}) ` +
            'AND length(value) <= {max:UInt32} GROUP BY tenant, value',
          { ...call, params: { ...call.params, key } },
        );
      }
    });
  }

  /** A condition on `_batch`: segments that are beyond their node's mark. */
  async #unmarked(): Promise<string> {
    const { database } = this.#client;
    const answer = await this.#client.query(
      `SELECT node, max(mark) FROM ${database}.${NAME_MARKS_TABLE} GROUP BY node FORMAT TSV`,
      { limits: LIMITS },
    );
    const marked = answer
      .toString()
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => line.split('\t'))
      .map(([node = '', mark = '']) => {
        const first = BigInt(node) << NODE_BITS;
        return `NOT (_batch >= ${first} AND _batch < ${BigInt(mark)})`;
      });
    return marked.length === 0 ? 'true' : marked.join(' AND ');
  }

  async #select(
    table: string,
    columns: string,
    params: Readonly<Record<string, unknown>>,
  ): Promise<Row[]> {
    const answer = await this.#client.query(
      `SELECT ${columns}, toUInt16(max(day)), toUnixTimestamp(max(at)) ` +
        `FROM ${this.#client.database}.${table} ` +
        'WHERE tenant = {tenant:String} AND at >= toDateTime({since:UInt32}) ' +
        `GROUP BY ${columns} LIMIT {max:UInt32} FORMAT JSONCompactEachRow`,
      { limits: LIMITS, params },
    );
    const lines = answer.toString().trimEnd();
    return lines === '' ? [] : (JSON.parse(`[${lines.replaceAll('\n', ',')}]`) as Row[]);
  }

  async #insert(target: string, rows: readonly Row[]): Promise<void> {
    if (rows.length === 0) return;
    const body = Buffer.from(rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
    const written = await this.#client.insert(
      `INSERT INTO ${this.#client.database}.${target} FORMAT JSONCompactEachRow`,
      Readable.from([body]),
      { queryId: `sj-names-${randomUUID()}`, settings: INSERT_SETTINGS },
    );
    if (written !== rows.length) {
      throw new StorageError('retry', 0, `${written} of ${rows.length} names written`);
    }
  }
}

const isoDay = (day: number): string => new Date(day * DAY_MS).toISOString().slice(0, 10);

function entryOf([service, kind, name, remote, day]: Row): NameEntry {
  return {
    service: String(service),
    kind: Number(kind),
    name: String(name),
    remote: String(remote),
    day: Number(day),
  };
}

const valueOf = ([key, value, day]: Row): TagValue => ({
  key: String(key),
  value: String(value),
  day: Number(day),
});
