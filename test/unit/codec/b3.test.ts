import { readFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  formatB3Multi,
  formatB3Single,
  parseB3,
  parseB3Multi,
  parseB3Single,
} from '../../../src/codec/b3.ts';
import type { IdentifiedContext, TraceContext } from '../../../src/codec/b3.ts';
import {
  formatTraceparent,
  parseTraceContext,
  parseTraceparent,
} from '../../../src/codec/traceparent.ts';

type Headers = Readonly<Record<string, string>>;

interface Vector {
  readonly name: string;
  readonly headers: Headers;
  readonly expect: TraceContext & { readonly ok: boolean; readonly format?: 'w3c' };
}

const load = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../../fixtures/b3/${name}`, import.meta.url), 'utf8'));
const vectors = load('vectors.json') as readonly Vector[];
const brave = new Map(
  (load('oracle-brave.json') as readonly { name: string; brave: string }[]).map((answer) => [
    answer.name,
    answer.brave,
  ]),
);

/** As Node has them: names in lower case. */
function getterOf(headers: Headers): (name: string) => string | undefined {
  const lower = new Map(
    Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]),
  );
  return (name) => lower.get(name);
}

/** A context in the words of the program that recorded Brave's answers. */
function inBravesWords(context: TraceContext | undefined): string {
  const { traceId, spanId, parentId = null, sampled = null, debug = false } = context ?? {};
  if (traceId !== undefined) {
    return `${traceId}/${spanId} parent=${parentId} sampled=${sampled} debug=${debug}`;
  }
  const word = sampled === null ? '' : sampled ? 'SAMPLED_REMOTE' : 'NOT_SAMPLED_REMOTE';
  return `flags sampled=${sampled} ${debug ? 'DEBUG' : word}`;
}

/** What the vectors want beyond Brave: said by proxies only, and not needed by any client. */
const BRAVE_REFUSES = ['multi-sampled-d'];

describe('B3', () => {
  test('is tested with all vectors', () => {
    expect(vectors.map(({ name }) => name)).toEqual([...brave.keys()]);
    expect(vectors).toHaveLength(41);
  });

  test.each(vectors)('of $name is read as Brave reads it', ({ name, headers }) => {
    expect(inBravesWords(parseB3(getterOf(headers)))).toBe(brave.get(name));
  });

  const described = vectors.filter(
    ({ name, expect: { ok, traceId, sampled } }) =>
      ok && (traceId ?? sampled) !== undefined && !BRAVE_REFUSES.includes(name),
  );
  test.each(described)('and W3C of $name say what was meant', ({ headers, expect: meant }) => {
    const context = parseTraceContext(getterOf(headers));
    expect(context?.traceId).toBe(meant.traceId);
    expect(context?.spanId).toBe(meant.spanId);
    expect(context?.parentId).toBe(meant.parentId);
    expect(context?.sampled ?? null).toBe(meant.sampled);
    expect(context?.debug ?? false).toBe(meant.debug ?? false);
  });

  const malformed = vectors.filter(
    ({ name, expect: meant }) => !meant.ok && name !== 'multi-trace-20',
  );
  test.each(malformed)('and W3C of $name say nothing', ({ headers }) => {
    expect(parseTraceContext(getterOf(headers))).toBeUndefined();
  });
});

describe('A single header', () => {
  const IDS = '463ac35c9f6413ad48485a3953bb6124-a2fb4a1d1a96d312';

  test.each([
    'x',
    ' ',
    '-',
    `${IDS}-`,
    `${IDS}-1-`,
    `${IDS}-1-5b4185666d50f6`,
    `${IDS}-1-0000000000000000`,
    `${IDS}-2`,
    IDS.toUpperCase(),
    `00000000000000000000000000000000-a2fb4a1d1a96d312`,
    `463ac35c9f6413ad48485a3953bb6124-0000000000000000`,
    `463ac35c9f6413ad48485a39-a2fb4a1d1a96d312`,
    ` ${IDS}`,
    `${IDS}\n`,
  ])('%j is malformed', (value) => {
    expect(parseB3Single(value)).toBeUndefined();
  });
});

describe('Several headers', () => {
  test('say debug without an id, whatever they say of sampling', () => {
    const headers = { 'X-B3-Flags': '1', 'X-B3-Sampled': '0' };
    expect(parseB3Multi(getterOf(headers))).toEqual({ sampled: true, debug: true });
  });

  test('with a word of Object are malformed', () => {
    expect(parseB3Multi(getterOf({ 'X-B3-Sampled': 'constructor' }))).toBeUndefined();
  });

  test('that are not there say nothing', () => {
    expect(parseB3Multi(() => undefined)).toBeUndefined();
    expect(formatB3Multi({})).toEqual({});
    expect(formatB3Single({})).toBeUndefined();
  });
});

describe('Headers of both kinds', () => {
  const W3C = '00-463ac35c9f6413ad48485a3953bb6124-a2fb4a1d1a96d312';

  test('give the ids of W3C when B3 has none', () => {
    expect(parseTraceContext(getterOf({ b3: '1', traceparent: `${W3C}-01` }))).toEqual({
      traceId: '463ac35c9f6413ad48485a3953bb6124',
      spanId: 'a2fb4a1d1a96d312',
      sampled: true,
    });
  });

  test('deny when either denies', () => {
    const b3 = '48485a3953bb6124-5b4185666d50f68b-1';
    expect(parseTraceContext(getterOf({ b3: '0', traceparent: `${W3C}-01` }))?.sampled).toBe(false);
    expect(parseTraceContext(getterOf({ b3, traceparent: `${W3C}-00` }))?.sampled).toBe(false);
  });
});

const hex = (digits: number) =>
  fc
    .string({
      unit: fc.constantFrom(...Array.from('0123456789abcdef')),
      minLength: digits,
      maxLength: digits,
    })
    .filter((id) => !/^0+$/.test(id));
const sampling = fc.constantFrom(
  {},
  { sampled: true },
  { sampled: false },
  { sampled: true, debug: true },
);
const context: fc.Arbitrary<IdentifiedContext> = fc
  .tuple(
    fc.oneof(
      hex(16),
      hex(32).filter((id) => !id.startsWith('0000000000000000')),
    ),
    hex(16),
    fc.oneof(
      fc.constant({}),
      hex(16).map((parentId) => ({ parentId })),
    ),
    sampling,
  )
  .map(([traceId, spanId, parent, rest]) => Object.assign({ traceId, spanId }, parent, rest));

describe('What is written', () => {
  test('is read again as it was, in one header or several', () => {
    fc.assert(
      fc.property(fc.oneof(context, sampling), (written) => {
        const single = formatB3Single(written);
        const expected = Object.keys(written).length === 0 ? undefined : written;
        expect(single === undefined ? undefined : parseB3Single(single)).toEqual(expected);
        expect(parseB3Multi(getterOf(formatB3Multi(written)))).toEqual(expected);
      }),
    );
  });

  test('is read again from a traceparent, but for debug and the parent', () => {
    fc.assert(
      fc.property(context, (written) => {
        expect(parseTraceparent(formatTraceparent(written))).toEqual({
          traceId: written.traceId.padStart(32, '0'),
          spanId: written.spanId,
          sampled: written.sampled ?? false,
        });
      }),
    );
  });
});

describe('Any text', () => {
  const pieces = fc
    .array(fc.oneof(fc.constantFrom('-', '0', '1', 'd', '00', 'ff', '01'), hex(16), fc.string()))
    .map((parts) => parts.join(''));
  const isContext = (found: TraceContext | undefined): boolean =>
    found?.traceId === undefined || /^(?:[\da-f]{16}){1,2}$/.test(found.traceId);

  test('is a context or nothing, and never thrown at', () => {
    const texts = fc.tuple(fc.oneof(pieces, fc.string()), pieces, fc.string());
    const holds = fc.property(texts, (values) => {
      let next = 0;
      const get = (): string | undefined => values[next++ % 4];
      const [text] = values;
      return [parseB3Single(text), parseTraceparent(text), parseTraceContext(get)].every(isContext);
    });
    expect(fc.check(holds).failed).toBe(false);
  });
});
