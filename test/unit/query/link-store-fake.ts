/** Spans in memory, as LinkReader has them, and saved links, as LinkStore keeps them. */
import { DAY_US } from '../../../src/model/days.ts';

import type {
  LinkReader,
  LinkRow,
  LinkSelection,
  LinkStore,
  RowsByDay,
  SavedLinks,
} from '../../../src/storage/contract.ts';

/** Milliseconds since 1970 at which the tests' times begin: not at the begin of an hour. */
export const START_MS = 1_700_000_123_456;

export const idText = (id: number | bigint): string => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(id));
  return bytes.toString('latin1');
};

export interface RowParts extends Partial<Omit<LinkRow, 'trace' | 'id' | 'parentId'>> {
  readonly trace: number;
  readonly id: number;
  readonly parentId?: number | undefined;
  /** After START_MS; absent: no timestamp, stored at START_MS. */
  readonly atMs?: number | undefined;
}

export function linkRow(parts: RowParts): LinkRow {
  const { trace, id, parentId, atMs, ...rest } = parts;
  const us = (START_MS + (atMs ?? 0)) * 1000;
  return {
    tenant: 'default',
    batch: 1n,
    storedUs: us,
    kind: undefined,
    shared: false,
    timestamp: atMs === undefined ? undefined : us,
    localService: undefined,
    localIpv4: undefined,
    localIpv6: undefined,
    localPort: undefined,
    remoteService: undefined,
    error: false,
    ...rest,
    trace: idText(trace),
    id: idText(id),
    parentId: parentId === undefined || parentId === id ? undefined : idText(parentId),
  };
}

const dayOf = (row: LinkRow): number => Math.floor(row.storedUs / DAY_US);
const numberOf = (text: string): bigint => Buffer.from(text, 'latin1').readBigUInt64BE();

export class FakeLinks implements LinkReader, LinkStore {
  stored: LinkRow[] = [];
  /** What was asked for, newest last. */
  readonly asked: LinkSelection[] = [];
  failure: Error | undefined;
  saves = 0;
  readonly #days = new Map<number, SavedLinks['days'][number]>();
  readonly #buckets = new Map<string, SavedLinks['buckets'][number]>();

  add(batch: bigint, rows: readonly LinkRow[]): void {
    // Later first: no reader may count on an order.
    this.stored.unshift(...rows.map((row) => ({ ...row, batch })).toReversed());
  }

  rowsByDay(): Promise<RowsByDay> {
    if (this.failure !== undefined) return Promise.reject(this.failure);
    const days = new Map<number, number>();
    for (const row of this.stored) days.set(dayOf(row), (days.get(dayOf(row)) ?? 0) + 1);
    return Promise.resolve(days);
  }

  segments(day: number): Promise<ReadonlyMap<bigint, number>> {
    const rows = new Map<bigint, number>();
    for (const row of this.stored) {
      if (dayOf(row) === day) rows.set(row.batch, (rows.get(row.batch) ?? 0) + 1);
    }
    return Promise.resolve(rows);
  }

  rows(selection: LinkSelection): Promise<LinkRow[]> {
    this.asked.push(selection);
    const isSelected = this.#matcher(selection);
    return Promise.resolve(this.stored.filter(isSelected));
  }

  range(from: bigint, to: bigint): Promise<Iterable<LinkRow[]>> {
    const traces = new Map<string, LinkRow[]>();
    for (const row of this.stored) {
      if (numberOf(row.trace) < from || numberOf(row.trace) > to) continue;
      const rows = traces.get(row.trace);
      if (rows === undefined) traces.set(row.trace, [row]);
      else rows.push(row);
    }
    return Promise.resolve(traces.values());
  }

  // oxlint-disable-next-line require-await -- a generator that is asynchronous by contract
  async *traces(day: number): AsyncGenerator<Uint32Array, void> {
    for (const row of this.stored) {
      if (dayOf(row) !== day) continue;
      const id = numberOf(row.trace);
      yield Uint32Array.of(Number(id & 0xffff_ffffn), Number(id >> 32n));
    }
  }

  cuts(ranges: number): Promise<bigint[]> {
    const ids = this.stored.map((row) => numberOf(row.trace)).toSorted((a, b) => Number(a - b));
    const at = Array.from({ length: ranges - 1 }, (_, i) => (i + 1) / ranges);
    return Promise.resolve(at.map((share) => ids[Math.floor(share * ids.length)]!));
  }

  load(): Promise<SavedLinks> {
    return Promise.resolve({
      days: [...this.#days.values()],
      buckets: [...this.#buckets.values()],
    });
  }

  save({ days, buckets }: SavedLinks): Promise<void> {
    if (this.failure !== undefined) return Promise.reject(this.failure);
    this.saves++;
    for (const day of days) this.#days.set(day.day, day);
    for (const saved of buckets) {
      const { kind, minute, beforeMinute } = saved.bucket;
      this.#buckets.set(`${saved.tenant} ${kind} ${minute} ${beforeMinute}`, saved);
    }
    return Promise.resolve();
  }

  clear(): Promise<void> {
    this.#days.clear();
    this.#buckets.clear();
    return Promise.resolve();
  }

  #matcher(selection: LinkSelection): (row: LinkRow) => boolean {
    switch (selection.of) {
      case 'segments':
        return (row) => dayOf(row) === selection.day && selection.batches.includes(row.batch);
      case 'traces': {
        const { tenants, traces, days } = selection;
        return (row) =>
          tenants.includes(row.tenant) && traces.includes(row.trace) && days.includes(dayOf(row));
      }
      case 'moment':
      default: {
        const { tenant, at, within } = selection;
        const ofTenant = this.stored.filter((row) => row.tenant === tenant);
        const traces = new Set(
          ofTenant
            .filter(({ storedUs }) => storedUs >= at.fromUs && storedUs <= at.toUs)
            .map(({ trace }) => trace),
        );
        return (row) =>
          row.tenant === tenant &&
          row.storedUs >= within.fromUs &&
          row.storedUs <= within.toUs &&
          traces.has(row.trace);
      }
    }
  }
}
