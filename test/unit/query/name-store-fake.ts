import type { NameEntry } from '../../../src/model/name-set.ts';
import type { TagValue } from '../../../src/model/tag-values.ts';
import {
  StorageError,
  type NameStore,
  type NamesOfTenant,
  type RecordedNames,
} from '../../../src/storage/contract.ts';

interface Recorded<T> {
  readonly tenant: string;
  readonly entry: T;
  readonly atS: number;
}

/** Storage in memory that can be away; its clock is moved by hand. */
export class FakeNameStore implements NameStore {
  nowS = 1000;
  away = false;
  loads = 0;
  readonly marks: bigint[] = [];
  readonly scans: (readonly bigint[])[] = [];
  /** What a scan of the spans finds. */
  unmarked: readonly NamesOfTenant[] = [];
  readonly names = new Map<string, Recorded<NameEntry>>();
  readonly values = new Map<string, Recorded<TagValue>>();

  record(names: readonly NamesOfTenant[]): Promise<void> {
    return this.#answer(() => {
      const atS = this.nowS;
      for (const { tenant, names: entries, values } of names) {
        for (const entry of entries) {
          const { service, kind, name, remote } = entry;
          put(this.names, [service, kind, name, remote], { tenant, entry, atS });
        }
        for (const entry of values) {
          put(this.values, [entry.key, entry.value], { tenant, entry, atS });
        }
      }
    });
  }

  recorded(tenant: string, sinceS: number, max: number): Promise<RecordedNames> {
    return this.#answer(() => {
      this.loads++;
      const of = <T>(all: Map<string, Recorded<T>>): Recorded<T>[] =>
        [...all.values()].filter((one) => one.tenant === tenant && one.atS >= sinceS).slice(0, max);
      const [names, values] = [of(this.names), of(this.values)];
      return {
        names: names.map(({ entry }) => entry),
        values: values.map(({ entry }) => entry),
        toS: Math.max(0, ...[...names, ...values].map(({ atS }) => atS)),
      };
    });
  }

  mark(batch: bigint): Promise<void> {
    return this.#answer(() => void this.marks.push(batch));
  }

  async recordUnmarked(_keys: readonly string[], batches: readonly bigint[]): Promise<void> {
    await this.record(this.unmarked);
    this.scans.push(batches);
  }

  #answer<T>(make: () => T): Promise<T> {
    if (this.away) return Promise.reject(new StorageError('retry', 210, 'connection refused'));
    return Promise.resolve(make());
  }
}

function put<T extends { readonly day: number }>(
  all: Map<string, Recorded<T>>,
  key: readonly unknown[],
  recorded: Recorded<T>,
): void {
  const id = JSON.stringify([recorded.tenant, ...key]);
  const known = all.get(id);
  if (known === undefined || known.entry.day <= recorded.entry.day) all.set(id, recorded);
}
