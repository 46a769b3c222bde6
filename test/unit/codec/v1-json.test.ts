import { readFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeV1JsonSpan } from '../../../src/codec/v1-json.ts';
import type { Decode } from '../../../src/model/decode-report.ts';
import { LIMITS, decodeWith, statusOf } from './v1-batch-reader.ts';
import type { Decoded, JsonSpan } from './v1-batch-reader.ts';

interface Golden {
  name: string;
  body: string;
  status: number[];
  spans?: JsonSpan[];
}

const goldens = JSON.parse(
  readFileSync(new URL('../../fixtures/v1.json', import.meta.url), 'utf8'),
) as Golden[];

/** The objects are in the middle of a text that would be seen if anything read beyond them. */
function decodeAll(objects: string[], limits = LIMITS): Decoded {
  const before = '"poison":[{"traceId":"f",';
  const after = ',"id":"f"}]]]}}}';
  const source = Buffer.from(before + objects.join(after + before) + after);
  const decode: Decode = (whole, batch, gate, report) => {
    let at = before.length;
    for (const text of objects) {
      const to = at + Buffer.byteLength(text);
      decodeV1JsonSpan(whole, at, batch, gate, report);
      at = to + after.length + before.length;
    }
    return undefined;
  };
  return decodeWith(decode, source, limits);
}

const decode = (members: string): Decoded => decodeAll([`{"traceId":"1","id":"2"${members}}`]);
const IDS = { traceId: '0000000000000001', id: '0000000000000002' };

/** The one span but for its ids, and what was counted. */
function read(members: string): [JsonSpan, Record<string, number>] {
  const { spans, report } = decode(members);
  const { traceId, id, ...rest } = spans[0]!;
  expect({ traceId, id }).toEqual(IDS);
  return [rest, Object.fromEntries(report.normalized)];
}

/** The elements of a JSON list, as they are spelled. */
function elements(list: string): string[] {
  const parsed = JSON.parse(list) as unknown[];
  return parsed.length === 1
    ? [list.trim().slice(1, -1)]
    : parsed.map((element) => JSON.stringify(element));
}

describe('what Zipkin reads', () => {
  it.each(goldens)('$name', ({ body, status, spans }) => {
    const decoded = decodeAll(elements(body));
    expect(status).toContain(statusOf(decoded));
    if (spans === undefined) return;
    expect(decoded.spans).toHaveLength(spans.length);
    expect(decoded.spans).toEqual(expect.arrayContaining(spans));
  });
});

describe('ids', () => {
  const ids = (text: string): Decoded => decodeAll([text]);

  it('are 1 to 32 digits, of which trace ids keep 16 or 32 and others the last 16', () => {
    const wide = '463ac35c9f6413ad48485a3953bb6124';
    expect(
      ids(`{"traceId":"${wide}","id":"${wide}","parentId":"0${wide.slice(16)}"}`).spans,
    ).toEqual([{ traceId: wide, id: '48485a3953bb6124' }]);
    expect(ids(`{"traceId":"${wide.slice(1)}","id":"1","parentId":"${wide}"}`).spans).toEqual([
      { traceId: '48485a3953bb6124', id: '0000000000000001', parentId: '48485a3953bb6124' },
    ]);
    expect(ids(`{"traceId":"${'0'.repeat(31)}1","id":"1"}`).spans[0]!['traceId']).toBe(
      '0000000000000001',
    );
  });

  it('may be numbers, or in upper case, which is counted', () => {
    const decoded = ids('{"traceId":12,"id":"ABCDEF0123456789","parentId":"A"}');
    expect(decoded.spans).toEqual([
      { traceId: '0000000000000012', id: 'abcdef0123456789', parentId: '000000000000000a' },
    ]);
    expect(Object.fromEntries(decoded.report.normalized)).toEqual({ id_case: 2 });
  });

  it.each([
    ['{}', 'invalid_trace_id', 'traceId == 0'],
    ['{"id":"1"}', 'invalid_trace_id', 'traceId == 0'],
    ['{"traceId":"1"}', 'invalid_span_id', 'id == 0'],
    ['{"traceId":"1","id":null}', 'invalid_span_id', 'id == 0'],
    ['{"traceId":"1","id":"00"}', 'invalid_span_id', 'id == 0'],
    ['{"traceId":"0000000000000000","id":"1"}', 'invalid_trace_id', 'traceId == 0'],
    [
      '{"traceId":"xyz","id":"1"}',
      'invalid_trace_id',
      'xyz should be a 1 to 32 character lower-hex string with no prefix',
    ],
    [
      '{"traceId":"1","id":""}',
      'invalid_span_id',
      ' should be a 1 to 32 character lower-hex string with no prefix',
    ],
    ['{"traceId":true,"id":"1"}', 'malformed_span', 'Expected a string but was boolean (traceId)'],
    ['{"traceId":"1","id":{}}', 'malformed_span', 'Expected a string but was object (id)'],
  ])('reject %s', (text, reason, detail) => {
    const { spans, report } = ids(text);
    expect(spans).toEqual([]);
    expect(report.first).toMatchObject([{ index: 0, reason, detail }]);
  });

  it('of a parent are left out where they are none', () => {
    expect(read(',"parentId":"0"')).toEqual([{}, {}]);
    expect(read(',"parentId":"2"')).toEqual([{}, {}]);
    expect(read(',"parentId":null')).toEqual([{}, {}]);
    expect(read(',"parentId":"x"')).toEqual([{}, { parent_dropped: 1 }]);
    expect(read(',"parentId":""')).toEqual([{}, { parent_dropped: 1 }]);
    expect(read(',"parentId":[1]')).toEqual([{}, { parent_dropped: 1 }]);
  });
});

describe('plain members', () => {
  it.each<[string, JsonSpan, Record<string, number>]>([
    [',"name":"GET \\u00c9"', { name: 'get é' }, {}],
    [',"name":5', { name: '5' }, {}],
    [',"name":null', {}, {}],
    [',"name":{"a":1}', {}, { text_typed: 1 }],
    [',"timestamp":null,"duration":null', {}, {}],
    [', "timestamp" : 5 , "duration" : 7 ', { timestamp: 5, duration: 7 }, {}],
    [',"timestamp":"5","duration":"7"', { timestamp: 5, duration: 7 }, {}],
    [',"timestamp":5.7', { timestamp: 5 }, { fraction_floored: 1 }],
    [',"timestamp":-5,"duration":0', {}, {}],
    [',"timestamp":"abc","duration":true', {}, { time_dropped: 2 }],
    [
      ',"timestamp":9007199254740993,"duration":9007199254740993',
      { timestamp: 9_007_199_254_740_993n, duration: 9_007_199_254_740_993n },
      {},
    ],
    [',"debug":true', { debug: true }, {}],
    [',"debug":false', {}, {}],
    [',"debug":"true"', { debug: true }, { flag_typed: 1 }],
    [',"debug":[true]', {}, { flag_typed: 1 }],
    [',"kind":"CLIENT","shared":true,"x":{"traceId":[{}]}', {}, {}],
    [',"name":"a","name":"b"', { name: 'b' }, {}],
    [',"n\\u0061me":"a"', { name: 'a' }, {}],
    [',"annotations":null,"binaryAnnotations":null', {}, {}],
    [',"annotations":{},"binaryAnnotations":"x"', {}, { annotation_dropped: 2 }],
  ])('%s', (members, span, counts) => {
    expect(read(members)).toEqual([span, counts]);
  });
});

describe('annotations', () => {
  it.each<[string, unknown, Record<string, number>]>([
    ['{"timestamp":1,"value":"a"}', [{ timestamp: 1, value: 'a' }], {}],
    ['{"value":"a", "timestamp": "1"}', [{ timestamp: 1, value: 'a' }], {}],
    ['{"timestamp":1,"value":2}', [{ timestamp: 1, value: '2' }], {}],
    ['{"timestamp":-1,"value":""}', [{ timestamp: -1, value: '' }], {}],
    ['{"timestamp":1,"value":"a","x":[{"value":"b"}]}', [{ timestamp: 1, value: 'a' }], {}],
    ['{"timestamp":1,"value":"tab\\tquote\\""}', [{ timestamp: 1, value: 'tab\tquote"' }], {}],
    ['{}', undefined, { annotation_dropped: 1 }],
    ['{"value":"a"}', undefined, { annotation_dropped: 1 }],
    ['{"timestamp":null,"value":"a"}', undefined, { annotation_dropped: 1 }],
    ['{"timestamp":1,"value":null}', undefined, { annotation_dropped: 1 }],
    ['null,5,"a",[1]', undefined, { annotation_dropped: 4 }],
  ])('%s', (element, annotations, counts) => {
    const [span, counted] = read(`,"annotations":[${element}]`);
    expect(span['annotations']).toEqual(annotations);
    expect(counted).toEqual(counts);
  });

  it('of a repeated member are all there', () => {
    const [span] = read(
      ',"annotations":[{"timestamp":2,"value":"b"}],"annotations":[{"timestamp":1,"value":"a"}]',
    );
    expect(span['annotations']).toEqual([
      { timestamp: 1, value: 'a' },
      { timestamp: 2, value: 'b' },
    ]);
  });
});

describe('binary annotations', () => {
  const WEB = '{"serviceName":"web"}';

  it.each<[string, JsonSpan, Record<string, number>]>([
    ['{"key":"k","value":"v"}', { tags: { k: 'v' } }, {}],
    ['{ "value" : "v" , "key" : "k" }', { tags: { k: 'v' } }, {}],
    ['{"key":"k","value":"a\\u0041\\\\"}', { tags: { k: 'aA\\' } }, {}],
    ['{"key":"\\u006b","value":"v","endpoint":null}', { tags: { k: 'v' } }, {}],
    ['{"key":1.50,"value":"v"}', { tags: { '1.50': 'v' } }, {}],
    ['{"key":"","value":""}', { tags: { '': '' } }, {}],
    [
      `{"key":"k","value":"v","endpoint":${WEB},"type":"STRING"}`,
      { localEndpoint: { serviceName: 'web' }, tags: { k: 'v' } },
      {},
    ],
    [`{"key":"k","value":5,"endpoint":${WEB}}`, {}, { annotation_dropped: 1 }],
    [`{"key":"k","value":true,"endpoint":${WEB}}`, {}, { annotation_dropped: 1 }],
    ['{"key":"k","value":null}', {}, { annotation_dropped: 1 }],
    ['{"key":"k","value":{"value":"v"}}', {}, { annotation_dropped: 1 }],
    ['{"value":"v"}', {}, { annotation_dropped: 1 }],
    ['{}', {}, { annotation_dropped: 1 }],
    ['null,[]', {}, { annotation_dropped: 2 }],
    [`{"endpoint":${WEB},"value":true,"key":"sa"}`, { remoteEndpoint: { serviceName: 'web' } }, {}],
    [`{"key":"sa","value":false,"endpoint":${WEB}}`, {}, { annotation_dropped: 1 }],
    ['{"key":"sa","value":true}', {}, { annotation_dropped: 1 }],
    ['{"key":"sa","value":true,"endpoint":{}}', {}, { annotation_dropped: 1 }],
  ])('%s', (element, span, counts) => {
    expect(read(`,"binaryAnnotations":[${element}]`)).toEqual([span, counts]);
  });

  it('may have any key', () => {
    const [span] = read(
      ',"binaryAnnotations":[{"key":"__proto__","value":"a"},{"key":"constructor","value":"b"}]',
    );
    expect(Object.entries(span['tags'] as object)).toEqual([
      ['__proto__', 'a'],
      ['constructor', 'b'],
    ]);
  });

  it('count lone surrogates', () => {
    const [, counts] = read(',"binaryAnnotations":[{"key":"k","value":"\\ud800"}]');
    expect(counts).toEqual({ surrogate: 1 });
  });
});

describe('endpoints', () => {
  it.each<[string, unknown, Record<string, number>]>([
    ['{"serviceName":"WEB"}', { serviceName: 'web' }, {}],
    ['{"serviceName":"","ipv4":"","port":0}', undefined, {}],
    ['{"serviceName":null,"ipv4":null,"port":null}', undefined, {}],
    ['{"ipv4":"0.0.0.0"}', { ipv4: '0.0.0.0' }, {}],
    ['{"ipv4":"01.2.3.4"}', { ipv4: '01.2.3.4' }, {}],
    ['{"ipv4":"::1","ipv6":"1.2.3.4"}', { ipv4: '1.2.3.4', ipv6: '::1' }, { ip_moved: 2 }],
    ['{"ipv6":"2001:DB8::c001"}', { ipv6: '2001:db8::c001' }, {}],
    ['{"ipv6":"::ffff:1.2.3.4"}', { ipv4: '1.2.3.4' }, { ip_moved: 1 }],
    ['{"ipv4":"1.2.3.4","ipv6":"1.2.3"}', { ipv4: '1.2.3.4' }, { ip_dropped: 1 }],
    ['{"ipv4":"unix:"}', undefined, { ip_dropped: 1 }],
    ['{"port":65535}', { port: 65_535 }, {}],
    ['{"port":"80"}', { port: 80 }, {}],
    ['{"port":-1}', undefined, {}],
    ['{"port":-15536}', { port: 50_000 }, {}],
    ['{"port":70000}', undefined, { port_dropped: 1 }],
    ['{"port":"http"}', undefined, { port_dropped: 1 }],
    ['{"x":1,"serviceName":"a","serviceName":"b"}', { serviceName: 'b' }, {}],
    ['[]', undefined, { endpoint_dropped: 1 }],
    ['"web"', undefined, { endpoint_dropped: 1 }],
  ])('%s', (endpoint, expected, counts) => {
    const [span, counted] = read(
      `,"annotations":[{"timestamp":1,"value":"a","endpoint":${endpoint}}]`,
    );
    expect(span['localEndpoint']).toEqual(expected);
    expect(counted).toEqual(counts);
  });

  it('spelled the same are the same, and spelled almost the same are not', () => {
    const tags = ['web1', 'web1', 'web2', 'web1']
      .map((name, i) => `{"key":"${i}","value":"v","endpoint":{"serviceName":"${name}"}}`)
      .join();
    expect(decode(`,"binaryAnnotations":[${tags}]`).spans).toEqual([
      { ...IDS, localEndpoint: { serviceName: 'web1' }, tags: { 0: 'v', 1: 'v', 3: 'v' } },
      { ...IDS, localEndpoint: { serviceName: 'web2' }, tags: { 2: 'v' } },
    ]);
  });
});

describe('one after the other', () => {
  it('rejects a span that is too large', () => {
    const large = `{"traceId":"1","id":"2","name":"${'x'.repeat(200)}"}`;
    const decoded = decodeAll([large, '{"traceId":"1","id":"2"}'], {
      ...LIMITS,
      spanBytesMax: 100,
    });
    expect(decoded.spans).toEqual([IDS]);
    expect([...decoded.report.reasons]).toEqual([['span_too_large', 1]]);
  });

  it('reads a limited number of parts, and counts the cut', () => {
    const tags = Array.from({ length: 3000 }, (_, i) => `{"key":"${i}","value":""}`).join();
    const decoded = decode(`,"binaryAnnotations":[${tags}]`);
    expect(Object.keys(decoded.spans[0]!['tags'] as object)).toHaveLength(LIMITS.tagsMax);
    expect(decoded.batch.truncations).toBe(3000 - LIMITS.tagsMax);
  });

  it('leaves nothing of a span in the next one', () => {
    const full = goldens.flatMap(({ body }) => elements(body));
    const alone = full.map((text) => decodeAll([text]).spans);
    expect(decodeAll(full).spans).toEqual(alone.flat());
    expect(decodeAll(full.toReversed()).spans).toEqual(alone.toReversed().flat());
  });

  it('reads any members of any type', () => {
    const member = fc.constantFrom(
      'traceId',
      'id',
      'parentId',
      'name',
      'timestamp',
      'duration',
      'debug',
      'annotations',
      'binaryAnnotations',
      'key',
      'value',
      'endpoint',
      'serviceName',
      'ipv4',
      'ipv6',
      'port',
      'x',
    );
    const { tree } = fc.letrec<{ tree: unknown }>((tie) => ({
      tree: fc.oneof(
        { maxDepth: 4 },
        fc.constantFrom<unknown>(
          '1',
          'cs',
          'sr',
          'sa',
          'lc',
          '1.2.3.4',
          'a"\\',
          'é',
          5,
          -1.5,
          true,
          null,
        ),
        fc.array(tie('tree'), { maxLength: 4 }),
        fc.dictionary(member, tie('tree'), { maxKeys: 6 }),
      ),
    }));
    fc.assert(
      fc.property(fc.dictionary(member, tree, { maxKeys: 8 }), (members) => {
        const text = JSON.stringify({ ...members, traceId: '1', id: '2' });
        const decoded = decodeAll([text, text]);
        expect(decoded.report.rejected).toBe(0);
        expect(decoded.spans.length).toBe(decoded.report.accepted);
        expect(decoded.spans[0]).toMatchObject(IDS);
        expect(decodeAll([JSON.stringify(JSON.parse(text), null, 1)]).spans).toEqual(
          decodeAll([text]).spans,
        );
      }),
      { numRuns: 1000 },
    );
  });
});
