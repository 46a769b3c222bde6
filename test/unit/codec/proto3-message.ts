/** What the tests of proto3 share: writing messages byte by byte, decoding into a fresh batch. */
import { decodeProto3 } from '../../../src/codec/proto3.ts';
import { DecodeReport } from '../../../src/model/decode-report.ts';
import type { MessageError, RowGate } from '../../../src/model/decode-report.ts';
import type { SpanLimits } from '../../../src/model/limits.ts';
import { SpanBatch } from '../../../src/model/span-batch.ts';
import { readRows } from './batch-reader.ts';
import type { ReadSpan } from './batch-reader.ts';

export const LIMITS: SpanLimits = {
  spanBytesMax: 262_144,
  tagsMax: 256,
  annotationsMax: 256,
  tagKeyBytesMax: 256,
  tagValueBytesMax: 65_536,
  annotationBytesMax: 16_384,
  nameBytesMax: 512,
  serviceNameBytesMax: 256,
};
export const ARRIVAL_US = 1_790_000_000_000_000;
export const ADMIT_ALL: RowGate = { admit: () => undefined };

export interface Decoded {
  error: MessageError | undefined;
  report: DecodeReport;
  batch: SpanBatch;
  /** None when the whole message is refused: the rows are taken back then, as the caller does. */
  spans: ReadSpan[];
}

export function newBatch(limits: SpanLimits = LIMITS): SpanBatch {
  const batch = new SpanBatch(limits, 4711);
  batch.beginMessage(new TextEncoder().encode('default'), limits, ARRIVAL_US);
  return batch;
}

export function decode(
  source: Uint8Array,
  batch: SpanBatch = newBatch(),
  gate: RowGate = ADMIT_ALL,
): Decoded {
  const report = new DecodeReport();
  const from = batch.rows;
  const mark = batch.mark();
  const error = decodeProto3(source, batch, gate, report);
  if (error !== undefined) batch.rollback(mark);
  return { error, report, batch, spans: readRows(batch, from) };
}

export const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');

export function varint(value: number | bigint): Buffer {
  const out: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  for (; rest > 127n; rest >>= 7n) out.push(Number(rest & 127n) | 128);
  out.push(Number(rest));
  return Buffer.from(out);
}

/** A field of wire type 0 for a number, 2 for text and bytes. */
export function field(number: number, value: number | bigint | string | Uint8Array): Buffer {
  if (typeof value === 'number' || typeof value === 'bigint') {
    return Buffer.concat([varint(number * 8), varint(value)]);
  }
  const bytes = typeof value === 'string' ? Buffer.from(value) : value;
  return Buffer.concat([varint(number * 8 + 2), varint(bytes.length), bytes]);
}

export function fixed64(number: number, value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt.asUintN(64, value));
  return Buffer.concat([varint(number * 8 + 1), bytes]);
}

export const TRACE_ID = '463ac35c9f6413ad48485a3953bb6124';
export const IDS = Buffer.concat([field(1, hex(TRACE_ID)), field(3, hex('000000000000000a'))]);

/** A list of one span: valid ids and these fields. */
export function spanOf(...fields: Uint8Array[]): Buffer {
  return field(1, Buffer.concat([IDS, ...fields]));
}

/** What `spanOf` reads back as when nothing else is in it. */
export const BARE: ReadSpan = { traceId: TRACE_ID, id: '000000000000000a' };
