/** Spans of every format, odd ones included, as the read side has them after they were stored. */
import * as fc from 'fast-check';
import { detect } from '../../../src/codec/detect.ts';
import { DecodeReport } from '../../../src/model/decode-report.ts';
import { SPAN_KINDS } from '../../../src/model/span.ts';
import type { Span, SpanKind } from '../../../src/model/span.ts';
import { readRows } from './batch-reader.ts';
import type { ReadSpan } from './batch-reader.ts';
import { field, fixed64, ADMIT_ALL, newBatch } from './proto3-message.ts';
import * as thrift from './thrift-encoder.ts';

const INT64_MAX = 2n ** 63n - 1n;
const time = fc.oneof(
  fc.bigInt(1_600_000_000_000_000n, 1_800_000_000_000_000n),
  fc.constantFrom(-1n, 0n, 1n, 999_999n, 9_223_372_036_854_775n, 9_223_372_036_854_776n, INT64_MAX),
);
const text = fc.oneof(
  fc.constantFrom('', 'get', 'error', 'Ä', '\u2028', '\ud800', '"\\\n'),
  fc.string({ unit: 'binary', maxLength: 8 }),
);
const ip = fc.oneof(
  fc.ipV4(),
  fc.ipV6(),
  fc.constantFrom(
    '',
    '01.2.3.4',
    '1.02.003.4',
    '0.0.0.0',
    '::',
    '::ffff:1.2.3.4',
    'fe80::1%a',
    'x',
  ),
);

/** What a sender may put where a span is to be, as JSON text: typed values, too. */
const id = fc.oneof(
  { weight: 8, arbitrary: fc.stringMatching(/^[\da-f]{1,16}$/) },
  fc.constantFrom('0', '000', 'ABCDEF', '1'),
);
const traceId = fc.oneof(id, fc.stringMatching(/^[\da-f]{17,32}$/));
const number = fc.oneof(
  time.map(String),
  fc.constantFrom('1e3', '10.5', '"7"', 'null', '-1', '1e30'),
);
const flag = fc.constantFrom('true', 'false', 'null', '1', '"true"');
const quoted = (arbitrary: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  arbitrary.map((value) => JSON.stringify(value));
const typed = fc.oneof(quoted(text), fc.constantFrom('1.50', 'true', 'null', '{"a":1}', '[]'));
const jsonObject = (members: Record<string, fc.Arbitrary<string>>): fc.Arbitrary<string> =>
  fc
    .record(members, { requiredKeys: Object.keys(members).filter((name) => /id$/i.test(name)) })
    .map((values) => {
      const pairs = Object.entries(values).map(
        ([name, value]) => `${JSON.stringify(name)}:${value}`,
      );
      return `{${pairs.join(',')}}`;
    });
const endpoint = jsonObject({
  serviceName: typed,
  ipv4: quoted(ip),
  ipv6: quoted(ip),
  port: fc.constantFrom('0', '1', '"80"', '65535', '65536', '-1', '80.5', 'null'),
});
const tags = fc
  .dictionary(text, typed, { maxKeys: 3 })
  .map((all) => Object.entries(all).map(([key, value]) => `${JSON.stringify(key)}:${value}`))
  .map((members) => `{${members.join(',')}}`);
const annotations = fc
  .array(jsonObject({ timestamp: number, value: typed }), { maxLength: 3 })
  .map((list) => `[${list.join(',')}]`);
const jsonSpan = jsonObject({
  traceId: quoted(traceId),
  id: quoted(id),
  parentid: fc.constant('"ignored"'),
  kind: fc.constantFrom('"CLIENT"', '"SERVER"', '"client"', 'null', '"X"'),
  name: typed,
  timestamp: number,
  duration: number,
  localEndpoint: endpoint,
  remoteEndpoint: endpoint,
  annotations,
  tags,
  debug: flag,
  shared: flag,
});
const withParent = fc
  .tuple(jsonSpan, fc.option(quoted(fc.oneof(id, fc.constant('')))))
  .map(([span, parent]) => (parent === null ? span : `{"parentId":${parent},${span.slice(1)}`));

const bytesOf = (length: number): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength: length, maxLength: length });
const protoEndpoint = fc
  .tuple(text, fc.oneof(bytesOf(4), bytesOf(16)), fc.constantFrom(0, 80, 65_535, 70_000))
  .map(([service, address, port]) =>
    Buffer.concat([field(1, service), field(2, address), field(4, port)]),
  );
const protoSpan = fc
  .record({
    traceId: fc.oneof(bytesOf(8), bytesOf(16)),
    id: bytesOf(8),
    parent: fc.oneof(bytesOf(0), bytesOf(8)),
    kind: fc.nat({ max: 5 }),
    name: text,
    timestamp: time,
    duration: time,
    local: protoEndpoint,
    remote: protoEndpoint,
    annotations: fc.array(fc.tuple(time, text), { maxLength: 3 }),
    tags: fc.array(fc.tuple(text, text), { maxLength: 3 }),
    shared: fc.boolean(),
  })
  .map((s) =>
    field(
      1,
      Buffer.concat([
        field(1, s.traceId),
        field(2, s.parent),
        field(3, s.id),
        field(4, s.kind),
        field(5, s.name),
        fixed64(6, s.timestamp),
        field(7, s.duration),
        field(8, s.local),
        field(9, s.remote),
        ...s.annotations.map(([at, value]) =>
          field(10, Buffer.concat([fixed64(1, at), field(2, value)])),
        ),
        ...s.tags.map(([key, value]) => field(11, Buffer.concat([field(1, key), field(2, value)]))),
        field(13, s.shared ? 1 : 0),
      ]),
    ),
  );

const thriftHost = fc.record({
  ip4: fc.integer(),
  port: fc.integer({ min: -1, max: 65_535 }),
  service: text,
  ip6: bytesOf(16).map((value) => Buffer.from(value)),
});
const thriftSpan = fc
  .record({
    traceId: fc.bigInt(1n, INT64_MAX),
    id: fc.bigInt(-5n, 5n),
    parent: fc.bigInt(-5n, 5n),
    name: text,
    core: fc.array(fc.tuple(time, fc.constantFrom('cs', 'cr', 'sr', 'ss', 'x', ''), thriftHost)),
    tags: fc.array(fc.tuple(fc.constantFrom('sa', 'ca', 'lc', 'k'), text, thriftHost)),
    timestamp: time,
    duration: time,
  })
  .map((s) =>
    thrift.struct(
      thrift.field(10, 1, thrift.i64(s.traceId)),
      thrift.field(11, 3, thrift.text(s.name)),
      thrift.field(10, 4, thrift.i64(s.id)),
      thrift.field(10, 5, thrift.i64(s.parent)),
      thrift.annotations(...s.core.map(([at, value, host]) => thrift.annotation(at, value, host))),
      thrift.tags(...s.tags.map(([key, value, host]) => thrift.binary(key, 6, value, host))),
      thrift.field(10, 10, thrift.i64(s.timestamp)),
      thrift.field(10, 11, thrift.i64(s.duration)),
    ),
  );

/** Messages of a few spans, each with its format. */
const message: fc.Arbitrary<Buffer> = fc.oneof(
  fc.array(withParent, { maxLength: 4 }).map((spans) => Buffer.from(`[${spans.join(',')}]`)),
  fc.array(protoSpan, { minLength: 1, maxLength: 4 }).map((spans) => Buffer.concat(spans)),
  fc.array(thriftSpan, { minLength: 1, maxLength: 3 }).map((spans) => thrift.spanList(...spans)),
);

function spanOf(read: ReadSpan, exact: string): Span {
  const { tags: all, kind: _kind, ...members } = read;
  const span: Span = { ...members };
  const kind = SPAN_KINDS.find((name): name is SpanKind => name === read.kind);
  if (kind !== undefined) span.kind = kind;
  if (all !== undefined) span.tags = new Map(Object.entries(all));
  for (const part of exact.split(';')) {
    if (part.startsWith('l=')) span.localEndpoint = { ...span.localEndpoint, ipv4: part.slice(2) };
    if (part.startsWith('r='))
      span.remoteEndpoint = { ...span.remoteEndpoint, ipv4: part.slice(2) };
  }
  return span;
}

/** The spans of a message that are accepted, read back. */
export function stored(source: Uint8Array): Span[] {
  const found = detect(source, { path: 'v2', contentType: '' });
  if ('message' in found) throw new Error(found.message);
  const batch = newBatch();
  const mark = batch.mark();
  if (found.decode(source, batch, ADMIT_ALL, new DecodeReport()) !== undefined)
    batch.rollback(mark);
  return readRows(batch).map((span, row) =>
    spanOf(span, batch.exactTexts.find((entry) => entry.row === row)?.text ?? ''),
  );
}

/** What was stored of any message. */
export const storedSpans: fc.Arbitrary<Span[]> = message.map(stored);
