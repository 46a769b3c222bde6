/**
 * A trace in which every span has an id of its own. In Zipkin client and server of a call may share
 * one (B3), which readers that know spans by their id alone take for the same span twice: Grafana
 * shows the second under the service of the first (grafana/grafana#45462).
 *
 *   client A  id 2                      client A  id 2
 *   server B  id 2, shared      ─►      server B  id n, parent 2
 *   client B  id 3, parent 2            client B  id 3, parent n
 *
 * A span without a rival for its id keeps it, a server whose client was never sent included. New
 * ids are hashes of the old, the same in every answer; in SQL:
 * hex(substring(SHA256(concat(trace_id, id, 's')), 1, 8)).
 */
import { createHash } from 'node:crypto';
import type { Endpoint, Span } from '../model/span.ts';
import { mergeTrace } from './trace-merge.ts';

const ZERO_ID = '0'.repeat(16);

/**
 * One object of its own for each span, pieces of a span joined; nothing is `shared` any more. No
 * id is twice there or zero, and parents lead nowhere in a circle.
 * @param spans one trace, as it is stored; not changed
 */
export function unshare(spans: readonly Span[]): Span[] {
  const unshared = mergeTrace(spans).map((span): Span => Object.assign({}, span));
  const groups = groupedBy(unshared, ({ id }) => id);
  const ids = new NewIds(groups);
  const parents = unshared.map((span) => parentOf(span, groups));
  for (const [id, group] of groups) renumber(id, group, ids);
  for (const [i, span] of unshared.entries()) {
    const parent = parents[i];
    if (parent !== undefined && parent !== span) span.parentId = parent.id;
    delete span.shared;
  }
  cutCircles(unshared);
  return unshared;
}

/** In the order of their first members. */
export function groupedBy<T, K>(values: readonly T[], keyOf: (value: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>();
  for (const value of values) {
    const key = keyOf(value);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [value]);
    else group.push(value);
  }
  return groups;
}

/** Ids that nobody has. */
class NewIds {
  readonly #taken: Set<string>;

  constructor(groups: ReadonlyMap<string, unknown>) {
    this.#taken = new Set([ZERO_ID, ...groups.keys()]);
  }

  next(traceId: string, id: string): string {
    for (let salt = 's'; ; salt += 's') {
      const hash = createHash('sha256').update(`${traceId}${id}${salt}`).digest('hex').slice(0, 16);
      if (this.#taken.has(hash)) continue;
      this.#taken.add(hash);
      return hash;
    }
  }
}

/** The first one keeps the id: clients come before servers. No span may have the id zero. */
function renumber(id: string, group: readonly Span[], ids: NewIds): void {
  for (const [i, span] of group.entries()) {
    if (i > 0 || id === ZERO_ID) span.id = ids.next(span.traceId, id);
  }
}

/**
 * The span that is the parent: of a shared span its client, of others the one of those with the
 * parent's id that the span comes from. Undefined: the parent was not sent, or there is none.
 */
function parentOf(span: Span, groups: ReadonlyMap<string, Span[]>): Span | undefined {
  if (span.shared === true) {
    const client = groups.get(span.id)![0]!;
    if (client.shared !== true) return client;
  }
  const group = span.parentId === undefined ? undefined : groups.get(span.parentId);
  if (group === undefined || group.length === 1) return group?.[0];
  return nearest(span, group);
}

/**
 * The side of a call that a child belongs to: the one of its own endpoint or service. A third
 * service was called by the server, which alone passes the id on.
 */
function nearest(span: Span, group: readonly Span[]): Span {
  const [client, ...servers] = group as [Span, ...Span[]];
  const service = span.localEndpoint?.serviceName;
  if (service === undefined) return client;
  const same = servers.filter(({ localEndpoint }) => localEndpoint?.serviceName === service);
  const exact = same.find(({ localEndpoint }) => isSame(localEndpoint, span.localEndpoint));
  if (exact !== undefined) return exact;
  if (isSame(client.localEndpoint, span.localEndpoint)) return client;
  if (same[0] !== undefined) return same[0];
  const isClients = client.localEndpoint?.serviceName === service;
  return isClients || servers.length > 1 ? client : servers[0]!;
}

const isSame = (left: Endpoint | undefined, right: Endpoint | undefined): boolean =>
  left?.serviceName === right?.serviceName &&
  left?.ipv4 === right?.ipv4 &&
  left?.ipv6 === right?.ipv6 &&
  left?.port === right?.port;

/** Of every circle of parents the earliest span loses its parent. */
function cutCircles(spans: readonly Span[]): void {
  const byId = new Map(spans.map((span) => [span.id, span]));
  const done = new Set<Span>();
  for (const start of spans) {
    const path = new Set<Span>();
    let span: Span | undefined = start;
    while (span !== undefined && !done.has(span) && !path.has(span)) {
      path.add(span);
      span = span.parentId === undefined ? undefined : byId.get(span.parentId);
    }
    if (span !== undefined && path.has(span)) {
      const ring = [...path];
      delete earliest(ring.slice(ring.indexOf(span))).parentId;
    }
    for (const passed of path) done.add(passed);
  }
}

/** The span that began first; those that do not say when come last. */
export function earliest(spans: readonly Span[]): Span {
  let first = spans[0]!;
  for (const span of spans) {
    if (span.timestamp === undefined) continue;
    if (first.timestamp === undefined || span.timestamp < first.timestamp) first = span;
  }
  return first;
}
