/** Takes Native blocks apart, for segments that storage does not take as a whole. */
import { DAY_US } from '../../model/days.ts';
import type { BlockCutter, OpenedBlock } from '../contract.ts';
import { BlockBuffer } from './block-buffer.ts';
import { NativeReader, readColumn, type Values } from './native-layout.ts';

const DAY_COLUMN = 'ts';
const BATCH_COLUMN = '_batch';
const TENANT_COLUMN = 'tenant';
const TWO_32 = 2 ** 32;

export class NativeBlockCutter implements BlockCutter {
  readonly #out = new BlockBuffer();

  open(block: Buffer): OpenedBlock {
    const reader = new NativeReader(block);
    const columns: Column[] = [];
    const columnCount = reader.varuint();
    const rows = reader.varuint();
    let days: number[] | undefined;
    for (let i = 0; i < columnCount; i++) {
      const name = reader.text();
      const type = reader.text();
      const from = reader.at;
      columns.push({ name, type, values: readColumn(reader, type, rows) });
      if (name === DAY_COLUMN) days = readDays(block.subarray(from, reader.at));
    }
    const marked = columns.some(({ name, type }) => name === BATCH_COLUMN && type === 'UInt64');
    if (reader.at !== block.byteLength || days?.length !== rows || !marked) {
      throw new Error('not a block of spans');
    }
    return {
      days,
      take: (picks, batchId) => this.#take(columns, picks, batchId),
    };
  }

  #take(columns: readonly Column[], picks: readonly number[], batchId: bigint): Uint8Array {
    const out = this.#out;
    out.clear();
    out.varuint(columns.length);
    out.varuint(picks.length);
    for (const { name, type, values } of columns) {
      out.string(name);
      out.string(type);
      if (name === BATCH_COLUMN) {
        out.constant64(batchId, picks.length);
      } else {
        values.prefix(out);
        values.take(out, picks);
      }
    }
    return out.written();
  }
}

interface Column {
  readonly name: string;
  readonly type: string;
  readonly values: Values;
}

/** DateTime64(6): epoch microseconds. */
function readDays(column: Buffer): number[] {
  const days: number[] = [];
  for (let at = 0; at + 8 <= column.byteLength; at += 8) {
    const us = column.readUInt32LE(at + 4) * TWO_32 + column.readUInt32LE(at);
    days.push(Math.floor(us / DAY_US));
  }
  return days;
}

/**
 * The tenants of a block's spans; the first bytes of the block will do when they hold all of them.
 * @throws RangeError when they do not, Error when it is not a block of spans
 */
export function tenantsOf(head: Buffer): string[] {
  const reader = new NativeReader(head);
  reader.varuint();
  reader.varuint();
  const name = reader.text();
  const type = reader.text();
  if (name !== TENANT_COLUMN || type !== 'LowCardinality(String)') {
    throw new Error('not a block of spans');
  }
  reader.skip(16);
  return Array.from({ length: reader.uint64() }, () => reader.text());
}
