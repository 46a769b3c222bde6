/** The routes about the node itself: health, info, metrics, ledger. */
import { describe, expect, test } from 'vitest';
import { registerHealth } from '../../../src/api/health.ts';
import type { HealthComponent } from '../../../src/api/health.ts';
import { registerInfo } from '../../../src/api/info.ts';
import { registerLedger } from '../../../src/api/ledger.ts';
import { registerPrometheus } from '../../../src/api/prometheus.ts';
import { systemClock } from '../../../src/base/clock.ts';
import { Ledger } from '../../../src/telemetry/ledger.ts';
import { send, startServer } from '../http/test-server.ts';

const ACTUATOR = 'application/vnd.spring-boot.actuator.v2+json; charset=utf-8';

describe('health', () => {
  const withComponents = (components: HealthComponent[], draining = false) =>
    startServer({
      register: ({ app }) => {
        registerHealth(app, { components: () => components, draining: () => draining });
      },
    });

  test('is written exactly as Zipkin writes it', async () => {
    const { port } = await withComponents([
      { name: 'InMemoryStorage{}', status: 'UP', essential: false },
    ]);
    const answer = await send(port, 'GET', '/health');
    expect(answer.status).toBe(200);
    expect(answer.headers['content-type']).toBe('application/json; charset=utf-8');
    expect(answer.body).toBe(
      [
        '{',
        '  "status" : "UP",',
        '  "zipkin" : {',
        '    "status" : "UP",',
        '    "details" : {',
        '      "InMemoryStorage{}" : {',
        '        "status" : "UP"',
        '      }',
        '    }',
        '  }',
        '}',
      ].join('\n'),
    );
    const actuator = await send(port, 'GET', '/actuator/health');
    expect(actuator.body).toBe(answer.body);
    expect(actuator.headers['content-type']).toBe(ACTUATOR);
  });

  test('a storage that is away is shown, and does not take the node out', async () => {
    const { port } = await withComponents([
      { name: 'ClickHouse', status: 'DOWN', error: 'connection refused', essential: false },
      { name: 'Log', status: 'UP', essential: true },
    ]);
    const answer = await send(port, 'GET', '/health');
    expect(answer.status).toBe(200);
    expect(JSON.parse(answer.body)).toEqual({
      status: 'UP',
      zipkin: {
        status: 'UP',
        details: {
          ClickHouse: { status: 'DOWN', details: { error: 'connection refused' } },
          Log: { status: 'UP' },
        },
      },
    });
  });

  test('a log that failed is a 503', async () => {
    const { port } = await withComponents([
      { name: 'Log', status: 'DOWN', error: 'EIO', essential: true },
    ]);
    const answer = await send(port, 'GET', '/health');
    expect(answer.status).toBe(503);
    expect(answer.body).toContain('"status" : "DOWN"');
  });

  test('a drain is a 503', async () => {
    const { port } = await withComponents([], true);
    const answer = await send(port, 'GET', '/health');
    expect(answer.status).toBe(503);
    expect(answer.body).toContain('"error" : "Shutting down"');
  });

  test('is not counted among the requests of the API', async () => {
    const { port, metrics } = await withComponents([]);
    await send(port, 'GET', '/health');
    expect(await metrics.registry.metrics()).not.toContain('uri="/health"');
  });
});

test('info has the shape of Zipkin first', async () => {
  const { port } = await startServer({
    register: ({ app }) => {
      registerInfo(app, { version: '1.2.3', commit: 'abc1234' });
    },
  });
  const own = { version: '1.2.3', commit: 'abc1234' };
  const answer = await send(port, 'GET', '/info');
  expect(answer.body).toBe(JSON.stringify({ zipkin: own, scrubjay: own }));
  expect(answer.headers['content-type']).toBe('application/json; charset=utf-8');
  expect((await send(port, 'GET', '/actuator/info')).headers['content-type']).toBe(ACTUATOR);
});

test.each(['/prometheus', '/actuator/prometheus'])('%s is the text format', async (path) => {
  const { port } = await startServer({
    register: ({ app }, metrics) => {
      registerPrometheus(app, { metrics, ledger: new Ledger(metrics) });
    },
  });
  await send(port, 'POST', '/api/v2/spans', { body: '[]' });
  const answer = await send(port, 'GET', path);
  expect(answer.status).toBe(200);
  expect(answer.headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
  expect(answer.body).toContain('zipkin_collector_messages_total{transport="http"} 1');
  expect(answer.body).toContain('scrubjay_ledger_imbalance 0');
});

describe('ledger', () => {
  const withRows = (countRows: () => Promise<number>, clock = systemClock) =>
    startServer({
      register: ({ app }, metrics) => {
        const ledger = new Ledger(metrics);
        ledger.accept(3);
        ledger.reject('too_old', 2);
        registerLedger(app, { ledger, countRows, clock });
      },
    });

  test('has the books and the rows in storage as flat numbers', async () => {
    const { port } = await withRows(() => Promise.resolve(7));
    const answer = await send(port, 'GET', '/api/v1/ledger');
    expect(answer.headers['content-type']).toBe('application/json');
    expect(JSON.parse(answer.body)).toMatchObject({
      received: 5,
      accepted: 3,
      rejected: 2,
      pending: 3,
      imbalance: 0,
      reasons: { too_old: 2 },
      rows: 7,
    });
  });

  test('rows are null when storage is away', async () => {
    const { port } = await withRows(() => Promise.reject(new Error('refused')));
    const answer = await send(port, 'GET', '/api/v1/ledger');
    expect(JSON.parse(answer.body)).toMatchObject({ accepted: 3, rows: null });
  });

  test('rows are null when storage does not answer in time', async () => {
    const { port } = await withRows(() => new Promise(() => undefined), {
      ...systemClock,
      sleep: () => Promise.resolve(),
    });
    const answer = await send(port, 'GET', '/api/v1/ledger');
    expect(JSON.parse(answer.body)).toMatchObject({ rows: null });
  });
});
