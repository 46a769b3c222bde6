import { fileURLToPath } from 'node:url';
import * as fc from 'fast-check';
import protobuf from 'protobufjs';
import { describe, expect, test } from 'vitest';
import { exact } from './batch-reader.ts';
import type { ReadEndpoint, ReadSpan } from './batch-reader.ts';
import { ADMIT_ALL, decode, newBatch } from './proto3-message.ts';

const schema = fileURLToPath(new URL('../../../proto/zipkin.proto', import.meta.url));
const ListOfSpans = protobuf.loadSync(schema).lookupType('zipkin.proto3.ListOfSpans');

interface Endpoint {
  serviceName: string;
  ipv4: Uint8Array;
  ipv6: Uint8Array;
  port: number;
}

interface Span {
  traceId: Uint8Array;
  parentId: Uint8Array;
  id: Uint8Array;
  kind: number;
  name: string;
  timestamp: bigint;
  duration: bigint;
  localEndpoint: Endpoint | null;
  remoteEndpoint: Endpoint | null;
  annotations: { timestamp: bigint; value: string }[];
  tags: [string, string][];
  debug: boolean;
  shared: boolean;
}

const bytes = (minLength: number, maxLength: number): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength, maxLength });
const compatible = (ip4: number): Uint8Array =>
  Uint8Array.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ip4 >>> 24, ip4 >>> 16, ip4 >>> 8, ip4]);
const word = fc.constantFrom('get', 'GET /Orders', 'http.method', 'é', '', 'İx', 'a'.repeat(200));
const text = fc.oneof(word, fc.string({ unit: 'binary', maxLength: 20 }));
const time = fc.oneof(
  fc.bigInt(0n, 2n ** 53n),
  fc.constantFrom(0n, 1n, 2n ** 53n, 2n ** 53n + 1n, 2n ** 63n - 1n),
  fc.bigInt(0n, 2n ** 63n - 1n),
);
const endpoint = fc.record<Endpoint>({
  serviceName: text,
  ipv4: fc.oneof(bytes(0, 0), bytes(4, 4)),
  ipv6: fc.oneof(
    bytes(0, 0),
    bytes(16, 16),
    fc.integer({ min: 0, max: 0xffffffff }).map(compatible),
  ),
  port: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 65_535 })),
});
const span = fc.record<Span>({
  traceId: fc.oneof(bytes(8, 8), bytes(16, 16), bytes(0, 18)),
  parentId: fc.oneof(bytes(0, 0), bytes(8, 8)),
  id: fc.oneof(bytes(8, 8), bytes(1, 9)),
  kind: fc.integer({ min: 0, max: 4 }),
  name: text,
  timestamp: time,
  duration: time,
  localEndpoint: fc.option(endpoint),
  remoteEndpoint: fc.option(endpoint),
  annotations: fc.array(fc.record({ timestamp: time, value: text }), { maxLength: 4 }),
  tags: fc.uniqueArray(fc.tuple(text, text), { maxLength: 8, selector: ([key]) => key }),
  debug: fc.boolean(),
  shared: fc.boolean(),
});

function encode(spans: readonly Span[]): Uint8Array {
  // What the writer takes without the package `long`: its two words.
  const long = (value: bigint): unknown => ({
    low: Number(BigInt.asIntN(32, value)),
    high: Number(BigInt.asIntN(32, value >> 32n)),
    unsigned: true,
  });
  const plain = spans.map((s) => ({
    ...s,
    timestamp: long(s.timestamp),
    duration: long(s.duration),
    annotations: s.annotations.map((a) => ({ ...a, timestamp: long(a.timestamp) })),
    tags: Object.fromEntries(s.tags),
  }));
  return ListOfSpans.encode({ spans: plain }).finish();
}

const number = (id: Uint8Array): bigint => BigInt(`0x0${Buffer.from(id).toString('hex')}`);
const digits = (id: bigint, count: number): string => id.toString(16).padStart(count, '0');

const isValidId = (id: Uint8Array): boolean =>
  id.length < 8 || (id.length === 8 && number(id) > 0n);

/** What should come back; undefined when the ids are wrong. */
function expected(s: Span): ReadSpan | undefined {
  const trace = number(s.traceId);
  const id = number(s.id);
  if (trace === 0n || s.traceId.length > 16 || !isValidId(s.id)) return undefined;
  const parent = number(s.parentId);
  const local = expectedEndpoint(s.localEndpoint);
  const remote = expectedEndpoint(s.remoteEndpoint);
  const tags = s.tags.filter(([key]) => key !== '').toSorted(([a], [b]) => (a < b ? -1 : 1));
  return {
    traceId: digits(trace, trace >= 2n ** 64n ? 32 : 16),
    id: digits(id, 16),
    ...(parent !== 0n && parent !== id && { parentId: digits(parent, 16) }),
    ...(s.kind > 0 && { kind: ['', 'CLIENT', 'SERVER', 'PRODUCER', 'CONSUMER'][s.kind]! }),
    ...(s.name !== '' && { name: s.name.toLowerCase() }),
    ...(s.timestamp > 0n && { timestamp: exact(s.timestamp) }),
    ...(s.duration > 0n && { duration: exact(s.duration) }),
    ...(local && { localEndpoint: local }),
    ...(remote && { remoteEndpoint: remote }),
    ...expectedAnnotations(s),
    ...(tags.length > 0 && { tags: Object.fromEntries(tags) }),
    ...expectedFlags(s),
  };
}

function expectedFlags(s: Span): Pick<ReadSpan, 'debug' | 'shared'> {
  return { ...(s.debug && { debug: true }), ...(s.shared && s.kind !== 1 && { shared: true }) };
}

function expectedAnnotations(s: Span): Pick<ReadSpan, 'annotations'> {
  const whole = s.annotations.filter((a) => a.timestamp !== 0n && a.value !== '');
  whole.sort((a, b) => {
    if (a.timestamp !== b.timestamp) return a.timestamp < b.timestamp ? -1 : 1;
    return Buffer.compare(Buffer.from(a.value), Buffer.from(b.value));
  });
  const distinct = whole.filter((a, i) => {
    const before = whole[i - 1];
    return before?.timestamp !== a.timestamp || before.value !== a.value;
  });
  if (distinct.length === 0) return {};
  return {
    annotations: distinct.map(({ timestamp, value }) => ({ timestamp: exact(timestamp), value })),
  };
}

function expectedEndpoint(e: Endpoint | null): ReadEndpoint | undefined {
  if (e === null) return undefined;
  const read: ReadEndpoint = {};
  if (e.serviceName !== '') read.serviceName = e.serviceName.toLowerCase();
  if (e.ipv4.length > 0) read.ipv4 = e.ipv4.join('.');
  if (e.ipv6.length > 0) {
    const groups = Buffer.from(e.ipv6).toString('hex').match(/.{4}/g)!;
    const embedded = groups.slice(0, 6).join('') === '0'.repeat(24);
    if (embedded && number(e.ipv6.slice(12)) > 1n) read.ipv4 = e.ipv6.slice(12).join('.');
    else read.ipv6 = new URL(`http://[${groups.join(':')}]/`).hostname.slice(1, -1);
  }
  if (e.port > 0) read.port = e.port;
  return Object.keys(read).length > 0 ? read : undefined;
}

describe('proto3 against an independent encoder', () => {
  test('spans come back as they were sent', () => {
    fc.assert(
      fc.property(fc.array(span, { maxLength: 6 }), (spans) => {
        const { error, spans: read, report } = decode(encode(spans));
        const wanted = spans.map(expected);
        expect(error).toBeUndefined();
        expect(read).toEqual(wanted.filter((s) => s !== undefined));
        expect(report.rejected).toBe(wanted.filter((s) => s === undefined).length);
      }),
      { numRuns: 500 },
    );
  });

  test('messages that share a batch do not touch each other', () => {
    fc.assert(
      fc.property(fc.array(fc.array(span, { maxLength: 3 }), { maxLength: 5 }), (messages) => {
        const batch = newBatch();
        for (const message of messages) {
          const { spans } = decode(encode(message), batch);
          expect(spans).toEqual(message.map(expected).filter((s) => s !== undefined));
        }
      }),
      { numRuns: 200 },
    );
  });
});

/**
 * Decodes the bytes alone and inside of two differently filled surroundings.
 * @returns what each saw, which must be the same
 */
function sights(message: Uint8Array): unknown[] {
  const alone = sight(Uint8Array.from(message));
  const around = [0x0a, 0xff].map((poison) => {
    const buffer = Buffer.alloc(message.length + 64, poison);
    buffer.set(message, 32);
    return sight(buffer.subarray(32, 32 + message.length));
  });
  return [alone, ...around];
}

const sharedBatch = newBatch();

/** What a message gives; throws where rows and report, or a batch and its past, do not agree. */
function sight(source: Uint8Array): unknown {
  const mark = sharedBatch.mark();
  const { error, spans, report } = decode(source, sharedBatch, ADMIT_ALL);
  const kept = error === undefined ? report.accepted : 0;
  expect([spans.length, sharedBatch.rows]).toEqual([kept, kept]);
  sharedBatch.rollback(mark);
  expect(sharedBatch.mark()).toEqual(mark);
  return [error, spans, report.accepted, report.first, [...report.reasons], [...report.normalized]];
}

describe('proto3 on damaged bytes', () => {
  const damage = fc.record({
    spans: fc.array(span, { minLength: 1, maxLength: 4 }),
    edits: fc.array(
      fc.record({
        at: fc.double({ min: 0, max: 1, noNaN: true }),
        cut: fc.integer({ min: 0, max: 3 }),
        put: bytes(0, 4),
      }),
      { minLength: 1, maxLength: 5 },
    ),
    keep: fc.oneof(fc.constant(1), fc.double({ min: 0, max: 1, noNaN: true })),
  });

  test('nothing throws, rows are whole, and bytes around the message do not matter', () => {
    fc.assert(
      fc.property(damage, ({ spans, edits, keep }) => {
        let message = Buffer.from(encode(spans));
        for (const { at, cut, put } of edits) {
          const place = Math.floor(at * message.length);
          message = Buffer.concat([message.subarray(0, place), put, message.subarray(place + cut)]);
        }
        message = message.subarray(0, Math.ceil(keep * message.length));
        const [alone, inside, other] = sights(message);
        expect([inside, other]).toEqual([alone, alone]);
      }),
      { numRuns: 500 },
    );
  });

  test('any bytes are read or refused', () => {
    fc.assert(
      fc.property(bytes(0, 64), (message) => {
        const [alone, inside, other] = sights(message);
        expect([inside, other]).toEqual([alone, alone]);
      }),
      { numRuns: 500 },
    );
  });

  test('every cut of a message is read or refused', () => {
    const [sample] = fc.sample(fc.array(span, { minLength: 3, maxLength: 3 }), {
      numRuns: 1,
      seed: 7,
    });
    const message = encode(sample!);
    for (let length = 0; length <= message.length; length++) {
      const [alone, inside, other] = sights(message.subarray(0, length));
      expect([inside, other]).toEqual([alone, alone]);
    }
  });

  test('a hostile message takes time in proportion to its size', () => {
    const nested = Buffer.concat([Buffer.alloc(90, 0x7b), Buffer.alloc(90, 0x7c)]);
    const ids = Buffer.from('0a010a1a010a', 'hex');
    const body = Buffer.concat([ids, ...Array.from({ length: 1400 }, () => nested)]);
    const length = Buffer.from([(body.length & 127) | 128, ((body.length >> 7) & 127) | 128, 15]);
    expect(body.length >> 14).toBe(15);
    const one = Buffer.concat([Buffer.from([0x0a]), length, body]);
    const { report } = decode(Buffer.concat(Array.from({ length: 20 }, () => one)));
    expect([report.accepted, report.rejected]).toEqual([20, 0]);
    const empty = decode(Buffer.alloc(200_000, Buffer.from('0a00', 'hex')));
    expect(empty.report.rejected).toBe(100_000);
    expect(empty.batch.rows).toBe(0);
  });
});
