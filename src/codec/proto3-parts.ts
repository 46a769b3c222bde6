/**
 * Tags and annotations of zipkin.proto into the columns of the row being written.
 *
 *   TagsEntry  = { 1 key: string, 2 value: string }
 *   Annotation = { 1 timestamp: fixed64, 2 value: string }
 *
 * As in Zipkin a tag needs a key, an annotation a timestamp other than 0 and a value; what lacks
 * them is dropped (zipkin2/internal/Proto3ZipkinFields.java).
 */
import { isAscii } from 'node:buffer';
import type { DecodeReport } from '../model/decode-report.ts';
import type { SpanBatch } from '../model/span-batch.ts';
import { cutAtCodePoint } from '../model/text.ts';
import { LikelyEntries } from './proto3-likely.ts';
import { int64, Wire } from './proto3-wire.ts';

const KEY = 0x0a;
const VALUE = 0x12;
const TIMESTAMP = 0x09;

const likelyKeys = new LikelyEntries();

export class PartReader {
  readonly #wire: Wire;
  readonly #batch: SpanBatch;
  readonly #report: DecodeReport;
  /** Key of the last tag of this row: the next one is probably the same as last time. */
  #lastKey = 0;
  /** Where the tag values of this message begin. */
  readonly #valuesFrom: number;

  constructor(wire: Wire, batch: SpanBatch, report: DecodeReport) {
    this.#wire = wire;
    this.#batch = batch;
    this.#report = report;
    this.#valuesFrom = batch.tags.valueBytes;
  }

  beginRow(): void {
    this.#lastKey = 0;
  }

  /**
   * After the last span. Tag values were copied as they came; whether they are UTF-8 is seen here
   * for all of them at once, which is nearly free. Only values that will be cut
   * were looked at before, since a cut needs whole code points.
   */
  repairValues(): void {
    const batch = this.#batch;
    const tags = batch.tags;
    let values = tags.values.subarray(this.#valuesFrom, tags.valueBytes);
    if (isAscii(values)) return;
    // The layout of the column is that of length-delimited fields.
    let wire = new Wire(values, this.#report);
    let moved = false;
    for (let p = 0; p < values.length;) {
      const from = wire.block(p, values.length);
      const to = wire.to;
      const text = wire.repaired(from, to);
      if (text !== undefined && !moved) {
        moved = true;
        values = values.slice();
        wire = new Wire(values, this.#report);
        tags.valueBytes = this.#valuesFrom + p;
      }
      if (moved) this.#putValue(text ?? values, text ? 0 : from, text?.length ?? to);
      p = to;
    }
  }

  /** Reads the entry source[start, end). @returns end, or -1 */
  readTag(start: number, end: number): number {
    const source = this.#wire.source;
    // Nearly all entries are: key, value, both shorter than 128 bytes.
    if (end - start >= 4 && source[start] === KEY) {
      const keyLength = source[start + 1]!;
      const keyTo = start + 2 + keyLength;
      if (keyLength < 128 && keyTo + 2 <= end && source[keyTo] === VALUE) {
        const length = source[keyTo + 1]!;
        if (length < 128 && keyTo + 2 + length === end) {
          this.#addTag(start + 2, keyTo, keyTo + 2, end);
          return end;
        }
      }
    }
    return this.#readOddTag(start, end);
  }

  /** Reads the annotation source[start, end). @returns end, or -1 */
  readAnnotation(start: number, end: number): number {
    const wire = this.#wire;
    let time: number | bigint = 0;
    let from = 0;
    let to = 0;
    let p = start;
    while (p < end) {
      p = wire.tag(p, end);
      if (p < 0) return p;
      const tag = wire.low;
      if (tag === TIMESTAMP) {
        if (end - p < 8) return wire.short(8, end - p);
        time = int64(wire.view.getInt32(p + 4, true), wire.view.getUint32(p, true));
        p += 8;
      } else if (tag === VALUE) {
        from = wire.block(p, end);
        if (from < 0) return from;
        to = wire.to;
        p = to;
      } else p = wire.skip(p, end, tag);
      if (p < 0) return p;
    }
    if (time === 0 || from === to) this.#report.normalize('annotation_dropped');
    else {
      const text = wire.repaired(from, to);
      if (text === undefined) this.#batch.addAnnotation(time, wire.source, from, to);
      else this.#batch.addAnnotation(time, text, 0, text.length);
    }
    return p;
  }

  #putValue(value: Uint8Array, from: number, to: number): void {
    const { tags, limits } = this.#batch;
    if (tags.addValue(value, from, to, limits.tagValueBytesMax)) this.#batch.truncations++;
  }

  #readOddTag(start: number, end: number): number {
    const wire = this.#wire;
    let keyFrom = 0;
    let keyTo = 0;
    let from = 0;
    let to = 0;
    let p = start;
    while (p < end) {
      p = wire.tag(p, end);
      if (p < 0) return p;
      const tag = wire.low;
      if (tag !== KEY && tag !== VALUE) {
        p = wire.skip(p, end, tag);
        if (p < 0) return p;
        continue;
      }
      const at = wire.block(p, end);
      if (at < 0) return at;
      p = wire.to;
      if (tag === KEY) {
        keyFrom = at;
        keyTo = p;
      } else if (at < p) {
        from = at;
        to = p;
      }
    }
    this.#addTag(keyFrom, keyTo, from, to);
    return p;
  }

  #addTag(keyFrom: number, keyTo: number, from: number, to: number): void {
    const { source, view } = this.#wire;
    const batch = this.#batch;
    const keys = batch.tags.keys;
    const length = keyTo - keyFrom;
    if (length === 0) {
      this.#report.normalize('tag_null_dropped');
      return;
    }
    let key = keys.followerIn(this.#lastKey, view, keyFrom, length);
    // An entry may be longer than the limit of this message: limits differ by tenant.
    if (key === 0 || length > batch.limits.tagKeyBytesMax) {
      key = this.#otherKey(keyFrom, keyTo);
      if (key < 0) return;
    }
    this.#lastKey = key;
    const long = to - from > batch.limits.tagValueBytesMax;
    const text = long ? this.#wire.repaired(from, to) : undefined;
    if (text === undefined) batch.addTagOf(key, source, from, to, view);
    else batch.addTagOf(key, text, 0, text.length);
  }

  /** @returns the number of a key that was not the expected one; -1: the row takes no more tags */
  #otherKey(keyFrom: number, keyTo: number): number {
    const batch = this.#batch;
    const { tagsMax, tagKeyBytesMax } = batch.limits;
    if (batch.tags.rowCount >= tagsMax) {
      batch.truncations++;
      return -1;
    }
    const keys = batch.tags.keys;
    const { source, view } = this.#wire;
    const likely = likelyKeys.find(keys, view, keyFrom, keyTo);
    if (likely > 0 && keyTo - keyFrom <= tagKeyBytesMax) {
      keys.noteFollower(this.#lastKey, likely);
      return likely;
    }
    const text = this.#wire.repaired(keyFrom, keyTo);
    const bytes = text ?? source;
    const from = text === undefined ? keyFrom : 0;
    const whole = text === undefined ? keyTo : text.length;
    const to = cutAtCodePoint(bytes, from, whole, tagKeyBytesMax);
    if (to < whole) batch.truncations++;
    const key = keys.intern(bytes, from, to);
    likelyKeys.note(key, view, keyFrom, keyTo);
    keys.noteFollower(this.#lastKey, key);
    return key;
  }
}
