/** Requests as Zipkin's clients sent them, byte for byte; the spans are then found, all of them. */
import { readFileSync, readdirSync } from 'node:fs';
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { ACKNOWLEDGED, RawExchange, comparable, exchange, rawPost } from './raw-exchange.ts';
import type { RawAnswer } from './raw-exchange.ts';
import { ListOfSpans, SentTraces, inOrder, spansOfRequest } from './recorded-spans.ts';
import { ANY_AGE, getJson, getTrace, startScrubjay } from './scrubjay-process.ts';
import type { FoundSpan, Scrubjay } from './scrubjay-process.ts';

const FOLDER = new URL('../fixtures/recorded/', import.meta.url);
const files = readdirSync(FOLDER).filter((name) => name.endsWith('.http'));
const read = (file: string): Buffer => readFileSync(new URL(file, FOLDER));

let scrubjay: Scrubjay;
/** Recordings share trace ids: each adds to what was sent before it. */
const sentTraces = new SentTraces();

beforeAll(async () => {
  scrubjay = await startScrubjay(ANY_AGE);
});
afterAll(() => scrubjay?.stop());

/** The traces in the order of their ids. */
async function findAll(traceIds: readonly string[]): Promise<FoundSpan[][]> {
  if (traceIds.length < 2) {
    return Promise.all(traceIds.map((traceId) => getTrace(scrubjay, traceId)));
  }
  const where = `/api/v2/traceMany?traceIds=${traceIds.join(',')}`;
  const found = await getJson<FoundSpan[][]>(scrubjay, where);
  const byId = new Map(found.map((trace) => [trace[0]?.traceId, trace]));
  expect(byId.size).toBe(found.length);
  return traceIds.map((traceId) => byId.get(traceId) ?? []);
}

describe('The recorded request', () => {
  test('is one of 66', () => {
    expect(files).toHaveLength(66);
  });

  test.each(files)('%s is acknowledged with exactly 202, and its spans are found', async (file) => {
    const request = read(file);
    expect(comparable(await exchange(scrubjay.port, request))).toEqual(ACKNOWLEDGED);

    const spans = spansOfRequest(request);
    sentTraces.add(spans);
    const traceIds = [...new Set(spans.map(({ traceId }) => traceId))];
    const found = await findAll(traceIds);
    expect(found.map(inOrder)).toEqual(traceIds.map((traceId) => inOrder(sentTraces.of(traceId))));
  });

  test.each([
    'brave-jdk-json-one-01.http',
    'brave-url-proto-one-01.http',
    'otel-js-zipkin-01.http',
    'zipkinjs-v1-01.http',
  ])('%s is acknowledged when each byte comes on its own', async (file) => {
    const bytes = Array.from(read(file), (byte) => Buffer.of(byte));
    expect(comparable(await exchange(scrubjay.port, ...bytes))).toEqual(ACKNOWLEDGED);
  });
});

const JSON_TYPE = 'application/json';
const PROTO3_TYPE = 'application/x-protobuf';
const THRIFT_TYPE = 'application/x-thrift';

const post = async (
  headers: Readonly<Record<string, string>>,
  body: string | Uint8Array,
  path?: string,
): Promise<RawAnswer> => comparable(await exchange(scrubjay.port, rawPost(headers, body, path)));

let lastId = 0;

/** A span in a trace of its own. */
function newSpan(tags: Readonly<Record<string, string>>): FoundSpan {
  const id = (++lastId).toString(16).padStart(16, '0');
  const traceId = `${'a'.repeat(16)}${id}`;
  const timestamp = Date.now() * 1000;
  return { traceId, id, name: 'replay', timestamp, localEndpoint: { serviceName: 'bird' }, tags };
}

describe('A message without spans', () => {
  const paths = { [JSON_TYPE]: '2', [PROTO3_TYPE]: '2', [THRIFT_TYPE]: '1' };
  const encodings = {
    identity: (text: string) => Buffer.from(text),
    gzip: gzipSync,
    'x-gzip': gzipSync,
    deflate: deflateSync,
    br: brotliCompressSync,
  };
  const cases = Object.entries(encodings).flatMap(([encoding, compress]) =>
    Object.entries(paths).flatMap(([type, version]) =>
      ['', '[]'].map((text) => {
        const body: Uint8Array = compress(text);
        return { encoding, type, text, version, body };
      }),
    ),
  );
  type Case = (typeof cases)[number];

  const postCase = ({ encoding, type, body, version }: Case): Promise<RawAnswer> =>
    post({ 'Content-Encoding': encoding, 'Content-Type': type }, body, `/api/v${version}/spans`);
  /** Compressed nothing; of protobuf it is an empty message, which reporters send. */
  const isNothing = ({ text, encoding, type }: Case): boolean =>
    text === '' && encoding !== 'identity' && type !== PROTO3_TYPE;
  const isGzip = ({ encoding }: Case): boolean => encoding.includes('gzip');

  test.each(cases.filter((one) => !isNothing(one) || !isGzip(one)))(
    '"$text" by $encoding as $type is acknowledged',
    async (one) => {
      expect(await postCase(one)).toEqual(ACKNOWLEDGED);
    },
  );

  test.each(cases.filter((one) => isNothing(one) && isGzip(one)))(
    '"$text" by $encoding as $type is what Zipkin calls no gzip',
    async (one) => {
      const { statusLine, body } = await postCase(one);
      expect([statusLine, body]).toEqual(['HTTP/1.1 400 Bad Request', 'Cannot gunzip spans']);
    },
  );
});

describe('On the connection', () => {
  test('an idle reporter is told that it stays open for longer than it pauses', async () => {
    const { headers } = await post({ 'Content-Type': JSON_TYPE }, '[]');
    const seconds = Number(/^timeout=(\d+)$/.exec(headers.get('keep-alive') ?? '')?.[1]);
    // Fastify's default; Node's own are 5 seconds, the very pause of many reporters.
    expect(seconds).toBeGreaterThanOrEqual(72);
  });

  test('the offer of h2c is not taken, for any upgrade, and the body is read', async () => {
    for (const upgrade of ['h2c', 'websocket', 'h2c, websocket']) {
      const span = newSpan({ upgrade });
      const headers = {
        Connection: 'Upgrade, HTTP2-Settings',
        Upgrade: upgrade,
        'HTTP2-Settings': 'AAEAAEAAAAIAAAAAAAMAAAAAAAQBAAAAAAUAAEAAAAYABgAA',
        'Content-Type': JSON_TYPE,
      };
      expect(await post(headers, JSON.stringify([span])), upgrade).toEqual(ACKNOWLEDGED);
      expect(await getTrace(scrubjay, span.traceId)).toEqual([span]);
    }
  });

  test('a client that expects 100-continue gets it, then its body of 1.5 MB is taken', async () => {
    const span = newSpan({ 'sql.query': 'x'.repeat(15_000) });
    const ids = Array.from({ length: 100 }, (_, i) => (i + 1).toString(16).padStart(16, '0'));
    const spans = ids.map((id): FoundSpan => Object.assign(structuredClone(span), { id }));
    const request = rawPost(
      { 'Content-Type': JSON_TYPE, Expect: '100-continue' },
      JSON.stringify(spans),
    );
    expect(request.length).toBeGreaterThan(1_500_000);
    const headBytes = request.indexOf('\r\n\r\n') + 4;

    const socket = new RawExchange(scrubjay.port);
    onTestFinished(() => {
      socket.close();
    });
    await socket.send(request.subarray(0, headBytes));
    const first = await socket.headersOf(/\r\n\r\n$/);
    expect(first).toBe('HTTP/1.1 100 Continue\r\n\r\n');
    await socket.send(request.subarray(headBytes));
    expect(comparable(await socket.answer())).toEqual(ACKNOWLEDGED);
    expect(inOrder(await getTrace(scrubjay, span.traceId))).toEqual(spans);
  });

  test('chunks of one byte each are one body', async () => {
    const span = newSpan({ chunk: 'one byte, or one of several: é ☃ 🚀' });
    const head =
      'POST /api/v2/spans HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n';
    const chunks = Array.from(Buffer.from(JSON.stringify([span])), (byte) =>
      Buffer.concat([Buffer.from('1\r\n'), Buffer.of(byte), Buffer.from('\r\n')]),
    );
    const answer = await exchange(scrubjay.port, head, ...chunks, '0\r\n\r\n');
    expect(comparable(answer)).toEqual(ACKNOWLEDGED);
    expect(await getTrace(scrubjay, span.traceId)).toEqual([span]);
  });
});

describe('From a browser', () => {
  const Origin = 'https://shop.example';

  test('the preflight of a page is answered', async () => {
    const answer = await fetch(`${scrubjay.url}/api/v2/spans`, {
      method: 'OPTIONS',
      headers: {
        Origin,
        'Access-Control-Request-Method': 'POST',
        'Access-Control-Request-Headers': 'content-type',
      },
    });
    expect([answer.status, await answer.text()]).toEqual([200, '']);
    const { headers } = answer;
    expect(headers.get('access-control-allow-origin')).toBe('*');
    expect(headers.get('access-control-allow-methods')).toBe('GET,POST');
    expect(headers.get('access-control-allow-headers')).toBe('content-type,x-grpc-web');
  });

  test('a beacon, which is text with cookies, is taken', async () => {
    const span = newSpan({ page: '/cart' });
    const headers = {
      Origin,
      Cookie: 'session=1',
      'Content-Type': 'text/plain;charset=UTF-8',
      'Sec-Fetch-Mode': 'no-cors',
    };
    const { statusLine, headers: answered, body } = ACKNOWLEDGED;
    expect(await post(headers, JSON.stringify([span]))).toEqual({
      statusLine,
      headers: new Map([...answered, ['access-control-allow-origin', '*']]),
      body,
    });
    expect(await getTrace(scrubjay, span.traceId)).toEqual([span]);
  });
});

describe('The body', () => {
  test('of several gzip members is all of them', async () => {
    const span = newSpan({ members: 'three' });
    const text = JSON.stringify([span]);
    const parts = [text.slice(0, 1), text.slice(1, 99), text.slice(99)];
    const body = Buffer.concat(parts.map((part) => gzipSync(part)));
    const headers = { 'Content-Type': JSON_TYPE, 'Content-Encoding': 'gzip' };
    expect(await post(headers, body)).toEqual(ACKNOWLEDGED);
    expect(await getTrace(scrubjay, span.traceId)).toEqual([span]);
  });

  // Zipkin inflates by 8,192 bytes, and what lies across them becomes U+FFFD.
  test.each([
    ['gzip', gzipSync],
    ['deflate', deflateSync],
    ['br', brotliCompressSync],
  ])('by %s keeps a character that lies across 8,192 inflated bytes', async (name, compress) => {
    for (const character of ['é', '☃', '🚀']) {
      for (let before = 1; before < Buffer.byteLength(character); before++) {
        const span = newSpan({ text: '' });
        const start = JSON.stringify([span]).indexOf('"text":"') + '"text":"'.length;
        const filler = 'x'.repeat(8192 - start - before);
        const whole = { ...span, tags: { text: `${filler}${character}end` } };
        const bytes = Buffer.from(JSON.stringify([whole]));
        expect(bytes.indexOf(character)).toBe(8192 - before);

        const headers = { 'Content-Type': JSON_TYPE, 'Content-Encoding': name };
        expect(await post(headers, compress(bytes))).toEqual(ACKNOWLEDGED);
        expect(await getTrace(scrubjay, span.traceId), character).toEqual([whole]);
      }
    }
  });

  test('in protobuf is read as such when it is said to be JSON, on either path', async () => {
    for (const path of ['/api/v2/spans', '/api/v1/spans']) {
      const span = newSpan({ path });
      const sent = {
        ...span,
        traceId: Buffer.from(span.traceId, 'hex'),
        id: Buffer.from(span.id, 'hex'),
      };
      const body = ListOfSpans.encode(ListOfSpans.fromObject({ spans: [sent] })).finish();
      expect(await post({ 'Content-Type': JSON_TYPE }, body, path), path).toEqual(ACKNOWLEDGED);
      expect(await getTrace(scrubjay, span.traceId)).toEqual([span]);
    }
  });
});
