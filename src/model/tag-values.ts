/** The values of some tag keys that one tenant sent, and the day on which each was seen last. */
import { ByteDictionary, grown32 } from './byte-dictionary.ts';
import { decodeUtf8 } from './text.ts';

/** As storage keeps it. */
export interface TagValue {
  readonly key: string;
  readonly value: string;
  /** Days since 1970-01-01 UTC of the latest span. */
  readonly day: number;
}

export interface TagValueLimits {
  /** Values of all keys; what comes beyond it is not kept. */
  readonly valuesMax: number;
  /** Days by which a value must be seen later before storage is told again; at least 1. */
  readonly daysBetweenWrites: number;
}

/** Longer values are no choice that somebody would pick from a list. */
const VALUE_BYTES_MAX = 1024;

/** The values of one key. */
class KeyValues {
  readonly texts: ByteDictionary;
  /** Day + 1 by value; 0: not seen. */
  seen: Uint32Array = new Uint32Array(128);
  /** Day + 1 that storage was told. */
  recorded: Uint32Array = new Uint32Array(128);
  readonly unrecorded = new Set<number>();

  constructor(seed: number) {
    this.texts = new ByteDictionary(seed);
  }

  text(id: number): string {
    return decodeUtf8(this.texts.arena, this.texts.starts[id]!, this.texts.ends[id]!);
  }
}

export class TagValues {
  /** Changes whenever an answer may. */
  version = 0;
  /** Values that did not fit since the start. */
  cut = 0;
  readonly #keys: readonly string[];
  readonly #limits: TagValueLimits;
  readonly #seed: number;
  readonly #values: readonly KeyValues[];
  #size = 0;

  constructor(keys: readonly string[], limits: TagValueLimits, seed: number) {
    this.#keys = keys;
    this.#limits = limits;
    this.#seed = seed;
    this.#values = keys.map(() => new KeyValues(seed));
  }

  get size(): number {
    return this.#size;
  }

  get unrecorded(): number {
    return this.#values.reduce((sum, { unrecorded }) => sum + unrecorded.size, 0);
  }

  /** @param key its place in the list of keys; the value is source[from, to) */
  see(key: number, source: Uint8Array, from: number, to: number, day: number): void {
    const values = this.#values[key]!;
    const id = this.#intern(values, source, from, to);
    if (id < 0 || values.seen[id]! > day) return;
    values.seen[id] = day + 1;
    this.version++;
    const due = values.recorded[id]! + this.#limits.daysBetweenWrites;
    if (values.recorded[id] === 0 || day + 1 >= due) values.unrecorded.add(id);
  }

  /** Adds what storage knows; keys that are not in the list are ignored. */
  load({ key, value, day }: TagValue): void {
    const values = this.#values[this.#keys.indexOf(key)];
    if (values === undefined) return;
    const bytes = Buffer.from(value);
    const id = this.#intern(values, bytes, 0, bytes.length);
    if (id < 0) return;
    values.recorded[id] = Math.max(values.recorded[id]!, day + 1);
    if (values.seen[id]! <= day + 1) values.unrecorded.delete(id);
    if (values.seen[id]! > day) return;
    values.seen[id] = day + 1;
    this.version++;
  }

  /** The values that storage must be told of, which counts as done; see restoreUnrecorded. */
  takeUnrecorded(max: number): TagValue[] {
    const taken: TagValue[] = [];
    for (const [index, key] of this.#keys.entries()) {
      const values = this.#values[index]!;
      for (const id of values.unrecorded) {
        if (taken.length >= max) return taken;
        values.unrecorded.delete(id);
        values.recorded[id] = values.seen[id]!;
        taken.push({ key, value: values.text(id), day: values.seen[id]! - 1 });
      }
    }
    return taken;
  }

  /** Storage was not told of these after all. */
  restoreUnrecorded(taken: readonly TagValue[]): void {
    for (const { key, value, day } of taken) {
      const values = this.#values[this.#keys.indexOf(key)]!;
      const bytes = Buffer.from(value);
      const id = this.#intern(values, bytes, 0, bytes.length);
      if (id < 0) continue;
      values.seen[id] = Math.max(values.seen[id]!, day + 1);
      values.recorded[id] = 0;
      values.unrecorded.add(id);
      this.version++;
    }
  }

  /** The same without values last seen before `firstDay`. */
  since(firstDay: number): TagValues {
    const kept = new TagValues(this.#keys, this.#limits, this.#seed);
    kept.cut = this.cut;
    for (const [index, key] of this.#keys.entries()) {
      const values = this.#values[index]!;
      for (let id = 0; id < values.texts.size; id++) {
        const day = values.seen[id]! - 1;
        if (day < firstDay) continue;
        const value = { key, value: values.text(id), day };
        kept.load(value);
        if (values.recorded[id]! < values.seen[id]!) kept.restoreUnrecorded([value]);
      }
    }
    kept.version = this.version + 1;
    return kept;
  }

  /** Values of a key seen on `firstDay` or later, in no special order. */
  values(key: string, firstDay: number): string[] {
    const values = this.#values[this.#keys.indexOf(key)];
    if (values === undefined) return [];
    const found: string[] = [];
    for (let id = 0; id < values.texts.size; id++) {
      if (values.seen[id]! > Math.max(0, firstDay)) found.push(values.text(id));
    }
    return found;
  }

  /** -1 when there is no room. The empty value has number 0 in every dictionary. */
  #intern(values: KeyValues, source: Uint8Array, from: number, to: number): number {
    if (to - from > VALUE_BYTES_MAX) return -1;
    const before = values.texts.size;
    const id = values.texts.intern(source, from, to);
    const isNew = id >= before || (id === 0 && values.seen[0] === 0);
    if (!isNew) return id;
    if (this.#size >= this.#limits.valuesMax) {
      values.texts.truncate(before);
      this.cut++;
      return -1;
    }
    this.#size++;
    if (id >= values.seen.length) {
      values.seen = grown32(values.seen, 2 * values.seen.length);
      values.recorded = grown32(values.recorded, 2 * values.recorded.length);
    }
    values.seen[id] = 0;
    values.recorded[id] = 0;
    return id;
  }
}
