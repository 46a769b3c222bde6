/**
 * The names of one tenant: which (service, kind, span name, remote service) were seen together and
 * on which day last. Strings are kept once, in a dictionary; an entry is four numbers, found by an
 * open-addressing table. So a span costs three table look-ups and one probe, and no string is made
 * until somebody asks.
 *
 *   row of a batch ─► numbers in the batch ─(NameTranslation)─► numbers here ─(slots)─► entry
 *   entry := service*8+kind  name  remote  day
 */
import { ByteDictionary, grown32 } from './byte-dictionary.ts';
import { DAY_US } from './days.ts';
import { type SpanBatch } from './span-batch.ts';
import { decodeUtf8 } from './text.ts';

/** One name entry as storage keeps it; names that are absent are empty. */
export interface NameEntry {
  readonly service: string;
  /** 0 none, 1 CLIENT, 2 SERVER, 3 PRODUCER, 4 CONSUMER */
  readonly kind: number;
  readonly name: string;
  readonly remote: string;
  /** Days since 1970-01-01 UTC of the latest span. */
  readonly day: number;
}

export interface NameLimits {
  /** Entries beyond it are kept without kind and span name, a tenth more of them at most. */
  readonly entriesMax: number;
  /** Bytes of distinct strings; beyond it likewise. */
  readonly bytesMax: number;
}

const TWO_32 = 4_294_967_296;
const WORDS = 4;
const KINDS = 8;
const SLOTS_MIN = 256;
/** What services and remote services may take beyond the limits of span names. */
const RESERVE = 1.1;

/** Numbers of one dictionary of a batch -> numbers of a tenant's dictionary. */
class Translation {
  ids: Uint32Array = new Uint32Array(256);
  /** The run in which the number was looked up. */
  runs: Uint32Array = new Uint32Array(256);

  reserve(size: number): void {
    if (size <= this.ids.length) return;
    const length = 2 ** Math.ceil(Math.log2(size));
    this.ids = grown32(this.ids, length);
    this.runs = grown32(this.runs, length);
  }
}

/** What was looked up for rows of one tenant in one batch; reused for the next. */
export class NameTranslation {
  readonly services = new Translation();
  readonly names = new Translation();
  readonly remotes = new Translation();
  run = 0;

  /** Before rows of another batch or tenant. */
  begin(batch: SpanBatch): void {
    this.services.reserve(batch.local.services.size);
    this.names.reserve(batch.names.size);
    this.remotes.reserve(batch.remote.services.size);
    this.run = (this.run + 1) >>> 0;
    if (this.run !== 0) return;
    for (const part of [this.services, this.names, this.remotes]) part.runs.fill(0);
    this.run = 1;
  }
}

export class NameSet {
  /** Changes whenever an answer may. */
  version = 0;
  /** Entries that did not fit since the start, or fit without their span name. */
  cut = 0;
  readonly #limits: NameLimits;
  readonly #seed: number;
  readonly #texts: ByteDictionary;
  #entries: Uint32Array = new Uint32Array(SLOTS_MIN * WORDS);
  #slots: Uint32Array = new Uint32Array(2 * SLOTS_MIN);
  #size = 0;
  /** Entries that storage does not know as they are. */
  #unrecorded = new Set<number>();

  /** @param seed of the hash tables; unknown to senders */
  constructor(limits: NameLimits, seed: number) {
    this.#limits = limits;
    this.#seed = seed | 0;
    this.#texts = new ByteDictionary(seed);
  }

  get size(): number {
    return this.#size;
  }

  get unrecorded(): number {
    return this.#unrecorded.size;
  }

  /** Adds rows [from, to), all of this tenant; `translation.begin` was called for them. */
  observe(batch: SpanBatch, from: number, to: number, translation: NameTranslation): void {
    const { kind, nameIndex, ts } = batch;
    const serviceIndex = batch.local.serviceIndex;
    const remoteIndex = batch.remote.serviceIndex;
    const { services, names, remotes, run } = translation;
    let day = 0;
    let dayStart = 1;
    let dayEnd = 0;
    for (let row = from; row < to; row++) {
      const service = serviceIndex[row]!;
      if (service === 0) continue;
      const name = nameIndex[row]!;
      const remote = remoteIndex[row]!;
      const us = ts[2 * row + 1]! * TWO_32 + ts[2 * row]!;
      if (us < dayStart || us >= dayEnd) {
        day = Math.floor(us / DAY_US);
        dayStart = day * DAY_US;
        dayEnd = dayStart + DAY_US;
      }
      if (services.runs[service] !== run) {
        this.#translate(services, service, batch.local.services, run, RESERVE);
      }
      if (name !== 0 && names.runs[name] !== run) {
        this.#translate(names, name, batch.names, run, 1);
      }
      if (remote !== 0 && remotes.runs[remote] !== run) {
        this.#translate(remotes, remote, batch.remote.services, run, RESERVE);
      }
      const serviceId = services.ids[service]!;
      if (serviceId === 0) continue;
      const nameId = name === 0 ? 0 : names.ids[name]!;
      const remoteId = remote === 0 ? 0 : remotes.ids[remote]!;
      this.#see(serviceId * KINDS + kind[row]!, nameId, remoteId, day);
    }
  }

  /** Adds what storage knows. */
  load(entry: NameEntry): void {
    const service = this.#intern(entry.service, RESERVE);
    if (service === 0) return;
    const name = this.#intern(entry.name, 1);
    const remote = this.#intern(entry.remote, RESERVE);
    const owner = service * KINDS + entry.kind;
    const slot = this.#slotOf(owner, name, remote);
    const found = this.#slots[slot]!;
    if (found === 0) {
      const added = this.#add(owner, name, remote, entry.day);
      if (added >= 0) this.#unrecorded.delete(added);
      return;
    }
    const day = this.#entries[(found - 1) * WORDS + 3]!;
    if (day > entry.day) return;
    this.#unrecorded.delete(found - 1);
    if (day === entry.day) return;
    this.#entries[(found - 1) * WORDS + 3] = entry.day;
    this.version++;
  }

  /** The entries that storage must be told of, which counts as done; see restoreUnrecorded. */
  takeUnrecorded(max: number): NameEntry[] {
    const taken: NameEntry[] = [];
    for (const entry of this.#unrecorded) {
      if (taken.length >= max) break;
      this.#unrecorded.delete(entry);
      taken.push(this.#entry(entry));
    }
    return taken;
  }

  /** Storage was not told of these after all. */
  restoreUnrecorded(entries: readonly NameEntry[]): void {
    for (const entry of entries) {
      this.load(entry);
      const owner = this.#find(entry.service) * KINDS + entry.kind;
      const slot = this.#slotOf(owner, this.#find(entry.name), this.#find(entry.remote));
      const found = this.#slots[slot]!;
      if (found !== 0) this.#unrecorded.add(found - 1);
    }
  }

  /** The same without entries last seen before `firstDay`. */
  since(firstDay: number): NameSet {
    const kept = new NameSet(this.#limits, this.#seed);
    kept.cut = this.cut;
    for (let entry = 0; entry < this.#size; entry++) {
      if (this.#entries[entry * WORDS + 3]! >= firstDay) kept.load(this.#entry(entry));
    }
    const unrecorded = [...this.#unrecorded].map((entry) => this.#entry(entry));
    kept.restoreUnrecorded(unrecorded.filter(({ day }) => day >= firstDay));
    kept.version = this.version + 1;
    return kept;
  }

  /** Distinct local service names seen on `firstDay` or later, in no special order. */
  services(firstDay: number): string[] {
    return this.#distinct(firstDay, (entry) => Math.floor(this.#entries[entry * WORDS]! / KINDS));
  }

  /** Likewise the span names of a local service. */
  names(service: string, firstDay: number): string[] {
    return this.#ofService(service, firstDay, 1);
  }

  /** Likewise the remote service names. */
  remotes(service: string, firstDay: number): string[] {
    return this.#ofService(service, firstDay, 2);
  }

  #ofService(service: string, firstDay: number, word: 1 | 2): string[] {
    const id = this.#find(service);
    if (id === 0) return [];
    return this.#distinct(firstDay, (entry) => {
      const at = entry * WORDS;
      return Math.floor(this.#entries[at]! / KINDS) === id ? this.#entries[at + word]! : 0;
    });
  }

  #distinct(firstDay: number, textOf: (entry: number) => number): string[] {
    const ids = new Set<number>();
    for (let entry = 0; entry < this.#size; entry++) {
      if (this.#entries[entry * WORDS + 3]! >= firstDay) ids.add(textOf(entry));
    }
    ids.delete(0);
    return Array.from(ids, (id) => this.#text(id));
  }

  #see(owner: number, name: number, remote: number, day: number): void {
    const found = this.#slots[this.#slotOf(owner, name, remote)]!;
    if (found === 0) {
      this.#add(owner, name, remote, day);
      return;
    }
    const at = (found - 1) * WORDS + 3;
    if (day > this.#entries[at]!) {
      this.#entries[at] = day;
      this.#unrecorded.add(found - 1);
      this.version++;
    }
  }

  /** Where the entry is, or the free slot where it would go. */
  #slotOf(owner: number, name: number, remote: number): number {
    const slots = this.#slots;
    const entries = this.#entries;
    const mask = slots.length - 1;
    let hash = Math.imul(owner ^ this.#seed, 0x9e3779b1) ^ Math.imul(name, 0x85ebca6b);
    hash = Math.imul(hash ^ (hash >>> 15) ^ Math.imul(remote, 0xc2b2ae35), 0x27d4eb2f);
    let slot = (hash ^ (hash >>> 16)) & mask;
    for (let found = slots[slot]!; found !== 0; found = slots[slot]!) {
      const at = (found - 1) * WORDS;
      if (entries[at] === owner && entries[at + 1] === name && entries[at + 2] === remote) break;
      slot = (slot + 1) & mask;
    }
    return slot;
  }

  /** @returns the new entry; -1 when there is none */
  #add(owner: number, name: number, remote: number, day: number): number {
    const { entriesMax } = this.#limits;
    if (this.#size >= entriesMax) {
      this.cut++;
      const bare = owner - (owner % KINDS);
      if (owner !== bare || name !== 0) {
        this.#see(bare, 0, remote, day);
        return -1;
      }
      if (this.#size >= entriesMax * RESERVE) return -1;
    }
    const entry = this.#size++;
    if (this.#size * 2 > this.#slots.length) this.#grow();
    const at = entry * WORDS;
    this.#slots[this.#slotOf(owner, name, remote)] = entry + 1;
    this.#entries[at] = owner;
    this.#entries[at + 1] = name;
    this.#entries[at + 2] = remote;
    this.#entries[at + 3] = day;
    this.#unrecorded.add(entry);
    this.version++;
    return entry;
  }

  #grow(): void {
    this.#entries = grown32(this.#entries, 2 * this.#entries.length);
    this.#slots = new Uint32Array(2 * this.#slots.length);
    for (let entry = 0; entry < this.#size - 1; entry++) {
      const at = entry * WORDS;
      const [owner, name, remote] = this.#entries.subarray(at, at + 3);
      this.#slots[this.#slotOf(owner!, name!, remote!)] = entry + 1;
    }
  }

  /** @param room 1, or RESERVE for strings that may use what is kept free for them */
  #translate(
    translation: Translation,
    index: number,
    texts: ByteDictionary,
    run: number,
    room: number,
  ): void {
    const id = this.#internBytes(texts.arena, texts.starts[index]!, texts.ends[index]!, room);
    translation.ids[index] = id;
    translation.runs[index] = run;
  }

  /** The number of a string; 0 when it is new and there is no room for it. */
  #internBytes(source: Uint8Array, from: number, to: number, room: number): number {
    const before = this.#texts.size;
    const id = this.#texts.intern(source, from, to);
    if (this.#texts.arenaBytes <= this.#limits.bytesMax * room || id < before) return id;
    this.#texts.truncate(before);
    this.cut++;
    return 0;
  }

  #intern(text: string, room: number): number {
    const bytes = Buffer.from(text);
    return this.#internBytes(bytes, 0, bytes.length, room);
  }

  /** The number of a string that is there; 0 for others. */
  #find(text: string): number {
    const bytes = Buffer.from(text);
    const before = this.#texts.size;
    const id = this.#texts.intern(bytes, 0, bytes.length);
    if (id < before) return id;
    this.#texts.truncate(before);
    return 0;
  }

  #entry(entry: number): NameEntry {
    const at = entry * WORDS;
    const owner = this.#entries[at]!;
    return {
      service: this.#text(Math.floor(owner / KINDS)),
      kind: owner % KINDS,
      name: this.#text(this.#entries[at + 1]!),
      remote: this.#text(this.#entries[at + 2]!),
      day: this.#entries[at + 3]!,
    };
  }

  #text(id: number): string {
    return decodeUtf8(this.#texts.arena, this.#texts.starts[id]!, this.#texts.ends[id]!);
  }
}
