import { describe, expect, test } from 'vitest';
import { COLUMNS } from '../../../../src/storage/clickhouse/columns.ts';
import { clickhouseSettings } from '../../../../src/storage/clickhouse/config.ts';
import { createSpansTable } from '../../../../src/storage/clickhouse/ddl.ts';
import { retentionDays } from '../../../../src/storage/clickhouse/migrations.ts';

describe('createSpansTable', () => {
  test('has every column of the block once, with its codec', () => {
    const lines = createSpansTable('jay')
      .split('\n')
      .map((line) => line.trim());
    for (const { name, type, codec } of COLUMNS) {
      const line = codec === '' ? `${name} ${type},` : `${name} ${type} CODEC(${codec}),`;
      expect(lines.filter((text) => text === line)).toHaveLength(1);
    }
    expect(lines[0]).toBe('CREATE TABLE IF NOT EXISTS jay.spans (');
  });
});

describe('retentionDays', () => {
  test.each([
    ['for ever', 0, 0],
    ['one hour: a day that ended an hour ago is gone', 3_600_000, 2],
    ['one day', 86_400_000, 2],
    ['seven days', 7 * 86_400_000, 8],
    ['a day and a bit', 86_400_001, 3],
  ])('%s', (_, ms, days) => {
    expect(retentionDays(ms)).toBe(days);
  });
});

describe('clickhouseSettings', () => {
  test.each(['', 'http://ch:8123', 'https://ch.example.com:8443'])('takes URL %j', (url) => {
    expect(clickhouseSettings.url.parse(url)).toBe(url);
  });
  test.each(['ch:8123', 'tcp://ch:9000', 'http://', 'nonsense'])('refuses URL %j', (url) => {
    expect(clickhouseSettings.url.parse(url)).toBeUndefined();
  });
  test.each(['default', 'System', '1x', 'a-b', 'x`y', ''])('refuses database %j', (name) => {
    expect(clickhouseSettings.database.parse(name)).toBeUndefined();
  });
});
