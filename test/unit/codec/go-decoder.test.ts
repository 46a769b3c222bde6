/**
 * What is answered can be read by the strict decoder of Grafana's Zipkin data source. The model of
 * it was compared with the real one on some 58,000 lists.
 */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { spansJson } from '../../../src/codec/json-v2-writer.ts';
import type { Span } from '../../../src/model/span.ts';
import { GrafanaList, grafanaTrace } from '../../../src/query/grafana-profile.ts';
import { goDecode, goWriteFault } from './go-decoder-model.ts';
import type { GoSpan } from './go-decoder-model.ts';
import { stored, storedSpans } from './stored-spans.ts';

const MS = { annotationUnit: 'ms' } as const;
const decode = (spans: readonly Span[]): GoSpan[] => goDecode(spansJson(spans).toString());

const span = (members: string): string => `[{"traceId":"1","id":"2",${members}}]`;
const refusal = (json: string): string => {
  try {
    goDecode(json);
    return '';
  } catch (error) {
    return (error as Error).message;
  }
};

describe('The model of the decoder', () => {
  test('reads every member', () => {
    const json =
      '[{"traceId":"0000000000000001000000000000000A","parentId":"1","id":"2","kind":"CLIENT",' +
      '"name":"get","timestamp":1700000000000000,"duration":5,' +
      '"localEndpoint":{"serviceName":"a","ipv4":"1.2.3.4","ipv6":"::1","port":80},' +
      '"remoteEndpoint":{"serviceName":""},"annotations":[{"timestamp":1,"value":"x"}],' +
      '"tags":{"a":null,"b":"c"},"debug":true,"shared":null}] and more';
    expect(goDecode(json)).toEqual([
      {
        traceId: '0000000000000001000000000000000a',
        parentId: '0000000000000001',
        id: '0000000000000002',
        kind: 'CLIENT',
        name: 'get',
        timestampUs: 1_700_000_000_000_000n,
        durationNs: 5000n,
        localEndpoint: { serviceName: 'a', ipv4: '1.2.3.4', ipv6: '::1', port: 80 },
        annotations: [{ timestampUs: 1n, value: 'x' }],
        tags: { a: '', b: 'c' },
        debug: true,
        shared: false,
      },
    ]);
  });

  test.each([
    ['{}', 'json: cannot unmarshal object into []model.SpanModel'],
    ['', 'EOF'],
    ['[{}]', 'valid span id required'],
    ['[{"id":"0"}]', 'valid span id required'],
    ['[{"id":"1","traceId":"x"}]', 'strconv.ParseUint: parsing "x": invalid syntax'],
    [span('"timestamp":10.5'), 'json: cannot unmarshal number 10.5 into uint64'],
    [span('"duration":-1'), 'json: cannot unmarshal number -1 into uint64'],
    [span('"tags":{"a":1}'), 'json: cannot unmarshal number 1 into string'],
    [span('"annotations":[{"timestamp":0}]'), 'valid annotation timestamp required'],
    [span('"localEndpoint":{"ipv4":"01.2.3.4"}'), 'invalid IP address: 01.2.3.4'],
    [span('"localEndpoint":{"port":"80"}'), 'json: cannot unmarshal string into uint16'],
    [span('"localEndpoint":{"port":65536}'), 'json: cannot unmarshal number 65536 into uint16'],
    ['[]', ''],
    ['null', ''],
  ])('%s: %s', (json, message) => {
    expect(refusal(json)).toBe(message);
  });
});

/** Where Zipkin's own answer is one that the decoder refuses: it is given all the same. */
function refusedAsFromZipkin(one: Span): boolean {
  if (one.id === '0000000000000000') return true;
  if (one.annotations?.some(({ timestamp }) => timestamp < 1) === true) return true;
  return [one.localEndpoint, one.remoteEndpoint].some((side) =>
    /(?:^|\.)0\d/.test(side?.ipv4 ?? ''),
  );
}

describe('The plain API', () => {
  test('is read but for three things that Zipkin answers as well', () => {
    fc.assert(
      fc.property(storedSpans, (spans) => {
        for (const one of spans) {
          const json = spansJson([one]).toString();
          expect(refusal(json) !== '', json).toBe(refusedAsFromZipkin(one));
        }
      }),
      { numRuns: 1500 },
    );
  });

  test('the three are among what is tried', () => {
    const list = stored(
      Buffer.from(
        '[{"traceId":"1","id":"0"},' +
          '{"traceId":"1","id":"1","annotations":[{"timestamp":0,"value":"a"}]},' +
          '{"traceId":"1","id":"2","remoteEndpoint":{"ipv4":"01.2.3.4"}}]',
      ),
    );
    expect(list.map(refusedAsFromZipkin)).toEqual([true, true, true]);
  });
});

describe('The Grafana profile', () => {
  test('is always read: each span once, with an id and a time', () => {
    fc.assert(
      fc.property(storedSpans, (spans) => {
        const trace = grafanaTrace(spans, MS);
        const read = decode(trace);
        expect(new Set(read.map(({ id }) => id)).size).toBe(spans.length === 0 ? 0 : trace.length);
        for (const [i, { id, timestampUs, durationNs, shared }] of read.entries()) {
          expect(id).toBe(trace[i]!.id);
          expect(timestampUs).toBe(BigInt(trace[i]!.timestamp!));
          expect(timestampUs).toBeGreaterThanOrEqual(1_000_000n);
          expect(durationNs).toBe(BigInt(trace[i]!.duration ?? 0) * 1000n);
          expect(shared).toBe(false);
        }
      }),
      { numRuns: 1500 },
    );
  });

  test('lists can be written again, and every trace begins with a root that says how long', () => {
    fc.assert(
      fc.property(fc.array(storedSpans, { maxLength: 3 }), (traces) => {
        const list = new GrafanaList(MS);
        const entries = traces
          .filter((spans) => spans.length > 0)
          .map((spans) => list.entry(spans));
        const labels = entries.map((entry) => {
          const read = decode(entry);
          expect(read.map(goWriteFault)).toEqual(read.map(() => undefined));
          const root = read.find(({ parentId }) => parentId === undefined)!;
          expect(root).toBe(read[0]);
          expect(root.durationNs).toBeGreaterThan(0n);
          return `${root.name} ${root.durationNs / 1_000_000n}`;
        });
        expect(new Set(labels).size).toBe(labels.length);
      }),
    );
  });

  test('no span gets lost, whatever the ids, and parents lead to a root', () => {
    const ids = fc.constantFrom('1', '2', '3', '4').map((digit) => digit.padStart(16, '0'));
    const service = fc.constantFrom('a', 'b', 'c');
    const anySpan = fc
      .record({
        id: ids,
        parentId: fc.option(ids, { nil: undefined }),
        kind: fc.constantFrom('CLIENT', 'SERVER', undefined),
        shared: fc.constantFrom(true, undefined),
        serviceName: service,
      })
      .map(({ serviceName, ...members }): Span => {
        const given = Object.entries(members).filter(([, value]) => value !== undefined);
        const one = { traceId: '000000000000000a', localEndpoint: { serviceName } };
        return Object.assign(one, Object.fromEntries(given)) as unknown as Span;
      });
    fc.assert(
      fc.property(fc.array(anySpan, { maxLength: 8 }), (spans) => {
        const trace = grafanaTrace(spans, MS);
        const byId = new Map(trace.map((one) => [one.id, one]));
        expect(byId.size).toBe(trace.length);
        const servicesOf = (list: readonly Span[]): Set<string> =>
          new Set(list.map((one) => `${one.localEndpoint!.serviceName} ${one.kind}`));
        for (const known of servicesOf(trace)) expect(servicesOf(spans)).toContain(known);
        for (const one of trace) {
          let steps = 0;
          for (let at: Span | undefined = one; at !== undefined; steps++) {
            expect(steps).toBeLessThanOrEqual(trace.length);
            at = at.parentId === undefined ? undefined : byId.get(at.parentId);
          }
        }
      }),
    );
  });
});
