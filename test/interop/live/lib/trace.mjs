/**
 * Reads a trace back and holds it against what is expected of it.
 *
 * An expected span says all that is known of it, so that anything lost or made up shows:
 *   key          its name in this list, which `parent` and `halfOf` refer to
 *   service, kind, name, uri   what it is found by; `uri` where two differ in this tag only
 *   parent       the key of its parent, or { id } for a span outside; none for a root
 *   halfOf       the key of the client half whose id it shares
 *   tags         all tags but `error`
 *   error        a pattern for the error tag; without it there must be none
 *   local        the port of the local endpoint, where the client reports it
 *   remote       the remote endpoint, with the port ANY_PORT for a caller; none is none
 *   annotations  the values of all annotations
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';

export const HOST = '127.0.0.1';
export const ANY_PORT = 'any port';

const COMPLETE_TIMEOUT_MS = 15_000;
const POLL_MS = 200;
const ANSWER_TIMEOUT_MS = 5000;
/** How far from now the spans of this run may have started. */
const RUN_US = 15 * 60 * 1_000_000;
/** Some clients cut the time of an annotation to milliseconds. */
const ROUNDING_US = 1000;

/** Polls until the trace has that many spans; answers what there is when that takes too long. */
export async function fetchTrace(url, traceId, spanCount) {
  const deadline = Date.now() + COMPLETE_TIMEOUT_MS;
  for (;;) {
    const found = await fetchOnce(url, traceId);
    if (found.spans.length >= spanCount || Date.now() >= deadline) return found;
    await sleep(POLL_MS);
  }
}

async function fetchOnce(url, traceId) {
  try {
    const answer = await fetch(`${url}/api/v2/trace/${traceId}`, {
      signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
    });
    const body = await answer.text();
    if (answer.status === 200) return { traceId, spans: JSON.parse(body), said: 'HTTP 200' };
    return { traceId, spans: [], said: `HTTP ${answer.status} ${body.slice(0, 200)}` };
  } catch (error) {
    return { traceId, spans: [], said: error.cause?.message ?? error.message };
  }
}

/** Answers the spans by their keys, or undefined when they are not the expected ones. */
export function checkTrace(report, title, trace, expected) {
  const found = new Map();
  const count = `${expected.length} spans`;
  const complete = report.check(`${title}: ${count}, services, kinds and names`, () =>
    findAll(trace, expected, found),
  );
  if (!complete) return undefined;
  const each = (what, check) =>
    report.check(`${title}: ${what}`, () => {
      for (const wanted of expected) check(found.get(wanted.key), wanted, found, expected);
    });
  each('one trace id', (span, { key }) => same(span.traceId, trace.traceId, key));
  each('one tree', checkParent);
  each('ids, shared by the halves of a call', checkHalf);
  each('times', checkTimes);
  each('tags', checkTags);
  each('error tags', checkError);
  each('endpoints', checkEndpoints);
  each('annotations', checkAnnotations);
  return found;
}

function findAll({ spans, said }, expected, found) {
  const got = `got ${said} and ${list(spans.map(describe))}`;
  if (spans.length !== expected.length) throw new Error(`${spans.length} spans, ${got}`);
  for (const wanted of expected) {
    const hits = spans.filter((span) => isMeant(span, wanted));
    if (hits.length !== 1) throw new Error(`${wanted.key} is there ${hits.length} times, ${got}`);
    found.set(wanted.key, hits[0]);
  }
}

function isMeant(span, { service, kind, name, uri }) {
  return (
    span.localEndpoint?.serviceName === service &&
    span.kind === kind &&
    span.name === name &&
    (uri === undefined || span.tags?.uri === uri)
  );
}

function describe({ localEndpoint, kind, name, tags }) {
  return [localEndpoint?.serviceName, kind, name, tags?.uri].filter(Boolean).join(' ');
}

function checkParent(span, { key, parent }, found) {
  if (!/^[0-9a-f]{16}$/.test(span.id)) throw new Error(`${key} has the id ${span.id}`);
  const above = typeof parent === 'string' ? found.get(parent) : parent;
  same(span.parentId, above?.id, `the parent of ${key}`);
}

/** An id belongs to one span, or to the two halves of a call, of which the server's says so. */
function checkHalf(span, { key, halfOf }, found, expected) {
  same(span.shared, halfOf === undefined ? undefined : true, `shared of ${key}`);
  const withId = expected.filter((other) => found.get(other.key).id === span.id);
  const call = halfOf ?? key;
  const halves = expected.filter((other) => other.key === call || other.halfOf === call);
  same(keysOf(withId), keysOf(halves), `the spans with the id of ${key}`);
}

function keysOf(wanted) {
  return wanted.map(({ key }) => key);
}

function checkTimes(span, { key }) {
  if (!Number.isInteger(span.duration) || span.duration <= 0) {
    throw new Error(`${key} lasted ${span.duration}`);
  }
  if (!(Math.abs(span.timestamp - Date.now() * 1000) < RUN_US)) {
    throw new Error(`${key} started at ${span.timestamp}`);
  }
}

function checkTags(span, { key, tags = {} }) {
  const { error: _error, ...others } = span.tags ?? {};
  same(others, tags, `the tags of ${key}`);
}

function checkError(span, { key, error }) {
  const said = span.tags?.error;
  const right = error === undefined ? said === undefined : error.test(said ?? '');
  if (!right) throw new Error(`the error of ${key} is ${show(said)}, not ${error}`);
}

function checkEndpoints(span, { key, service, local, remote }) {
  if (local !== undefined) {
    const endpoint = { serviceName: service, ipv4: HOST, port: local };
    same(span.localEndpoint, endpoint, `the local endpoint of ${key}`);
  }
  let wanted = remote;
  if (remote?.port === ANY_PORT) {
    const port = span.remoteEndpoint?.port;
    if (!(port > 0)) throw new Error(`the caller of ${key} has the port ${port}`);
    wanted = { ...remote, port };
  }
  same(span.remoteEndpoint, wanted, `the remote endpoint of ${key}`);
}

function checkAnnotations(span, { key, annotations = [] }) {
  const had = span.annotations ?? [];
  const values = had.map(({ value }) => value);
  same(values, annotations, `the annotations of ${key}`);
  for (const { value, timestamp } of had) {
    const offset = timestamp - span.timestamp;
    if (!(offset > -ROUNDING_US && offset <= span.duration)) {
      throw new Error(`${value} is ${offset} µs after the start of ${key}`);
    }
  }
}

/** What the callee saw must be the client's half: all headers of propagation, and no others. */
export function checkB3(report, title, propagated, client, more = {}) {
  report.check(`${title}: B3 on the wire`, () => {
    const wanted = {
      'x-b3-traceid': client.traceId,
      'x-b3-spanid': client.id,
      'x-b3-parentspanid': client.parentId,
      'x-b3-sampled': '1',
      ...more,
    };
    same(propagated, wanted, 'the headers');
  });
}

/** Fails with both values. */
export function same(actual, expected, what) {
  if (isDeepStrictEqual(actual, expected)) return;
  throw new Error(`${what}: ${show(actual)}, not ${show(expected)}`);
}

function show(value) {
  return JSON.stringify(value) ?? 'none';
}

function list(items) {
  return items.length === 0 ? 'no spans' : `[${items.join(', ')}]`;
}
