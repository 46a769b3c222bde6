/** Rows of text as people read them on a terminal. */

export interface TableColumn<T> {
  readonly head: string;
  readonly right?: boolean;
  readonly of: (row: T) => string;
}

export function alignedTable<T>(columns: readonly TableColumn<T>[], rows: readonly T[]): string {
  const cells = rows.map((row) => columns.map((column) => column.of(row)));
  const widths = columns.map(({ head }, place) =>
    Math.max(head.length, ...cells.map((line) => line[place]!.length)),
  );
  const lines = [columns.map(({ head }) => head), ...cells].map((line) =>
    line
      .map((text, place) =>
        columns[place]!.right === true
          ? text.padStart(widths[place]!)
          : text.padEnd(widths[place]!),
      )
      .join('  ')
      .trimEnd(),
  );
  return `${lines.join('\n')}\n`;
}

const STEPS = [
  ['GiB', 1024 ** 3],
  ['MiB', 1024 ** 2],
  ['KiB', 1024],
] as const;

/** Three digits and a unit. */
export function shortBytes(bytes: number): string {
  for (const [unit, factor] of STEPS) {
    if (bytes >= factor) return `${(bytes / factor).toFixed(1)} ${unit}`;
  }
  return `${bytes} B`;
}

export const counted = (count: number, one: string): string =>
  `${count.toLocaleString('en')} ${one}${count === 1 ? '' : 's'}`;
