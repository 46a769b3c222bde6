/** Random traces and searches, and what a look at all traces answers. */
import * as fc from 'fast-check';
import type { Span } from '../../../src/model/span.ts';
import { spanJson } from '../../../src/codec/json-v2-writer.ts';

const T_MS = 1_700_006_400_000;
const HOUR_MS = 3_600_000;
const SERVICES = ['web', 'app', 'db', 'é'];
const TAG_VALUES = ['', 'x', 'x y'];
const NAMES = ['get', 'post', 'put /x'];
const WORDS = ['error', 'foo', 'k', ''];

/** As sent; tags as JSON has them. */
export type SentSpan = Omit<Span, 'tags'> & { readonly tags: Record<string, string> };

export interface RandomSearch {
  readonly service?: string;
  readonly remote?: string;
  readonly name?: string;
  readonly words: readonly (readonly [key: string, value: string])[];
  readonly minDuration?: number;
  readonly maxMore?: number;
  readonly endTsMs: number;
  readonly lookbackMs: number;
  readonly limit: number;
}

const id64 = (n: number): string => n.toString(16).padStart(16, '0');
const endpoint = fc.record({ serviceName: fc.constantFrom(...SERVICES) });

const partOfSpan = fc.record(
  {
    name: fc.constantFrom(...NAMES),
    localEndpoint: endpoint,
    remoteEndpoint: endpoint,
    /** Microseconds after the begin of the trace; some clocks are behind. */
    offset: fc.integer({ min: -2_000_000, max: 30_000_000 }),
    duration: fc.integer({ min: 1, max: 40 }),
    annotations: fc.array(fc.constantFrom(...WORDS), { maxLength: 2 }),
  },
  { requiredKeys: [] },
);
const someTags = fc.dictionary(fc.constantFrom(...WORDS), fc.constantFrom(...TAG_VALUES), {
  maxKeys: 2,
});

/** Half of them in the last hour, the others in three days; one time for one id. */
const beginMsOf = (low: number): number =>
  -((low * 7_654_321) % (low % 2 === 0 ? HOUR_MS : 72 * HOUR_MS));

/** Few ids, so that some share their low 64 bits and some are sent twice. */
export const traces: fc.Arbitrary<SentSpan[]> = fc
  .record({
    low: fc.integer({ min: 1, max: 120 }),
    high: fc.constantFrom('', id64(1), id64(2)),
    spans: fc.array(fc.tuple(partOfSpan, someTags), { minLength: 1, maxLength: 6 }),
  })
  .map(({ low, high, spans }) =>
    spans.map(([{ offset, annotations, ...fields }, spanTags], n): SentSpan => {
      const timestamp = (T_MS + beginMsOf(low)) * 1000 + (n === 0 ? 0 : (offset ?? 0));
      const timed = n === 0 ? low % 7 !== 0 : offset !== undefined;
      const values = [...new Set(annotations)].toSorted();
      return {
        traceId: high + id64(low),
        ...(n === 0 ? {} : { parentId: id64(1) }),
        id: id64(n + 1),
        ...fields,
        ...(timed ? { timestamp } : {}),
        ...(values.length === 0
          ? {}
          : { annotations: values.map((value) => ({ timestamp, value })) }),
        tags: Object.fromEntries(Object.entries(spanTags).toSorted(([a], [b]) => (a < b ? -1 : 1))),
      };
    }),
  );

export const searches: fc.Arbitrary<RandomSearch> = fc.record(
  {
    service: fc.constantFrom(...SERVICES),
    remote: fc.constantFrom(...SERVICES),
    name: fc.constantFrom(...NAMES),
    words: fc.uniqueArray(
      fc.tuple(fc.constantFrom('error', 'foo', 'k', 'none', ''), fc.constantFrom(...TAG_VALUES)),
      { maxLength: 2, selector: ([key]) => key },
    ),
    minDuration: fc.integer({ min: 1, max: 40 }),
    maxMore: fc.nat(10),
    endTsMs: fc.oneof(
      fc.constant(T_MS + HOUR_MS),
      fc.integer({ min: T_MS - 72 * HOUR_MS, max: T_MS }),
    ),
    lookbackMs: fc.constantFrom(1, 60_000, HOUR_MS, 24 * HOUR_MS, 200 * HOUR_MS),
    limit: fc.constantFrom(1, 3, 10, 500),
  },
  { requiredKeys: ['words', 'endTsMs', 'lookbackMs', 'limit'] },
);

export function queryText(search: RandomSearch): string {
  const { service, remote, name, words, minDuration, maxMore } = search;
  const text = new URLSearchParams({
    endTs: String(search.endTsMs),
    lookback: String(search.lookbackMs),
    limit: String(search.limit),
  });
  if (service !== undefined) text.set('serviceName', service.toUpperCase());
  if (remote !== undefined) text.set('remoteServiceName', remote);
  if (name !== undefined) text.set('spanName', name);
  const parts = words.map(([key, value]) => (value === '' && key !== '' ? key : `${key}=${value}`));
  if (parts.length > 0) text.set('annotationQuery', parts.join(' and '));
  if (minDuration !== undefined) {
    text.set('minDuration', String(minDuration));
    if (maxMore !== undefined) text.set('maxDuration', String(minDuration + maxMore));
  }
  return text.toString();
}

export interface Answer {
  readonly id: string;
  readonly timestampUs: number;
  /** Of each span, as JSON. */
  readonly json: unknown[];
}

/** Every trace that matches, newest first, by the words of Zipkin's contract. */
export function answerOf(
  sent: readonly SentSpan[],
  search: RandomSearch,
  strict: boolean,
): Answer[] {
  const byId = new Map<string, Span[]>();
  for (const { tags, ...rest } of sent) {
    const span: Span = Object.assign(rest, { tags: new Map(Object.entries(tags)) });
    const id = strict ? span.traceId : span.traceId.slice(-16);
    byId.set(id, [...(byId.get(id) ?? []), span]);
  }
  const answers: Answer[] = [];
  for (const [id, trace] of byId) {
    const timestampUs = beginOf(trace);
    if (timestampUs === undefined || !isAnswer(trace, timestampUs, search)) continue;
    const json = [...new Set(trace.map(sentJson))].map((text) => JSON.parse(text) as unknown);
    answers.push({ id, timestampUs, json });
  }
  return answers.toSorted((a, b) => b.timestampUs - a.timestampUs);
}

/** Empty tags are none. */
const sentJson = ({ tags, ...span }: Span): string =>
  spanJson(tags?.size === 0 || tags === undefined ? span : { ...span, tags });

function beginOf(trace: readonly Span[]): number | undefined {
  const timed = trace.filter(({ timestamp }) => timestamp !== undefined);
  const roots = timed.filter(({ parentId }) => parentId === undefined);
  const times = (roots.length > 0 ? roots : timed).map(({ timestamp }) => Number(timestamp));
  return times.length === 0 ? undefined : Math.min(...times);
}

function isAnswer(trace: readonly Span[], timestampUs: number, search: RandomSearch): boolean {
  const { service, remote, name, words, minDuration, maxMore = Infinity } = search;
  const { endTsMs, lookbackMs } = search;
  if (timestampUs < (endTsMs - lookbackMs) * 1000 || timestampUs > endTsMs * 1000) return false;
  const own = trace.filter(
    ({ localEndpoint }) => service === undefined || localEndpoint?.serviceName === service,
  );
  const any = (test: (span: Span) => boolean): boolean => own.some(test);
  return (
    own.length > 0 &&
    (remote === undefined || any((span) => span.remoteEndpoint?.serviceName === remote)) &&
    (name === undefined || any((span) => span.name === name)) &&
    words.every(([key, value]) => any((span) => hasWord(span, key, value))) &&
    (minDuration === undefined ||
      any(
        ({ duration }) =>
          duration !== undefined && duration >= minDuration && duration <= minDuration + maxMore,
      ))
  );
}

function hasWord({ tags, annotations }: Span, key: string, value: string): boolean {
  if (value !== '') return tags?.get(key) === value;
  return tags?.has(key) === true || annotations?.some((one) => one.value === key) === true;
}
