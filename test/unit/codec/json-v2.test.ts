import { readFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeJsonV2 } from '../../../src/codec/json-v2.ts';
import { oracleSpan } from './json-oracle.ts';
import { LIMITS, decodeWith, statusOf } from './v1-batch-reader.ts';

interface GoldenCase {
  name: string;
  body: string;
  status: number;
  spans: Record<string, unknown>[];
}
const golden = JSON.parse(
  readFileSync(new URL('../../fixtures/zipkin-json-v2.json', import.meta.url), 'utf8'),
) as GoldenCase[];

const decode = (text: string | Uint8Array) => decodeWith(decodeJsonV2, Buffer.from(text as string));
/** Through JSON once, as every reader has it: a bigint becomes the double that readers see. */
const plain = (spans: unknown): unknown =>
  JSON.parse(JSON.stringify(spans, (_, v: unknown) => (typeof v === 'bigint' ? Number(v) : v)));
const span = (members: string): string => `[{"traceId":"1","id":"2",${members}}]`;

const anyText = fc
  .string({ unit: 'binary', maxLength: 20 })
  .map((s) => s.replaceAll(/\p{Cs}/gu, ''));
const hex = (max: number) =>
  fc.string({
    unit: fc.constantFrom(...Array.from('0123456789abcdef')),
    minLength: 1,
    maxLength: max,
  });
const odd = fc.oneof(
  fc.constant(null),
  fc.boolean(),
  fc.integer(),
  fc.constant([]),
  fc.constant({}),
  fc.constant([1, { a: 'b' }]),
);
const oddScalar = fc.oneof(fc.constant(null), fc.boolean(), fc.integer());
const id = (digits: number) =>
  fc.oneof(
    { weight: 6, arbitrary: hex(digits) },
    hex(digits).map((s) => s.toUpperCase()),
    hex(digits).map((s) => s.padStart(digits, '0')),
    { weight: 1, arbitrary: fc.oneof(odd, anyText, hex(40)) },
  );
const time = fc.oneof(
  fc.integer({ min: -5, max: 5 }),
  fc.nat(2_000_000_000_000_000),
  fc.double({ min: 0.01, max: 1e15, noNaN: true }).map((d) => Math.round(d * 100) / 100),
  fc.nat().map(String),
  odd,
);
const ip = fc.oneof(fc.ipV4(), fc.ipV6(), anyText, odd);
const endpoint = fc.oneof(
  fc.record(
    {
      serviceName: fc.oneof(anyText, odd),
      ipv4: ip,
      ipv6: ip,
      port: fc.oneof(fc.integer({ min: -2, max: 70_000 }), fc.nat(99).map(String), odd),
      x: odd,
    },
    { requiredKeys: [] },
  ),
  odd,
);
const annotations = fc.oneof(
  fc.array(
    fc.oneof(
      fc.record({ timestamp: time, value: fc.oneof(anyText, odd) }, { requiredKeys: [] }),
      odd,
    ),
    { maxLength: 5 },
  ),
  odd,
);
const tags = fc.oneof(
  fc.dictionary(
    anyText.filter((s) => s !== '__proto__'),
    fc.oneof(anyText, oddScalar),
    { maxKeys: 6 },
  ),
  odd,
);
const anySpan = fc.oneof(
  {
    weight: 9,
    arbitrary: fc.record(
      {
        traceId: id(32),
        id: id(16),
        parentId: id(16),
        kind: fc.oneof(
          fc.constantFrom('CLIENT', 'SERVER', 'PRODUCER', 'CONSUMER', 'client', 'INTERNAL', ''),
          odd,
        ),
        name: fc.oneof(anyText, odd),
        timestamp: time,
        duration: time,
        localEndpoint: endpoint,
        remoteEndpoint: endpoint,
        annotations,
        tags,
        debug: fc.oneof(fc.boolean(), fc.constantFrom('true', 'x', 1, 2), odd),
        shared: fc.oneof(fc.boolean(), odd),
        extra: fc.jsonValue({ maxDepth: 3 }),
      },
      { requiredKeys: ['traceId', 'id'] },
    ),
  },
  odd,
);
/** Every ASCII letter of a member name or text may be written as an escape. */
const escaped = (json: string, every: number): string => {
  let n = 0;
  return json.replaceAll(/(?<!\\(?:u[\da-f]{0,3})?)[a-zA-Z](?=[a-zA-Z]*":)/g, (c) =>
    ++n % every === 0 ? `\\u00${c.charCodeAt(0).toString(16)}` : c,
  );
};

describe('JSON v2 decoder', () => {
  test.each(golden.filter((each) => each.status === 202))(
    'reads $name as Zipkin does',
    ({ body, spans }) => {
      const decoded = decodeWith(decodeJsonV2, Buffer.from(body, 'base64'));
      expect(statusOf(decoded)).toBe(202);
      expect(plain(decoded.spans)).toEqual(spans);
    },
  );

  test.each(golden.filter((each) => each.status !== 202))(
    'reads $name, which Zipkin refuses, without a fault',
    ({ body }) => {
      const decoded = decodeWith(decodeJsonV2, Buffer.from(body, 'base64'));
      expect([202, 400]).toContain(statusOf(decoded));
    },
  );

  test('agrees with JSON.parse and plain objects on any spans, however they are written', () => {
    fc.assert(
      fc.property(
        fc.array(anySpan, { maxLength: 5 }),
        fc.integer({ min: 2, max: 50 }),
        fc.constantFrom(0, 1, '\t'),
        (list, every, indent) => {
          const text = escaped(JSON.stringify(list, null, indent), every);
          const { spans, report, error } = decode(text);
          const expected = (JSON.parse(text) as unknown[]).map(oracleSpan);
          expect(error).toBeUndefined();
          expect(spans).toEqual(expected.filter((s) => s !== undefined));
          expect(report.rejected).toBe(expected.filter((s) => s === undefined).length);
        },
      ),
      { numRuns: 1000 },
    );
  });

  test('never throws and never accepts what JSON.parse refuses, but for the documented leniences', () => {
    const piece = fc.constantFrom(
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      '"',
      '\\',
      '\\u12',
      '-',
      '1e',
      '.5',
      'nul',
      '\0',
      'tru',
      '01',
      '\u00ff',
    );
    fc.assert(
      fc.property(
        fc.array(anySpan, { minLength: 1, maxLength: 3 }),
        fc.nat(),
        piece,
        fc.nat(3),
        (list, at, text, cut) => {
          const json = JSON.stringify(list);
          const p = at % json.length;
          const mutated = json.slice(0, p) + text + json.slice(p + cut);
          const { error, report } = decode(mutated);
          if (
            error !== undefined ||
            report.normalized.has('trailing_text') ||
            report.normalized.has('nul_skipped') ||
            report.normalized.has('list_missing')
          )
            return;
          if (report.normalized.has('list_joined')) return;
          // Gson lets pass raw control characters in strings.
          expect(() => JSON.parse(mutated.replaceAll('\0', ' ')) as unknown).not.toThrow();
        },
      ),
      { numRuns: 1000 },
    );
  });

  test('never reads outside its source', () => {
    fc.assert(
      fc.property(fc.array(anySpan, { maxLength: 2 }), fc.nat(), (list, at) => {
        const whole = Buffer.from(JSON.stringify(list));
        const cut = at % (whole.length + 1);
        const padded = Buffer.concat([
          Buffer.from('"}]'),
          whole.subarray(0, cut),
          Buffer.from('"}]}]'),
        ]);
        const inside = decodeWith(decodeJsonV2, padded.subarray(3, 3 + cut));
        const alone = decodeWith(decodeJsonV2, Buffer.from(whole.subarray(0, cut)));
        expect(inside.spans).toEqual(alone.spans);
        expect(inside.error).toEqual(alone.error);
      }),
    );
  });

  test.each([
    ['a null', '[null,{"traceId":"1","id":"2"}]', 1],
    ['a number', '[5,{"traceId":"1","id":"2"}]', 1],
    ['a span without ids', '[{},{"traceId":"1","id":"2"},{"name":"x"}]', 2],
    [
      'an id that is too long',
      '[{"traceId":"1","id":"2"},{"traceId":"1","id":"12345678901234567"}]',
      1,
    ],
  ])('rejects %s alone and keeps its neighbours', (_, text, rejected) => {
    const { spans, report } = decode(text);
    expect(spans).toEqual([{ traceId: '0000000000000001', id: '0000000000000002' }]);
    expect(report.rejected).toBe(rejected);
  });

  test.each([
    ['[{"traceId":"1","id":"2"},]', 'Malformed reading List<Span> from json'],
    ['[{"traceId":"1","id":"2"', 'End of input at line 1 column 25 reading List<Span> from json'],
    ['[{"traceId":"1","id":"2"}', 'End of input at line 1 column 26 reading List<Span> from json'],
    ["[{'traceId':'1'}]", 'Malformed reading List<Span> from json'],
  ])('refuses %s whole', (text, message) => {
    const { spans, error } = decode(text);
    expect({ spans, error }).toEqual({ spans: [], error: { message } });
  });

  test.each([
    ['[{}]', 'Missing : traceId id'],
    ['[{"traceId":"1"}]', 'Missing : id'],
    ['[{"id":"1"}]', 'Missing : traceId'],
    ['[{"traceId":"","id":"1"}]', 'traceId is empty'],
    ['[{"traceId":"0","id":"1"}]', 'traceId is all zeros'],
    ['[{"traceId":"0x1","id":"1"}]', '0x1 should be lower-hex encoded with no prefix'],
    ['[{"traceId":"1","id":"0000000000000000"}]', 'id is all zeros'],
  ])('says of %s what Zipkin says', (text, detail) => {
    expect(decode(text).report.first[0]?.detail).toBe(detail);
  });

  test.each([
    ['two lists', '[{"traceId":"1","id":"2"}]\n[{"traceId":"1","id":"3"}]', 2, 'list_joined'],
    ['objects a line', '{"traceId":"1","id":"2"}\n{"traceId":"1","id":"3"}\n', 2, 'list_missing'],
    ['garbage behind the list', '[{"traceId":"1","id":"2"}]x', 1, 'trailing_text'],
    [
      'NUL bytes between spans',
      '[{"traceId":"1","id":"2"}\0\0,{"traceId":"1","id":"3"}]',
      2,
      'nul_skipped',
    ],
    ['blanks around it', ' \n[{"traceId":"AB","id":"2"}] \n', 1, 'id_case'],
    ['upper case ids', '[{"traceId":"AB","id":"2"}]', 1, 'id_case'],
    ['a fraction of a microsecond', span('"timestamp":1.5'), 1, 'fraction_floored'],
    ['a null tag', span('"tags":{"a":null}'), 1, 'tag_null_dropped'],
    ['an unknown kind', span('"kind":"INTERNAL"'), 1, 'kind_unknown'],
    ['a port that is none', span('"localEndpoint":{"port":"http"}'), 1, 'port_dropped'],
  ])('keeps the spans of %s and counts it', (_, text, kept, rule) => {
    const { spans, report } = decode(text);
    expect(spans).toHaveLength(kept);
    expect([...report.normalized.keys()]).toContain(rule);
  });

  test('skips a byte order mark', () => {
    expect(decode('\ufeff[{"traceId":"1","id":"2"}]').spans).toHaveLength(1);
  });

  test('takes UUIDs as trace ids when a message has no others, for a sender has one way', () => {
    const uuid = '{"traceId":"463ac35c-9f64-13ad-4848-5a3953bb6124","id":"2"}';
    expect(decode(`[${uuid},${uuid}]`).spans).toEqual([
      { traceId: '463ac35c9f6413ad48485a3953bb6124', id: '0000000000000002' },
      { traceId: '463ac35c9f6413ad48485a3953bb6124', id: '0000000000000002' },
    ]);
    const { spans, report } = decode(`[{"traceId":"1","id":"2"},${uuid}]`);
    expect(spans).toHaveLength(1);
    expect(report.first[0]?.detail).toBe('traceId.length > 32');
  });

  test('takes a tag that is no text as its JSON text', () => {
    const text = span('"tags":{"a":{"b":[1, true]},"c":1.50,"d":false}');
    expect(decode(text).spans[0]).toMatchObject({
      tags: { a: '{"b":[1, true]}', c: '1.50', d: 'false' },
    });
  });

  test('does not take a key with an escape for an earlier key that has its letters', () => {
    const spans = [
      { traceId: '1', id: '2', tags: { 'a\\b': 'x', c: 'y' } },
      { traceId: '1', id: '3', tags: { 'a\b': 'x', c: 'y' } },
      { traceId: '1', id: '4', tags: { 'a"b': 'x' }, name: '\\n' },
      { traceId: '1', id: '5', tags: { 'a"b': 'x' }, name: '\n' },
    ];
    expect(decode(JSON.stringify(spans)).spans).toEqual(spans.map(oracleSpan));
  });

  test('keeps times beyond 2^53 exactly', () => {
    const members =
      '"timestamp":9223372036854775807,"duration":9007199254740993,"annotations":[{"timestamp":-9223372036854775808,"value":"a"}]';
    expect(decode(span(members)).spans[0]).toMatchObject({
      timestamp: 9_223_372_036_854_775_807n,
      duration: 9_007_199_254_740_993n,
      annotations: [{ timestamp: -9_223_372_036_854_775_808n, value: 'a' }],
    });
  });

  test('reads a million levels of nesting without a stack', () => {
    const deep = '['.repeat(1_000_000) + ']'.repeat(1_000_000);
    expect(decode(span(`"x":${deep}`)).report.reasons).toEqual(new Map([['span_too_large', 1]]));
    expect(decode('['.repeat(1_000_000)).error?.message).toMatch(/^End of input/);
  });

  test('rejects a span over the limit and says which', () => {
    const text = `[${JSON.stringify({ traceId: '1', id: '2', tags: { a: 'x'.repeat(300_000) } })}]`;
    expect(decode(text).report.first).toMatchObject([
      {
        index: 0,
        reason: 'span_too_large',
        detail: `${text.length - 2} bytes, limit ${LIMITS.spanBytesMax} (SCRUBJAY_MAX_SPAN_BYTES)`,
      },
    ]);
  });

  test('cuts texts at their limits, between characters, and counts it', () => {
    const { spans, batch } = decode(
      span(`"name":"${'é'.repeat(300)}","tags":{"${'k'.repeat(300)}":"v"}`),
    );
    expect(spans[0]).toMatchObject({ name: 'é'.repeat(256), tags: { ['k'.repeat(256)]: 'v' } });
    expect(batch.truncations).toBe(2);
  });

  test('replaces invalid UTF-8 as Java does', () => {
    const body = Buffer.concat([
      Buffer.from('[{"traceId":"1","id":"2","name":"'),
      Buffer.from([0xff, 0xfe]),
      Buffer.from('"}]'),
    ]);
    expect(decodeWith(decodeJsonV2, body).spans[0]).toMatchObject({ name: '\ufffd\ufffd' });
  });
});
