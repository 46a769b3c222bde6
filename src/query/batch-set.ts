/** Which log segments were counted: their ids follow each other, so a few ranges say it. */

/** Both inclusive. */
export interface BatchRange {
  readonly from: bigint;
  readonly to: bigint;
}

/** Never changes: a reader may hold on to it while the next one is made. */
export class BatchSet {
  static readonly none = new BatchSet([]);
  /** Ascending, without overlap, never adjacent. */
  readonly ranges: readonly BatchRange[];

  /** @param ranges as `ranges` of another set */
  constructor(ranges: readonly BatchRange[]) {
    this.ranges = ranges;
  }

  has(batch: bigint): boolean {
    const { ranges } = this;
    let low = 0;
    let high = ranges.length;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if (ranges[middle]!.to < batch) low = middle + 1;
      else high = middle;
    }
    return low < ranges.length && ranges[low]!.from <= batch;
  }

  with(batches: Iterable<bigint>): BatchSet {
    const all = [...this.ranges, ...Array.from(batches, (batch) => ({ from: batch, to: batch }))];
    all.sort((a, b) => (a.from < b.from ? -1 : Number(a.from > b.from)));
    const ranges: BatchRange[] = [];
    for (const next of all) {
      const last = ranges.at(-1);
      if (last === undefined || next.from > last.to + 1n) ranges.push(next);
      else if (next.to > last.to) ranges[ranges.length - 1] = { from: last.from, to: next.to };
    }
    return new BatchSet(ranges);
  }
}
