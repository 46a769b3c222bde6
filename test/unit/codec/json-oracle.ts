/**
 * What a v2 JSON list means, said once more in the plainest way: JSON.parse and objects. Only for
 * texts that are strict JSON and whose numbers fit a double.
 */
import type { JsonSpan } from './v1-batch-reader.ts';
import { formatIp4, formatIp6, parseIp } from '../../../src/model/ip.ts';

type Value = unknown;
const isObject = (v: Value): v is Record<string, Value> =>
  typeof v === 'object' && v !== null && !Array.isArray(v);

function idOf(value: Value, digitsMax: number): string | undefined {
  if (typeof value !== 'string' && typeof value !== 'number') return undefined;
  const text = String(value);
  if (text.length > digitsMax || !/^[\da-f]+$/i.test(text)) return undefined;
  return text.toLowerCase();
}

function traceIdOf(value: Value): string | undefined {
  const id = idOf(value, 32);
  if (id === undefined || /^0+$/.test(id)) return undefined;
  return id.padStart(32, '0').replace(/^0{16}/, '');
}

function spanIdOf(value: Value): string | undefined {
  const id = idOf(value, 16);
  return id === undefined || id === '0'.repeat(16) ? undefined : id.padStart(16, '0');
}

function textOf(value: Value): string | undefined {
  if (typeof value === 'string') return value;
  return typeof value === 'number' || typeof value === 'boolean'
    ? JSON.stringify(value)
    : undefined;
}

function integerOf(value: Value): number | undefined {
  if (typeof value === 'number') return Math.floor(value);
  if (typeof value !== 'string' || value.trim() === '' || Number.isNaN(Number(value)))
    return undefined;
  return Math.floor(Number(value));
}

function endpointOf(value: Value): JsonSpan | undefined {
  if (!isObject(value)) return undefined;
  const endpoint: JsonSpan = {};
  const service = textOf(value['serviceName']) ?? '';
  if (service !== '') endpoint['serviceName'] = service.toLowerCase();
  const parsed = { ip4: 0, ip6: new Uint8Array(16), odd: false };
  for (const member of ['ipv4', 'ipv6']) {
    const text = Buffer.from(textOf(value[member]) ?? '');
    const kind = parseIp(text, 0, text.length, parsed);
    if (kind === 4) endpoint['ipv4'] = formatIp4(parsed.ip4);
    if (kind === 6) endpoint['ipv6'] = formatIp6(parsed.ip6);
  }
  const port = integerOf(value['port']) ?? 0;
  if (port > 0 && port <= 65_535) endpoint['port'] = port;
  return Object.keys(endpoint).length > 0 ? endpoint : undefined;
}

function annotationsOf(value: Value): JsonSpan[] {
  if (!Array.isArray(value)) return [];
  const list = value.filter(isObject).flatMap((entry) => {
    const timestamp = integerOf(entry['timestamp']);
    const text = textOf(entry['value']);
    return timestamp === undefined || text === undefined ? [] : [{ timestamp, value: text }];
  });
  const byTimeAndValue = (a: (typeof list)[0], b: (typeof list)[0]): number =>
    a.timestamp - b.timestamp || Buffer.compare(Buffer.from(a.value), Buffer.from(b.value));
  const sorted = list.toSorted(byTimeAndValue);
  return sorted.filter((entry, i) => i === 0 || byTimeAndValue(sorted[i - 1]!, entry) !== 0);
}

function tagsOf(value: Value): Record<string, string> {
  if (!isObject(value)) return {};
  const tags = Object.entries(value).filter(([, tag]) => tag !== null);
  return Object.fromEntries(
    tags.map(([key, tag]) => [key, typeof tag === 'string' ? tag : JSON.stringify(tag)]),
  );
}

const truthy = (value: Value): boolean =>
  value === true || value === 1 || (typeof value === 'string' && /^(?:true|1)$/i.test(value));

const KINDS = ['CLIENT', 'SERVER', 'PRODUCER', 'CONSUMER'];

const orNone = <T>(value: T, isThere: boolean): T | undefined => (isThere ? value : undefined);

function timesOf(value: Record<string, Value>): JsonSpan {
  const timestamp = integerOf(value['timestamp']) ?? 0;
  const duration = integerOf(value['duration']) ?? 0;
  return {
    timestamp: orNone(timestamp, timestamp > 0),
    duration: orNone(duration, duration > 0),
  };
}

function listsOf(value: Record<string, Value>): JsonSpan {
  const annotations = annotationsOf(value['annotations']);
  const tags = tagsOf(value['tags']);
  return {
    annotations: orNone(annotations, annotations.length > 0),
    tags: orNone(tags, Object.keys(tags).length > 0),
  };
}

/** The span as it is read back, undefined when it is rejected. */
export function oracleSpan(value: Value): JsonSpan | undefined {
  if (!isObject(value)) return undefined;
  const traceId = traceIdOf(value['traceId']);
  const id = spanIdOf(value['id']);
  if (traceId === undefined || id === undefined) return undefined;
  const parentId = idOf(value['parentId'], 16)?.padStart(16, '0');
  const kind = KINDS.find((name) => name === String(value['kind']).toUpperCase());
  const name = textOf(value['name'])?.toLowerCase();
  const members: JsonSpan = {
    traceId,
    id,
    parentId: orNone(parentId, parentId !== id && parentId !== '0'.repeat(16)),
    kind: orNone(kind, typeof value['kind'] === 'string'),
    name: orNone(name, name !== ''),
    ...timesOf(value),
    localEndpoint: endpointOf(value['localEndpoint']),
    remoteEndpoint: endpointOf(value['remoteEndpoint']),
    ...listsOf(value),
    debug: orNone(true, truthy(value['debug'])),
    shared: orNone(true, truthy(value['shared']) && kind !== 'CLIENT'),
  };
  return Object.fromEntries(Object.entries(members).filter(([, member]) => member !== undefined));
}
