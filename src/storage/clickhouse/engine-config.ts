/**
 * The two configuration files of the embedded engine, written at each start with a new password.
 * The header rule of engine.xml is the lock: clickhouse-local always has a user `default` without
 * a password, and without the rule any local process could use it.
 */
import { createHash } from 'node:crypto';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CodedError } from '../../base/errors.ts';

export const ENGINE_USER = 'scrubjay';
const CONFIG_FILE = 'engine.xml';
const USERS_FILE = 'engine-users.xml';

export interface EngineConfig {
  /** Absolute; must exist. */
  readonly dir: string;
  readonly database: string;
  readonly password: string;
  readonly memoryBytes: number;
}

const XML_ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&apos;',
  '\t': '&#9;',
  '\n': '&#10;',
  '\r': '&#13;',
};

/** Text content or attribute value. Characters that XML cannot hold are the caller's to refuse. */
export function escapeXml(text: string): string {
  return text.replaceAll(/[&<>"'\t\n\r]/g, (character) => XML_ESCAPES[character] ?? character);
}

/**
 * Writes both files, 0600, and returns the path of engine.xml.
 * @throws SCRUBJAY_ERR_START when the directory has a name that they cannot express
 */
export function writeEngineConfig(config: EngineConfig): string {
  // oxlint-disable-next-line no-control-regex
  if (/[\0-\x08\x0B\x0C\x0E-\x1F\uFFFE\uFFFF]|\$\{/.test(config.dir)) {
    const detail = `SCRUBJAY_DATA_DIR must not contain control characters or \${: ${config.dir}`;
    throw new CodedError('SCRUBJAY_ERR_START', { detail });
  }
  const path = engineConfigPath(config.dir);
  writePrivate(join(config.dir, USERS_FILE), usersXml(config));
  writePrivate(path, engineXml(config));
  return path;
}

export const engineConfigPath = (dir: string): string => join(dir, CONFIG_FILE);

/** The mode of writeFile counts for new files only. */
function writePrivate(path: string, text: string): void {
  writeFileSync(path, '', { mode: 0o600 });
  chmodSync(path, 0o600);
  writeFileSync(path, text);
}

const elements = (indent: string, values: Readonly<Record<string, number | string>>): string =>
  Object.entries(values)
    .map(([name, value]) => `${indent}<${name}>${value}</${name}>`)
    .join('\n');

const silenced = (name: string): string =>
  `<logger><name>${name}</name><level>none</level></logger>`;

/** Failed statements reach us as answers; these loggers would only repeat them. */
const SILENT_LOGGERS = [
  'executeQuery',
  'DynamicQueryHandler',
  'sendExceptionToHTTPClient',
  'BackgroundSchedulePool/BgStrmSchPool',
];

/** Bytes. The defaults are made for servers: 90 % of memory, mark caches of 5 GiB. */
const CACHES = {
  mark_cache_size: 134_217_728,
  index_mark_cache_size: 33_554_432,
  uncompressed_cache_size: 0,
  index_uncompressed_cache_size: 0,
  primary_index_cache_size: 134_217_728,
  text_index_tokens_cache_size: 33_554_432,
  text_index_header_cache_size: 33_554_432,
  text_index_postings_cache_size: 67_108_864,
  vector_similarity_index_cache_size: 0,
  mmap_cache_size: 64,
  compiled_expression_cache_size: 16_777_216,
  compiled_expression_cache_elements_size: 1000,
  parquet_metadata_cache_size: 0,
  iceberg_metadata_files_cache_size: 0,
};

const POOLS = {
  background_pool_size: 2,
  background_merges_mutations_concurrency_ratio: 2,
  background_schedule_pool_size: 8,
  background_common_pool_size: 2,
  background_move_pool_size: 1,
  background_fetches_pool_size: 1,
  background_buffer_flush_schedule_pool_size: 1,
  background_distributed_schedule_pool_size: 1,
  background_message_broker_schedule_pool_size: 1,
  max_thread_pool_size: 512,
  max_thread_pool_free_size: 32,
  max_io_thread_pool_size: 16,
  max_active_parts_loading_thread_pool_size: 4,
  max_outdated_parts_loading_thread_pool_size: 2,
  max_connections: 128,
  async_insert_threads: 1,
  asynchronous_metrics_update_period_s: 60,
};

/**
 * Server defaults, so that the DDL is the same on a server. This build deletes old parts at once
 * (old_parts_lifetime 0): a merge must be on disk before, or a power cut loses acknowledged rows.
 */
const MERGE_TREE = {
  fsync_after_insert: 1,
  fsync_part_directory: 1,
  min_rows_to_fsync_after_merge: 1,
  merge_with_ttl_timeout: 3600,
  number_of_free_entries_in_pool_to_execute_mutation: 1,
  number_of_free_entries_in_pool_to_lower_max_size_of_merge: 1,
  number_of_free_entries_in_pool_to_execute_optimize_entire_partition: 1,
};

function engineXml({ dir, password, memoryBytes }: EngineConfig): string {
  const basic = Buffer.from(`${ENGINE_USER}:${password}`).toString('base64');
  return `<clickhouse>
  <path>${escapeXml(dir.endsWith('/') ? dir : `${dir}/`)}</path>
  <users_config>${USERS_FILE}</users_config>
  <listen_host>127.0.0.1</listen_host>
  <http_port>0</http_port>
  <keep_alive_timeout>60</keep_alive_timeout>
  <http_handlers>
    <rule>
      <url>/ping</url>
      <handler><type>ping</type></handler>
    </rule>
    <rule>
      <headers><Authorization>Basic ${basic}</Authorization></headers>
      <handler>
        <type>dynamic_query_handler</type>
        <query_param_name>query</query_param_name>
      </handler>
    </rule>
  </http_handlers>
  <logger>
    <console>1</console>
    <formatting><type>json</type></formatting>
    <levels>${SILENT_LOGGERS.map(silenced).join('')}</levels>
  </logger>
  <max_server_memory_usage>${memoryBytes}</max_server_memory_usage>
${elements('  ', CACHES)}
${elements('  ', POOLS)}
  <merge_tree>
${elements('    ', MERGE_TREE)}
  </merge_tree>
</clickhouse>
`;
}

/** No FILE, URL, REMOTE, S3: injected SQL could not reach them. */
function usersXml({ database, password }: EngineConfig): string {
  const sha = createHash('sha256').update(password).digest('hex');
  return `<clickhouse>
  <profiles>
    <default/>
    <scrubjay>
      <async_insert>0</async_insert>
      <max_partitions_per_insert_block>0</max_partitions_per_insert_block>
      <max_insert_threads>1</max_insert_threads>
      <use_text_index_postings_cache>1</use_text_index_postings_cache>
      <cancel_http_readonly_queries_on_client_close>1</cancel_http_readonly_queries_on_client_close>
    </scrubjay>
  </profiles>
  <quotas><default/></quotas>
  <users>
    <default>
      <password></password>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>default</profile>
      <quota>default</quota>
      <grants><query>GRANT SYSTEM LISTEN ON *.*</query></grants>
    </default>
    <${ENGINE_USER}>
      <password_sha256_hex>${sha}</password_sha256_hex>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>scrubjay</profile>
      <quota>default</quota>
      <grants>
        <query>GRANT ALL ON ${escapeXml(database)}.*</query>
        <query>GRANT SELECT ON system.*</query>
        <query>GRANT TABLE ENGINE ON *</query>
        <query>GRANT CREATE TEMPORARY TABLE, KILL QUERY, SYSTEM FLUSH LOGS ON *.*</query>
      </grants>
    </${ENGINE_USER}>
  </users>
</clickhouse>
`;
}
