/**
 * Log segments into `spans`: the file is the body of the INSERT. One insert makes one part a day,
 * parts are atomic, so each day of a segment is stored whole or not at all; the rows' `_batch`
 * tells afterwards which.
 */
import { open, type FileHandle } from 'node:fs/promises';
import type { ClickHouseSettings } from '@clickhouse/client';
import { StorageError, type InsertSource, type RowsByDay, type SpanWriter } from '../contract.ts';
import type { Client, ReadLimits } from './client.ts';
import { SPANS_TABLE, SPAN_COLUMN_LIST, SPAN_STRUCTURE } from './ddl.ts';
import type { SchemaGuard } from './schema-guard.ts';

const READ_BYTES = 1024 * 1024;
const DAY_MS = 86_400_000;
const INSERT_SECONDS_MAX = 120;
const COUNT_LIMITS: ReadLimits = { timeoutMs: 60_000, memoryBytes: 200_000_000, threads: 2 };

/**
 * The two block sizes make one block, so one part a day, of the whole body: with the defaults each
 * 65k rows become a part and a day is no longer all or nothing.
 */
const INSERT_SETTINGS: ClickHouseSettings = {
  async_insert: 0,
  max_partitions_per_insert_block: '0',
  max_insert_threads: '1',
  min_insert_block_size_rows: '2000000000',
  min_insert_block_size_bytes: '0',
  max_execution_time: INSERT_SECONDS_MAX,
};

export class ClickHouseSpanWriter implements SpanWriter {
  readonly #client: Client;
  readonly #withSchema: SchemaGuard;
  readonly #stop = new AbortController();
  onReturn: () => void = () => undefined;
  /** Batches of which no insert can be under way: the last one was seen to its end. */
  readonly #ended = new Set<bigint>();
  #attempts = 0;

  constructor(client: Client, withSchema: SchemaGuard) {
    this.#client = client;
    this.#withSchema = withSchema;
  }

  async insert(source: InsertSource, onlyDays?: readonly number[]): Promise<void> {
    if (onlyDays?.length === 0) return;
    const expected =
      onlyDays === undefined
        ? source.rows
        : onlyDays.reduce((rows, day) => rows + (source.days.get(day) ?? 0), 0);
    this.#ended.delete(source.batch);
    const written = await this.#withSchema(() => this.#send(source, onlyDays));
    this.#ended.add(source.batch);
    if (written !== expected) {
      const text = `${source.path}: ${written} rows written, ${expected} expected`;
      throw new StorageError('retry', 0, text);
    }
  }

  async countBack(batch: bigint): Promise<RowsByDay> {
    const { database } = this.#client;
    const { signal } = this.#stop;
    if (!this.#ended.delete(batch)) {
      await this.#client.command('KILL QUERY WHERE startsWith(query_id, {prefix:String}) SYNC', {
        params: { prefix: queryIdPrefix(batch) },
        signal,
      });
    }
    const answer = await this.#withSchema(() =>
      this.#client.query(
        `SELECT toUInt32(toDate(ts)) AS day, count() FROM ${database}.${SPANS_TABLE} ` +
          'WHERE _batch = {batch:UInt64} GROUP BY day FORMAT TSV',
        { params: { batch }, limits: COUNT_LIMITS, signal },
      ),
    );
    return readDays(answer.toString());
  }

  /** Cuts inserts under way and refuses further ones: they are in doubt, which the log survives. */
  stop(): void {
    this.#stop.abort();
  }

  async #send(source: InsertSource, onlyDays: readonly number[] | undefined): Promise<number> {
    const target = `INSERT INTO ${this.#client.database}.${SPANS_TABLE} (${SPAN_COLUMN_LIST})`;
    const queryId = `${queryIdPrefix(source.batch)}${++this.#attempts}`;
    const call = { queryId, settings: INSERT_SETTINGS, signal: this.#stop.signal };
    const file = await openSegment(source);
    try {
      const body = file.createReadStream({
        start: 0,
        end: source.bytes - 1,
        highWaterMark: READ_BYTES,
      });
      if (onlyDays === undefined) {
        return await this.#client.insert(`${target} FORMAT Native`, body, call);
      }
      const structure = SPAN_STRUCTURE.replaceAll("'", String.raw`\'`);
      const select =
        `SELECT ${SPAN_COLUMN_LIST} FROM input('${structure}') ` +
        'WHERE toDate(ts) IN {days:Array(Date)} FORMAT Native';
      const params = { days: onlyDays.map(isoDay) };
      return await this.#client.insert(`${target} ${select}`, body, { ...call, params });
    } finally {
      await file.close();
    }
  }
}

/** A shorter file would be an insert of fewer blocks: told apart from storage's failures here. */
async function openSegment({ path, bytes }: InsertSource): Promise<FileHandle> {
  let file: FileHandle | undefined;
  try {
    file = await open(path);
    const { size } = await file.stat();
    if (size < bytes) throw new Error(`${size} bytes on disk, ${bytes} in the index`);
    return file;
  } catch (error) {
    await file?.close();
    const text = error instanceof Error ? error.message : String(error);
    // Of the log, not of storage: other segments are not to wait for it.
    throw new Error(`${path} cannot be read: ${text}`, { cause: error });
  }
}

const queryIdPrefix = (batch: bigint): string => `sj-${batch.toString(16).padStart(16, '0')}-`;

const isoDay = (day: number): string => new Date(day * DAY_MS).toISOString().slice(0, 10);

function readDays(tsv: string): RowsByDay {
  const days = new Map<number, number>();
  for (const line of tsv.split('\n')) {
    const [day, rows] = line.split('\t');
    if (day !== undefined && rows !== undefined) days.set(Number(day), Number(rows));
  }
  return days;
}
