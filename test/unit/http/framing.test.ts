/** Bytes that are odd, wrong or hostile: a short answer or none, and the server goes on. */
import { describe, expect, test } from 'vitest';
import { RawClient, post, rawPost, send, startServer, statuses } from './test-server.ts';

const CHUNKED = 'POST /api/v2/spans HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n';
const HEAD = 'POST /api/v2/spans HTTP/1.1\r\nHost: a\r\n';

describe('answered once with an error, then closed', () => {
  test.each([
    ['no HTTP', '\0\u0001\u0002\r\n\r\n', 400],
    ['a length that is no number', `${HEAD}Content-Length: abc\r\n\r\n[]`, 400],
    ['two lengths', `${HEAD}Content-Length: 2\r\nContent-Length: 3\r\n\r\n[]`, 400],
    ['length and chunks', `${HEAD}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n`, 400],
    ['a chunk size that is none', `${CHUNKED}zz\r\n[]\r\n0\r\n\r\n`, 400],
    ['a chunk longer than said', `${CHUNKED}2\r\n[]]]]\r\n0\r\n\r\n`, 400],
    [
      'headers of 100 KB',
      `GET /health HTTP/1.1\r\nHost: a\r\nX: ${'h'.repeat(102_400)}\r\n\r\n`,
      431,
    ],
    ['many headers', `GET / HTTP/1.1\r\nHost: a\r\n${'X-A: b\r\n'.repeat(5000)}\r\n`, 431],
    ['a version of the future', 'GET /health HTTP/9.9\r\nHost: a\r\n\r\n', 400],
  ])('%s', async (_name, bytes, status) => {
    const { port, server } = await startServer();
    const received = await new RawClient(port).write(bytes).untilClosed();
    expect(statuses(received)).toEqual([status]);
    expect(received).toContain('Connection: close');
    expect((await post(port, '[]')).status).toBe(202);
    expect(server.admission.enter()).toBeDefined();
  });
});

describe('taken', () => {
  test.each([
    ['chunks of one byte', `${CHUNKED}1\r\n[\r\n${'1\r\n \r\n'.repeat(5000)}1\r\n]\r\n0\r\n\r\n`],
    ['chunks with extensions', `${CHUNKED}2;a=b\r\n[]\r\n0\r\n\r\n`],
    ['chunks with trailers', `${CHUNKED}2\r\n[]\r\n0\r\nX-T: 1\r\n\r\n`],
    ['an offer of h2c', rawPost('[]', 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n')],
    ['an offer of a web socket', rawPost('[]', 'Connection: Upgrade\r\nUpgrade: websocket\r\n')],
    ['HTTP/1.0', 'POST /api/v2/spans HTTP/1.0\r\nContent-Length: 2\r\n\r\n[]'],
    ['no length at all', `${HEAD}\r\n`],
    ['two content types', rawPost('[]', 'Content-Type: a\r\nContent-Type: b\r\n')],
  ])('%s: 202', async (_name, bytes) => {
    const { port } = await startServer();
    expect(statuses(await new RawClient(port).write(bytes).until(/\r\n\r\n/))).toEqual([202]);
  });

  test('Expect: 100-continue is told to continue', async () => {
    const { port } = await startServer();
    const client = new RawClient(port).write(
      `${HEAD}Content-Length: 2\r\nExpect: 100-continue\r\n\r\n`,
    );
    await client.until(/100 Continue\r\n\r\n/);
    expect(statuses(await client.write('[]').until(/202 Accepted/))).toEqual([100, 202]);
  });

  test('a body in many pieces arrives whole', async () => {
    const { port, distributor } = await startServer();
    const text = `[${'0123456789'.repeat(30_000)}]`;
    const chunks = [...text.matchAll(/.{1,7000}/g)]
      .map(([piece]) => `${piece.length.toString(16)}\r\n${piece}\r\n`)
      .join('');
    await new RawClient(port).write(`${CHUNKED}${chunks}0\r\n\r\n`).until(/202 Accepted/);
    await new RawClient(port).write(rawPost(text)).until(/202 Accepted/);
    const bodies = distributor.messages.map((message) => Buffer.from(message.body).toString());
    expect(bodies).toEqual([text, text]);
  });
});

describe('pipelining', () => {
  test('answers come in the order of the requests', async () => {
    const { port } = await startServer();
    const client = new RawClient(port).write(
      `${rawPost('x')}${rawPost('[]')}GET /no HTTP/1.1\r\nHost: a\r\n\r\n`,
    );
    expect(statuses(await client.until(/404 Not Found\r\n/))).toEqual([400, 202, 404]);
  });

  test('garbage after a request does not cost its answer', async () => {
    const { port, distributor } = await startServer();
    const client = new RawClient(port);
    distributor.outcome = () =>
      new Promise((resolve) => {
        setImmediate(() => {
          resolve({ kind: 'accepted' });
        });
      });
    client.write(`${rawPost('[1]')}garbage\r\n\r\n`);
    expect(statuses(await client.untilClosed())).toEqual([202]);
  });
});

describe('too much', () => {
  test('an announced 10 GB is refused at once', async () => {
    const { port } = await startServer();
    const client = new RawClient(port).write(`${HEAD}Content-Length: 10737418240\r\n\r\n[`);
    const received = await client.until(/SCRUBJAY_INGEST_MAX_BODY_BYTES/);
    expect(statuses(received)).toEqual([413]);
    expect(received).toContain('connection: close');
  });

  test('a client that sends it all still gets the answer', async () => {
    const { port } = await startServer();
    expect((await post(port, Buffer.alloc(20 * 1024 ** 2))).status).toBe(413);
  });

  test('chunks are refused when they become too many', async () => {
    const { port, server } = await startServer({ config: { bodyBytesMax: 1024 } });
    const client = new RawClient(port).write(CHUNKED);
    for (let i = 0; i < 5; i++) client.write(`100\r\n${' '.repeat(256)}\r\n`);
    expect(statuses(await client.until(/SCRUBJAY_INGEST_MAX_BODY_BYTES/))).toEqual([413]);
    expect(server.admission.enter()).toBeDefined();
  });
});

test('slow clients are ended within 75 seconds, idle ones kept for 75', async () => {
  const { server } = await startServer();
  const { requestTimeout, headersTimeout, keepAliveTimeout, timeout } = server.app.server;
  expect(requestTimeout).toBeLessThanOrEqual(60_000);
  expect(headersTimeout).toBeLessThanOrEqual(60_000);
  expect(keepAliveTimeout).toBe(75_000);
  expect(timeout).toBeGreaterThan(75_000);
  expect(server.app.server.listenerCount('upgrade')).toBe(0);
});

describe('paths and methods', () => {
  test.each([
    ['GET', '/nowhere'],
    ['GET', '/api/v1/spans'],
    ['GET', '/api/v2/spans'],
    ['POST', '/'],
    ['POST', '/api/v2/SPANS'],
    ['POST', '/api/v2/spans%00'],
    ['POST', '/api/v2/x/../spans'],
    ['PUT', '/api/v2/spans'],
    ['DELETE', '/api/v2/spans'],
    ['PATCH', '/api/v2/spans'],
    ['PROPFIND', '/api/v2/spans'],
    ['OPTIONS', '/api/v2/spans'],
  ])('%s %s: 404', async (method, path) => {
    const { port } = await startServer();
    const answer = await send(port, method, path, { headers: { 'content-type': ';' } });
    expect(answer).toMatchObject({ status: 404, body: '404 Not Found' });
    expect(answer.headers).toMatchObject({
      'content-type': 'text/plain; charset=utf-8',
      'x-content-type-options': 'nosniff',
    });
  });

  test('HEAD: 404 without a body', async () => {
    const { port } = await startServer();
    expect(await send(port, 'HEAD', '/api/v2/spans')).toMatchObject({ status: 404, body: '' });
  });

  test.each(['/', '/api/v2/spans', '/nowhere'])('TRACE %s: 405', async (path) => {
    const { port } = await startServer();
    const answer = await send(port, 'TRACE', path);
    expect(answer).toMatchObject({ status: 405, body: '405 Method Not Allowed' });
  });

  test('a path that cannot be decoded: 400', async () => {
    const { port } = await startServer();
    expect((await send(port, 'GET', '/%c0%ae')).status).toBe(400);
  });
});
