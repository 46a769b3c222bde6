import { describe, expect, test } from 'vitest';
import type { PushOutcome } from '../../../src/distributor/outcome.ts';
import { Admission } from '../../../src/http/admission.ts';
import { createMetrics } from '../../../src/telemetry/metrics.ts';
import { RawClient, deferred, metricSum, post, startServer, statuses } from './test-server.ts';

const limits = { inflightRequestsMax: 2, inflightBytesMax: 1000 };
const newAdmission = (inflightRequestsMax = 2) =>
  new Admission({ ...limits, inflightRequestsMax }, createMetrics());

describe('Admission', () => {
  test('one request more than the limit is refused, until another is released', () => {
    const admission = newAdmission();
    const first = admission.enter();
    admission.enter();
    expect(() => admission.enter()).toThrow(/SCRUBJAY_INGEST_MAX_INFLIGHT_REQUESTS/);
    first.release();
    first.release();
    admission.enter();
    expect(() => admission.enter()).toThrow(/Requests in flight: 2, limit 2/);
  });

  test('bytes count as they grow', () => {
    const admission = newAdmission();
    const ticket = admission.enter();
    ticket.grow(600);
    const other = admission.enter();
    expect(() => {
      other.grow(401);
    }).toThrow(/SCRUBJAY_INGEST_MAX_INFLIGHT_BYTES/);
    other.release();
    ticket.grow(400);
    expect(() => {
      ticket.grow(1);
    }).toThrow(/Body bytes in flight: 1001, limit 1000/);
    ticket.release();
    admission.enter().grow(1000);
  });

  test('the other requests of a tenant may hold as many bytes as are left free', () => {
    const admission = newAdmission(99);
    const flood = Array.from({ length: 5 }, () => admission.enter('flood'));
    for (const { grow } of flood) grow(100);
    expect(() => {
      admission.enter('flood').grow(1);
    }).toThrow(/Body bytes of tenant flood in flight: 501, limit 499 .*INFLIGHT_BYTES/);
    const [one, other] = [admission.enter('small'), admission.enter('small')];
    one.grow(100);
    other.grow(100);
    expect(() => {
      one.grow(300);
    }).toThrow(/Body bytes of tenant small in flight: 500, limit 0/);
  });

  test('a single body of a tenant may be as large as any, beside slow ones', () => {
    const admission = newAdmission(99);
    const slow = Array.from({ length: 10 }, () => admission.enter('a'));
    for (const { grow } of slow) grow(1);
    const large = admission.enter('a');
    large.grow(500);
    large.grow(480);
    expect(() => {
      slow[0]!.grow(2);
    }).toThrow(/Body bytes of tenant a in flight: 992, limit 8/);
    expect(() => {
      large.grow(9);
    }).toThrow(/Body bytes of tenant a in flight: 999, limit 1/);
  });

  test('a tenant may have as many requests as it leaves free, and at least one', () => {
    const admission = newAdmission(6);
    const flood = [1, 2, 3].map(() => admission.enter('flood'));
    expect(() => admission.enter('flood')).toThrow(
      /Requests of tenant flood in flight: 3, limit 2 .*INFLIGHT_REQUESTS/,
    );
    for (const tenant of ['a', 'b', 'c']) admission.enter(tenant);
    expect(() => admission.enter('d')).toThrow(/Requests in flight: 6, limit 6/);
    flood[0]!.release();
    admission.enter('d');
  });

  test('closed, it refuses everything', () => {
    const admission = newAdmission();
    admission.close();
    expect(() => admission.enter()).toThrow(/Shutting down/);
  });
});

describe('in flight over HTTP', () => {
  const inflight = async (metrics: ReturnType<typeof createMetrics>) => [
    await metricSum(metrics, 'scrubjay_ingest_inflight_requests'),
    await metricSum(metrics, 'scrubjay_ingest_inflight_bytes'),
  ];

  test('a request above the limit is a 503, and the next one is served', async () => {
    const { port, distributor, metrics } = await startServer({
      config: { inflightRequestsMax: 1 },
    });
    const pushed = deferred<void>();
    const held = deferred<PushOutcome>();
    distributor.outcome = () => {
      pushed.resolve();
      return held.promise;
    };
    const first = post(port, '[1]');
    await pushed.promise;
    expect(await inflight(metrics)).toEqual([1, 3]);
    const second = await post(port, '[2]');
    expect(second.status).toBe(503);
    expect(second.headers).toMatchObject({
      'retry-after': '1',
      'x-scrubjay-error': 'SCRUBJAY_ERR_OVERLOADED',
      connection: 'close',
    });
    held.resolve({ kind: 'accepted' });
    expect((await first).status).toBe(202);
    expect(await inflight(metrics)).toEqual([0, 0]);
    expect((await post(port, '[3]')).status).toBe(202);
  });

  test('a tenant that fills its share is refused, and its neighbour is served', async () => {
    const { port, distributor } = await startServer({ config: { inflightRequestsMax: 4 } });
    distributor.hasTenants = true;
    const held = deferred<PushOutcome>();
    const pushed = [deferred<void>(), deferred<void>()];
    distributor.outcome = () => {
      pushed[distributor.messages.length - 1]?.resolve();
      return held.promise;
    };
    const as = (tenant: string, body: string) => post(port, body, { 'x-scope-orgid': tenant });
    const flood = [as('flood', '[1]'), as('flood', '[2]')];
    await Promise.all(pushed.map(({ promise }) => promise));
    const refused = await as('flood', '[3]');
    expect(refused.status).toBe(503);
    expect(refused.body).toContain('Requests of tenant flood in flight: 2, limit 1');
    distributor.outcome = () => ({ kind: 'accepted' });
    expect((await as('small', '[4]')).status).toBe(202);
    held.resolve({ kind: 'accepted' });
    expect((await Promise.all(flood)).map(({ status }) => status)).toEqual([202, 202]);
  });

  test('a refused connection that is kept serves the next request', async () => {
    const { port } = await startServer({ config: { inflightBytesMax: 100 } });
    const client = new RawClient(port);
    const body = ' '.repeat(200_000);
    client.write(`POST /api/v2/spans HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n${body}`);
    await client.until(/503 Service Unavailable/);
    client.write('POST /api/v2/spans HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n[]');
    expect(statuses(await client.until(/202 Accepted/))).toEqual([503, 202]);
  });

  test('chunks and inflated bytes count too', async () => {
    const { port, metrics } = await startServer({ config: { inflightBytesMax: 1000 } });
    const client = new RawClient(port).write(
      'POST /api/v2/spans HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n' +
        `400\r\n${' '.repeat(1024)}\r\n0\r\n\r\n`,
    );
    expect(await client.until(/INFLIGHT_BYTES/)).toContain('503');
    expect(await inflight(metrics)).toEqual([0, 0]);
  });

  test('a client that goes away in the middle of its body gives its share back', async () => {
    const { port, server, metrics } = await startServer();
    const arrived = deferred<void>();
    const gone = deferred<void>();
    server.app.server.on('request', (request) => {
      arrived.resolve();
      request.on('close', gone.resolve);
    });
    const client = new RawClient(port).write(
      'POST /api/v2/spans HTTP/1.1\r\nHost: a\r\nContent-Length: 500\r\n\r\n[',
    );
    await arrived.promise;
    // What a header declares holds no place: only what came does.
    expect(await inflight(metrics)).toEqual([1, 1]);
    client.socket.destroy();
    await gone.promise;
    await new Promise(setImmediate);
    expect(await inflight(metrics)).toEqual([0, 0]);
  });
});
