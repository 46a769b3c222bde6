/**
 * One span object of v2 JSON into the row that is being written: member by member, in any order.
 * Syntax errors are thrown (json-reader.ts); anything wrong with the span is left in `fault`.
 */
import type { RejectReason } from '../model/reasons.ts';
import { FLAG_DEBUG, FLAG_SHARED } from '../model/span-batch.ts';
import type { SpanBatch } from '../model/span-batch.ts';
import { parseSpanId, parseTraceId } from './ids.ts';
import { CLOSE_OBJECT, QUOTE } from './json-reader.ts';
import { Spelling, memberName } from './json-text.ts';
import type { JsonReader } from './json-reader.ts';
import { readAnnotations, readEndpoint, readTags } from './json-v2-parts.ts';
import type { PartTarget } from './json-v2-parts.ts';
import { UsualMembers } from './json-v2-usual.ts';
import type { JsonValues } from './json-values.ts';

const TRACE_ID = memberName('traceId');
const TIMESTAMP = memberName('timestamp');
const TAGS = memberName('tags');
const PARENT_ID = memberName('parentId');
const ID = memberName('id');
const KIND = memberName('kind');
const NAME = memberName('name');
const DURATION = memberName('duration');
const LOCAL_ENDPOINT = memberName('localEndpoint');
const REMOTE_ENDPOINT = memberName('remoteEndpoint');
const ANNOTATIONS = memberName('annotations');
const SHARED = memberName('shared');

const KINDS = ['', 'CLIENT', 'SERVER', 'PRODUCER', 'CONSUMER'];
const KIND_TEXTS = KINDS.slice(1).map((kind) => new Spelling(`${kind}"`));

export class JsonV2Span implements PartTarget {
  /** Why the span cannot be kept, and in words. */
  fault: RejectReason | undefined;
  detail = '';
  /** Members that only one of the formats has. */
  looksV1 = false;
  looksV2 = false;
  readonly #r: JsonReader;
  batch!: SpanBatch;
  readonly #values: JsonValues;
  #hasTraceId = false;
  #hasId = false;
  readonly #usual: UsualMembers;

  constructor(values: JsonValues) {
    this.#values = values;
    this.#r = values.reader;
    this.#usual = new UsualMembers(values);
  }

  /** Reads the object at the reader's place. */
  read(batch: SpanBatch): void {
    this.batch = batch;
    this.looksV1 = false;
    this.looksV2 = false;
    this.fault = undefined;
    this.detail = '';
    const r = this.#r;
    const usual = this.#usual;
    const from = ++r.p;
    r.p = usual.read(this, from);
    this.#hasTraceId = usual.hasTraceId;
    this.#hasId = usual.hasId;
    if (r.p > from) while (r.more(CLOSE_OBJECT)) this.#member();
    else if (!r.closesAtOnce(CLOSE_OBJECT)) {
      do this.#member();
      while (r.more(CLOSE_OBJECT));
    }
    if (!this.#hasTraceId) {
      this.#reject('invalid_trace_id', this.#hasId ? 'Missing : traceId' : 'Missing : traceId id');
    } else if (!this.#hasId) this.#reject('invalid_span_id', 'Missing : id');
  }

  #member(): void {
    const r = this.#r;
    r.openName();
    if (!this.#usualMember(r.source[r.p]!)) this.#anyMember();
  }

  #reject(reason: RejectReason, detail: string): void {
    if (this.fault !== undefined) return;
    this.fault = reason;
    this.detail = detail;
  }

  /** A member that most spans have, its name written plainly; false: look closer. */
  #usualMember(first: number): boolean {
    const r = this.#r;
    switch (first) {
      case 0x74: // t
        if (r.takesName(TRACE_ID)) this.#traceId();
        else if (r.takesName(TAGS)) readTags(this.#values, this);
        else if (r.takesName(TIMESTAMP)) this.#timestamp();
        else return false;
        return true;
      case 0x69: // i
        return r.takesName(ID) && this.#id();
      case 0x70: // p
        return r.takesName(PARENT_ID) && this.#parentId();
      case 0x6e: // n
        return r.takesName(NAME) && this.#name();
      case 0x6b: // k
        return r.takesName(KIND) && this.#kind();
      case 0x64: // d
        return r.takesName(DURATION) && this.#duration();
      case 0x6c: // l
        return r.takesName(LOCAL_ENDPOINT) && readEndpoint(this.#values, this, this.batch.local);
      case 0x72: // r
        return r.takesName(REMOTE_ENDPOINT) && readEndpoint(this.#values, this, this.batch.remote);
      case 0x61: // a
        return r.takesName(ANNOTATIONS) && readAnnotations(this.#values, this);
      case 0x73: // s
        return r.takesName(SHARED) && this.#flag(FLAG_SHARED);
      default:
        return false;
    }
  }

  #anyMember(): boolean | void {
    const r = this.#r;
    r.readName();
    switch (r.textString()) {
      case 'traceId':
        return this.#traceId();
      case 'id':
        return this.#id();
      case 'parentId':
        return this.#parentId();
      case 'kind':
        return this.#kind();
      case 'name':
        return this.#name();
      case 'timestamp':
        return this.#timestamp();
      case 'duration':
        return this.#duration();
      case 'localEndpoint':
        return readEndpoint(this.#values, this, this.batch.local);
      case 'remoteEndpoint':
        return readEndpoint(this.#values, this, this.batch.remote);
      case 'annotations':
        return readAnnotations(this.#values, this);
      case 'tags':
        return readTags(this.#values, this);
      case 'debug':
        return this.#flag(FLAG_DEBUG);
      case 'shared':
        return this.#flag(FLAG_SHARED);
      case 'binaryAnnotations':
        this.looksV1 = true;
        return r.skipValue();
      default:
        return r.skipValue();
    }
  }

  #traceId(): void {
    const r = this.#r;
    if (r.peek() === QUOTE) {
      const at = r.p + 1;
      const { source } = r;
      if (source[at + 32] === QUOTE && this.#values.hex16(at)) {
        const hi = this.#values.hi;
        const lo = this.#values.lo;
        if (this.#values.hex16(at + 16) && (hi | lo | this.#values.hi | this.#values.lo) !== 0) {
          this.batch.setTraceId(hi, lo, this.#values.hi, this.#values.lo);
          this.#hasTraceId = true;
          r.p = at + 33;
          return;
        }
      } else if (
        source[at + 16] === QUOTE &&
        this.#values.hex16(at) &&
        (this.#values.hi | this.#values.lo) !== 0
      ) {
        this.batch.setTraceId(0, 0, this.#values.hi, this.#values.lo);
        this.#hasTraceId = true;
        r.p = at + 17;
        return;
      }
    }
    this.#oddTraceId();
  }

  #oddTraceId(): void {
    const text = this.#idText('invalid_trace_id', 'traceId');
    if (text === undefined) return;
    const { words, fault } = parseTraceId(text, this.#values.report);
    if (fault !== '') this.#reject('invalid_trace_id', fault);
    this.batch.setTraceId(...words);
    this.#hasTraceId = true;
  }

  #id(): true {
    const r = this.#r;
    const at = r.p + 1;
    const usual = r.source[r.p] === QUOTE && r.source[at + 16] === QUOTE && this.#values.hex16(at);
    if (usual && (this.#values.hi | this.#values.lo) !== 0) {
      this.batch.setId(this.#values.hi, this.#values.lo);
      this.#hasId = true;
      r.p = at + 17;
      return true;
    }
    const text = this.#idText('invalid_span_id', 'id');
    if (text === undefined) return true;
    const { words, fault } = parseSpanId(text, 'id', this.#values.report);
    if (fault !== '') this.#reject('invalid_span_id', fault);
    this.batch.setId(words[2], words[3]);
    this.#hasId = true;
    return true;
  }

  /** The text of an id of any form; undefined: there is none, or it was rejected. */
  #idText(reason: RejectReason, name: string): string | undefined {
    const text = this.#values.scalarText();
    if (text !== undefined) return text;
    const kind = this.#r.kind();
    this.#r.skipValue();
    if (kind !== 'null')
      this.#reject('malformed_span', `Expected a string but was ${kind} (${name})`);
    else this.#reject(reason, `Missing : ${name}`);
    return undefined;
  }

  #parentId(): true {
    const r = this.#r;
    const at = r.p + 1;
    if (r.source[r.p] === QUOTE && r.source[at + 16] === QUOTE && this.#values.hex16(at)) {
      this.batch.setParentId(this.#values.hi, this.#values.lo);
      r.p = at + 17;
      return true;
    }
    const text = this.#values.scalarText();
    if (text === undefined) {
      if (r.kind() !== 'null') this.#values.report.normalize('parent_dropped');
      r.skipValue();
      return true;
    }
    const { words, fault } = parseSpanId(text, 'parentId', this.#values.report);
    if (fault === '') this.batch.setParentId(words[2], words[3]);
    else this.#values.report.normalize('parent_dropped');
    return true;
  }

  #kind(): true {
    const r = this.#r;
    if (r.peek() === QUOTE) {
      r.p++;
      for (let kind = 1; kind <= 4; kind++) {
        if (r.takesName(KIND_TEXTS[kind - 1]!)) {
          this.batch.setKind(kind);
          return true;
        }
      }
      r.readString();
      const kind = KINDS.indexOf(r.textString().toUpperCase());
      this.#values.report.normalize(kind > 0 ? 'kind_case' : 'kind_unknown');
      this.batch.setKind(Math.max(kind, 0));
      return true;
    }
    if (r.kind() !== 'null') this.#values.report.normalize('kind_unknown');
    r.skipValue();
    return true;
  }

  #name(): true {
    const r = this.#r;
    const { names, nameIndex, rows } = this.batch;
    // Names repeat in the order of the code that made them: try the one that came next before.
    const before = rows === 0 ? 0 : nameIndex[rows - 1]!;
    const guess = names.followers[before]!;
    const taken = r.peek() === QUOTE ? names.spelledAt(guess, r.view, r.p + 1) : 0;
    if (taken > 0) {
      nameIndex[rows] = guess;
      r.p += taken + 1;
    } else if (this.#values.readLenientText()) {
      this.batch.setName(r.text, r.textFrom, r.textTo);
      names.followers[before] = nameIndex[rows]!;
    }
    return true;
  }

  #timestamp(): void {
    const value = this.#values.integer();
    if (value !== undefined) this.batch.setTimestamp(value);
  }

  #duration(): true {
    const value = this.#values.integer();
    if (value !== undefined) this.batch.setDuration(value);
    return true;
  }

  #flag(flag: number): true {
    const r = this.#r;
    const kind = r.kind();
    if (kind === 'boolean' || kind === 'null') {
      const first = r.readLiteral();
      if (first !== 0x6e) this.batch.setFlag(flag, first === 0x74);
      return true;
    }
    this.#values.report.normalize('flag_typed');
    const text = this.#values.scalarText();
    if (text === undefined) r.skipValue();
    else this.batch.setFlag(flag, /^(?:true|1)$/i.test(text));
    return true;
  }
}
