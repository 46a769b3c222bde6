import { describe, expect, test } from 'vitest';
import { describeConfig } from '../../../src/config/check-config.ts';
import { listSettings } from '../../../src/config/groups.ts';
import { loadConfig } from '../../../src/config/load.ts';

function describeLines(variables: Record<string, string>): string[][] {
  const text = describeConfig(loadConfig(new Map(Object.entries(variables))));
  return text
    .trimEnd()
    .split('\n')
    .map((line) => line.split(/ {2,}/));
}

describe('check-config', () => {
  test('has a line for every setting, in the order of the program', () => {
    const [head, ...lines] = describeLines({});
    expect(head).toEqual(['SETTING', 'VALUE', 'UNIT', 'SOURCE']);
    expect(lines.map(([name]) => name)).toEqual(listSettings().map(({ env }) => env));
  });

  test('shows value, unit and source', () => {
    const lines = describeLines({ SCRUBJAY_KEEP_ALIVE: '120s' });
    expect(lines).toContainEqual(['SCRUBJAY_KEEP_ALIVE', '2m', 'ms', 'environment']);
    expect(lines).toContainEqual(['QUERY_PORT', '9411', 'port number', 'default']);
    expect(lines).toContainEqual(['SCRUBJAY_CONFIG_FILE', '-', '-', 'default']);
  });

  test('masks secrets and the credentials of URLs', () => {
    const lines = describeLines({
      CLICKHOUSE_PASSWORD: 'hunter2',
      CLICKHOUSE_URL: 'http://me:hunter2@host:8123',
    });
    expect(lines).toContainEqual(['CLICKHOUSE_PASSWORD', '********', '-', 'environment']);
    expect(lines).toContainEqual([
      'CLICKHOUSE_URL',
      'http://********@host:8123',
      '-',
      'environment',
    ]);
  });

  test('does not pretend that an empty secret is set', () => {
    expect(describeLines({})).toContainEqual(['CLICKHOUSE_PASSWORD', '-', '-', 'default']);
  });
});
