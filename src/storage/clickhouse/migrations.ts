/**
 * Brings the schema of a store to what this program knows: numbered, append-only, idempotent.
 * Two collectors may run it at once. A store of a newer program is refused, never changed.
 */
import { CodedError } from '../../base/errors.ts';
import type { Logger } from '../../telemetry/logger.ts';
import { StorageError } from '../contract.ts';
import type { Client, ReadLimits } from './client.ts';
import { SPANS_TABLE, createSpansTable } from './ddl.ts';
import { createLinksTable } from './schema-links.ts';
import { NAMES_TABLE, TAG_VALUES_TABLE, createNameTables } from './schema-names.ts';
import { addSearch } from './schema-search.ts';

interface Migration {
  readonly version: number;
  readonly name: string;
  /**
   * Each may run again, after a crash or beside another collector: IF NOT EXISTS everywhere.
   * `engine` is the version of the server.
   */
  readonly statements: (database: string, engine: string) => readonly string[];
}

/** Never edited once released: what follows goes into the next number. */
const MIGRATIONS: readonly Migration[] = [
  { version: 1, name: 'spans', statements: (database) => [createSpansTable(database)] },
  { version: 2, name: 'search', statements: addSearch },
  { version: 3, name: 'names', statements: createNameTables },
  { version: 4, name: 'links', statements: createLinksTable },
];
const KNOWN_VERSION = Math.max(...MIGRATIONS.map(({ version }) => version));

/** Tables whose rows are dropped by age, and what their age is counted from. */
const AGING: readonly (readonly [table: string, day: string])[] = [
  [SPANS_TABLE, 'toDate(ts)'],
  [NAMES_TABLE, 'day'],
  [TAG_VALUES_TABLE, 'day'],
];

const LIMITS: ReadLimits = { timeoutMs: 30_000, memoryBytes: 100_000_000, threads: 1 };
const DAY_MS = 86_400_000;

interface Marker {
  readonly version: number;
  /** Version of the ClickHouse that last opened the store for a program of this kind. */
  readonly engine: string;
}

/**
 * Creates the database and applies what is missing.
 * @param engine version of the server, remembered beside the schema's
 * @param again applies every migration whatever the store says: tables may have been dropped
 * @throws SCRUBJAY_ERR_START when the store is newer than this program
 */
export async function migrate(
  client: Client,
  engine: string,
  logger: Logger,
  again = false,
): Promise<void> {
  const marker = await readMarker(client);
  if (marker.version > KNOWN_VERSION) {
    const detail =
      `The store was written by a newer Scrubjay (schema ${marker.version}, this program knows ` +
      `${KNOWN_VERSION}): use that version or another SCRUBJAY_DATA_DIR`;
    throw new CodedError('SCRUBJAY_ERR_START', { detail });
  }
  if (marker.version === 0 || again) await createDatabase(client);
  for (const { version, name, statements } of MIGRATIONS) {
    const done = version <= marker.version;
    if (done && !again) continue;
    for (const statement of statements(client.database, engine)) await client.command(statement);
    if (done) continue;
    await writeMarker(client, { version, engine }, name);
    logger.info({ version, name }, 'Schema migration applied');
  }
  if (marker.version === KNOWN_VERSION && marker.engine !== engine) {
    await writeMarker(client, { version: KNOWN_VERSION, engine }, 'engine');
    logger.info({ from: marker.engine, to: engine }, 'ClickHouse version of the store changed');
  }
}

/** A user without the right to create databases is fine when it exists. */
async function createDatabase(client: Client): Promise<void> {
  const { database } = client;
  const answer = await client.query(
    'SELECT count() FROM system.databases WHERE name = {name:String} FORMAT TSV',
    { limits: LIMITS, params: { name: database } },
  );
  if (answer.toString().trim() === '0') {
    await client.command(`CREATE DATABASE IF NOT EXISTS ${database} ENGINE = Atomic`);
  }
  await client.command(
    `CREATE TABLE IF NOT EXISTS ${database}._migrations (version UInt32, name String, ` +
      `engine String, at DateTime64(3, 'UTC') DEFAULT now64(3)) ` +
      'ENGINE = MergeTree ORDER BY version',
  );
}

async function readMarker(client: Client): Promise<Marker> {
  try {
    const answer = await client.query(
      `SELECT version, engine FROM ${client.database}._migrations ` +
        'ORDER BY version DESC, at DESC LIMIT 1 FORMAT TSV',
      { limits: LIMITS },
    );
    const [version = '0', engine = ''] = answer.toString().trimEnd().split('\t');
    return { version: Number(version), engine };
  } catch (error) {
    const missing = error instanceof StorageError && error.failure === 'schema';
    if (missing) return { version: 0, engine: '' };
    throw error;
  }
}

async function writeMarker(client: Client, marker: Marker, name: string): Promise<void> {
  await client.command(
    `INSERT INTO ${client.database}._migrations (version, name, engine) ` +
      'SELECT {version:UInt32}, {name:String}, {engine:String}',
    { params: { ...marker, name }, settings: { async_insert: 0 } },
  );
}

/**
 * Days after which a whole day is dropped. A day begins to count when it is over, so that even
 * its last span is kept for `retentionMs`. 0: never.
 */
export function retentionDays(retentionMs: number): number {
  return retentionMs === 0 ? 0 : Math.ceil(retentionMs / DAY_MS) + 1;
}

/**
 * Makes the TTL of the tables what the setting says. Parts carry the expiry that held when they
 * were written and would be dropped by that: materialize_ttl_after_modify gives them the new one.
 * It reads one column of each part (3M rows: 70 ms) and runs in the background.
 */
export async function applyRetention(
  client: Client,
  retentionMs: number,
  logger: Logger,
): Promise<void> {
  const days = retentionDays(retentionMs);
  for (const [table, day] of AGING) {
    const present = await presentRetentionDays(client, table, day);
    if (present === days) continue;
    const change = days === 0 ? 'REMOVE TTL' : `MODIFY TTL ${day} + toIntervalDay(${days})`;
    await client.command(`ALTER TABLE ${client.database}.${table} ${change}`, {
      settings: { materialize_ttl_after_modify: 1 },
    });
    logger.info({ table, days, before: present }, 'Retention changed');
  }
}

/** 0: the table has no TTL; undefined: one that is not ours. */
async function presentRetentionDays(
  client: Client,
  table: string,
  day: string,
): Promise<number | undefined> {
  const answer = await client.query(
    'SELECT engine_full FROM system.tables ' +
      'WHERE database = {database:String} AND name = {table:String} FORMAT TSVRaw',
    { limits: LIMITS, params: { database: client.database, table } },
  );
  const ttl = /\bTTL (.+?)(?: SETTINGS |\n|$)/.exec(answer.toString())?.[1];
  if (ttl === undefined) return 0;
  const ours = `${day} + toIntervalDay(`;
  return ttl.startsWith(ours) ? Number.parseInt(ttl.slice(ours.length), 10) : undefined;
}
