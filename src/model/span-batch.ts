/**
 * Decoded spans as columns, in the memory layout of ClickHouse Native blocks where that can be:
 * the write side of the model. Codecs write one row at a time: beginRow, the set and add methods
 * in any order, endRow, then keepRow or dropRow. Many messages share one batch, which becomes one
 * block of the log; all rows since a mark can be taken back.
 *
 * What every format shares lives here: lower-casing of names, cutting at limits, order and
 * uniqueness of annotations, the last of equal tags wins, `shared` is not for clients
 * (zipkin2/Span.java).
 */
import { AnnotationColumn } from './annotation-column.ts';
import { ByteDictionary, grown, grown32 } from './byte-dictionary.ts';
import { rowsByDay } from './days.ts';
import { EndpointColumns } from './endpoint-columns.ts';
import type { SpanLimits } from './limits.ts';
import { TagColumn } from './tag-column.ts';
import { cutAtCodePoint, lowerCased } from './text.ts';

export const FLAG_DEBUG = 1;
export const FLAG_SHARED = 2;
/** Without it `ts` is the time of arrival, which is never shown. */
export const FLAG_TIMESTAMP = 4;
/** The address of that endpoint is there although all its bits are zero. */
export const FLAG_LOCAL_IP4_ZERO = 8;
export const FLAG_LOCAL_IP6_ZERO = 16;
export const FLAG_REMOTE_IP4_ZERO = 32;
export const FLAG_REMOTE_IP6_ZERO = 64;

export const KIND_CLIENT = 1;

/** The latest time that days and hours of storage can hold: 2106-02-07T06:00:00Z, epoch µs. */
export const TIMESTAMP_US_MAX = 4_294_965_600_000_000;
const ROWS_MIN = 1024;
const TWO_32 = 4_294_967_296;

/** A place in a batch to go back to. */
class Mark {
  rows = 0;
  tags = 0;
  tagBytes = 0;
  annotations = 0;
  exactTexts = 0;
  tenants = 0;
  names = 0;
  localServices = 0;
  remoteServices = 0;
  annotationValues = 0;
  tagKeys = 0;
}
export type BatchMark = Readonly<Mark>;

export class SpanBatch {
  /** Rows kept; the row being written has this number. */
  rows = 0;
  /** Of the message being decoded. */
  limits: SpanLimits;
  /** Epoch microseconds of arrival of the message being decoded. */
  arrivalUs = 0;
  /** Times that something was cut at a limit since the owner last set it to 0. */
  truncations = 0;

  /** 64-bit columns are pairs of 32-bit words, low word first. */
  ts: Uint32Array = new Uint32Array(2 * ROWS_MIN);
  traceLo: Uint32Array = new Uint32Array(2 * ROWS_MIN);
  traceHi: Uint32Array = new Uint32Array(2 * ROWS_MIN);
  id: Uint32Array = new Uint32Array(2 * ROWS_MIN);
  parentId: Uint32Array = new Uint32Array(2 * ROWS_MIN);
  duration: Uint32Array = new Uint32Array(2 * ROWS_MIN);
  kind: Uint8Array = new Uint8Array(ROWS_MIN);
  flags: Uint8Array = new Uint8Array(ROWS_MIN);
  tenantIndex: Uint32Array = new Uint32Array(ROWS_MIN);
  nameIndex: Uint32Array = new Uint32Array(ROWS_MIN);
  readonly tenants: ByteDictionary;
  readonly names: ByteDictionary;
  readonly local: EndpointColumns;
  readonly remote: EndpointColumns;
  readonly annotations: AnnotationColumn;
  readonly tags: TagColumn;
  /** By row: what the typed columns cannot hold, as `key=text` joined by `;`. Very rare. */
  readonly exactTexts: { row: number; text: string }[] = [];

  /** Of the row being written: epoch microseconds as sent, 0 when absent. */
  timestampUs = 0;
  #tenant = 0;
  #wideTimestamp: bigint | undefined;
  readonly #rowMark = new Mark();
  readonly #dictionaries: readonly ByteDictionary[];

  /** Of hash tables; unknown to senders. */
  readonly seed: number;

  constructor(limits: SpanLimits, seed: number) {
    this.limits = limits;
    this.seed = seed;
    this.tenants = new ByteDictionary(seed);
    this.names = new ByteDictionary(seed);
    this.local = new EndpointColumns(ROWS_MIN, seed);
    this.remote = new EndpointColumns(ROWS_MIN, seed);
    this.annotations = new AnnotationColumn(ROWS_MIN, seed);
    this.tags = new TagColumn(ROWS_MIN, seed);
    this.#dictionaries = [
      this.tenants,
      this.names,
      this.local.services,
      this.remote.services,
      this.annotations.values,
      this.tags.keys,
    ];
  }

  /** Before each message. */
  beginMessage(tenant: Uint8Array, limits: SpanLimits, arrivalUs: number): void {
    this.#tenant = this.tenants.intern(tenant, 0, tenant.length);
    if (limits !== this.limits) {
      // Guesses are used uncut: those of longer limits must go.
      for (const dictionary of this.#dictionaries) dictionary.forgetFollowers();
    }
    this.limits = limits;
    this.arrivalUs = arrivalUs;
  }

  /** Of a row that is complete. */
  hasTimestamp(row: number): boolean {
    return (this.flags[row]! & FLAG_TIMESTAMP) !== 0;
  }

  /** Approximate bytes of the block that these rows make. */
  get bytes(): number {
    let sum =
      this.rows * 130 + this.tags.count + this.tags.valueBytes + this.annotations.count * 10;
    for (const dictionary of this.#dictionaries) sum += dictionary.arenaBytes;
    return sum;
  }

  /** Approximate bytes of memory that the columns hold, used or not. */
  get capacityBytes(): number {
    let sum = this.kind.length * 160 + this.tags.capacityBytes + this.annotations.capacityBytes;
    for (const dictionary of this.#dictionaries) sum += dictionary.capacityBytes;
    return sum;
  }

  /** Rows by day (days since 1970 UTC), as storage partitions them. */
  days(): Map<number, number> {
    return rowsByDay(this.ts, this.rows);
  }

  mark(): BatchMark {
    const mark = new Mark();
    this.#setMark(mark);
    return mark;
  }

  /** Takes back all rows since the mark. */
  rollback(mark: BatchMark): void {
    this.rows = mark.rows;
    this.tags.truncate(mark.tags, mark.tagBytes);
    this.annotations.truncate(mark.annotations);
    this.exactTexts.length = mark.exactTexts;
    this.tenants.truncate(mark.tenants);
    this.names.truncate(mark.names);
    this.local.services.truncate(mark.localServices);
    this.remote.services.truncate(mark.remoteServices);
    this.annotations.values.truncate(mark.annotationValues);
    this.tags.keys.truncate(mark.tagKeys);
  }

  /** Empty again; the memory stays for the next rows. */
  reset(): void {
    this.rows = 0;
    this.tags.reset();
    this.annotations.reset();
    this.exactTexts.length = 0;
    for (const dictionary of this.#dictionaries) dictionary.reset();
  }

  beginRow(): void {
    const row = this.rows;
    if (row === this.kind.length) this.#grow();
    this.#setMark(this.#rowMark);
    const low = 2 * row;
    this.parentId[low] = 0;
    this.parentId[low + 1] = 0;
    this.duration[low] = 0;
    this.duration[low + 1] = 0;
    this.kind[row] = 0;
    this.flags[row] = 0;
    this.nameIndex[row] = 0;
    this.tenantIndex[row] = this.#tenant;
    this.local.clear(row);
    this.remote.clear(row);
    this.tags.beginRow();
    this.annotations.beginRow();
    this.timestampUs = 0;
    this.#wideTimestamp = undefined;
  }

  /** Completes the row's columns; keepRow or dropRow must follow. */
  endRow(): void {
    const row = this.rows;
    const low = 2 * row;
    if (this.kind[row] === KIND_CLIENT) this.flags[row]! &= ~FLAG_SHARED;
    if (this.parentId[low] === this.id[low] && this.parentId[low + 1] === this.id[low + 1]) {
      this.parentId[low] = 0;
      this.parentId[low + 1] = 0;
    }
    const storedUs = this.#storeTimestamp(row);
    this.flags[row]! |= (this.local.zeros[row]! << 3) | (this.remote.zeros[row]! << 5);
    this.annotations.endRow(row, storedUs);
    this.tags.endRow(row);
    if (this.local.oddIp4 !== undefined || this.remote.oddIp4 !== undefined)
      this.#keepOddAddresses();
  }

  keepRow(): void {
    this.rows++;
  }

  dropRow(): void {
    this.rollback(this.#rowMark);
  }

  /** The four words of a trace id, highest first; `hiHi` and `hiLo` are 0 for 64 bits. */
  setTraceId(hiHi: number, hiLo: number, loHi: number, loLo: number): void {
    const low = 2 * this.rows;
    this.traceHi[low + 1] = hiHi;
    this.traceHi[low] = hiLo;
    this.traceLo[low + 1] = loHi;
    this.traceLo[low] = loLo;
  }

  setId(hi: number, lo: number): void {
    this.id[2 * this.rows + 1] = hi;
    this.id[2 * this.rows] = lo;
  }

  /** Zero, and the span's own id, mean no parent. */
  setParentId(hi: number, lo: number): void {
    this.parentId[2 * this.rows + 1] = hi;
    this.parentId[2 * this.rows] = lo;
  }

  /** @param kind 0 none, 1 CLIENT, 2 SERVER, 3 PRODUCER, 4 CONSUMER */
  setKind(kind: number): void {
    this.kind[this.rows] = kind;
  }

  /** FLAG_DEBUG or FLAG_SHARED. */
  setFlag(flag: number, on: boolean): void {
    if (on) this.flags[this.rows]! |= flag;
    else this.flags[this.rows]! &= ~flag;
  }

  /** Epoch microseconds; 0 and less mean absent. A bigint beyond 2^53. */
  setTimestamp(us: number | bigint): void {
    this.timestampUs = us > 0 ? Number(us) : 0;
    this.#wideTimestamp = typeof us === 'bigint' && us > 0n ? us : undefined;
  }

  /** Microseconds; 0 and less mean absent. A bigint beyond 2^53. */
  setDuration(us: number | bigint): void {
    const low = 2 * this.rows;
    if (typeof us === 'bigint') {
      const value = us > 0n ? us : 0n;
      this.duration[low] = Number(value & 0xffffffffn);
      this.duration[low + 1] = Number(value >> 32n);
      return;
    }
    const value = us > 0 ? us : 0;
    this.duration[low] = value >>> 0;
    this.duration[low + 1] = Math.floor(value / TWO_32);
  }

  /** UTF-8 bytes source[from, to); the empty name means absent. */
  setName(source: Uint8Array, from: number, to: number): void {
    const known = this.names.find(source, from, to);
    const fits = to - from <= this.limits.nameBytesMax;
    if (known > 0 && fits) this.nameIndex[this.rows] = known;
    else this.#setNewName(source, from, to);
  }

  #setNewName(source: Uint8Array, from: number, to: number): void {
    const lower = lowerCased(source, from, to);
    const text = lower ?? source;
    const start = lower === undefined ? from : 0;
    const whole = lower === undefined ? to : lower.length;
    const end = cutAtCodePoint(text, start, whole, this.limits.nameBytesMax);
    if (end < whole) this.truncations++;
    this.nameIndex[this.rows] = this.names.intern(text, start, end);
  }

  /** Lower-cased; the empty name means absent. */
  setService(side: EndpointColumns, source: Uint8Array, from: number, to: number): void {
    const max = this.limits.serviceNameBytesMax;
    if (side.setService(this.rows, source, from, to, max)) this.truncations++;
  }

  addTag(
    key: Uint8Array,
    keyFrom: number,
    keyTo: number,
    value: Uint8Array,
    valueFrom: number,
    valueTo: number,
  ): void {
    this.addTagOf(this.tagKey(key, keyFrom, keyTo), value, valueFrom, valueTo);
  }

  /** The number of a tag key in `tags.keys`, for addTagOf. */
  tagKey(key: Uint8Array, from: number, to: number): number {
    const end = cutAtCodePoint(key, from, to, this.limits.tagKeyBytesMax);
    if (end < to) this.truncations++;
    return this.tags.keys.intern(key, from, end);
  }

  /**
   * @param key its number in `tags.keys`
   * @param view of the value's bytes, where there is one
   */
  addTagOf(key: number, value: Uint8Array, from: number, to: number, view?: DataView): void {
    if (this.tags.rowCount >= this.limits.tagsMax) {
      this.truncations++;
      return;
    }
    this.tags.addKey(key);
    const max = this.limits.tagValueBytesMax;
    if (this.tags.addValue(value, from, to, max, view)) this.truncations++;
  }

  /** @param timeUs epoch microseconds, any signed 64-bit number; a bigint beyond 2^53 */
  addAnnotation(timeUs: number | bigint, value: Uint8Array, from: number, to: number): void {
    if (this.annotations.rowCount >= this.limits.annotationsMax) {
      this.truncations++;
      return;
    }
    const max = this.limits.annotationBytesMax;
    if (this.annotations.add(timeUs, value, from, to, max)) this.truncations++;
  }

  #setMark(mark: Mark): void {
    mark.rows = this.rows;
    mark.tags = this.tags.count;
    mark.tagBytes = this.tags.valueBytes;
    mark.annotations = this.annotations.count;
    mark.exactTexts = this.exactTexts.length;
    mark.tenants = this.tenants.size;
    mark.names = this.names.size;
    mark.localServices = this.local.services.size;
    mark.remoteServices = this.remote.services.size;
    mark.annotationValues = this.annotations.values.size;
    mark.tagKeys = this.tags.keys.size;
  }

  #storeTimestamp(row: number): number {
    let us = this.timestampUs;
    if (us > 0) this.flags[row]! |= FLAG_TIMESTAMP;
    else us = this.arrivalUs;
    if (us > TIMESTAMP_US_MAX) {
      this.#addExact(row, `t=${this.#wideTimestamp ?? us}`);
      us = TIMESTAMP_US_MAX;
    }
    this.ts[2 * row] = us >>> 0;
    this.ts[2 * row + 1] = Math.floor(us / TWO_32);
    return us;
  }

  #keepOddAddresses(): void {
    const { local, remote, rows } = this;
    if (local.oddIp4 !== undefined) this.#addExact(rows, `l=${local.oddIp4}`);
    if (remote.oddIp4 !== undefined) this.#addExact(rows, `r=${remote.oddIp4}`);
  }

  #addExact(row: number, text: string): void {
    const last = this.exactTexts.at(-1);
    if (last?.row === row) last.text += `;${text}`;
    else this.exactTexts.push({ row, text });
  }

  #grow(): void {
    const rows = 2 * this.kind.length;
    this.ts = grown32(this.ts, 2 * rows);
    this.traceLo = grown32(this.traceLo, 2 * rows);
    this.traceHi = grown32(this.traceHi, 2 * rows);
    this.id = grown32(this.id, 2 * rows);
    this.parentId = grown32(this.parentId, 2 * rows);
    this.duration = grown32(this.duration, 2 * rows);
    this.kind = grown(this.kind, rows);
    this.flags = grown(this.flags, rows);
    this.tenantIndex = grown32(this.tenantIndex, rows);
    this.nameIndex = grown32(this.nameIndex, rows);
    for (const part of [this.local, this.remote, this.annotations, this.tags]) part.grow(rows);
  }
}
