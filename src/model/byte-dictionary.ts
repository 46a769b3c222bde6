/**
 * Distinct byte strings numbered in order of arrival: the dictionary of a LowCardinality column.
 * `arena` is already in the layout of ClickHouse Native strings (LEB128 length, bytes), so a block
 * takes it as it is. Entry 0 is the empty string. Entries can be taken back, last in first out.
 */
const SLOTS_MIN = 256;
const LIKELY_SLOTS = 1024;
const NO_BYTES = new Uint8Array(0);

export class ByteDictionary {
  /** Number of entries, the empty string included. */
  size = 1;
  /** Bytes of `arena` in use. */
  arenaBytes = 1;
  arena: Uint8Array = new Uint8Array(4096);
  #view = new DataView(this.arena.buffer);
  /** Where the bytes of entry i begin in `arena`, behind its length; they end at `ends[i]`. */
  starts: Uint32Array = new Uint32Array(128);
  ends: Uint32Array = new Uint32Array(128);
  /** Guesses: the two entries that followed entry i when it was last seen. */
  followers: Uint32Array = new Uint32Array(128);
  rarerFollowers: Uint32Array = new Uint32Array(128);
  /** Free for the owner: a mark per entry. */
  marks: Uint32Array = new Uint32Array(128);
  /** Free for the owner: where the marked thing is. */
  places: Uint32Array = new Uint32Array(128);
  #slots: Uint32Array = new Uint32Array(SLOTS_MIN);
  #slotOf: Uint32Array = new Uint32Array(128);
  /**
   * How each entry is spelled in JSON, with what follows it: its length in bytes (0: it needs
   * escapes), the mask of its last word, its words.
   */
  #spellings: Int32Array = new Int32Array(1024);
  /** Where the spelling of entry i begins and, one further, ends. */
  #spelledAt: Uint32Array = new Uint32Array(129);
  readonly #follow: Uint8Array;
  /** Guesses, checked before they are believed: they outlive reset and truncate. */
  readonly #likely = new Uint32Array(LIKELY_SLOTS);
  readonly #seed: number;

  /**
   * @param seed any number that a sender cannot know: it makes collisions unpredictable
   * @param follow what follows an entry in JSON: the text of spelledAt
   */
  constructor(seed: number, follow = '"') {
    this.#seed = (seed ^ 0x811c9dc5) | 0;
    this.#follow = Buffer.from(follow);
    this.starts[0] = 1;
    this.ends[0] = 1;
    this.#spell(0, NO_BYTES, 0, 0);
  }

  /**
   * Number of the string source[from, to) by a look at three of its bytes and a comparison; 0: not
   * known this way, or empty. Much cheaper than intern, and nearly always enough.
   */
  find(source: Uint8Array, from: number, to: number): number {
    if (from === to) return 0;
    const entry = this.#likely[likelySlot(source, from, to)]!;
    return this.isAt(entry, source, from, to - from) ? entry : 0;
  }

  /** Number of the string source[from, to); added when it is new. */
  intern(source: Uint8Array, from: number, to: number): number {
    if (from === to) return 0;
    const slot = likelySlot(source, from, to);
    const likely = this.#likely[slot]!;
    if (this.isAt(likely, source, from, to - from)) return likely;
    const entry = this.#intern(source, from, to);
    this.#likely[slot] = entry;
    return entry;
  }

  #intern(source: Uint8Array, from: number, to: number): number {
    let hash = this.#seed;
    for (let i = from; i < to; i++) hash = Math.imul(hash ^ source[i]!, 0x01000193);
    hash ^= hash >>> 15;
    const slots = this.#slots;
    const mask = slots.length - 1;
    let slot = hash & mask;
    for (let entry = slots[slot]!; entry !== 0; entry = slots[slot]!) {
      if (this.#equals(entry, source, from, to)) return entry;
      slot = (slot + 1) & mask;
    }
    return this.#add(source, from, to, slot);
  }

  /**
   * Is entry `entry` spelled at `from`, with what follows it in JSON right behind? Any number may
   * be asked for: a guess that is no entry any more is wrong.
   * @returns the bytes that both take; 0: something else is there
   */
  spelledAt(entry: number, source: DataView, from: number): number {
    if (entry >= this.size) return 0;
    const spellings = this.#spellings;
    let at = this.#spelledAt[entry]!;
    const bytes = spellings[at]!;
    const mask = spellings[at + 1]!;
    const last = from + ((bytes - 1) & ~3);
    if (bytes === 0 || last + 4 > source.byteLength) return 0;
    at += 2;
    for (let p = from; p < last; p += 4, at++) {
      if (source.getInt32(p, true) !== spellings[at]) return 0;
    }
    return (source.getInt32(last, true) & mask) === spellings[at] ? bytes : 0;
  }

  /** Is source[from, from + length) entry `entry`? Any number may be asked for, as above. */
  isAt(entry: number, source: Uint8Array, from: number, length: number): boolean {
    if (entry >= this.size) return false;
    const start = this.starts[entry]!;
    if (this.ends[entry]! - start !== length) return false;
    const arena = this.arena;
    for (let i = 0; i < length; i++) if (arena[start + i] !== source[from + i]) return false;
    return true;
  }

  /** As isAt, four bytes at a time. */
  isIn(entry: number, source: DataView, from: number, length: number): boolean {
    if (entry >= this.size) return false;
    const start = this.starts[entry]!;
    if (this.ends[entry]! - start !== length) return false;
    const arena = this.#view;
    const last = length - 4;
    for (let i = 0; i < last; i += 4) {
      if (arena.getInt32(start + i, true) !== source.getInt32(from + i, true)) return false;
    }
    if (last >= 0) return arena.getInt32(start + last, true) === source.getInt32(from + last, true);
    for (let i = 0; i < length; i++) {
      if (arena.getUint8(start + i) !== source.getUint8(from + i)) return false;
    }
    return true;
  }

  /**
   * Number of the string source[from, from + length), when it is one of the two that followed entry
   * `before` lately; 0: it is not.
   */
  followerIn(before: number, source: DataView, from: number, length: number): number {
    const usual = this.followers[before]!;
    if (this.isIn(usual, source, from, length)) return usual;
    const rarer = this.rarerFollowers[before]!;
    if (!this.isIn(rarer, source, from, length)) return 0;
    this.noteFollower(before, rarer);
    return rarer;
  }

  /** Entry `entry` was seen behind `before`. */
  noteFollower(before: number, entry: number): void {
    this.rarerFollowers[before] = this.followers[before]!;
    this.followers[before] = entry;
  }

  get capacityBytes(): number {
    const entries = 36 * this.starts.length + 4 * this.#slots.length;
    return this.arena.length + entries + 4 * this.#spellings.length;
  }

  /** Bytewise order of two entries, as a comparator has it. */
  compare(a: number, b: number): number {
    const left = this.arena.subarray(this.starts[a], this.ends[a]);
    return Buffer.compare(left, this.arena.subarray(this.starts[b], this.ends[b]));
  }

  /** Takes back all entries from number `size` on. */
  truncate(size: number): void {
    for (let entry = this.size - 1; entry >= size; entry--) this.#slots[this.#slotOf[entry]!] = 0;
    this.size = size;
    this.arenaBytes = this.ends[size - 1]!;
  }

  /** Back to the empty string alone; memory stays, unless one batch had made it large. */
  reset(): void {
    if (this.#slots.length > 1 << 16) this.#slots = new Uint32Array(SLOTS_MIN);
    else this.#slots.fill(0);
    if (this.arena.length > 1 << 22) this.#setArena(new Uint8Array(4096));
    this.arena[0] = 0;
    this.size = 1;
    this.arenaBytes = 1;
    this.forgetFollowers();
    this.marks.fill(0);
  }

  #equals(entry: number, source: Uint8Array, from: number, to: number): boolean {
    const start = this.starts[entry]!;
    if (this.ends[entry]! - start !== to - from) return false;
    const arena = this.arena;
    for (let i = from, j = start; i < to; i++, j++) if (source[i] !== arena[j]) return false;
    return true;
  }

  #add(source: Uint8Array, from: number, to: number, slot: number): number {
    const entry = this.size;
    if (entry === this.starts.length) this.#growEntries();
    const needed = this.arenaBytes + (to - from) + 5;
    if (needed > this.arena.length) this.#setArena(grown(this.arena, needed));
    let p = this.arenaBytes;
    let rest = to - from;
    for (; rest > 127; rest >>>= 7) this.arena[p++] = (rest & 127) | 128;
    this.arena[p++] = rest;
    this.starts[entry] = p;
    this.arena.set(source.subarray(from, to), p);
    this.arenaBytes = p + (to - from);
    this.ends[entry] = this.arenaBytes;
    this.#spell(entry, source, from, to);
    this.followers[entry] = 0;
    this.rarerFollowers[entry] = 0;
    this.marks[entry] = 0;
    this.#slots[slot] = entry;
    this.#slotOf[entry] = slot;
    this.size++;
    if (this.size * 2 > this.#slots.length) this.#rehash();
    return entry;
  }

  forgetFollowers(): void {
    this.followers.fill(0);
    this.rarerFollowers.fill(0);
  }

  #setArena(arena: Uint8Array): void {
    this.arena = arena;
    this.#view = new DataView(arena.buffer);
  }

  #spell(entry: number, source: Uint8Array, from: number, to: number): void {
    const follow = this.#follow;
    const bytes = isPlain(source, from, to) ? to - from + follow.length : 0;
    let at = this.#spelledAt[entry]!;
    const words = (bytes + 3) >> 2;
    const end = at + 2 + words;
    if (end > this.#spellings.length) {
      const larger = new Int32Array(Math.max(2 * this.#spellings.length, end));
      larger.set(this.#spellings);
      this.#spellings = larger;
    }
    const spellings = this.#spellings;
    spellings[at++] = bytes;
    spellings[at++] = -1 >>> (8 * (4 * words - bytes));
    spellings.fill(0, at, end);
    for (let i = 0; i < bytes; i++) {
      const byte = from + i < to ? source[from + i]! : follow[from + i - to]!;
      spellings[at + (i >> 2)]! |= byte << (8 * (i & 3));
    }
    this.#spelledAt[entry + 1] = end;
  }

  #growEntries(): void {
    const size = this.starts.length * 2;
    this.starts = grown32(this.starts, size);
    this.ends = grown32(this.ends, size);
    this.followers = grown32(this.followers, size);
    this.rarerFollowers = grown32(this.rarerFollowers, size);
    this.marks = grown32(this.marks, size);
    this.places = grown32(this.places, size);
    this.#slotOf = grown32(this.#slotOf, size);
    this.#spelledAt = grown32(this.#spelledAt, size + 1);
  }

  // Entries are put in again in their order, so that taking them back in reverse stays exact.
  #rehash(): void {
    const slots = new Uint32Array(this.#slots.length * 2);
    const mask = slots.length - 1;
    for (let entry = 1; entry < this.size; entry++) {
      let hash = this.#seed;
      for (let i = this.starts[entry]!; i < this.ends[entry]!; i++) {
        hash = Math.imul(hash ^ this.arena[i]!, 0x01000193);
      }
      let slot = (hash ^ (hash >>> 15)) & mask;
      while (slots[slot] !== 0) slot = (slot + 1) & mask;
      slots[slot] = entry;
      this.#slotOf[entry] = slot;
    }
    this.#slots = slots;
  }
}

function isPlain(source: Uint8Array, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if (source[i] === 0x22 || source[i] === 0x5c) return false;
  return true;
}

function likelySlot(source: Uint8Array, from: number, to: number): number {
  const middle = source[(from + to) >>> 1]!;
  const ends = source[from]! * 5 + source[to - 1]! * 129;
  return ((to - from) * 37 + ends + middle * 17) & (LIKELY_SLOTS - 1);
}

export function grown(array: Uint8Array, needed: number): Uint8Array {
  const larger = new Uint8Array(Math.max(array.length * 2, needed));
  larger.set(array);
  return larger;
}

export function grown32(array: Uint32Array, size: number): Uint32Array {
  const larger = new Uint32Array(size);
  larger.set(array);
  return larger;
}
