/** How the rows of a segment are spread over the parts that are put in its place. */
import type { BlockCutter, OpenedBlock } from '../storage/contract.ts';
import type { BlockPiece, Divide } from '../wal/division.ts';
import { INSERT_DAYS_MAX } from './refusals.ts';

/** The files of all parts are open at the same time. */
const PARTS_MAX = 16;

/** The blocks are not what the cutter knows: the segment cannot be divided. */
export class IndivisibleError extends Error {
  constructor(cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.name = 'IndivisibleError';
  }
}

/** Part of a row; undefined: in none, for its day is in storage. */
type PartOf = (row: number, day: number) => number | undefined;

export interface RowsToDivide {
  readonly cutter: BlockCutter;
  /** Days that are not in storage, and how many rows they have. */
  readonly days: readonly number[];
  readonly rows: number;
}

/** Between two blocks if there are several, otherwise between two rows. */
export function inHalves(source: RowsToDivide): Divide {
  const wanted = new Set(source.days);
  return (blockRows) => {
    const middle = middleOf(blockRows);
    return division(source, 2, (row, day) => (wanted.has(day) ? Number(row >= middle) : undefined));
  };
}

/** Neighbouring days together, as many in each part as one insert may have; or more at first. */
export function byDays(source: RowsToDivide): Divide {
  const days = source.days.toSorted((a, b) => a - b);
  const size = Math.max(INSERT_DAYS_MAX, Math.ceil(days.length / PARTS_MAX));
  const parts = new Map(days.map((day, place) => [day, Math.floor(place / size)]));
  const count = Math.ceil(days.length / size);
  return () => division(source, count, (_, day) => parts.get(day));
}

function middleOf(blockRows: readonly number[]): number {
  const half = blockRows.reduce((sum, rows) => sum + rows, 0) / 2;
  if (blockRows.length < 2) return Math.floor(half);
  let best = blockRows[0]!;
  let end = 0;
  for (const rows of blockRows.slice(0, -1)) {
    end += rows;
    if (Math.abs(end - half) < Math.abs(best - half)) best = end;
  }
  return best;
}

function division(
  { cutter, rows }: RowsToDivide,
  parts: number,
  partOf: PartOf,
): ReturnType<Divide> {
  let firstRow = 0;
  return {
    parts,
    rows,
    cut: (block, batches) => {
      const opened = open(cutter, block);
      const first = firstRow;
      firstRow += opened.days.length;
      return pieces(opened, batches, (row, day) => partOf(first + row, day));
    },
  };
}

function open(cutter: BlockCutter, block: Buffer): OpenedBlock {
  try {
    return cutter.open(block);
  } catch (error) {
    throw new IndivisibleError(error);
  }
}

function* pieces(
  opened: OpenedBlock,
  batches: readonly bigint[],
  partOf: PartOf,
): Iterable<BlockPiece> {
  const rowsOf = new Map<number, number[]>();
  for (const [row, day] of opened.days.entries()) {
    const part = partOf(row, day);
    if (part === undefined) continue;
    const rows = rowsOf.get(part);
    if (rows === undefined) rowsOf.set(part, [row]);
    else rows.push(row);
  }
  for (const [part, rows] of rowsOf) {
    const days = new Map<number, number>();
    for (const row of rows) {
      const day = opened.days[row]!;
      days.set(day, (days.get(day) ?? 0) + 1);
    }
    yield { part, rows: rows.length, days, bytes: opened.take(rows, batches[part]!) };
  }
}
