/**
 * The columns of `spans`: the single source of DDL, insert, Native blocks and select. Order is the
 * order in the block. Codecs are those that storage measurements kept (RATIONALE.md).
 */
import type { SpanBatch } from '../../model/span-batch.ts';
import type { BlockBuffer } from './block-buffer.ts';

export interface Column {
  readonly name: string;
  /** ClickHouse type, in the table and in the block. */
  readonly type: string;
  /** Inside CODEC(…); empty for the server's default. */
  readonly codec: string;
  /** Appends the column's data of all rows in Native layout. */
  write(out: BlockBuffer, batch: SpanBatch, batchId: bigint): void;
}

const LOW_CARDINALITY = 'LowCardinality(String)';
const KINDS = "Enum8('NONE'=0,'CLIENT'=1,'SERVER'=2,'PRODUCER'=3,'CONSUMER'=4)";

export const COLUMNS: readonly Column[] = [
  {
    name: 'tenant',
    type: LOW_CARDINALITY,
    codec: '',
    write: (out, b) => out.lowCardinality(b.tenants, b.tenantIndex, b.rows),
  },
  {
    name: 'ts',
    type: "DateTime64(6,'UTC')",
    codec: 'Delta(8),ZSTD(1)',
    write: (out, b) => out.words(b.ts, 2 * b.rows),
  },
  {
    name: 'trace_lo',
    type: 'UInt64',
    codec: 'ZSTD(1)',
    write: (out, b) => out.words(b.traceLo, 2 * b.rows),
  },
  {
    name: 'trace_hi',
    type: 'UInt64',
    codec: 'ZSTD(1)',
    write: (out, b) => out.words(b.traceHi, 2 * b.rows),
  },
  { name: 'id', type: 'UInt64', codec: 'NONE', write: (out, b) => out.words(b.id, 2 * b.rows) },
  {
    name: 'parent_id',
    type: 'UInt64',
    codec: 'ZSTD(1)',
    write: (out, b) => out.words(b.parentId, 2 * b.rows),
  },
  { name: 'kind', type: KINDS, codec: 'ZSTD(1)', write: (out, b) => out.bytes(b.kind, b.rows) },
  { name: 'flags', type: 'UInt8', codec: 'ZSTD(1)', write: (out, b) => out.bytes(b.flags, b.rows) },
  {
    name: 'duration',
    type: 'UInt64',
    codec: 'T64,ZSTD(1)',
    write: (out, b) => out.words(b.duration, 2 * b.rows),
  },
  {
    name: 'name',
    type: LOW_CARDINALITY,
    codec: '',
    write: (out, b) => out.lowCardinality(b.names, b.nameIndex, b.rows),
  },
  {
    name: 'service',
    type: LOW_CARDINALITY,
    codec: '',
    write: (out, b) => out.lowCardinality(b.local.services, b.local.serviceIndex, b.rows),
  },
  {
    name: 'remote',
    type: LOW_CARDINALITY,
    codec: '',
    write: (out, b) => out.lowCardinality(b.remote.services, b.remote.serviceIndex, b.rows),
  },
  {
    name: 'local_ip4',
    type: 'IPv4',
    codec: 'ZSTD(1)',
    write: (out, b) => out.words(b.local.ip4, b.rows),
  },
  {
    name: 'local_ip6',
    type: 'IPv6',
    codec: 'ZSTD(1)',
    write: (out, b) => out.bytes(b.local.ip6, 16 * b.rows),
  },
  {
    name: 'local_port',
    type: 'UInt16',
    codec: 'ZSTD(1)',
    write: (out, b) => out.halves(b.local.port, b.rows),
  },
  {
    name: 'remote_ip4',
    type: 'IPv4',
    codec: 'ZSTD(1)',
    write: (out, b) => out.words(b.remote.ip4, b.rows),
  },
  {
    name: 'remote_ip6',
    type: 'IPv6',
    codec: 'ZSTD(1)',
    write: (out, b) => out.bytes(b.remote.ip6, 16 * b.rows),
  },
  {
    name: 'remote_port',
    type: 'UInt16',
    codec: 'ZSTD(1)',
    write: (out, b) => out.halves(b.remote.port, b.rows),
  },
  {
    name: 'ann_off',
    type: 'Array(Int64)',
    codec: 'ZSTD(1)',
    write: (out, { annotations, rows }) => {
      out.offsets(annotations.rowEnds, rows);
      out.words(annotations.offsets, 2 * annotations.count);
    },
  },
  {
    name: 'ann_value',
    type: `Array(${LOW_CARDINALITY})`,
    codec: '',
    write: (out, { annotations, rows }) => {
      out.lowCardinalityPrefix();
      out.offsets(annotations.rowEnds, rows);
      out.lowCardinalityBody(annotations.values, annotations.valueIndex, annotations.count);
    },
  },
  {
    name: 'tags',
    type: `Map(${LOW_CARDINALITY},String)`,
    codec: 'ZSTD(1)',
    write: (out, { tags, rows }) => {
      out.lowCardinalityPrefix();
      out.offsets(tags.rowEnds, rows);
      out.lowCardinalityBody(tags.keys, tags.keyIndex, tags.count);
      out.bytes(tags.values, tags.valueBytes);
    },
  },
  {
    // What the typed columns cannot hold: `t=` exact timestamp, `l=` and `r=` IPv4 texts.
    name: 'exact',
    type: 'String',
    codec: 'ZSTD(1)',
    write: (out, b) => out.sparseTexts(b.exactTexts, b.rows),
  },
  {
    // Node, epoch and number of the log segment: what exactly-once counts by.
    name: '_batch',
    type: 'UInt64',
    codec: 'Delta(8),ZSTD(1)',
    write: (out, b, batchId) => out.constant64(batchId, b.rows),
  },
];
