import { gunzipSync } from 'node:zlib';
import { request } from 'node:http';
import { describe, expect, test } from 'vitest';
import { registerTrace } from '../../../src/api/trace.ts';
import type { TraceQuery } from '../../../src/api/trace.ts';
import { CodedError } from '../../../src/base/errors.ts';
import { deferred, send, startServer } from '../http/test-server.ts';

const JSON_BYTES = Buffer.from('[{"traceId":"0000000000000001","id":"0000000000000002"}]');

function withQuery(trace: TraceQuery['trace']) {
  return startServer({
    register: ({ app }) => {
      registerTrace(app, {
        query: { trace },
        tenantOf: (header) => {
          if (header === undefined) throw new CodedError('SCRUBJAY_ERR_TENANT_MISSING');
          return header;
        },
      });
    },
  });
}

const get = (port: number, path: string, headers: Record<string, string> = {}) =>
  send(port, 'GET', path, { headers: { 'x-scope-orgid': 'team', ...headers } });

describe('GET /api/v2/trace/{traceId}', () => {
  test.each([
    '/api/v2/trace/1',
    '/zipkin/api/v2/trace/1',
    '/api/v2/trace/%201%20',
    '/api/v2/trace/1/',
  ])('%s is the list of spans', async (path) => {
    const asked: string[][] = [];
    const { port } = await withQuery((id, tenant) => {
      asked.push([id, tenant]);
      return Promise.resolve(JSON_BYTES);
    });
    const answer = await get(port, path);
    expect(answer).toMatchObject({ status: 200, body: JSON_BYTES.toString() });
    expect(answer.headers).toMatchObject({
      'content-type': 'application/json',
      'content-length': String(JSON_BYTES.length),
    });
    expect(asked).toEqual([['1', 'team']]);
  });

  test('bytes in the middle of a larger buffer are answered as they are', async () => {
    const { port } = await withQuery(() => Promise.resolve(Buffer.from('x[]y').subarray(1, 3)));
    expect((await get(port, '/api/v2/trace/1')).body).toBe('[]');
  });

  test('an unknown trace is a 404 that names the id', async () => {
    const { port, metrics } = await withQuery(() => Promise.resolve(undefined));
    const answer = await get(port, '/api/v2/trace/%20abc');
    expect(answer).toMatchObject({ status: 404, body: 'abc not found' });
    expect(answer.headers['content-type']).toBe('text/plain; charset=utf-8');
    expect(await metrics.registry.metrics()).toContain('status="404",uri="NOT_FOUND"');
  });

  test('what the query refuses is told', async () => {
    const { port } = await withQuery((id) => {
      const detail = `${id} should be lower-hex encoded with no prefix`;
      throw new CodedError('SCRUBJAY_ERR_BAD_QUERY', { detail });
    });
    const long = 'g'.repeat(4000);
    const answer = await get(port, `/api/v2/trace/${long}`);
    expect(answer.status).toBe(400);
    expect(answer.body).toBe(`${long} should be lower-hex encoded with no prefix`);
  });

  test('markup in an id comes back as text only', async () => {
    const { port } = await withQuery(() => Promise.resolve(undefined));
    const answer = await get(port, '/api/v2/trace/%3Cimg%20src=x%3E');
    expect(answer.headers).toMatchObject({
      'content-type': 'text/plain; charset=utf-8',
      'x-content-type-options': 'nosniff',
    });
  });

  test('without an id there is no such path', async () => {
    const { port } = await withQuery(() => Promise.resolve(JSON_BYTES));
    expect((await get(port, '/api/v2/trace/')).status).toBe(404);
  });

  test('a missing tenant is a 401', async () => {
    const { port } = await withQuery(() => Promise.resolve(JSON_BYTES));
    expect((await send(port, 'GET', '/api/v2/trace/1')).status).toBe(401);
  });

  test('the metric has the template for a path', async () => {
    const { port, metrics } = await withQuery(() => Promise.resolve(JSON_BYTES));
    await get(port, '/zipkin/api/v2/trace/1');
    expect(await metrics.registry.metrics()).toContain(
      'http_server_requests_seconds_count' +
        '{method="GET",status="200",uri="/api/v2/trace/{traceId}"} 1',
    );
  });

  test('a client that goes away aborts the query', async () => {
    const asked = deferred<AbortSignal>();
    const { port } = await withQuery((_id, _tenant, signal) => {
      asked.resolve(signal);
      return new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => {
          reject(new Error('aborted'));
        });
      });
    });
    const client = request({ port, path: '/api/v2/trace/1', headers: { 'x-scope-orgid': 'a' } });
    client.on('error', () => undefined).end();
    const signal = await asked.promise;
    const aborted = deferred<undefined>();
    signal.addEventListener('abort', () => {
      aborted.resolve(undefined);
    });
    client.destroy();
    await aborted.promise;
    expect(signal.aborted).toBe(true);
  });
});

describe('compression', () => {
  const large = Buffer.from(JSON.stringify(Array.from({ length: 200 }, (_, i) => ({ id: i }))));
  const ask = async (acceptEncoding: string, body = large) => {
    const { port } = await withQuery(() => Promise.resolve(body));
    const url = `http://127.0.0.1:${port}/api/v2/trace/1`;
    const chunks: Buffer[] = [];
    const headers = { 'x-scope-orgid': 'a', 'accept-encoding': acceptEncoding };
    const encoding = await new Promise((resolve, reject) => {
      request(url, { headers, agent: false }, (response) => {
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => {
          resolve(response.headers['content-encoding']);
        });
      })
        .on('error', reject)
        .end();
    });
    return { encoding, bytes: Buffer.concat(chunks) };
  };

  test.each(['gzip', 'gzip, deflate, br', 'br;q=1.0, GZIP;q=0.8', '*'])(
    '%s: gzip from 2 KiB on',
    async (acceptEncoding) => {
      const { encoding, bytes } = await ask(acceptEncoding);
      expect(encoding).toBe('gzip');
      expect(gunzipSync(bytes)).toEqual(large);
    },
  );

  test.each(['', 'identity', 'br', 'gzip;q=0', 'gzip;q=0, *', '*, gzip;q=0.0', ';;;,,,'])(
    '"%s": plain',
    async (acceptEncoding) => {
      const { encoding, bytes } = await ask(acceptEncoding);
      expect(encoding).toBeUndefined();
      expect(bytes).toEqual(large);
    },
  );

  test('small answers stay plain', async () => {
    expect((await ask('gzip', JSON_BYTES)).encoding).toBeUndefined();
  });
});
