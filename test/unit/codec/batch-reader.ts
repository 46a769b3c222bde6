/**
 * Rows of a batch as Zipkin's JSON has spans: absent members left out, tags sorted by key,
 * 64-bit numbers as bigint where a number would not be exact.
 */
import type { ByteDictionary } from '../../../src/model/byte-dictionary.ts';
import type { EndpointColumns } from '../../../src/model/endpoint-columns.ts';
import { formatIp4, formatIp6 } from '../../../src/model/ip.ts';
import {
  FLAG_DEBUG,
  FLAG_LOCAL_IP4_ZERO,
  FLAG_LOCAL_IP6_ZERO,
  FLAG_REMOTE_IP4_ZERO,
  FLAG_REMOTE_IP6_ZERO,
  FLAG_SHARED,
  FLAG_TIMESTAMP,
} from '../../../src/model/span-batch.ts';
import type { SpanBatch } from '../../../src/model/span-batch.ts';
import { SPAN_KINDS } from '../../../src/model/span.ts';

export interface ReadEndpoint {
  serviceName?: string;
  ipv4?: string;
  ipv6?: string;
  port?: number;
}

export interface ReadSpan {
  traceId: string;
  parentId?: string;
  id: string;
  kind?: string;
  name?: string;
  timestamp?: number | bigint;
  duration?: number | bigint;
  localEndpoint?: ReadEndpoint;
  remoteEndpoint?: ReadEndpoint;
  annotations?: { timestamp: number | bigint; value: string }[];
  tags?: Record<string, string>;
  debug?: true;
  shared?: true;
}

const textDecoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Throws on bytes that are no UTF-8: none may get into a batch. */
function textOf(dictionary: ByteDictionary, entry: number): string {
  if (entry >= dictionary.size) throw new RangeError(`no entry ${entry}`);
  const { arena, starts, ends } = dictionary;
  return textDecoder.decode(arena.subarray(starts[entry], ends[entry]));
}

function wide(words: Uint32Array, row: number): bigint {
  return (BigInt(words[2 * row + 1]!) << 32n) | BigInt(words[2 * row]!);
}

export function exact(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

const hex16 = (value: bigint): string => value.toString(16).padStart(16, '0');

/** Rows from number `from` on. */
export function readRows(batch: SpanBatch, from: number = 0): ReadSpan[] {
  const values = tagValuesOf(batch);
  const spans: ReadSpan[] = [];
  for (let row = from; row < batch.rows; row++) spans.push(readRow(batch, row, values));
  return spans;
}

function readRow(batch: SpanBatch, row: number, values: readonly string[]): ReadSpan {
  const flags = batch.flags[row]!;
  const high = wide(batch.traceHi, row);
  const traceId = (high === 0n ? '' : hex16(high)) + hex16(wide(batch.traceLo, row));
  const span: ReadSpan = { traceId, id: hex16(wide(batch.id, row)) };
  const parent = wide(batch.parentId, row);
  if (parent !== 0n) span.parentId = hex16(parent);
  const kind = SPAN_KINDS[batch.kind[row]!];
  if (kind !== undefined) span.kind = kind;
  const name = textOf(batch.names, batch.nameIndex[row]!);
  if (name !== '') span.name = name;
  const beyond = /(?:^|;)t=(\d+)/.exec(batch.exactTexts.find((e) => e.row === row)?.text ?? '');
  if ((flags & FLAG_TIMESTAMP) !== 0) {
    span.timestamp = exact(beyond === null ? wide(batch.ts, row) : BigInt(beyond[1]!));
  }
  const duration = wide(batch.duration, row);
  if (duration !== 0n) span.duration = exact(duration);
  const local = readEndpoint(
    batch.local,
    row,
    flags & FLAG_LOCAL_IP4_ZERO,
    flags & FLAG_LOCAL_IP6_ZERO,
  );
  if (local !== undefined) span.localEndpoint = local;
  const remote = readEndpoint(
    batch.remote,
    row,
    flags & FLAG_REMOTE_IP4_ZERO,
    flags & FLAG_REMOTE_IP6_ZERO,
  );
  if (remote !== undefined) span.remoteEndpoint = remote;
  readLists(batch, row, values, span);
  if ((flags & FLAG_DEBUG) !== 0) span.debug = true;
  if ((flags & FLAG_SHARED) !== 0) span.shared = true;
  return span;
}

function readEndpoint(
  side: EndpointColumns,
  row: number,
  ip4Zero: number,
  ip6Zero: number,
): ReadEndpoint | undefined {
  const endpoint: ReadEndpoint = {};
  const serviceName = textOf(side.services, side.serviceIndex[row]!);
  if (serviceName !== '') endpoint.serviceName = serviceName;
  if (side.ip4[row] !== 0 || ip4Zero !== 0) endpoint.ipv4 = formatIp4(side.ip4[row]!);
  const ip6 = side.ip6.subarray(16 * row, 16 * row + 16);
  if (ip6.some((byte) => byte !== 0) || ip6Zero !== 0) endpoint.ipv6 = formatIp6(ip6);
  if (side.port[row] !== 0) endpoint.port = side.port[row]!;
  return Object.keys(endpoint).length > 0 ? endpoint : undefined;
}

function readLists(batch: SpanBatch, row: number, values: readonly string[], span: ReadSpan): void {
  const { annotations, tags } = batch;
  const base = wide(batch.ts, row);
  const firstAnnotation = row === 0 ? 0 : annotations.rowEnds[row - 1]!;
  for (let i = firstAnnotation; i < annotations.rowEnds[row]!; i++) {
    const timestamp = exact(BigInt.asIntN(64, base + wide(annotations.offsets, i)));
    const value = textOf(annotations.values, annotations.valueIndex[i]!);
    (span.annotations ??= []).push({ timestamp, value });
  }
  const entries: [string, string][] = [];
  for (let i = row === 0 ? 0 : tags.rowEnds[row - 1]!; i < tags.rowEnds[row]!; i++) {
    entries.push([textOf(tags.keys, tags.keyIndex[i]!), values[i]!]);
  }
  entries.sort(([a], [b]) => (a < b ? -1 : 1));
  if (new Set(entries.map(([key]) => key)).size < entries.length) {
    throw new RangeError(`row ${row} holds a key twice`);
  }
  if (entries.length > 0) span.tags = Object.fromEntries(entries);
}

/** All values in order; throws unless they fill the arena exactly. */
function tagValuesOf(batch: SpanBatch): string[] {
  const { tags } = batch;
  const values: string[] = [];
  let p = 0;
  while (p < tags.valueBytes) {
    let length = 0;
    for (let shift = 0; ; shift += 7) {
      const c = tags.values[p++]!;
      length += (c & 127) * 2 ** shift;
      if (c < 128) break;
    }
    values.push(textDecoder.decode(tags.values.subarray(p, p + length)));
    p += length;
  }
  if (p !== tags.valueBytes || values.length !== tags.count) {
    throw new RangeError(`${values.length} values for ${tags.count} tags`);
  }
  return values;
}
