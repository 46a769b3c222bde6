import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { CodedError } from '../../../src/base/errors.ts';
import { listSettings } from '../../../src/config/groups.ts';
import { loadConfig, type LoadedConfig } from '../../../src/config/load.ts';

const folder = mkdtempSync(path.join(os.tmpdir(), 'scrubjay-config-'));
let files = 0;

afterAll(() => {
  rmSync(folder, { recursive: true });
});

function yamlFile(content: string): string {
  const file = path.join(folder, `config-${files++}.yaml`);
  writeFileSync(file, content);
  return file;
}

const load = (variables: Record<string, string> = {}): LoadedConfig =>
  loadConfig(new Map(Object.entries(variables)));
const loadFile = (content: string, variables: Record<string, string> = {}): LoadedConfig =>
  load({ SCRUBJAY_CONFIG_FILE: yamlFile(content), ...variables });

function problemsOf(attempt: () => unknown): string[] {
  let thrown: unknown;
  try {
    attempt();
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(CodedError);
  const { code, message } = thrown as CodedError;
  expect(code).toBe('SCRUBJAY_ERR_CONFIG');
  return message.split('\n');
}

describe('The configuration', () => {
  test('is the defaults when nothing is set', () => {
    const { config, sources, warnings } = load();
    expect(config.http.port).toBe(9411);
    expect(config.node.dataDir).toBe('data');
    expect(config.distributor).toMatchObject({ sampleRate: 1, rejectOlderThanMs: 'retention' });
    expect(config.http.allowedOrigins).toEqual(['*']);
    expect(new Set(sources.values())).toEqual(new Set(['default']));
    expect([...sources.keys()]).toEqual(listSettings().map((setting) => setting.env));
    expect(warnings).toEqual([]);
  });

  test('takes values with units from the environment', () => {
    const { config, sources } = load({
      QUERY_PORT: '0',
      QUERY_TIMEOUT: '30s',
      SCRUBJAY_INGEST_MAX_BODY_BYTES: '5MiB',
      SCRUBJAY_REJECT_OLDER_THAN: '2d',
      STRICT_TRACE_ID: 'false',
      ZIPKIN_QUERY_ALLOWED_ORIGINS: 'https://a.example, https://b.example',
    });
    expect(config.http).toMatchObject({
      port: 0,
      bodyBytesMax: 5_242_880,
      allowedOrigins: ['https://a.example', 'https://b.example'],
    });
    expect(config.query).toMatchObject({ timeoutMs: 30_000, strictTraceId: false });
    expect(config.distributor.rejectOlderThanMs).toBe(172_800_000);
    expect(sources.get('QUERY_PORT')).toBe('environment');
    expect(sources.get('QUERY_ENABLED')).toBe('default');
  });

  test('takes the file over the defaults and the environment over the file', () => {
    const { config, sources } = loadFile('QUERY_PORT: 1\nQUERY_TIMEOUT: 5s\n', { QUERY_PORT: '2' });
    expect(config.http.port).toBe(2);
    expect(config.query.timeoutMs).toBe(5000);
    expect(sources.get('QUERY_PORT')).toBe('environment');
    expect(sources.get('QUERY_TIMEOUT')).toBe('file');
  });

  test('is frozen all the way down', () => {
    const { config } = load({ ZIPKIN_QUERY_ALLOWED_ORIGINS: 'a,b' });
    expect(Object.isFrozen(config)).toBe(true);
    expect(Object.values(config).every((group) => Object.isFrozen(group))).toBe(true);
    expect(Object.isFrozen(config.http.allowedOrigins)).toBe(true);
  });

  test('can be loaded again with other values', () => {
    expect(load({ QUERY_PORT: '1' }).config.http.port).toBe(1);
    expect(load().config.http.port).toBe(9411);
  });
});

describe('What is wrong', () => {
  test('is reported all at once, by variable, value and what is allowed', () => {
    const problems = problemsOf(() =>
      load({
        QUERY_PORT: '99999',
        COLLECTOR_SAMPLE_RATE: '2',
        SCRUBJAY_KEEP_ALIVE: 'long',
        SCRUBJAY_TENANCY: 'yes',
        SCRUBJAY_DATADIR: 'x',
      }),
    );
    expect(problems).toEqual([
      'SCRUBJAY_DATADIR is not a setting: did you mean SCRUBJAY_DATA_DIR?',
      'QUERY_PORT should be port number from 0 up to 65535: was 99999',
      'SCRUBJAY_KEEP_ALIVE should be ms from 1s (as 10s or 10000): was long',
      'COLLECTOR_SAMPLE_RATE should be between 0 and 1: was 2',
      'SCRUBJAY_TENANCY should be off or header: was yes',
    ]);
  });

  test('has no suggestion when nothing is near', () => {
    expect(problemsOf(() => load({ SCRUBJAY_FLUX_CAPACITOR: '1' }))).toEqual([
      'SCRUBJAY_FLUX_CAPACITOR is not a setting',
    ]);
  });

  test('leaves variables of other programs alone', () => {
    expect(() => load({ PATH: '/bin', QUERY_PROT: '1', SCRUBJAYS: '2' })).not.toThrow();
  });

  test('does not show a secret', () => {
    const { config, sources } = load({ CLICKHOUSE_PASSWORD: 'hunter2' });
    expect(config.clickhouse.password).toBe('hunter2');
    expect(sources.get('CLICKHOUSE_PASSWORD')).toBe('environment');
    const [problem] = problemsOf(() => load({ CLICKHOUSE_URL: 'ftp://me:hunter2@host' }));
    expect(problem).toContain('CLICKHOUSE_URL should be');
    expect(problem).not.toContain('hunter2');
  });

  test.each([
    [
      { SCRUBJAY_INGEST_MAX_INFLATED_BYTES: '1MiB' },
      'SCRUBJAY_INGEST_MAX_INFLATED_BYTES (1MiB) is below SCRUBJAY_INGEST_MAX_BODY_BYTES (12MiB): ' +
        'bodies between the two could never be accepted',
    ],
    [
      { SCRUBJAY_INGEST_MAX_INFLIGHT_BYTES: '8MiB' },
      'SCRUBJAY_INGEST_MAX_INFLIGHT_BYTES (8MiB) is below SCRUBJAY_INGEST_MAX_BODY_BYTES (12MiB): ' +
        'larger bodies would be answered 503 for ever',
    ],
    [
      { SCRUBJAY_WAL_MAX_BYTES: '1MiB' },
      'SCRUBJAY_WAL_SEGMENT_BYTES (64MiB) is above SCRUBJAY_WAL_MAX_BYTES (1MiB): ' +
        'the log would be full before its first segment is',
    ],
  ])('includes limits that contradict each other: %j', (variables, problem) => {
    expect(problemsOf(() => load(variables))).toEqual([problem]);
  });
});

describe('A warning', () => {
  test.each([
    [{ SCRUBJAY_KEEP_ALIVE: '5s' }, 'SCRUBJAY_KEEP_ALIVE (5s) is below 72s'],
    [{ QUERY_TIMEOUT: '500ms' }, 'SCRUBJAY_FRESHNESS_WAIT (5s) is not below QUERY_TIMEOUT (500ms)'],
    [{ COLLECTOR_HTTP_ENABLED: 'false' }, 'this node takes no spans'],
    [{ COLLECTOR_SAMPLE_RATE: '0' }, 'only debug spans are kept'],
    [{ SCRUBJAY_MAX_TAG_VALUE_BYTES: '1MiB' }, 'a span with such a tag is rejected, not cut'],
    [{ STORAGE_TYPE: 'elasticsearch' }, 'STORAGE_TYPE has no effect'],
    [{ KAFKA_BOOTSTRAP_SERVERS: 'k:9092' }, 'spans are taken over HTTP only'],
  ])('states the consequence of %j', (variables, text) => {
    const { warnings } = load(variables);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain(text);
  });

  test('is not given for a query without a time limit', () => {
    expect(load({ QUERY_TIMEOUT: '0' }).warnings).toEqual([]);
  });
});

describe('The YAML file', () => {
  test('may hold numbers, flags, texts and lists; an empty value is not set', () => {
    const { config, sources } = loadFile(`
      # a comment
      QUERY_PORT: 9999
      QUERY_ENABLED: false
      SCRUBJAY_RETENTION: "3d"
      COLLECTOR_SAMPLE_RATE: 0.25
      ZIPKIN_QUERY_ALLOWED_ORIGINS: [https://a.example, https://b.example]
      SCRUBJAY_DATA_DIR:
    `);
    expect(config.http.port).toBe(9999);
    expect(config.query.enabled).toBe(false);
    expect(config.clickhouse.retentionMs).toBe(259_200_000);
    expect(config.distributor.sampleRate).toBe(0.25);
    expect(config.http.allowedOrigins).toEqual(['https://a.example', 'https://b.example']);
    expect(sources.get('SCRUBJAY_DATA_DIR')).toBe('default');
  });

  test('may be empty', () => {
    expect(loadFile('# nothing\n').config.http.port).toBe(9411);
  });

  test.each([
    ['QUERY_PROT: 1', /^QUERY_PROT in .* is not a setting: did you mean QUERY_PORT\?$/],
    ['QUERY_PORT: {a: 1}', /^QUERY_PORT in .* should be one value or a list$/],
    ['QUERY_PORT: x', /^QUERY_PORT in the configuration file should be port number .*: was x$/],
    ['SCRUBJAY_CONFIG_FILE: b.yaml', /^SCRUBJAY_CONFIG_FILE in .* cannot name another one$/],
    ['- a\n- b', /should be lines of NAME: value$/],
    ['just a text', /should be lines of NAME: value$/],
    ['QUERY_PORT: 1\nQUERY_PORT: 2', /is not YAML: Map keys must be unique at line 2/],
    ['QUERY_PORT: [1', /is not YAML: .*line 1/],
  ])('is refused when it holds %j', (content, problem) => {
    const problems = problemsOf(() => loadFile(content));
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatch(problem);
  });

  test('is refused when it is not there', () => {
    const missing = path.join(folder, 'missing.yaml');
    expect(problemsOf(() => load({ SCRUBJAY_CONFIG_FILE: missing }))).toEqual([
      `SCRUBJAY_CONFIG_FILE: ${missing} cannot be read (ENOENT)`,
    ]);
  });

  test('does not show its lines when it is not YAML', () => {
    const content = 'CLICKHOUSE_PASSWORD: "hunter2\nQUERY_PORT: 1\n';
    expect(problemsOf(() => loadFile(content)).join('\n')).not.toContain('hunter2');
  });
});
