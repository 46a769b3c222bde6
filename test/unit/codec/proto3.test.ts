import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { ReadSpan } from './batch-reader.ts';
import {
  ARRIVAL_US,
  BARE,
  decode,
  field,
  fixed64,
  hex,
  IDS,
  LIMITS,
  newBatch,
  spanOf,
  varint,
} from './proto3-message.ts';

interface GoldenCase {
  name: string;
  body: string;
  spans: ReadSpan[];
  rejected?: [reason: string, detail: string][];
  normalized?: Record<string, number>;
  error?: string;
}

const fixture = new URL('../../fixtures/proto3.json', import.meta.url);
const golden = JSON.parse(readFileSync(fixture, 'utf8')) as GoldenCase[];
const concat = (...parts: Uint8Array[]): Buffer => Buffer.concat(parts);
const inOrder = (a: ReadSpan, b: ReadSpan): number =>
  JSON.stringify(a) < JSON.stringify(b) ? -1 : 1;

describe('proto3 as Zipkin has it', () => {
  test.each(golden)('$name is read back as Zipkin reads it back', (wanted) => {
    const { error, report, spans } = decode(hex(wanted.body));
    expect(error?.message).toBe(wanted.error);
    expect(spans.toSorted(inOrder)).toEqual(wanted.spans.toSorted(inOrder));
    expect(report.first.map((r) => [r.reason, r.detail])).toEqual(wanted.rejected ?? []);
    expect(report.accepted).toBe(wanted.spans.length);
    for (const [rule, count] of Object.entries(wanted.normalized ?? {})) {
      expect(Object.fromEntries(report.normalized)).toMatchObject({ [rule]: count });
    }
  });

  test('an empty message is an empty list', () => {
    const { error, report } = decode(new Uint8Array(0));
    expect([error, report.spans]).toEqual([undefined, 0]);
  });
});

describe('proto3 ids', () => {
  test.each([
    ['ab', '00000000000000ab'],
    ['abcdef12', '00000000abcdef12'],
    ['0102030405060708', '0102030405060708'],
    ['010203040506070809', '00000000000000010203040506070809'],
    ['0102030405060708090a0b0c', '000000000102030405060708090a0b0c'],
    ['ffeeddccbbaa99887766554433221100', 'ffeeddccbbaa99887766554433221100'],
    ['00000000000000000102030405060708', '0102030405060708'],
  ])('trace id %s is padded to %s', (bytes, text) => {
    const { spans } = decode(field(1, concat(field(1, hex(bytes)), field(3, hex('0a')))));
    expect(spans).toEqual([{ traceId: text, id: '000000000000000a' }]);
  });

  test.each([
    [concat(field(3, hex('0a'))), 'invalid_trace_id', 'Missing : traceId'],
    [concat(), 'invalid_trace_id', 'Missing : traceId id'],
    [concat(field(1, '')), 'invalid_trace_id', 'traceId == null'],
    [concat(field(1, hex('0000')), field(3, '')), 'invalid_trace_id', 'traceId is all zeros'],
    [concat(IDS, field(1, Buffer.alloc(32, 1))), 'invalid_trace_id', 'traceId.length > 32'],
    [concat(field(1, 'abc')), 'invalid_span_id', 'Missing : id'],
    [concat(IDS, field(3, Buffer.alloc(9, 1))), 'invalid_span_id', 'id.length > 16'],
    [concat(IDS, field(3, Buffer.alloc(8))), 'invalid_span_id', 'id is all zeros'],
    [
      concat(IDS, field(3, Buffer.alloc(33))),
      'invalid_span_id',
      'hex field greater than 32 chars long: 33',
    ],
  ])('a span with wrong ids is refused alone (%#)', (bytes, reason, detail) => {
    const { error, report, spans } = decode(concat(spanOf(), field(1, bytes), spanOf()));
    expect(error).toBeUndefined();
    expect(spans).toEqual([BARE, BARE]);
    expect(report.first).toMatchObject([{ index: 1, reason, detail }]);
  });

  test('a parent that is too long, zero, or the span itself is no parent', () => {
    for (const bytes of [Buffer.alloc(9, 1), Buffer.alloc(8), hex('000000000000000a'), hex('0a')]) {
      expect(decode(spanOf(field(2, bytes))).spans).toEqual([BARE]);
    }
    expect(decode(spanOf(field(2, hex('0b')))).spans[0]!.parentId).toBe('000000000000000b');
  });
});

describe('proto3 numbers', () => {
  const wide = 9_007_199_254_740_993n;

  test('wide values are exact to the last bit', () => {
    const annotation = concat(fixed64(1, wide), field(2, 'a'));
    const early = concat(fixed64(1, -wide), field(2, 'b'));
    const { spans } = decode(
      spanOf(fixed64(6, wide), field(7, 2n ** 63n - 1n), field(10, annotation), field(10, early)),
    );
    expect(spans[0]).toEqual({
      ...BARE,
      timestamp: wide,
      duration: 2n ** 63n - 1n,
      annotations: [
        { timestamp: -wide, value: 'b' },
        { timestamp: wide, value: 'a' },
      ],
    });
  });

  test('negative times are absent and counted', () => {
    const { spans, report } = decode(spanOf(fixed64(6, -1n), field(7, -167n)));
    expect(spans).toEqual([BARE]);
    expect(report.normalized.get('time_dropped')).toBe(2);
  });

  test('of a field that comes twice the last one is valid', () => {
    const { spans } = decode(
      spanOf(
        field(5, 'a'),
        field(5, 'b'),
        fixed64(6, 5n),
        fixed64(6, 7n),
        field(7, 9),
        field(7, 0),
      ),
    );
    expect(spans).toEqual([{ ...BARE, name: 'b', timestamp: 7 }]);
  });

  test('numbers with superfluous bytes are read', () => {
    const { spans } = decode(spanOf(hex('a000 82808000'), hex('38 ff8000'), hex('aa 00 01 78')));
    expect(spans).toEqual([{ ...BARE, kind: 'SERVER', duration: 127, name: 'x' }]);
  });
});

describe('proto3 endpoints', () => {
  const local = (...fields: Uint8Array[]): ReturnType<typeof decode> =>
    decode(spanOf(field(8, concat(...fields))));
  const mapped = hex('00000000000000000000ffff01020304');

  test.each([
    ['an IPv4 field of 16 mapped bytes is IPv4', field(2, mapped), { ipv4: '1.2.3.4' }, 'ip_moved'],
    ['a mapped IPv6 stays IPv6', field(3, mapped), { ipv6: '::ffff:102:304' }, undefined],
    [
      'a compatible IPv6 is IPv4',
      field(3, hex('00000000000000000000000001020304')),
      { ipv4: '1.2.3.4' },
      undefined,
    ],
    ['the unspecified IPv6 stays', field(3, Buffer.alloc(16)), { ipv6: '::' }, undefined],
    [
      'the IPv6 loopback stays',
      field(3, hex('00000000000000000000000000000001')),
      { ipv6: '::1' },
      undefined,
    ],
    [
      'an IPv6 field of 4 bytes is IPv4',
      field(3, hex('01020304')),
      { ipv4: '1.2.3.4' },
      'ip_moved',
    ],
    ['0.0.0.0 is an address', field(2, Buffer.alloc(4)), { ipv4: '0.0.0.0' }, undefined],
    ['an address of 5 bytes is none', field(3, hex('0102030405')), undefined, 'ip_dropped'],
    ['a port of 70000 is none', field(4, 70_000), undefined, 'port_dropped'],
    ['a port of -1 is none', field(4, -1n), undefined, 'port_dropped'],
    ['a service name is lower-cased', field(1, 'ShopÄ'), { serviceName: 'shopä' }, undefined],
  ])('%s', (_, bytes, endpoint, rule) => {
    const { spans, report } = local(bytes);
    expect(spans[0]!.localEndpoint).toEqual(endpoint);
    expect([...report.normalized.keys()]).toEqual(rule === undefined ? [] : [rule]);
  });

  test('a second endpoint replaces the first', () => {
    const first = field(9, concat(field(1, 'a'), field(3, Buffer.alloc(16, 1)), field(4, 80)));
    const second = field(9, field(2, hex('7f000001')));
    const { spans } = decode(spanOf(first, second, field(8, field(1, 'a')), field(8, '')));
    expect(spans).toEqual([{ ...BARE, remoteEndpoint: { ipv4: '127.0.0.1' } }]);
  });

  test('equal names on both sides and in many spans are told apart', () => {
    const names = ['aXb', 'ayb', 'azb', 'ayb', 'axb', 'a1b', 'ayb'];
    const span = (name: string): Buffer =>
      spanOf(field(5, name), field(8, field(1, name)), field(9, field(1, `${name}r`)));
    const { spans } = decode(concat(...names.map(span)));
    expect(spans.map((s) => [s.name, s.localEndpoint, s.remoteEndpoint])).toEqual(
      names.map((name) => {
        const lower = name.toLowerCase();
        return [lower, { serviceName: lower }, { serviceName: `${lower}r` }];
      }),
    );
  });
});

describe('proto3 tags and annotations', () => {
  const tag = (key: string | Uint8Array, value: string | Uint8Array): Buffer =>
    field(11, concat(field(1, key), field(2, value)));

  test('entries may be in any order, incomplete, long, and hold more fields', () => {
    const long = 'v'.repeat(300);
    const { spans, report } = decode(
      spanOf(
        field(11, concat(field(2, 'v'), field(1, 'b'))),
        field(11, concat(field(1, 'c'), field(9, 'x'), field(2, long))),
        field(11, concat(field(1, 'd'), field(2, 'x'), field(2, ''))),
        field(11, ''),
        tag('', 'x'),
        tag('k'.repeat(130), ''),
        tag('__proto__', 'p'),
      ),
    );
    expect(Object.entries(spans[0]!.tags!)).toEqual([
      ['__proto__', 'p'],
      ['b', 'v'],
      ['c', long],
      ['d', 'x'],
      ['k'.repeat(130), ''],
    ]);
    expect(report.normalized.get('tag_null_dropped')).toBe(2);
  });

  test('bytes that are no UTF-8 become U+FFFD wherever text is', () => {
    const bad = hex('61ff62');
    const text = 'a\ufffdb';
    const { spans, report } = decode(
      concat(
        spanOf(tag('x', 'é')),
        spanOf(
          field(5, bad),
          field(8, field(1, bad)),
          tag(bad, bad),
          tag('ok', 'ü'),
          tag('last', 'z'.repeat(200)),
          field(10, concat(fixed64(1, 1n), field(2, bad))),
        ),
        spanOf(tag('y', hex('e282')), tag('w', '')),
      ),
    );
    expect(spans).toEqual([
      { ...BARE, tags: { x: 'é' } },
      {
        ...BARE,
        name: text,
        localEndpoint: { serviceName: text },
        annotations: [{ timestamp: 1, value: text }],
        tags: { [text]: text, last: 'z'.repeat(200), ok: 'ü' },
      },
      { ...BARE, tags: { w: '', y: '\ufffd' } },
    ]);
    expect(report.normalized.get('utf8')).toBe(6);
  });

  test('what is over a limit is cut at a code point and counted', () => {
    const limits = { ...LIMITS, tagKeyBytesMax: 4, tagValueBytesMax: 4, tagsMax: 2 };
    const small = { ...limits, annotationBytesMax: 2, annotationsMax: 1, nameBytesMax: 3 };
    const batch = newBatch(small);
    const annotation = field(10, concat(fixed64(1, 1n), field(2, 'abc')));
    const tags = [tag('keykey', 'äöü'), tag('b', hex('80808080808080')), tag('c', 'x')];
    const { spans } = decode(spanOf(field(5, 'abäö'), ...tags, annotation, annotation), batch);
    expect(spans).toEqual([
      {
        ...BARE,
        name: 'ab',
        annotations: [{ timestamp: 1, value: 'ab' }],
        tags: { b: '\ufffd', keyk: 'äö' },
      },
    ]);
    expect(batch.truncations).toBe(7);
  });

  test('a limit that is smaller than in the message before is kept', () => {
    const batch = newBatch();
    const message = spanOf(field(5, 'abcdef'), field(8, field(1, 'service')), tag('abcdef', 'v'));
    decode(message, batch);
    const small = { ...LIMITS, nameBytesMax: 3, serviceNameBytesMax: 3, tagKeyBytesMax: 3 };
    batch.beginMessage(Buffer.from('other'), small, ARRIVAL_US);
    expect(decode(message, batch).spans).toEqual([
      { ...BARE, name: 'abc', localEndpoint: { serviceName: 'ser' }, tags: { abc: 'v' } },
    ]);
  });
});

describe('proto3 bytes that are no spans', () => {
  const group = concat(hex('7b'), field(1, 'x'), hex('8301'), field(2, 5), hex('8401'), hex('7c'));
  const unknown = concat(
    field(100, 'abc'),
    field(200, 7n),
    fixed64(15, 5n),
    hex('7d01020304'),
    group,
  );

  test('unknown fields are skipped at every level', () => {
    // Zipkin takes nothing of an endpoint behind an unknown field, and so do we.
    const endpoint = field(8, concat(field(1, 'svc'), unknown, field(2, hex('01020304'))));
    const entry = concat(unknown, field(1, 'k'), unknown, field(2, 'v'), unknown);
    const annotation = concat(unknown, fixed64(1, 4n), field(2, 'a'), unknown);
    const span = spanOf(unknown, endpoint, field(11, entry), field(10, annotation), unknown);
    const { error, spans } = decode(concat(unknown, span, unknown, spanOf(), unknown));
    expect(error).toBeUndefined();
    expect(spans).toEqual([
      {
        ...BARE,
        localEndpoint: { serviceName: 'svc' },
        annotations: [{ timestamp: 4, value: 'a' }],
        tags: { k: 'v' },
      },
      BARE,
    ]);
  });

  test('a known field of another wire type is an unknown field', () => {
    for (let number = 1; number <= 13; number++) {
      const known = new Map([
        [4, 0],
        [6, 1],
        [7, 0],
        [12, 0],
        [13, 0],
      ]);
      const values = [hex('05'), hex('0102030405060708'), hex('020102'), undefined, undefined];
      values.push(hex('01020304'));
      values.forEach((value, wireType) => {
        if (value === undefined || wireType === (known.get(number) ?? 2)) return;
        expect(decode(spanOf(varint(number * 8 + wireType), value)).spans).toEqual([BARE]);
      });
    }
  });

  test.each([
    ['a length that is too long', hex('2a05 6162'), 'Truncated: length 5 > bytes available 2'],
    ['a length of 2^63', hex('2a80808080808080808001'), /^Truncated: length 9223372036854776000 /],
    ['a cut number', hex('38ff'), 'Truncated: length 1 > bytes available 0'],
    ['a number of 11 bytes', hex('38ffffffffffffffffffff01'), 'Greater than 64-bit varint'],
    ['a cut timestamp', hex('3101020304'), 'Truncated: length 8 > bytes available 4'],
    ['a cut endpoint', hex('4202 0a05'), 'Truncated: length 5 > bytes available 0'],
    ['a cut tag', hex('5a03 0a05 61'), 'Truncated: length 5 > bytes available 1'],
    ['a cut annotation', hex('5202 0901'), 'Truncated: length 8 > bytes available 1'],
    ['a cut unknown field', hex('7d01'), 'Truncated: length 4 > bytes available 1'],
    ['wire type 7', hex('7f00'), 'Malformed: invalid wireType 7'],
    ['an end without a group', hex('7c'), 'Malformed: invalid wireType 4'],
    ['the end of another group', hex('7b8401'), 'Malformed: invalid wireType 4'],
    ['a group without end', hex('7b0801'), 'Malformed: group without end'],
    ['groups too deep', Buffer.alloc(1000, 0x7b), 'Malformed: groups too deep'],
    ['field number 0', hex('0200'), 'Malformed: field number 0'],
    ['a tag of 40 bits', hex('82808080800100'), 'Malformed: tag of more than 32 bits'],
  ])('%s spoils its own span only', (_, bytes, detail) => {
    const { error, report, spans } = decode(concat(spanOf(), spanOf(bytes), spanOf()));
    expect(error).toBeUndefined();
    expect(spans).toEqual([BARE, BARE]);
    expect(report.first).toMatchObject([
      { index: 1, reason: 'malformed_span', detail: expect.stringMatching(detail) as string },
    ]);
  });

  test.each([
    ['0a80808080080a10', 'Truncated: length 2147483648 > bytes available 2'],
    ['0affffffffffffffffff01', 'Truncated: length 18446744073709552000 > bytes available 0'],
    ['7b01', 'Truncated: length 1 > bytes available 0'],
    ['0200', 'Malformed: field number 0'],
    [Buffer.from('[{"traceId":"1","id":"1"}]').toString('hex'), /^Truncated: length 123 > b.* 24/],
  ])('list bytes %s refuse the message', (bytes, message) => {
    expect(decode(hex(bytes)).error?.message).toMatch(message);
    expect(decode(hex(bytes)).error?.message).toMatch(/ reading List<Span> from proto3$/);
  });

  test('a span over the limit is refused alone', () => {
    const batch = newBatch({ ...LIMITS, spanBytesMax: 100 });
    const { report, spans } = decode(concat(spanOf(field(5, 'n'.repeat(90))), spanOf()), batch);
    expect(spans).toEqual([BARE]);
    expect([...report.reasons]).toEqual([['span_too_large', 1]]);
  });

  test('the gate drops rows, and nothing of them stays', () => {
    const batch = newBatch();
    const before = batch.mark();
    const gate = { admit: () => 'not_sampled' as const };
    const { report } = decode(
      concat(spanOf(field(5, 'a')), spanOf(field(11, field(1, 'k')))),
      batch,
      gate,
    );
    expect(report.unsampled).toBe(2);
    expect(batch.mark()).toEqual(before);
  });
});
