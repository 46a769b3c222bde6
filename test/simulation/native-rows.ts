/**
 * Reads rows out of Native blocks, as storage does: an independent reading of the format that
 * src/storage/clickhouse/block-buffer.ts writes, for the column types of `spans`.
 */
export interface Row {
  /** Its `_batch`. */
  readonly batch: bigint;
  /** Days since 1970-01-01 UTC of its `ts`. */
  readonly day: number;
  /** What was sent, in the form of rowText(). */
  readonly text: string;
  /** Storage may be set up not to take such rows. */
  readonly isPoison: boolean;
}

/** Name of the spans that a storage may refuse. */
export const POISON = 'poison';

export interface RowFields {
  readonly tenant: string;
  /** 32 hex digits. */
  readonly traceId: string;
  /** 16 hex digits. */
  readonly id: string;
  /** Epoch microseconds; undefined when none was sent. */
  readonly timestampUs: number | undefined;
  readonly name: string;
  readonly service: string;
  /** Values of the tags, in order. */
  readonly tags: readonly string[];
}

export const rowText = (row: RowFields): string =>
  `${row.tenant} ${row.traceId}/${row.id} ${row.timestampUs ?? '-'} ${row.name} ${row.service} ${row.tags.join()}`;

const DAY_US = 86_400_000_000;
const FLAG_TIMESTAMP = 4;
const FIXED_BYTES: Readonly<Record<string, number>> = {
  UInt8: 1,
  Enum8: 1,
  UInt16: 2,
  IPv4: 4,
  UInt64: 8,
  Int64: 8,
  DateTime64: 8,
  IPv6: 16,
};

const NEEDED = new Set('tenant ts trace_lo trace_hi id flags name service tags _batch'.split(' '));

type Value = bigint | string | Buffer | readonly string[];
type Column = readonly Value[];

class BlockReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get atEnd(): boolean {
    return this.#at >= this.#bytes.byteLength;
  }

  block(): Row[] {
    const columns = this.#varuint();
    const rows = this.#varuint();
    const byName = new Map<string, Column>();
    for (let column = 0; column < columns; column++) {
      const name = this.#string();
      const type = this.#string();
      const size = FIXED_BYTES[type.split('(', 1)[0] ?? ''];
      if (size === undefined) byName.set(name, this.#column(type, rows));
      else if (NEEDED.has(name)) byName.set(name, this.#fixed(size, rows));
      else this.#take(size * rows);
    }
    return Array.from({ length: rows }, (_, row) => rowOf(byName, row));
  }

  #column(type: string, rows: number): Column {
    if (type === 'String') return this.#strings(rows);
    if (type === 'LowCardinality(String)') {
      this.#uint64();
      return this.#lowCardinality(rows);
    }
    if (type === 'Array(Int64)') {
      this.#take(8 * (this.#ends(rows).at(-1) ?? 0));
      return [];
    }
    if (type === 'Array(LowCardinality(String))') {
      this.#uint64();
      this.#lowCardinality(this.#ends(rows).at(-1) ?? 0);
      return [];
    }
    if (type === 'Map(LowCardinality(String),String)') return this.#maps(rows);
    throw new Error(`unknown type ${type}`);
  }

  #maps(rows: number): Column {
    this.#uint64();
    const ends = this.#ends(rows);
    const count = ends.at(-1) ?? 0;
    this.#lowCardinality(count);
    const values = this.#strings(count);
    return ends.map((end, row) => values.slice(ends[row - 1] ?? 0, end));
  }

  #lowCardinality(count: number): string[] {
    if (count === 0) return [];
    const width = 2 ** (this.#uint64() & 0xff);
    const keys = this.#strings(this.#uint64());
    if (this.#uint64() !== count) throw new Error('another number of indexes than rows');
    return Array.from({ length: count }, () => {
      const key = keys[this.#take(width).readUIntLE(0, width)];
      if (key === undefined) throw new Error('an index beyond the keys');
      return key;
    });
  }

  #fixed(size: number, count: number): Column {
    return Array.from({ length: count }, () => {
      const bytes = this.#take(size);
      return size === 8 ? bytes.readBigUInt64LE() : bytes;
    });
  }

  #ends(rows: number): number[] {
    return Array.from({ length: rows }, () => this.#uint64());
  }

  #strings(count: number): string[] {
    return Array.from({ length: count }, () => this.#string());
  }

  #string(): string {
    return this.#take(this.#varuint()).toString('utf8');
  }

  #uint64(): number {
    return Number(this.#take(8).readBigUInt64LE());
  }

  #varuint(): number {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = this.#take(1)[0]!;
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
  }

  #take(size: number): Buffer {
    const end = this.#at + size;
    if (end > this.#bytes.byteLength) throw new Error('the block is cut short');
    const bytes = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return bytes;
  }
}

function rowOf(columns: ReadonlyMap<string, Column>, row: number): Row {
  const value = (name: string): Value => columns.get(name)![row]!;
  const hex = (name: string): string => (value(name) as bigint).toString(16).padStart(16, '0');
  const us = Number(value('ts'));
  const hasTimestamp = ((value('flags') as Buffer)[0]! & FLAG_TIMESTAMP) !== 0;
  const name = value('name') as string;
  const text = rowText({
    tenant: value('tenant') as string,
    traceId: hex('trace_hi') + hex('trace_lo'),
    id: hex('id'),
    timestampUs: hasTimestamp ? us : undefined,
    name,
    service: value('service') as string,
    tags: value('tags') as readonly string[],
  });
  const batch = value('_batch') as bigint;
  return { batch, day: Math.floor(us / DAY_US), text, isPoison: name === POISON };
}

/** @throws when the bytes are no whole blocks */
export function readRows(bytes: Buffer): Row[] {
  const reader = new BlockReader(bytes);
  const rows: Row[] = [];
  while (!reader.atEnd) rows.push(...reader.block());
  return rows;
}
