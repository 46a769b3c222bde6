/** Names with the real engine: in their tables, and over kill -9 and restart of the program. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import type { NamesOfTenant } from '../../../src/storage/contract.ts';
import { READ_LIMITS, openStorage } from '../open-storage.ts';

const DAY_MS = 86_400_000;
const TODAY = Math.floor(Date.now() / DAY_MS);
const MAIN = fileURLToPath(new URL('../../../dist/main.js', import.meta.url));

const root = mkdtempSync(join(tmpdir(), 'scrubjay-names-'));
afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});

const entry = (service: string, name: string, day = TODAY) => ({
  service,
  kind: 1,
  name,
  remote: 'db',
  day,
});

describe('ClickHouseNameStore', () => {
  const { storage, client } = openStorage(join(root, 'store'), { retentionMs: 7 * DAY_MS });
  const { names } = storage;
  beforeAll(() => storage.start());
  afterAll(() => storage.stop());

  const ofTenant = (tenant: string, days: readonly number[]): NamesOfTenant => ({
    tenant,
    names: days.map((day) => entry('a\tb"', '个\\n', day)),
    values: days.map((day) => ({ key: 'k', value: '\u0001 x', day })),
  });

  test('keeps every text, and the latest day of what was recorded again', async () => {
    await names.record([ofTenant('t', [TODAY - 1]), ofTenant('other', [TODAY])]);
    await names.record([ofTenant('t', [TODAY])]);
    await names.record([ofTenant('t', [TODAY - 2])]);
    const { toS, ...found } = await names.recorded('t', 0, 10);
    expect({ tenant: 't', ...found }).toEqual(ofTenant('t', [TODAY]));
    expect(Math.abs(toS - Date.now() / 1000)).toBeLessThan(10);
    expect(await names.recorded('t', toS + 120, 10)).toEqual({ names: [], values: [], toS: 0 });
    expect((await names.recorded('t', toS, 10)).names).toHaveLength(1);
    await client.command('OPTIMIZE TABLE scrubjay.names FINAL');
    expect((await names.recorded('t', 0, 10)).names).toEqual([entry('a\tb"', '个\\n')]);
  });

  test('finds in the spans what is beyond the mark of its node, or named', async () => {
    const span = (node: number, batch: number, service: string): Promise<void> =>
      client.command(
        'INSERT INTO scrubjay.spans (tenant, ts, service, name, kind, remote, tags, _batch) SELECT ' +
          "'u', now64(6), {service:String}, 'n', 'CLIENT', 'db', map('k', {service:String}), " +
          'bitShiftLeft(toUInt64({node:UInt16}), 48) + {batch:UInt32}',
        { params: { node, batch, service } },
      );
    const services = async (): Promise<string[]> =>
      (await names.recorded('u', 0, 100)).names.map(({ service }) => service).toSorted();
    await names.mark((9n << 48n) + 4n);
    await names.mark((9n << 48n) + 5n);
    await names.mark((65_535n << 48n) + 5n);
    const batches = [3, 4, 5, 6];
    for (const batch of batches) {
      await span(9, batch, `nine-${batch}`);
      await span(65_535, batch, `last-${batch}`);
    }
    await span(8, 1, 'eight');
    await span(8, 1, '');
    await names.recordUnmarked(['k'], []);
    expect(await services()).toEqual(['eight', 'last-5', 'last-6', 'nine-5', 'nine-6']);
    await names.recordUnmarked([], [(9n << 48n) + 3n]);
    expect(await services()).toContain('nine-3');
    expect(await services()).not.toContain('nine-4');
    const found = await names.recorded('u', 0, 100);
    expect(found.names).toContainEqual({ ...entry('eight', 'n'), kind: 1 });
    expect(found.values.map(({ value }) => value).toSorted()).toEqual(
      ['', 'eight', 'last-5', 'last-6', 'nine-5', 'nine-6'].toSorted(),
    );
  });

  test('drops names with their retention, and makes dropped tables again', async () => {
    const kept = entry('kept', 'n', TODAY - 7);
    await names.record([{ tenant: 'v', names: [kept, entry('old', 'n', TODAY - 8)], values: [] }]);
    await client.command('OPTIMIZE TABLE scrubjay.names FINAL');
    expect((await names.recorded('v', 0, 10)).names).toEqual([kept]);
    await client.command('DROP TABLE scrubjay.names SYNC');
    await expect(names.recorded('v', 0, 10)).rejects.toMatchObject({ failure: 'schema' });
    expect((await names.recorded('v', 0, 10)).names).toEqual([]);
    const ttl = await client.query(
      "SELECT engine_full LIKE '%TTL day + toIntervalDay(8)%' FROM system.tables " +
        "WHERE database = 'scrubjay' AND name IN ('names', 'tag_values') FORMAT TSVRaw",
      { limits: READ_LIMITS },
    );
    expect(ttl.toString().trim()).toBe('1\n1');
  });
});

describe('The program', () => {
  const running = new Set<ChildProcess>();
  afterEach(() => {
    for (const child of running) child.kill('SIGKILL');
  });

  /** @returns its address, and a way to end it */
  async function start(dir: string) {
    const child = spawn(process.execPath, [MAIN], {
      stdio: ['ignore', 'pipe', 'ignore'],
      env: {
        PATH: process.env['PATH'],
        QUERY_PORT: '0',
        SCRUBJAY_LISTEN_HOST: '127.0.0.1',
        AUTOCOMPLETE_KEYS: 'http.host',
        SCRUBJAY_DATA_DIR: join(root, dir),
        SCRUBJAY_LOG_FORMAT: 'json',
      },
    });
    running.add(child);
    let url = '';
    for await (const line of createInterface(child.stdout)) {
      url = /http:\/\/[\d.]+:\d+/.exec(line)?.[0] ?? '';
      if (url !== '') break;
    }
    child.stdout.resume();
    const end = async (signal: 'SIGKILL' | 'SIGTERM'): Promise<void> => {
      const ended = once(child, 'exit');
      child.kill(signal);
      await ended;
      running.delete(child);
    };
    const get = async (path: string): Promise<unknown> =>
      (await fetch(`${url}/api/v2/${path}`)).json();
    const post = async (...services: string[]): Promise<number> => {
      const spans = services.map((serviceName, i) => ({
        traceId: '1',
        id: String(i + 1),
        name: `get ${serviceName}`,
        timestamp: Date.now() * 1000,
        localEndpoint: { serviceName },
        remoteEndpoint: { serviceName: 'db' },
        tags: { 'http.host': `host-${serviceName}` },
      }));
      const body = JSON.stringify(spans);
      return (await fetch(`${url}/api/v2/spans`, { method: 'POST', body })).status;
    };
    return { end, get, post };
  }

  test('lists a service as soon as its span is acknowledged, over kill -9 and stop', async () => {
    const expected: string[] = [];
    for (const [round, signal] of (
      ['SIGKILL', 'SIGKILL', 'SIGTERM', 'SIGKILL'] as const
    ).entries()) {
      const program = await start('killed');
      expect(await program.get('services')).toEqual(expected);
      for (const part of ['a', 'b']) {
        const service = `s${round}${part}`;
        expect(await program.post(service)).toBe(202);
        expected.push(service);
        expect(await program.get('services')).toEqual(expected);
        expect(await program.get(`spans?serviceName=${service}`)).toEqual([`get ${service}`]);
        // The second span is killed before any of it was recorded; the first after.
        if (part === 'a') await systemClock.sleep(round * 500);
      }
      const values = expected.map((service) => `host-${service}`);
      expect(await program.get('autocompleteValues?key=http.host')).toEqual(values);
      await program.end(signal);
    }
    const program = await start('killed');
    expect(await program.get('services')).toEqual(expected);
    expect(await program.get('remoteServices?serviceName=s0b')).toEqual(['db']);
    const values = expected.map((service) => `host-${service}`);
    expect(await program.get('autocompleteValues?key=http.host')).toEqual(values);
    await program.end('SIGTERM');
  }, 120_000);
});
