/**
 * Zipkin v2 JSON, bytes straight into columns.
 *
 *   message := list (list | text)* | object*       ; more than one list and no list at all: lenient
 *   list    := "[" (span ("," span)*)? "]"
 *   span    := { traceId, id, parentId, kind, name, timestamp, duration, localEndpoint,
 *                remoteEndpoint, annotations, tags, debug, shared, … }
 *
 * Rules: zipkin2/internal/V2SpanReader.java and zipkin2/Span.java (zipkin-api zipkin2-api.yaml).
 * What Zipkin accepts gives what Zipkin gives; what it refuses is read leniently where the meaning
 * is plain, and counted. A span without usable ids is rejected alone; a syntax error refuses all.
 */
import { isUtf8 } from 'node:buffer';
import type { Decode, DecodeReport, MessageError, RowGate } from '../model/decode-report.ts';
import type { SpanBatch } from '../model/span-batch.ts';
import { CLOSE_LIST, MALFORMED, OPEN_LIST, OPEN_OBJECT, TRUNCATED } from './json-reader.ts';
import type { JsonReader } from './json-reader.ts';
import { JsonV2Span } from './json-v2-span.ts';
import { JsonValues } from './json-values.ts';
import { decodeV1JsonSpan, forgetV1Json } from './v1-json.ts';

/** The format of spans that have only members of both; otherwise each span's content decides. */
type Preferred = 'v1' | 'v2';

const NO_BYTES = new Uint8Array(0);
/** More lists than this in a message are nobody's mistake. */
const LISTS_MAX = 10_000;
const SUFFIX = 'reading List<Span> from json';

class JsonSpans {
  readonly #values = new JsonValues();
  readonly #r: JsonReader = this.#values.reader;
  readonly #span = new JsonV2Span(this.#values);
  #batch!: SpanBatch;
  #gate!: RowGate;
  #report!: DecodeReport;
  #preferred: Preferred = 'v2';

  /** @throws MALFORMED, TRUNCATED */
  decode(
    source: Uint8Array,
    preferred: Preferred,
    ...to: [SpanBatch, RowGate, DecodeReport]
  ): void {
    [this.#batch, this.#gate, this.#report] = to;
    this.#values.report = this.#report;
    this.#preferred = preferred;
    const r = this.#r;
    r.open(source);
    if (source[0] === 0xef && source[1] === 0xbb && source[2] === 0xbf) r.p = 3;
    if (r.peek() === OPEN_OBJECT) this.#bareObjects();
    else {
      this.#list();
      this.#moreLists();
    }
  }

  /** Lets go of the message, which may be large. */
  forget(): void {
    this.#r.open(NO_BYTES);
    forgetV1Json();
  }

  place(): string {
    return this.#r.place();
  }

  #list(): void {
    const r = this.#r;
    r.expect(OPEN_LIST);
    if (r.closesAtOnce(CLOSE_LIST)) return;
    do {
      this.#skipNuls();
      this.#element();
      this.#skipNuls();
    } while (r.more(CLOSE_LIST));
  }

  /** Behind the first list: further lists count, anything else is ignored, as Zipkin ignores it. */
  #moreLists(): void {
    const r = this.#r;
    let lists = 0;
    for (;;) {
      while (r.p < r.end && r.source[r.p]! <= 0x20) r.p++;
      if (r.p >= r.end) return;
      if (++lists > LISTS_MAX) throw MALFORMED;
      const mark = this.#batch.mark();
      const { accepted } = this.#report;
      try {
        this.#list();
        this.#report.normalize('list_joined');
      } catch (error) {
        if (error !== MALFORMED && error !== TRUNCATED) throw error;
        this.#batch.rollback(mark);
        this.#report.accepted = accepted;
        this.#report.normalize('trailing_text');
        return;
      }
    }
  }

  /** A single object, or one a line. */
  #bareObjects(): void {
    const r = this.#r;
    this.#report.normalize('list_missing');
    while (r.p < r.end) {
      if (r.peek() !== OPEN_OBJECT) throw MALFORMED;
      this.#element();
      while (r.p < r.end && r.source[r.p]! <= 0x20) r.p++;
    }
  }

  /** Some JVM writers leave NUL bytes between spans. */
  #skipNuls(): void {
    const r = this.#r;
    if (r.peek() !== 0) return;
    this.#report.normalize('nul_skipped');
    while (r.source[r.p] === 0) r.p++;
  }

  #element(): void {
    const r = this.#r;
    const report = this.#report;
    if (r.peek() !== OPEN_OBJECT) {
      const kind = r.kind();
      r.skipValue();
      report.reject('malformed_span', `Expected a span but was ${kind}`);
      return;
    }
    const from = r.p;
    const batch = this.#batch;
    const span = this.#span;
    if (this.#preferred === 'v1') {
      const end = decodeV1JsonSpan(r.source, from, batch, this.#gate, report);
      if (end >= 0) {
        r.p = end;
        return;
      }
    }
    batch.beginRow();
    r.loneSurrogate = false;
    span.read(batch);
    if (!span.looksV2 && span.looksV1) {
      batch.dropRow();
      decodeV1JsonSpan(r.source, from, batch, this.#gate, report);
      return;
    }
    if (r.loneSurrogate) report.normalize('surrogate');
    const bytes = r.p - from;
    const max = batch.limits.spanBytesMax;
    if (bytes > max) {
      const detail = `${bytes} bytes, limit ${max} (SCRUBJAY_MAX_SPAN_BYTES)`;
      report.rejectRow(batch, 'span_too_large', detail);
      return;
    }
    batch.endRow();
    const reason = span.fault ?? this.#gate.admit(batch);
    if (reason === undefined) {
      batch.keepRow();
      report.accepted++;
    } else report.rejectRow(batch, reason, span.detail);
  }
}

const spans = new JsonSpans();

function decode(
  preferred: Preferred,
  source: Uint8Array,
  ...to: [SpanBatch, RowGate, DecodeReport]
): MessageError | undefined {
  // A plain array: byte loops that see Buffers as well run at half the speed.
  let text = new Uint8Array(source.buffer, source.byteOffset, source.length);
  if (!isUtf8(text)) {
    to[2].normalize('utf8');
    text = new Uint8Array(
      Buffer.from(Buffer.from(text.buffer, text.byteOffset, text.length).toString('utf8')),
    );
  }
  try {
    spans.decode(text, preferred, ...to);
    return undefined;
  } catch (error) {
    if (error === MALFORMED) return { message: `Malformed ${SUFFIX}` };
    if (error === TRUNCATED) return { message: `End of input at ${spans.place()} ${SUFFIX}` };
    throw error;
  } finally {
    spans.forget();
  }
}

/** Spans that could be either format are read as v2. */
export const decodeJsonV2: Decode = (source, ...to) => decode('v2', source, ...to);
/** For POST /api/v1/spans: spans that could be either format are read as v1. */
export const decodeJsonV1: Decode = (source, ...to) => decode('v1', source, ...to);
