/** Rows of a batch as Zipkin's JSON has them: what the v1 tests compare as a whole. */
import { DecodeReport } from '../../../src/model/decode-report.ts';
import type { Decode, MessageError, RowGate } from '../../../src/model/decode-report.ts';
import type { ByteDictionary } from '../../../src/model/byte-dictionary.ts';
import type { EndpointColumns } from '../../../src/model/endpoint-columns.ts';
import { formatIp4, formatIp6 } from '../../../src/model/ip.ts';
import type { SpanLimits } from '../../../src/model/limits.ts';
import {
  FLAG_DEBUG,
  FLAG_SHARED,
  FLAG_TIMESTAMP,
  SpanBatch,
} from '../../../src/model/span-batch.ts';
import { SPAN_KINDS } from '../../../src/model/span.ts';

export type JsonSpan = Record<string, unknown>;

export const LIMITS: SpanLimits = {
  spanBytesMax: 256 * 1024,
  tagsMax: 256,
  annotationsMax: 256,
  tagKeyBytesMax: 256,
  tagValueBytesMax: 64 * 1024,
  annotationBytesMax: 16 * 1024,
  nameBytesMax: 512,
  serviceNameBytesMax: 256,
};

export const admitAll: RowGate = { admit: () => undefined };
export const ARRIVAL_US = 1_700_006_400_000_000;

export function newBatch(limits: SpanLimits = LIMITS): SpanBatch {
  const batch = new SpanBatch(limits, 42);
  batch.beginMessage(Buffer.from('default'), limits, ARRIVAL_US);
  return batch;
}

const textOf = (dictionary: ByteDictionary, entry: number): string =>
  Buffer.from(
    dictionary.arena.subarray(dictionary.starts[entry], dictionary.ends[entry]),
  ).toString();

const hexOf = (words: Uint32Array, row: number): string =>
  words[2 * row + 1]!.toString(16).padStart(8, '0') + words[2 * row]!.toString(16).padStart(8, '0');

const wide = (words: Uint32Array, row: number): bigint =>
  (BigInt(words[2 * row + 1]!) << 32n) | BigInt(words[2 * row]!);

const narrow = (value: bigint): number | bigint =>
  Number.isSafeInteger(Number(value)) ? Number(value) : value;

function endpointOf(side: EndpointColumns, row: number, odd: string | undefined): JsonSpan {
  const endpoint: JsonSpan = {};
  const zeros = side.zeros[row]!;
  const ip6 = side.ip6.subarray(16 * row, 16 * row + 16);
  if (side.serviceIndex[row] !== 0) {
    endpoint['serviceName'] = textOf(side.services, side.serviceIndex[row]!);
  }
  if (side.ip4[row] !== 0 || (zeros & 1) !== 0) endpoint['ipv4'] = odd ?? formatIp4(side.ip4[row]!);
  if (ip6.some((byte) => byte !== 0) || (zeros & 2) !== 0) endpoint['ipv6'] = formatIp6(ip6);
  if (side.port[row] !== 0) endpoint['port'] = side.port[row];
  return endpoint;
}

function tagsOf(batch: SpanBatch): Record<string, string>[] {
  const { tags } = batch;
  let p = 0;
  let tag = 0;
  return Array.from({ length: batch.rows }, (_, row) => {
    const pairs: [string, string][] = [];
    for (; tag < tags.rowEnds[row]!; tag++) {
      let length = 0;
      for (let shift = 0; ; shift += 7) {
        const c = tags.values[p++]!;
        length += (c & 127) * 2 ** shift;
        if (c < 128) break;
      }
      const value = Buffer.from(tags.values.subarray(p, p + length)).toString();
      p += length;
      pairs.push([textOf(tags.keys, tags.keyIndex[tag]!), value]);
    }
    return Object.fromEntries(pairs);
  });
}

export function readBatch(batch: SpanBatch): JsonSpan[] {
  const tags = tagsOf(batch);
  const { annotations } = batch;
  return Array.from({ length: batch.rows }, (_, row) => {
    const flags = batch.flags[row]!;
    const exact = new Map(
      batch.exactTexts
        .filter((entry) => entry.row === row)
        .flatMap((entry) => entry.text.split(';'))
        .map((part) => part.split('=') as [string, string]),
    );
    const hi = hexOf(batch.traceHi, row);
    const span: JsonSpan = {
      traceId: (hi === '0'.repeat(16) ? '' : hi) + hexOf(batch.traceLo, row),
      id: hexOf(batch.id, row),
    };
    if (wide(batch.parentId, row) !== 0n) span['parentId'] = hexOf(batch.parentId, row);
    if (batch.kind[row] !== 0) span['kind'] = SPAN_KINDS[batch.kind[row]!];
    if (batch.nameIndex[row] !== 0) span['name'] = textOf(batch.names, batch.nameIndex[row]!);
    const ts = wide(batch.ts, row);
    if ((flags & FLAG_TIMESTAMP) !== 0) {
      span['timestamp'] = narrow(exact.has('t') ? BigInt(exact.get('t')!) : ts);
    }
    if (wide(batch.duration, row) !== 0n) span['duration'] = narrow(wide(batch.duration, row));
    const local = endpointOf(batch.local, row, exact.get('l'));
    const remote = endpointOf(batch.remote, row, exact.get('r'));
    if (Object.keys(local).length > 0) span['localEndpoint'] = local;
    if (Object.keys(remote).length > 0) span['remoteEndpoint'] = remote;
    const from = row === 0 ? 0 : annotations.rowEnds[row - 1]!;
    const list = Array.from({ length: annotations.rowEnds[row]! - from }, (__, i) => ({
      timestamp: narrow(BigInt.asIntN(64, ts + wide(annotations.offsets, from + i))),
      value: textOf(annotations.values, annotations.valueIndex[from + i]!),
    }));
    if (list.length > 0) span['annotations'] = list;
    if (Object.keys(tags[row]!).length > 0) span['tags'] = tags[row];
    if ((flags & FLAG_DEBUG) !== 0) span['debug'] = true;
    if ((flags & FLAG_SHARED) !== 0) span['shared'] = true;
    return span;
  });
}

export interface Decoded {
  readonly spans: JsonSpan[];
  readonly report: DecodeReport;
  readonly error: MessageError | undefined;
  readonly batch: SpanBatch;
}

/** As the receiver does it: the rows of a refused message are taken back. */
export function decodeWith(decode: Decode, source: Uint8Array, limits?: SpanLimits): Decoded {
  const batch = newBatch(limits);
  const report = new DecodeReport();
  const mark = batch.mark();
  const error = decode(source, batch, admitAll, report);
  if (error !== undefined) batch.rollback(mark);
  return { spans: readBatch(batch), report, error, batch };
}

/** What an answer would be: 400 when nothing usable is in a message that has something. */
export function statusOf({ report, error }: Decoded): 202 | 400 {
  return error === undefined && report.rejected === 0 ? 202 : 400;
}
