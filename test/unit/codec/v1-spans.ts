/** Builds v1 spans of short notations and converts them, for the tests of v1-convert.ts. */
import { decodeV1JsonSpan } from '../../../src/codec/v1-json.ts';
import { DecodeReport } from '../../../src/model/decode-report.ts';
import type { RowGate } from '../../../src/model/decode-report.ts';
import { admitAll, newBatch, readBatch } from './v1-batch-reader.ts';
import type { JsonSpan } from './v1-batch-reader.ts';

export const WEB = { serviceName: 'web', ipv4: '127.0.0.1' };
export const APP = { serviceName: 'app', ipv4: '192.168.99.101', port: 9000 };
export const KAFKA = { serviceName: 'kafka' };
export const IDS = {
  traceId: '0000000000000001',
  parentId: '0000000000000002',
  id: '0000000000000003',
};
export const T = 1_472_470_996_199_000;

export const at = (ms: number, value: string, endpoint?: object): object => ({
  timestamp: T + ms * 1000,
  value,
  endpoint,
});
export const tag = (key: string, value: string | boolean, endpoint?: object): object => ({
  key,
  value,
  endpoint,
});

export interface Parts {
  timestamp?: number;
  duration?: number;
  annotations?: object[];
  binaryAnnotations?: object[];
}

export function convert(
  parts: Parts,
  gate: RowGate = admitAll,
): { spans: JsonSpan[]; report: DecodeReport } {
  const source = Buffer.from(JSON.stringify({ traceId: '1', parentId: '2', id: '3', ...parts }));
  const batch = newBatch();
  const report = new DecodeReport();
  decodeV1JsonSpan(source, 0, batch, gate, report);
  return { spans: readBatch(batch), report };
}

export const rows = (parts: Parts): JsonSpan[] => convert(parts).spans;
