/**
 * Which message bodies were made durable in the last minutes: clients and proxies that send again
 * after a lost answer get 202 and nothing is stored twice. Two honest messages are never equal,
 * for span ids are random.
 *
 *   note := digest(16) uint32(spans)      ; what the log keeps of each message
 */
import { createHash, hash } from 'node:crypto';
import { NOTE_BYTES } from '../model/span-sink.ts';

const DIGEST_BYTES = 16;
const ENTRIES_MAX = 1 << 19;
const SLOTS_MIN = 1 << 10;
const WORDS = 5;

/** The digest of a body and its tenant, with room for the number of spans behind it. */
export function noteOf(tenant: string, body: Uint8Array): Buffer {
  const whole =
    tenant === ''
      ? hash('sha1', body, 'buffer')
      : createHash('sha1').update(`${tenant}\0`).update(body).digest();
  const note = Buffer.alloc(NOTE_BYTES);
  whole.copy(note, 0, 0, DIGEST_BYTES);
  return note;
}

/** Digests in open addressing: 20 bytes a slot, half of them free. */
class Generation {
  size = 0;
  #slots = new Uint32Array(SLOTS_MIN * WORDS);

  get full(): boolean {
    return this.size >= ENTRIES_MAX;
  }

  find(note: Buffer): number {
    const slot = this.#slotOf(note);
    return this.#isFree(slot) ? -1 : this.#slots[slot + 4]! - 1;
  }

  add(note: Buffer): void {
    if (this.size * 2 * WORDS >= this.#slots.length) this.#grow();
    const slot = this.#slotOf(note);
    if (this.#isFree(slot)) this.size++;
    for (let i = 0; i < WORDS; i++) this.#slots[slot + i] = note.readUInt32LE(4 * i);
    this.#slots[slot + 4]!++;
  }

  /** The last word is the number of spans and one more: 0 means free. */
  #isFree(slot: number): boolean {
    return this.#slots[slot + 4] === 0;
  }

  #slotOf(note: Buffer): number {
    const words = [0, 4, 8, 12].map((at) => note.readUInt32LE(at));
    return this.#probe(words[0]!, words[1]!, words[2]!, words[3]!);
  }

  #probe(a: number, b: number, c: number, d: number): number {
    const slots = this.#slots;
    const count = slots.length / WORDS;
    let slot = (a & (count - 1)) * WORDS;
    for (;;) {
      if (slots[slot + 4] === 0) return slot;
      if (
        slots[slot] === a &&
        slots[slot + 1] === b &&
        slots[slot + 2] === c &&
        slots[slot + 3] === d
      ) {
        return slot;
      }
      slot = slot + WORDS === slots.length ? 0 : slot + WORDS;
    }
  }

  #grow(): void {
    const old = this.#slots;
    this.#slots = new Uint32Array(2 * old.length);
    for (let at = 0; at < old.length; at += WORDS) {
      if (old[at + 4] === 0) continue;
      const slot = this.#probe(old[at]!, old[at + 1]!, old[at + 2]!, old[at + 3]!);
      this.#slots.set(old.subarray(at, at + WORDS), slot);
    }
  }
}

/** Two generations, each half the window long; memory is bounded at 40 MiB for a million bodies. */
export class SeenBodies {
  readonly #windowMs: number;
  #current = new Generation();
  #previous = new Generation();
  #rotateAtMs = 0;
  readonly #underWay = new Map<string, Promise<boolean>>();

  constructor(windowMs: number) {
    this.#windowMs = windowMs;
  }

  /** Spans of a body that is durable already; -1: not seen. */
  find(note: Buffer, monotonicMs: number): number {
    this.#rotate(monotonicMs);
    const spans = this.#current.find(note);
    return spans >= 0 ? spans : this.#previous.find(note);
  }

  /** An equal body whose rows are being written now; resolves true when they are durable. */
  underWay(note: Buffer): Promise<boolean> | undefined {
    return this.#underWay.size === 0 ? undefined : this.#underWay.get(keyOf(note));
  }

  /** Until `durable` settles, equal bodies wait for it; then it counts as seen. */
  begin(note: Buffer, durable: Promise<void>, monotonicMs: number): void {
    const key = keyOf(note);
    const settled = durable.then(
      () => {
        this.add(note, monotonicMs);
        return true;
      },
      () => false,
    );
    this.#underWay.set(key, settled);
    void this.#forget(key, settled);
  }

  async #forget(key: string, settled: Promise<boolean>): Promise<void> {
    await settled;
    if (this.#underWay.get(key) === settled) this.#underWay.delete(key);
  }

  add(note: Buffer, monotonicMs: number): void {
    this.#rotate(monotonicMs);
    this.#current.add(note);
  }

  /** Takes in what the log remembers of earlier messages: notes one behind the other. */
  recover(notes: Uint8Array, monotonicMs: number): void {
    const all = Buffer.from(notes.buffer, notes.byteOffset, notes.length);
    for (let at = 0; at + NOTE_BYTES <= all.length; at += NOTE_BYTES) {
      this.add(all.subarray(at, at + NOTE_BYTES), monotonicMs);
    }
  }

  #rotate(monotonicMs: number): void {
    if (monotonicMs < this.#rotateAtMs && !this.#current.full) return;
    if (this.#rotateAtMs !== 0) {
      this.#previous = this.#current;
      this.#current = new Generation();
    }
    this.#rotateAtMs = monotonicMs + this.#windowMs;
  }
}

const keyOf = (note: Buffer): string => note.toString('latin1', 0, DIGEST_BYTES);
