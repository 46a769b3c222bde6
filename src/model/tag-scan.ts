/** Finds the values of some tag keys in a batch. Costs next to nothing when it has none of them. */
import { DAY_US } from './days.ts';
import { type SpanBatch } from './span-batch.ts';
import type { TagValues } from './tag-values.ts';

const TWO_32 = 4_294_967_296;

export class TagScan {
  readonly #keys: readonly Uint8Array[];
  /** By number of a key in the batch: its place in the list of keys + 1. */
  #wanted: Uint16Array = new Uint16Array(64);

  constructor(keys: readonly string[]) {
    this.#keys = keys.map((key) => Buffer.from(key));
  }

  /** @param valuesOf by number of the tenant in the batch */
  scan(batch: SpanBatch, valuesOf: (tenant: number) => TagValues | undefined): void {
    if (this.#keys.length === 0 || !this.#lookUp(batch)) return;
    const { rows, tags, tenantIndex, ts } = batch;
    const { keyIndex, rowEnds, values } = tags;
    const wanted = this.#wanted;
    let p = 0;
    let tag = 0;
    for (let row = 0; row < rows; row++) {
      for (; tag < rowEnds[row]!; tag++) {
        let length = 0;
        for (let shift = 0; ; shift += 7) {
          const byte = values[p++]!;
          length |= (byte & 127) << shift;
          if (byte < 128) break;
        }
        const key = wanted[keyIndex[tag]!]!;
        if (key !== 0) {
          const us = ts[2 * row + 1]! * TWO_32 + ts[2 * row]!;
          const day = Math.floor(us / DAY_US);
          valuesOf(tenantIndex[row]!)?.see(key - 1, values, p, p + length, day);
        }
        p += length;
      }
    }
  }

  /** @returns whether the batch has any of the keys */
  #lookUp({ tags }: SpanBatch): boolean {
    const { keys } = tags;
    if (keys.size > this.#wanted.length) this.#wanted = new Uint16Array(2 * keys.size);
    this.#wanted.fill(0);
    let any = false;
    for (let entry = 1; entry < keys.size; entry++) {
      const place = this.#keys.findIndex((key) => keys.isAt(entry, key, 0, key.length));
      if (place === -1) continue;
      this.#wanted[entry] = place + 1;
      any = true;
    }
    return any;
  }
}
