import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { escapeXml, writeEngineConfig } from '../../../../src/storage/clickhouse/engine-config.ts';

describe('escapeXml', () => {
  test.each([
    ['/var/lib/scrubjay', '/var/lib/scrubjay'],
    ['a&b', 'a&amp;b'],
    ['</path><x>', '&lt;/path&gt;&lt;x&gt;'],
    [`"it's"`, '&quot;it&apos;s&quot;'],
    ['a\tb\r\nc', 'a&#9;b&#13;&#10;c'],
    ['Häher 🐦', 'Häher 🐦'],
    ['&amp;', '&amp;amp;'],
  ])('%j becomes %j', (text, expected) => {
    expect(escapeXml(text)).toBe(expected);
  });
});

describe('writeEngineConfig', () => {
  let dir = '';
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'scrubjay-config-&-'));
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));
  const write = (): string =>
    writeEngineConfig({ dir, database: 'spans_db', password: 'secret', memoryBytes: 12_345 });

  test('escapes the path, ends it with a slash and limits the memory', () => {
    const xml = readFileSync(write(), 'utf8');
    expect(xml).toContain(`<path>${dir.replace('&', '&amp;')}/</path>`);
    expect(xml).toContain('<max_server_memory_usage>12345</max_server_memory_usage>');
  });

  test('locks the listener with the password, which the users file has only as a hash', () => {
    const xml = readFileSync(write(), 'utf8');
    const users = readFileSync(join(dir, 'engine-users.xml'), 'utf8');
    const basic = Buffer.from('scrubjay:secret').toString('base64');
    expect(xml).toContain(`<Authorization>Basic ${basic}</Authorization>`);
    expect(users).toContain('2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b');
    expect(users).not.toContain('secret');
    expect(users).toContain('GRANT ALL ON spans_db.*');
  });

  test('makes files private that were not', () => {
    writeFileSync(join(dir, 'engine.xml'), 'old', { mode: 0o644 });
    write();
    const modes = ['engine.xml', 'engine-users.xml'].map((name) => statSync(join(dir, name)).mode);
    expect(modes.map((mode) => (mode & 0o777).toString(8))).toEqual(['600', '600']);
  });

  test.each(['/data/\u0001', '/data/${HOME}'])('refuses %j, which XML cannot express', (bad) => {
    expect(() =>
      writeEngineConfig({ dir: bad, database: 'd', password: 'p', memoryBytes: 1 }),
    ).toThrow(/SCRUBJAY_DATA_DIR/);
  });
});
