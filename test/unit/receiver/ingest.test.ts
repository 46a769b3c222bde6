/** The table of the ingest design, row by row, over real sockets. */
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { CodedError } from '../../../src/base/errors.ts';
import { DecodeReport } from '../../../src/model/decode-report.ts';
import { metricSum, post, send, startServer } from '../http/test-server.ts';

const SPANS = '[{"traceId":"1","id":"2"}]';

describe('empty messages', () => {
  test.each([
    ['no bytes', '', {}],
    ['no bytes, as protobuf', '', { 'content-type': 'application/x-protobuf' }],
    ['an empty list', '[]', {}],
    ['an empty list, as protobuf', '[]', { 'content-type': 'application/x-protobuf' }],
    ['a gzipped empty list', gzipSync('[]'), { 'content-encoding': 'gzip' }],
    [
      'an empty protobuf message, gzipped',
      gzipSync(''),
      { 'content-encoding': 'gzip', 'content-type': 'application/x-protobuf' },
    ],
    ['no bytes, said to be gzip', '', { 'content-encoding': 'gzip' }],
  ])('%s: 202 without body and content type', async (_name, body, headers) => {
    const { port, distributor, metrics } = await startServer();
    const answer = await post(port, body, headers);
    expect(answer).toMatchObject({ status: 202, body: '' });
    expect(answer.headers['content-type']).toBeUndefined();
    expect(answer.headers['content-length']).toBe('0');
    expect(distributor.messages).toEqual([]);
    expect(await metricSum(metrics, 'zipkin_collector_messages_total')).toBe(1);
    expect(await metricSum(metrics, 'zipkin_collector_bytes_total')).toBe(0);
  });
});

describe('content encodings', () => {
  test.each([
    ['gzip', gzipSync(SPANS)],
    ['GZIP', gzipSync(SPANS)],
    ['x-gzip', gzipSync(SPANS)],
    ['deflate', deflateSync(SPANS)],
    ['deflate', deflateRawSync(SPANS)],
    ['br', brotliCompressSync(SPANS)],
    ['identity', SPANS],
    ['', SPANS],
    // Missing or wrong: the bytes say what they are.
    ['identity', gzipSync(SPANS)],
    ['GZIP', SPANS],
    ['gzip, gzip', gzipSync(gzipSync(SPANS))],
    ['gzip, gzip', gzipSync(SPANS)],
    ['gzip', gzipSync(gzipSync(SPANS))],
    ['deflate, gzip', gzipSync(deflateSync(SPANS))],
    ['gzip', Buffer.concat([gzipSync(SPANS.slice(0, 9)), gzipSync(SPANS.slice(9))])],
  ])('%s is understood (%#)', async (encoding, body) => {
    const { port, distributor } = await startServer();
    const answer = await post(port, body, { 'content-encoding': encoding });
    expect(answer.status).toBe(202);
    expect(distributor.messages.map((m) => Buffer.from(m.body).toString())).toEqual([SPANS]);
  });

  test('gzip without a header is understood', async () => {
    const { port, distributor } = await startServer();
    expect((await post(port, gzipSync(SPANS))).status).toBe(202);
    expect(distributor.messages).toHaveLength(1);
  });

  test.each([
    ['gzip', gzipSync(SPANS).subarray(0, 20), 'Cannot gunzip spans'],
    ['', gzipSync(SPANS).subarray(0, 2), 'Cannot gunzip spans'],
    ['gzip', Buffer.from(SPANS), 'Cannot gunzip spans'],
    ['gzip', gzipSync(''), 'Cannot gunzip spans'],
    ['br', Buffer.from('no brotli'), 'Cannot inflate spans: br'],
    ['deflate', Buffer.from('no deflate'), 'Cannot inflate spans: deflate'],
  ])('broken %s is a 400 (%#)', async (encoding, body, message) => {
    const { port } = await startServer();
    const answer = await post(port, body, { 'content-encoding': encoding });
    expect(answer).toMatchObject({ status: 400, body: message });
  });

  test.each(['zstd', 'compress', 'gzip, gzip, gzip', '../../etc/passwd'])(
    'encoding %s is a 400',
    async (encoding) => {
      const { port } = await startServer();
      const answer = await post(port, SPANS, { 'content-encoding': encoding });
      expect(answer.status).toBe(400);
      expect(answer.headers['x-scrubjay-error']).toBe('SCRUBJAY_ERR_ENCODING');
      expect(answer.body).not.toContain('passwd');
    },
  );
});

describe('size', () => {
  const config = { bodyBytesMax: 2048, inflatedBytesMax: 100_000 };

  test('a body over the limit is a 413 that names the setting', async () => {
    const { port } = await startServer({ config });
    const answer = await post(port, 'x'.repeat(2049));
    expect(answer.status).toBe(413);
    expect(answer.body).toContain('SCRUBJAY_INGEST_MAX_BODY_BYTES');
    expect(answer.headers.connection).toBe('close');
  });

  test('a body of the limit is taken', async () => {
    const { port } = await startServer({ config });
    expect((await post(port, ' '.repeat(2048))).status).toBe(202);
  });

  test.each([
    ['gzip', gzipSync],
    ['deflate', deflateSync],
    ['br', brotliCompressSync],
  ])('a bomb by %s is a 413 that names the setting', async (encoding, compress) => {
    const { port, server, metrics } = await startServer({ config });
    const bomb = compress(Buffer.alloc(2_000_000));
    const answer = await post(port, bomb, { 'content-encoding': encoding });
    expect(answer.status).toBe(413);
    expect(answer.body).toContain('SCRUBJAY_INGEST_MAX_INFLATED_BYTES');
    expect(await metricSum(metrics, 'scrubjay_ingest_inflight_bytes')).toBe(0);
    expect(server.draining).toBe(false);
  });

  test('a bomb of many members stops at the limit', async () => {
    const { port } = await startServer({ config: { inflatedBytesMax: 6 * 1024 ** 2 } });
    const member = gzipSync(Buffer.alloc(1_000_000));
    const bomb = Buffer.concat(Array.from({ length: 300 }, () => member));
    expect(bomb.length).toBeGreaterThan(256 * 1024);
    expect((await post(port, bomb, { 'content-encoding': 'gzip' })).status).toBe(413);
  });

  test('what is large once inflated arrives whole', async () => {
    const { port, distributor } = await startServer();
    const text = `[${' '.repeat(9_000_000)}]`;
    expect((await post(port, gzipSync(text), { 'content-encoding': 'gzip' })).status).toBe(202);
    expect(distributor.messages[0]?.body.length).toBe(text.length);
  });
});

describe('format, path, tenant', () => {
  test.each([
    'application/json; charset=utf-8',
    'text/plain;charset=UTF-8',
    'application/x-www-form-urlencoded',
    'APPLICATION/JSON',
    '*/*',
    ';;;',
    '',
  ])('content type "%s" is no obstacle, and passed on', async (contentType) => {
    let hint: unknown;
    const { port } = await startServer({
      detect: (_body, given) => {
        hint = given;
        return { format: 'json-v2', decode: () => undefined };
      },
    });
    expect((await post(port, SPANS, { 'content-type': contentType })).status).toBe(202);
    expect(hint).toEqual({ path: 'v2', contentType });
  });

  test('a body of no format is a 400 with the words of Zipkin', async () => {
    const { port, metrics } = await startServer();
    const answer = await post(port, 'xyz');
    expect(answer).toMatchObject({ status: 400, body: 'Expected a JSON_V2 encoded list\n' });
    expect(answer.headers['content-type']).toBe('text/plain; charset=utf-8');
    expect(await metricSum(metrics, 'zipkin_collector_messages_dropped_total')).toBe(1);
  });

  test.each([
    '/api/v2/spans',
    '/api/v1/spans',
    '/api/v2/spans/',
    '//api/v2/spans',
    '/api//v2/spans',
    '/zipkin/api/v2/spans',
    '/api/v2/spans?x=1',
  ])('POST %s takes spans', async (path) => {
    const { port, distributor } = await startServer();
    expect((await post(port, SPANS, {}, path)).status).toBe(202);
    expect(distributor.messages).toHaveLength(1);
  });

  test('the tenant and the family of the client are passed on', async () => {
    const { port, distributor } = await startServer();
    await post(port, SPANS, { 'x-scope-orgid': 'team', 'user-agent': 'okhttp/4.9.3' });
    expect(distributor.messages[0]).toMatchObject({ tenant: 'team', client: 'okhttp' });
  });

  test('a malformed tenant is a 400', async () => {
    const { port } = await startServer();
    const answer = await post(port, SPANS, { 'x-scope-orgid': 'bad' });
    expect(answer.status).toBe(400);
    expect(answer.headers['x-scrubjay-error']).toBe('SCRUBJAY_ERR_TENANT_MALFORMED');
  });

  test('switched off, the routes are not there', async () => {
    const { port } = await startServer({ receiver: { httpEnabled: false } });
    expect(await post(port, SPANS)).toMatchObject({ status: 404, body: '404 Not Found' });
  });
});

describe('outcomes', () => {
  const report = new DecodeReport();
  report.accepted = 98;
  report.reject('invalid_trace_id', 'not hex');
  report.reject('too_old', 'of 1970');

  test('spans in part: 400, which and why, and both numbers', async () => {
    const { port, distributor } = await startServer();
    distributor.outcome = () => ({ kind: 'partial', report });
    const answer = await post(port, SPANS);
    expect(answer.status).toBe(400);
    expect(JSON.parse(answer.body)).toEqual({
      error: 'partial',
      accepted: 98,
      rejected: 2,
      reasons: { invalid_trace_id: 1, too_old: 1 },
      first: [
        { index: 98, reason: 'invalid_trace_id', detail: 'not hex' },
        { index: 99, reason: 'too_old', detail: 'of 1970' },
      ],
    });
    expect(answer.headers).toMatchObject({
      'content-type': 'application/json',
      'x-accepted-spans': '98',
      'x-rejected-spans': '2',
    });
  });

  test('spans in part with SCRUBJAY_PARTIAL_STATUS=202: no body, both numbers', async () => {
    const { port, distributor } = await startServer({ receiver: { partialStatus: '202' } });
    distributor.outcome = () => ({ kind: 'partial', report });
    const answer = await post(port, SPANS);
    expect(answer).toMatchObject({ status: 202, body: '' });
    expect(answer.headers).toMatchObject({ 'x-accepted-spans': '98', 'x-rejected-spans': '2' });
  });

  test('nothing kept: 400 with the reason as text', async () => {
    const { port, distributor } = await startServer();
    const none = new DecodeReport();
    none.reject('invalid_trace_id', '');
    distributor.outcome = () => ({ kind: 'rejected', report: none, message: 'traceId is empty' });
    const answer = await post(port, SPANS);
    expect(answer).toMatchObject({ status: 400, body: 'traceId is empty' });
    expect(answer.headers).toMatchObject({ 'x-accepted-spans': '0', 'x-rejected-spans': '1' });
  });

  test('refused before the body is read: 503 and Retry-After', async () => {
    const { port, distributor } = await startServer();
    distributor.refused = new CodedError('SCRUBJAY_ERR_WAL_FAILED', { cause: 'EIO' });
    const answer = await post(port, SPANS);
    expect(answer.status).toBe(503);
    expect(answer.headers['retry-after']).toBe('1');
    expect(answer.headers['x-scrubjay-error']).toBe('SCRUBJAY_ERR_WAL_FAILED');
    expect(distributor.messages).toEqual([]);
  });

  test('refused by the push: 503', async () => {
    const { port, distributor } = await startServer();
    const error = new CodedError('SCRUBJAY_ERR_WAL_FAILED', { cause: 'EIO' });
    distributor.outcome = () => ({ kind: 'refused', error });
    expect((await post(port, SPANS)).status).toBe(503);
  });

  test('a bug is a 500 without its text, and a log line with it', async () => {
    const { port, distributor, log } = await startServer();
    distributor.outcome = () => {
      throw new TypeError('secret of /srv/app');
    };
    expect(await post(port, SPANS)).toMatchObject({ status: 500, body: 'Internal error' });
    expect(log.errors[0]?.fields).toMatchObject({
      err: expect.objectContaining({ message: 'secret of /srv/app' }) as unknown,
    });
  });

  test('messages, bytes and acknowledgements are counted', async () => {
    const { port, metrics } = await startServer();
    await post(port, SPANS);
    await post(port, gzipSync(SPANS), { 'content-encoding': 'gzip' });
    const sum = (name: string) => metricSum(metrics, name);
    expect(await sum('zipkin_collector_messages_total')).toBe(2);
    expect(await sum('zipkin_collector_bytes_total')).toBe(2 * SPANS.length);
    expect(await sum('zipkin_collector_message_bytes')).toBe(SPANS.length);
    const text = await metrics.registry.metrics();
    expect(text).toContain('scrubjay_ack_seconds_count 2');
    expect(text).toContain(
      'http_server_requests_seconds_count{method="POST",status="202",uri="/api/v2/spans"} 2',
    );
  });

  test('GET on the path of spans is a 404', async () => {
    const { port } = await startServer();
    expect((await send(port, 'GET', '/api/v2/spans')).status).toBe(404);
  });
});
