/** What a Scrubjay tells of itself: traces of its own, and which client sends what it refuses. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { getJson, getTrace, startScrubjay, until } from './scrubjay-process.ts';
import type { FoundSpan, Scrubjay } from './scrubjay-process.ts';

const SEEN_MS_MAX = 15_000;
/** Whoever looks on must not be seen. */
const UNSEEN = { b3: '0' };

let scrubjay: Scrubjay;

beforeAll(async () => {
  scrubjay = await startScrubjay({
    SELF_TRACING_ENABLED: 'true',
    SELF_TRACING_TRACES_PER_SECOND: '100',
    SELF_TRACING_FLUSH_INTERVAL: '20ms',
  });
});
afterAll(() => scrubjay?.stop());

const spanOf = (traceId: string): FoundSpan => ({
  traceId,
  id: traceId.slice(-16),
  name: 'observed',
  timestamp: Date.now() * 1000,
  localEndpoint: { serviceName: 'shop' },
});

async function post(
  spans: readonly object[],
  headers: Record<string, string>,
): Promise<[number, string]> {
  const answer = await fetch(`${scrubjay.url}/api/v2/spans`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(spans),
  });
  return [answer.status, await answer.text()];
}

/** All spans of the collector's own, as the search finds them. */
async function ownSpans(): Promise<FoundSpan[]> {
  const where = '/api/v2/traces?serviceName=scrubjay&limit=1000';
  return (await getJson<FoundSpan[][]>(scrubjay, where, UNSEEN)).flat();
}

interface Step {
  readonly name: string | undefined;
  readonly kind: string | undefined;
  readonly below: string | undefined;
  readonly remote: string | undefined;
}

/** The tree of a trace: what is below what. */
function stepsOf(spans: readonly FoundSpan[]): Step[] {
  const names = new Map(spans.map(({ id, name }) => [id, name]));
  return spans.map(({ name, kind, parentId = '', remoteEndpoint }) => ({
    name,
    kind,
    below: names.get(parentId) ?? parentId,
    remote: remoteEndpoint?.serviceName,
  }));
}

const RECEIVED = (caller: string): Step[] => [
  { name: 'receive', kind: 'SERVER', below: caller, remote: undefined },
  { name: 'decode', kind: undefined, below: 'receive', remote: undefined },
  { name: 'append', kind: undefined, below: 'receive', remote: undefined },
  { name: 'insert', kind: 'CLIENT', below: 'append', remote: 'clickhouse' },
];

/** The spans of one trace of the collector's own, once the insert, which comes last, is there. */
const received = (traceId: string): Promise<FoundSpan[]> =>
  until(`the insert of ${traceId}`, SEEN_MS_MAX, async () => {
    const spans = await getTrace(scrubjay, traceId, UNSEEN);
    return spans.some(({ name }) => name === 'insert') ? spans : undefined;
  });

describe('Self-tracing', () => {
  test('shows how a span came in and was asked for', async () => {
    const span = spanOf('bbbbbbbbbbbbbbbb00000000000000a1');
    expect(await post([span], {})).toEqual([202, '']);
    expect(await getTrace(scrubjay, span.traceId)).toEqual([span]);

    const wanted = ['append', 'decode', 'insert', 'query', 'receive'];
    const spans = await until('its own spans', SEEN_MS_MAX, async () => {
      const found = await ownSpans();
      const names = new Set(found.map(({ name }) => name));
      return wanted.every((name) => names.has(name)) ? found : undefined;
    });
    const traceIdOf = (name: string): string =>
      spans.find((candidate) => candidate.name === name)!.traceId;
    const ofTrace = (traceId: string): FoundSpan[] =>
      spans.filter((candidate) => candidate.traceId === traceId);

    expect(stepsOf(ofTrace(traceIdOf('receive')))).toEqual(RECEIVED(''));
    expect(stepsOf(ofTrace(traceIdOf('query')))).toEqual([
      { name: 'query', kind: 'SERVER', below: '', remote: undefined },
    ]);
    expect(spans.map(({ name = '' }) => name).toSorted()).toEqual(wanted);
  });

  test('is part of the trace of a caller that samples', async () => {
    const caller = '00000000000000b1';
    const traceId = '463ac35c9f6413ad48485a3953bb6124';
    const headers = { b3: `${traceId}-${caller}-1` };
    expect(await post([spanOf('bbbbbbbbbbbbbbbb00000000000000a2')], headers)).toEqual([202, '']);
    expect(stepsOf(await received(traceId))).toEqual(RECEIVED(caller));
  });

  test('leaves out a caller that does not sample, and its own storing', async () => {
    const before = (await ownSpans()).length;
    const span = spanOf('bbbbbbbbbbbbbbbb00000000000000a3');
    expect(await post([span], UNSEEN)).toEqual([202, '']);
    expect(await getTrace(scrubjay, span.traceId, UNSEEN)).toEqual([span]);

    // Finished spans are stored in their order: when a later trace is there, so is an earlier one.
    const traceId = '463ac35c9f6413ad48485a3953bb6125';
    const headers = { b3: `${traceId}-00000000000000b2-1` };
    expect(await post([spanOf('bbbbbbbbbbbbbbbb00000000000000a4')], headers)).toEqual([202, '']);
    await received(traceId);
    let looks = 0;
    const counts = new Set<number>();
    await until('five looks', SEEN_MS_MAX, async () => {
      counts.add((await ownSpans()).length - before);
      return ++looks === 5 ? looks : undefined;
    });
    expect([...counts]).toEqual([RECEIVED('').length]);
  });
});

describe('GET /api/v1/rejections', () => {
  test('says which client and service sent a span that was refused, and why', async () => {
    const bad = {
      traceId: 'not-hex',
      id: '352bff9a74ca9ad2',
      kind: 'CLIENT',
      name: 'GET /Cart',
      localEndpoint: { serviceName: 'Checkout' },
      remoteEndpoint: { serviceName: 'Carts' },
      tags: { 'http.path': '/cart' },
    };
    const good = spanOf('bbbbbbbbbbbbbbbb00000000000000a5');
    const [status, body] = await post([good, bad], { 'user-agent': 'okhttp/4.9.0', ...UNSEEN });
    const detail = 'not-hex should be lower-hex encoded with no prefix';
    expect(status).toBe(400);
    expect(JSON.parse(body)).toEqual({
      error: 'partial',
      accepted: 1,
      rejected: 1,
      reasons: { invalid_trace_id: 1 },
      first: [{ index: 1, reason: 'invalid_trace_id', detail }],
    });
    expect(await getTrace(scrubjay, good.traceId, UNSEEN)).toEqual([good]);

    const { reasons } = await getJson<{ reasons: { recent: { at: string }[] }[] }>(
      scrubjay,
      '/api/v1/rejections',
    );
    const at = reasons[0]?.recent[0]?.at ?? '';
    expect(Math.abs(Date.parse(at) - Date.now())).toBeLessThan(SEEN_MS_MAX);
    expect(reasons).toEqual([
      {
        reason: 'invalid_trace_id',
        count: 1,
        clients: { okhttp: 1 },
        recent: [
          {
            at,
            client: 'okhttp',
            format: 'json-v2',
            detail,
            span: {
              service: 'checkout',
              name: 'get /cart',
              kind: 'CLIENT',
              remoteService: 'carts',
              tags: { 'http.path': '/cart' },
            },
          },
        ],
      },
    ]);
  });
});
