import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { decodeThrift } from '../../../src/codec/thrift.ts';
import {
  annotation,
  annotations,
  binary,
  bytes,
  double,
  field,
  i16,
  i32,
  i64,
  repeated,
  span,
  spanList,
  struct,
  tags,
  text,
} from './thrift-encoder.ts';
import type { Bytes, Host } from './thrift-encoder.ts';
import { LIMITS, decodeWith, statusOf } from './v1-batch-reader.ts';
import type { Decoded, JsonSpan } from './v1-batch-reader.ts';

interface Golden {
  name: string;
  hex: string;
  status: number[];
  spans?: JsonSpan[];
}

const goldens = JSON.parse(
  readFileSync(new URL('../../fixtures/thrift.json', import.meta.url), 'utf8'),
) as Golden[];

/** In the middle of bytes that would be seen in the outcome if anything read them. */
function decode(source: Bytes, limits = LIMITS): Decoded {
  const poisoned = Buffer.alloc(source.length + 128, 0x0c);
  poisoned.set(source, 64);
  return decodeWith(decodeThrift, poisoned.subarray(64, 64 + source.length), limits);
}

const one = (...fields: Bytes[]): JsonSpan => decode(spanList(span(...fields))).spans[0]!;
const counts = (decoded: Decoded): Record<string, number> =>
  Object.fromEntries(decoded.report.normalized);
const IDS = { traceId: '0000000000000001', id: '0000000000000002' };
const WEB: Host = { ip4: 0x0a000001, port: 8080, service: 'Web' };
const WEB_ENDPOINT = { serviceName: 'web', ipv4: '10.0.0.1', port: 8080 };

describe('what Zipkin reads', () => {
  it.each(goldens)('$name', ({ hex, status, spans }) => {
    const decoded = decode(Buffer.from(hex, 'hex'));
    expect(status).toContain(statusOf(decoded));
    if (spans === undefined) return;
    expect(decoded.spans).toHaveLength(spans.length);
    expect(decoded.spans).toEqual(expect.arrayContaining(spans));
  });

  it('reads every field of a span', () => {
    const decoded = decode(
      spanList(
        span(
          field(11, 3, text('GET /')),
          field(10, 5, i64(3)),
          field(2, 9, bytes([1])),
          field(10, 10, i64(1_700_000_000_000_000)),
          field(10, 11, i64(250)),
          field(10, 12, i64(-1)),
          annotations(annotation(1_700_000_000_000_100, 'hit', WEB)),
          tags(binary('a', 6, 'b', WEB)),
        ),
      ),
    );
    expect(decoded.spans).toEqual([
      {
        traceId: 'ffffffffffffffff0000000000000001',
        id: '0000000000000002',
        parentId: '0000000000000003',
        name: 'get /',
        timestamp: 1_700_000_000_000_000,
        duration: 250,
        localEndpoint: WEB_ENDPOINT,
        annotations: [{ timestamp: 1_700_000_000_000_100, value: 'hit' }],
        tags: { a: 'b' },
        debug: true,
      },
    ]);
    expect(decoded.report.accepted).toBe(1);
    expect(counts(decoded)).toEqual({});
  });

  it('keeps durations beyond 2^53 exact', () => {
    expect(one(field(10, 10, i64(5)), field(10, 11, i64(2n ** 62n + 1n)))).toMatchObject({
      timestamp: 5,
      duration: 2n ** 62n + 1n,
    });
  });

  it('drops annotations without a time or a value, and counts them', () => {
    const decoded = decode(
      spanList(
        span(
          annotations(
            annotation(0, 'a'),
            struct(field(10, 1, i64(9))),
            struct(field(11, 2, text('b'))),
          ),
        ),
      ),
    );
    expect(decoded.spans).toEqual([IDS]);
    expect(counts(decoded)).toEqual({ annotation_dropped: 3 });
  });
});

describe('where Zipkin loses data', () => {
  it('keeps binary annotations of every type as text', () => {
    const decoded = decode(
      spanList(
        span(
          tags(
            binary('yes', 0, bytes([1])),
            binary('no', 0, bytes([0])),
            binary('text bytes', 1, 'plain'),
            binary('bytes', 1, bytes([0xff, 0])),
            binary('i16', 2, i16(-2)),
            binary('i32', 3, i32(-7)),
            binary('i64', 4, i64(-(2n ** 63n))),
            binary('double', 5, double(0.5)),
            binary('untyped', undefined, 'x'),
          ),
        ),
      ),
    );
    expect(decoded.spans[0]!['tags']).toEqual({
      yes: 'true',
      no: 'false',
      'text bytes': 'plain',
      bytes: '/wA=',
      i16: '-2',
      i32: '-7',
      i64: '-9223372036854775808',
      double: '0.5',
      untyped: 'x',
    });
    expect(counts(decoded)).toEqual({ tag_typed: 9 });
  });

  it('drops typed values of a wrong length and of an unknown type', () => {
    const decoded = decode(
      spanList(span(tags(binary('a', 3, i16(1)), binary('b', 2, i32(1)), binary('c', 9, 'x')))),
    );
    expect(decoded.spans).toEqual([IDS]);
    expect(counts(decoded)).toEqual({ annotation_dropped: 3 });
  });

  it('takes an address for one only with the byte 1, or any text', () => {
    const address = (type: number, value: string | Bytes): JsonSpan =>
      one(tags(binary('sa', type, value, WEB)));
    expect(address(0, bytes([1]))).toEqual({ ...IDS, remoteEndpoint: WEB_ENDPOINT });
    expect(address(6, '1')).toEqual({ ...IDS, remoteEndpoint: WEB_ENDPOINT });
    expect(address(0, bytes([0]))).toEqual(IDS);
    expect(address(3, i32(1))).toEqual(IDS);
  });

  it('reads mapped and compatible IPv4 addresses as IPv4, but not the loopback', () => {
    const local = (ip6: Bytes): unknown =>
      one(annotations(annotation(1, 'x', { ip6 })))['localEndpoint'];
    const ten = [10, 0, 0, 1];
    expect(local(bytes(Buffer.alloc(10), [255, 255], ten))).toEqual({ ipv4: '10.0.0.1' });
    expect(local(bytes(Buffer.alloc(12), ten))).toEqual({ ipv4: '10.0.0.1' });
    expect(local(bytes(ten))).toEqual({ ipv4: '10.0.0.1' });
    expect(local(bytes(Buffer.alloc(15), [1]))).toEqual({ ipv6: '::1' });
    expect(local(bytes([1, 2, 3]))).toBeUndefined();
    expect(local(bytes())).toBeUndefined();
  });

  it('reads ports above 32767, which i16 has as negative', () => {
    expect(one(annotations(annotation(1, 'x', { port: -1 })))['localEndpoint']).toEqual({
      port: 65_535,
    });
  });

  it('decodes the lists behind the first', () => {
    const decoded = decode(bytes(spanList(span()), spanList(), spanList(span(), span())));
    expect(decoded.report.accepted).toBe(3);
    expect(counts(decoded)).toEqual({ list_joined: 1 });
  });

  it('ignores what follows the list and is none', () => {
    for (const garbage of [
      [1, 2, 3],
      [12, 0, 0, 0, 1, 10, 0],
      [12, 0, 0],
      [0, 0, 0, 0, 0, 0],
    ]) {
      const decoded = decode(bytes(spanList(span()), garbage));
      expect(decoded.error).toBeUndefined();
      expect(decoded.report.accepted).toBe(1);
      expect(counts(decoded)).toEqual({ trailing_text: 1 });
    }
  });

  it('decodes a single span without a list, whatever its first field is', () => {
    for (const first of [[], [field(11, 3, text('get'))], [field(2, 9, bytes([1]))]]) {
      const decoded = decode(
        struct(...first, field(10, 1, i64(1)), field(10, 4, i64(2)), annotations()),
      );
      expect(decoded.spans[0]).toMatchObject(IDS);
      expect(counts(decoded)).toEqual({ list_missing: 1 });
    }
  });
});

describe('text', () => {
  it('puts U+FFFD in place of what is no UTF-8', () => {
    const decoded = decode(
      spanList(
        span(
          field(11, 3, text(bytes([0x61, 0xff]))),
          annotations(annotation(5, bytes([0x62, 0xc3]), { service: bytes([0xe2, 0x82]) })),
          tags(binary('k', 6, bytes([0x80]))),
        ),
      ),
    );
    expect(decoded.spans).toEqual([
      {
        ...IDS,
        name: 'a\ufffd',
        localEndpoint: { serviceName: '\ufffd' },
        annotations: [{ timestamp: 5, value: 'b\ufffd' }],
        tags: { k: '\ufffd' },
      },
    ]);
    expect(counts(decoded)).toEqual({ utf8: 4 });
  });

  it('leaves valid UTF-8 alone', () => {
    expect(one(tags(binary('ключ', 6, 'café 🐦 end')))).toEqual({
      ...IDS,
      tags: { ключ: 'café 🐦 end' },
    });
  });
});

describe('bad spans and bad messages', () => {
  it('rejects spans without ids one by one', () => {
    const noTrace = struct(field(10, 4, i64(2)));
    const noId = struct(field(10, 1, i64(1)));
    const decoded = decode(spanList(noTrace, span(), noId, struct()));
    expect(decoded.report.accepted).toBe(1);
    expect(decoded.report.first).toMatchObject([
      { index: 0, reason: 'invalid_trace_id', detail: 'traceId == 0' },
      { index: 2, reason: 'invalid_span_id', detail: 'id == 0' },
      { index: 3, reason: 'invalid_trace_id', detail: 'traceId == 0' },
    ]);
  });

  it('rejects a span that is too large, and keeps the next one', () => {
    const large = span(tags(binary('k', 6, 'v'.repeat(200))));
    const decoded = decode(spanList(large, span()), { ...LIMITS, spanBytesMax: 100 });
    expect(decoded.spans).toEqual([IDS]);
    expect(Object.fromEntries(decoded.report.reasons)).toEqual({ span_too_large: 1 });
  });

  it('reads a limited number of parts of a span, and counts the cut', () => {
    const many = span(tags(...Array.from({ length: 3000 }, (_, i) => binary(`k${i}`, 6, 'v'))));
    const decoded = decode(spanList(many));
    expect(Object.keys(decoded.spans[0]!['tags'] as object)).toHaveLength(LIMITS.tagsMax);
    expect(decoded.batch.truncations).toBe(3000 - LIMITS.tagsMax);
  });

  it.each([
    ['nothing of the list', bytes([12, 0, 0]), 'Truncated: length 4 > bytes available 2'],
    [
      'more spans than bytes',
      bytes([12], i32(2 ** 31 - 1)),
      'Truncated: length 1 > bytes available 0',
    ],
    ['a negative count', bytes([12], i32(-1)), 'Malformed: length -1'],
    ['a cut id', bytes([12], i32(1), [10, 0, 1, 0, 0]), 'Truncated: length 8 > bytes available 2'],
    [
      'a text longer than the message',
      spanList(struct(bytes([11], i16(3), i32(100)))),
      'Truncated: length 100 > bytes available 1',
    ],
    [
      'a text of negative length',
      spanList(struct(bytes([11], i16(3), i32(-5)))),
      'Malformed: length -5',
    ],
    ['an unknown type', spanList(span(field(99, 1, bytes([0, 0])))), 'Malformed: type 99'],
    [
      'two billion values of no type',
      spanList(span(field(15, 99, bytes([0], i32(2 ** 31 - 1))))),
      'Malformed: list of no type',
    ],
    [
      'two billion structs',
      spanList(span(field(15, 99, bytes([12], i32(2 ** 31 - 1))))),
      'Truncated: length 1 > bytes available 0',
    ],
    [
      'two billion annotations',
      spanList(span(field(15, 6, bytes([12], i32(2 ** 31 - 1))))),
      'Truncated: length 1 > bytes available 0',
    ],
    [
      'two billion pairs',
      spanList(span(field(13, 99, bytes([11, 11], i32(2 ** 31 - 1))))),
      'Truncated: length 1 > bytes available 0',
    ],
    [
      'fields nested too deep',
      spanList(span(repeated(bytes([12, 0, 99]), 10_000), Buffer.alloc(10_000))),
      'Malformed: maximum skip depth exceeded',
    ],
  ])('refuses the message for %s', (_, source, problem) => {
    const decoded = decode(source);
    expect(decoded.error?.message).toBe(`${problem} reading List<Span> from TBinary`);
    expect(decoded.spans).toEqual([]);
  });

  it('says what it expected of other bytes', () => {
    expect(decode(bytes([13, 0, 0, 0, 4])).error?.message).toBe('Expected a THRIFT encoded list\n');
    expect(decode(bytes()).error).toBeUndefined();
  });

  it('refuses a message of nothing but empty spans soon', () => {
    const flood = Buffer.alloc(5_000_005);
    flood[0] = 12;
    flood.writeInt32BE(5_000_000, 1);
    const decoded = decode(flood);
    expect(decoded.error?.message).toContain('too many spans without ids');
    expect(decoded.report.rejected).toBeLessThan(100_000);
  });
});
