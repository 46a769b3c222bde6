/** The spans of traces that are in the log and not in storage yet. */
import type { Span } from '../../model/span.ts';
import { BlockBuffer } from './block-buffer.ts';
import { RowReader, SPAN_COLUMNS } from './row-reader.ts';
import { UnstoredBlock } from './unstored-block.ts';

/** Which rows. */
export interface WantedSpans {
  readonly tenant: string;
  /** Low 64 bits of the ids of their traces. */
  readonly lows: readonly bigint[];
  /** The high ones; undefined: any. */
  readonly high: bigint | undefined;
}

/** @throws Error when something is no block of spans */
export function unstoredSpans(blocks: readonly Buffer[], wanted: WantedSpans): Span[] {
  let out: BlockBuffer | undefined;
  const tenant = textBytes(wanted.tenant);
  const isWanted = lowMatcher(wanted.lows);
  for (const bytes of blocks) {
    const block = new UnstoredBlock(bytes);
    const tenants = block.texts('tenant');
    const number = tenants.numberOf(tenant);
    if (number < 0) continue;
    const lows = block.fixed('trace_lo');
    for (let row = 0; row < block.rows; row++) {
      if (!isWanted(lows, row) || tenants.index[row] !== number) continue;
      const { high } = wanted;
      if (high !== undefined && block.fixed('trace_hi').readBigUInt64LE(8 * row) !== high) continue;
      out ??= new BlockBuffer();
      for (const name of SPAN_COLUMNS) block.column(name).row(out, row);
    }
  }
  return out === undefined ? [] : new RowReader(Buffer.from(out.written())).spans();
}

/** Compares words: a bigint for each row would cost more than all else. */
function lowMatcher(lows: readonly bigint[]): (column: Buffer, row: number) => boolean {
  const wanted = new Map<number, number[]>();
  for (const low of lows) {
    const word = Number(BigInt.asUintN(32, low));
    const high = Number(low >> 32n);
    const highs = wanted.get(word);
    if (highs === undefined) wanted.set(word, [high]);
    else highs.push(high);
  }
  return (column, row) => {
    const highs = wanted.get(column.readUInt32LE(8 * row));
    return highs !== undefined && highs.includes(column.readUInt32LE(8 * row + 4));
  };
}

/** With its length before it, as blocks have it. */
export function textBytes(text: string): Buffer {
  const bytes = Buffer.from(text);
  const length: number[] = [];
  let rest = bytes.byteLength;
  for (; rest > 127; rest = Math.floor(rest / 128)) length.push((rest % 128) + 128);
  return Buffer.concat([Buffer.from([...length, rest]), bytes]);
}
