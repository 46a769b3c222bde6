import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeJsonV2 } from '../../../src/codec/json-v2.ts';
import { oracleSpan } from './json-oracle.ts';
import { decodeWith } from './v1-batch-reader.ts';

const decode = (text: string) => decodeWith(decodeJsonV2, Buffer.from(text));
const hex = (digits: number) =>
  fc.string({
    unit: fc.constantFrom(...Array.from('0123456789abcdef')),
    minLength: digits,
    maxLength: digits,
  });
const text = fc.oneof(
  fc.constantFrom('', 'a', 'get', 'frontend', 'Ünï', 'x"y', 'back\\slash', 'SELECT 1'),
  fc.string({ maxLength: 40 }),
);
const endpoint = fc.record(
  {
    serviceName: text,
    ipv4: fc.oneof(fc.ipV4(), fc.constantFrom('0.0.0.0', '1.2.3.256', '1.2.3')),
    ipv6: fc.ipV6(),
    port: fc.constantFrom(0, 1, 80, 65_535, 65_536, -1, 999_999_999, 9_999_999_999, 1.5, '80'),
  },
  { requiredKeys: [] },
);
const number = fc.oneof(
  fc.constantFrom(0, 7, 123_456_789, 1_234_567_890, 0.5, -3, 8_999_999_999_999_999, '5', null),
  fc.integer({ min: 1_000_000_000_000_000, max: 8_999_999_999_999_999 }),
  fc.nat(),
);
const kind = fc.constantFrom('CLIENT', 'SERVER', 'PRODUCER', 'CONSUMER', 'client', 'NONE', '', 1);
/** Members in the order of Zipkin's writers, each of them left out now and then. */
const usualSpan = fc.record(
  {
    traceId: fc.oneof(hex(16), hex(32), hex(5), fc.constantFrom('0'.repeat(16), '0'.repeat(32))),
    parentId: fc.oneof(hex(16), hex(3)),
    id: fc.oneof(hex(16), hex(3), fc.constant('0'.repeat(16))),
    kind,
    name: text,
    timestamp: number,
    duration: number,
    localEndpoint: endpoint,
    remoteEndpoint: endpoint,
    annotations: fc.array(fc.record({ timestamp: number, value: text }), { maxLength: 2 }),
    tags: fc.dictionary(fc.constantFrom('a', 'http.path', 'x"', ''), text, { maxKeys: 4 }),
    shared: fc.boolean(),
  },
  { requiredKeys: ['traceId', 'id'] },
);

/** The same message, with a blank behind the brace: the usual reader then takes nothing. */
const unusual = (message: string): string => message.replaceAll('{"traceId"', '{ "traceId"');

describe('The reader of usual spans', () => {
  test('agrees with JSON.parse and plain objects', () => {
    fc.assert(
      fc.property(fc.array(usualSpan, { maxLength: 5 }), (list) => {
        const message = JSON.stringify(list);
        const { spans, error } = decode(message);
        const expected = (JSON.parse(message) as unknown[]).map(oracleSpan);
        expect(error).toBeUndefined();
        expect(spans).toEqual(expected.filter((span) => span !== undefined));
      }),
      { numRuns: 1000 },
    );
  });

  test('agrees with the reader that takes any order, on broken messages too', () => {
    const piece = fc.constantFrom('', '"', '}', '{', ',', ':', ' ', '0', '9', 'f', 'G', '\\', '\0');
    fc.assert(
      fc.property(
        fc.array(usualSpan, { minLength: 1, maxLength: 3 }),
        fc.nat(),
        piece,
        fc.nat(2),
        (list, at, inserted, cut) => {
          const whole = JSON.stringify(list);
          const p = at % whole.length;
          const message = whole.slice(0, p) + inserted + whole.slice(p + cut);
          const one = decode(message);
          const other = decode(unusual(message));
          expect(one.spans).toEqual(other.spans);
          expect(one.error === undefined).toBe(other.error === undefined);
          expect(one.report.rejected).toBe(other.report.rejected);
          expect(one.report.normalized).toEqual(other.report.normalized);
        },
      ),
      { numRuns: 2000 },
    );
  });

  test('ends at the end of every message that was cut', () => {
    const span = {
      traceId: '463ac35c9f6413ad48485a3953bb6124',
      parentId: 'a2fb4a1d1a96d312',
      id: 'b2fb4a1d1a96d312',
      kind: 'CONSUMER',
      name: 'get',
      timestamp: 1_472_470_996_199_000,
      duration: 207_000,
      localEndpoint: { serviceName: 'frontend', ipv4: '127.0.0.1', port: 8080 },
      remoteEndpoint: { ipv4: '192.168.99.101', port: 9000 },
      tags: { 'http.method': 'GET', 'http.path': '/api' },
    };
    const message = JSON.stringify([span, span]);
    for (let length = 1; length < message.length; length++) {
      const { spans, error } = decode(message.slice(0, length));
      expect(spans).toEqual([]);
      expect(error?.message).toMatch(/^(?:End of input|Malformed)/);
    }
  });
});
