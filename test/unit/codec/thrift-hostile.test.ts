import { readFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeThrift } from '../../../src/codec/thrift.ts';
import {
  annotations,
  binary,
  bytes,
  double,
  field,
  i16,
  i32,
  i64,
  list,
  repeated,
  span,
  spanList,
  struct,
  tags,
  text,
} from './thrift-encoder.ts';
import type { Bytes } from './thrift-encoder.ts';
import { decodeWith } from './v1-batch-reader.ts';
import type { Decoded } from './v1-batch-reader.ts';

const goldens = JSON.parse(
  readFileSync(new URL('../../fixtures/thrift.json', import.meta.url), 'utf8'),
) as { hex: string }[];

/** In the middle of bytes that would be seen in the outcome if anything read them. */
function decode(source: Bytes): Decoded {
  const poisoned = Buffer.alloc(source.length + 128, 0x0c);
  poisoned.set(source, 64);
  return decodeWith(decodeThrift, poisoned.subarray(64, 64 + source.length));
}

const IDS = { traceId: '0000000000000001', id: '0000000000000002' };

describe('unknown fields', () => {
  const leaf = fc.constantFrom<[number, Bytes]>(
    [2, bytes([1])],
    [3, bytes([7])],
    [4, double(1)],
    [6, i16(5)],
    [8, i32(5)],
    [10, i64(5)],
    [11, text('text')],
    [12, struct()],
    [13, bytes([0, 0], i32(0))],
    [13, bytes([11, 8], i32(2), text('a'), i32(1), text('b'), i32(2))],
    [13, bytes([8, 8], i32(1), i32(1), i32(2))],
    [13, bytes([11, 11], i32(1), text('a'), text('b'))],
    [14, bytes([3], i32(3), [1, 2, 3])],
    [15, bytes([0], i32(0))],
    [15, list(11, text('a'), text(''))],
  );
  const value = fc.letrec<{ any: [number, Bytes] }>((tie) => ({
    any: fc.oneof(
      { depthSize: 'small' },
      leaf,
      fc
        .array(tie('any'), { maxLength: 3 })
        .map((items): [number, Bytes] => [
          12,
          struct(...items.map(([type, raw], i) => field(type, i, raw))),
        ]),
      fc
        .tuple(tie('any'), fc.nat(3))
        .map(([[type, raw], n]): [number, Bytes] => [15, list(type, ...Array<Bytes>(n).fill(raw))]),
      fc
        .tuple(tie('any'), tie('any'))
        .map(([key, item]): [number, Bytes] => [
          13,
          bytes([key[0], item[0]], i32(2), key[1], item[1], key[1], item[1]),
        ]),
    ),
  })).any;

  it('are skipped whole, in spans and in their parts', () => {
    fc.assert(
      fc.property(value, ([type, raw]) => {
        const unknown = field(type, 99, raw);
        const at = struct(unknown, field(11, 3, text('web')));
        const note = struct(unknown, field(10, 1, i64(7)), field(11, 2, text('x')), unknown);
        const tag = struct(
          field(11, 1, text('k')),
          unknown,
          field(11, 2, text('v')),
          field(8, 3, i32(6)),
          field(12, 4, at),
        );
        const decoded = decode(
          spanList(span(unknown, annotations(note), unknown, tags(tag)), span()),
        );
        expect(decoded.error).toBeUndefined();
        expect(decoded.spans).toEqual([
          {
            ...IDS,
            localEndpoint: { serviceName: 'web' },
            annotations: [{ timestamp: 7, value: 'x' }],
            tags: { k: 'v' },
          },
          IDS,
        ]);
      }),
    );
  });

  it('stand where a known field has another type', () => {
    const decoded = decode(
      spanList(
        span(field(8, 10, i32(5)), field(15, 6, list(11, text('x'))), field(11, 1, text(''))),
      ),
    );
    expect(decoded.spans).toEqual([IDS]);
    expect([...decoded.report.normalized]).toEqual([['annotation_dropped', 1]]);
  });
});

describe('any bytes', () => {
  const whole = goldens.map(({ hex }) => Buffer.from(hex, 'hex')).filter((raw) => raw.length > 20);

  it('never make it throw', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 200 }),
        fc.constantFrom(10, 11, 12, 15),
        (raw, first) => {
          const source = Buffer.from(raw);
          if (source.length > 0) source[0] = first;
          expect(() => decode(source)).not.toThrow();
        },
      ),
      { numRuns: 2000 },
    );
  });

  it('never make it throw when a message is changed somewhere', () => {
    const change = fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 }));
    fc.assert(
      fc.property(fc.constantFrom(...whole), fc.array(change, { maxLength: 4 }), (raw, changes) => {
        const source = Buffer.from(raw);
        for (const [at, byte] of changes) source[at % source.length] = byte;
        expect(() => decode(source)).not.toThrow();
      }),
      { numRuns: 3000 },
    );
  });

  it('is refused as a list when it is cut anywhere', () => {
    const source = spanList(
      span(tags(binary('k', 6, 'v', { ip4: 1, service: 'web' }))),
      span(field(13, 99, bytes([8, 11], i32(1), i32(1), text('x')))),
    );
    for (let end = 1; end < source.length; end++) {
      expect(decode(source.subarray(0, end)).error?.message).toMatch(/ from TBinary$/);
    }
  });

  it('takes time in proportion to its length', () => {
    const time = (source: Bytes): number => {
      const start = performance.now();
      decodeWith(decodeThrift, source);
      return performance.now() - start;
    };
    // A list of empty lists, and empty lists one after the other.
    const nested = (n: number): Bytes =>
      spanList(span(field(15, 99, bytes([15], i32(n), repeated(bytes([3], i32(0)), n)))));
    const joined = (n: number): Bytes => repeated(spanList(), n);
    for (const make of [nested, joined]) {
      time(make(1000));
      expect(time(make(200_000))).toBeLessThan(2000);
    }
  });
});
