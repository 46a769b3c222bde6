/**
 * A v1 span into the rows of v2. The v1 format tells kind, times and peers by annotations with
 * agreed names, and one v1 span can hold both sides of a call:
 *
 *   cs cr  client send, receive      sr ss  server receive, send
 *   ms ws  producer send, on wire    wr mr  consumer from wire, receive
 *   sa ca ma  address of server, client, broker     lc  a local span
 *
 * A part belongs to the row whose local service is that of the part's endpoint; the first row takes
 * the first endpoint met, and all parts without one. Rules: zipkin2/v1/V1SpanConverter.java of
 * https://github.com/openzipkin/zipkin, which these rows must equal.
 */
import type { DecodeReport, RowGate } from '../model/decode-report.ts';
import type { SpanBatch } from '../model/span-batch.ts';
import { V1Row, writeV1Row } from './v1-row.ts';
import { NO_ENDPOINT, V1Annotation, difference, isAddressKey, letters, sum } from './v1-span.ts';
import type { V1Span } from './v1-span.ts';

const CLIENT = 1;
const SERVER = 2;
const PRODUCER = 3;
const CONSUMER = 4;

const CS = letters('cs');
const CR = letters('cr');
const SR = letters('sr');
const SS = letters('ss');
const MS = letters('ms');
const MR = letters('mr');
const WS = letters('ws');
const WR = letters('wr');
const SA = letters('sa');
const CA = letters('ca');
const MA = letters('ma');
const LC = letters('lc');

class V1Converter {
  #span!: V1Span;
  readonly #rows: V1Row[] = [];
  #rowCount = 0;
  #first!: V1Row;
  #stamp = 0;
  #cs: V1Annotation | undefined;
  #cr: V1Annotation | undefined;
  #sr: V1Annotation | undefined;
  #ss: V1Annotation | undefined;
  #ms: V1Annotation | undefined;
  #mr: V1Annotation | undefined;
  #ws: V1Annotation | undefined;
  #wr: V1Annotation | undefined;
  readonly #inferredCs = new V1Annotation();
  readonly #inferredSr = new V1Annotation();

  convert(span: V1Span, batch: SpanBatch, gate: RowGate, report: DecodeReport): void {
    this.#span = span;
    this.#stamp = (this.#stamp + 1) >>> 0 || 1;
    this.#cs = this.#cr = this.#sr = this.#ss = undefined;
    this.#ms = this.#mr = this.#ws = this.#wr = undefined;
    this.#rowCount = 0;
    this.#first = this.#newRow(NO_ENDPOINT);
    this.#placeAnnotations();
    this.#inferBegins();
    this.#timeRpc();
    this.#timeMessaging();
    this.#placeTags();
    for (let i = 0; i < this.#rowCount; i++) {
      const row = this.#rows[i]!;
      batch.beginRow();
      writeV1Row(row, span, batch);
      batch.endRow();
      const reason = gate.admit(batch);
      if (reason === undefined) {
        batch.keepRow();
        report.accepted++;
      } else {
        report.rejectRow(batch, reason, '');
      }
    }
  }

  #newRow(local: number): V1Row {
    if (this.#rowCount === this.#rows.length) this.#rows.push(new V1Row());
    const row = this.#rows[this.#rowCount++]!;
    row.begin(local);
    return row;
  }

  /** The row of an endpoint's service, made when it is missing. */
  #rowOf(endpoint: number): V1Row {
    if (endpoint === NO_ENDPOINT) return this.#first;
    const { services } = this.#span;
    const { service } = this.#span.endpoints[endpoint]!;
    if (services.marks[service] === this.#stamp) return this.#rows[services.places[service]!]!;
    services.marks[service] = this.#stamp;
    if (this.#first.local === NO_ENDPOINT) {
      this.#first.local = endpoint;
      services.places[service] = 0;
      return this.#first;
    }
    services.places[service] = this.#rowCount;
    return this.#newRow(endpoint);
  }

  #sameService(a: number, b: number): boolean {
    const { endpoints } = this.#span;
    return a === b || endpoints[a]!.service === endpoints[b]!.service;
  }

  #placeAnnotations(): void {
    const span = this.#span;
    span.sortAnnotations();
    for (let i = 0; i < span.annotationCount; i++) {
      const annotation = span.annotations[i]!;
      const row = this.#rowOf(annotation.endpoint);
      // Without an endpoint an agreed name means nothing.
      const agreed = annotation.valueLength === 2 && annotation.endpoint !== NO_ENDPOINT;
      if (!agreed || !this.#placeCore(annotation, row)) row.addAnnotation(annotation);
    }
  }

  #placeCore(annotation: V1Annotation, row: V1Row): boolean {
    const name = this.#span.pairAt(annotation.valueAt);
    if (name === CS || name === CR) {
      row.kind = CLIENT;
      if (name === CS) this.#cs = annotation;
      else this.#cr = annotation;
    } else if (name === SR || name === SS) {
      row.kind = SERVER;
      if (name === SR) this.#sr = annotation;
      else this.#ss = annotation;
    } else if (name === MS) {
      row.kind = PRODUCER;
      this.#ms = annotation;
    } else if (name === MR) {
      row.kind = CONSUMER;
      this.#mr = annotation;
    } else if (name === WS) this.#ws = annotation;
    else if (name === WR) this.#wr = annotation;
    else return false;
    return true;
  }

  /** A begin is missing when the span itself tells it: its times end where the annotation is. */
  #inferBegins(): void {
    const cr = this.#cr;
    const ss = this.#ss;
    if (this.#cs === undefined && cr !== undefined && this.#endsSpan(cr)) {
      this.#cs = this.#inferredCs;
      this.#cs.time = this.#span.timestamp;
      this.#cs.endpoint = cr.endpoint;
    }
    if (this.#sr === undefined && ss !== undefined && this.#endsSpan(ss)) {
      this.#sr = this.#inferredSr;
      this.#sr.time = this.#span.timestamp;
      this.#sr.endpoint = ss.endpoint;
    }
  }

  #endsSpan(end: V1Annotation): boolean {
    const { timestamp, duration } = this.#span;
    if (timestamp === 0 || duration === 0) return false;
    return sum(timestamp, duration) === end.time;
  }

  #timeRpc(): void {
    const span = this.#span;
    const cs = this.#cs;
    const cr = this.#cr;
    const sr = this.#sr;
    const ss = this.#ss;
    if (cs !== undefined && sr !== undefined) this.#timeBothSides(cs, sr);
    else if (cs !== undefined && cr !== undefined) this.#time(cs, cr);
    else if (sr !== undefined && ss !== undefined) this.#time(sr, ss);
    else this.#timeIncomplete();
    // v1 has no flag for it: a server that does not own the times shares its client's span.
    const unowned = span.timestamp === 0 || (ss !== undefined && span.duration === 0);
    if (cs === undefined && sr !== undefined && unowned) this.#rowOf(sr.endpoint).shared = true;
  }

  #timeBothSides(cs: V1Annotation, sr: V1Annotation): void {
    this.#time(cs, this.#cr);
    const client = this.#rowOf(cs.endpoint);
    let server: V1Row;
    if (this.#sameService(cs.endpoint, sr.endpoint)) {
      client.kind = CLIENT;
      server = this.#newRow(sr.endpoint);
      server.kind = SERVER;
    } else server = this.#rowOf(sr.endpoint);
    server.shared = true;
    server.timestamp = sr.time;
    if (this.#ss !== undefined) server.duration = difference(this.#ss.time, sr.time);
    // One way: it has no duration.
    if (this.#cr === undefined && this.#span.duration === 0) client.duration = 0;
  }

  /** The span's own times if it has both, else those of the annotations. */
  #time(begin: V1Annotation, end: V1Annotation | undefined): void {
    const { timestamp, duration } = this.#span;
    const row = this.#rowOf(begin.endpoint);
    if (timestamp !== 0 && duration !== 0) {
      row.timestamp = timestamp;
      row.duration = duration;
    } else {
      row.timestamp = begin.time;
      if (end !== undefined) row.duration = difference(end.time, begin.time);
    }
  }

  #timeIncomplete(): void {
    for (let i = 0; i < this.#rowCount; i++) {
      const row = this.#rows[i]!;
      if (row.kind === CLIENT) {
        if (this.#cs !== undefined) row.timestamp = this.#cs.time;
        row.ending = this.#cr;
      } else if (row.kind === SERVER) {
        if (this.#sr !== undefined) row.timestamp = this.#sr.time;
        row.ending = this.#ss;
      }
    }
    const { timestamp, duration } = this.#span;
    if (timestamp === 0) return;
    this.#first.timestamp = timestamp;
    this.#first.duration = duration;
  }

  #timeMessaging(): void {
    const ms = this.#ms;
    const mr = this.#mr;
    const ws = this.#ws;
    const wr = this.#wr;
    if (ms !== undefined && mr !== undefined) this.#timeBothEnds(ms, mr);
    else if (ms !== undefined) this.#time(ms, ws);
    else if (mr !== undefined && wr !== undefined) this.#time(wr, mr);
    else if (mr !== undefined) this.#time(mr, undefined);
    else {
      if (ws !== undefined) this.#rowOf(ws.endpoint).insertAnnotation(ws);
      if (wr !== undefined) this.#rowOf(wr.endpoint).insertAnnotation(wr);
    }
  }

  #timeBothEnds(ms: V1Annotation, mr: V1Annotation): void {
    const producer = this.#rowOf(ms.endpoint);
    let consumer: V1Row;
    if (this.#sameService(ms.endpoint, mr.endpoint)) {
      producer.kind = PRODUCER;
      consumer = this.#newRow(mr.endpoint);
      consumer.kind = CONSUMER;
    } else consumer = this.#rowOf(mr.endpoint);
    consumer.shared = true;
    consumer.timestamp = (this.#wr ?? mr).time;
    if (this.#wr !== undefined) consumer.duration = difference(mr.time, this.#wr.time);
    producer.timestamp = ms.time;
    producer.duration = this.#ws === undefined ? 0 : difference(this.#ws.time, ms.time);
  }

  #placeTags(): void {
    const span = this.#span;
    if (this.#tagsDisagree()) span.sortTags();
    let sa: number = NO_ENDPOINT;
    let ca: number = NO_ENDPOINT;
    let ma: number = NO_ENDPOINT;
    for (let i = 0; i < span.tagCount; i++) {
      const tag = span.tags[i]!;
      const name = tag.keyLength === 2 ? span.pairAt(tag.keyAt) : 0;
      if (name === SA) sa = tag.endpoint;
      else if (name === CA) ca = tag.endpoint;
      else if (name === MA) ma = tag.endpoint;
      else {
        const row = this.#rowOf(tag.endpoint);
        if (name !== LC || tag.valueLength > 0) row.addTag(tag);
      }
    }
    this.#placeAddresses(sa, ca, ma);
  }

  /** Do tags have different endpoints? Only then it matters which of them comes first. */
  #tagsDisagree(): boolean {
    const span = this.#span;
    let seen: number = NO_ENDPOINT;
    for (let i = 0; i < span.tagCount; i++) {
      const { endpoint, keyAt, keyLength } = span.tags[i]!;
      if (endpoint === seen || endpoint === NO_ENDPOINT) continue;
      const name = keyLength === 2 ? span.pairAt(keyAt) : 0;
      if (isAddressKey(name)) continue;
      if (seen !== NO_ENDPOINT) return true;
      seen = endpoint;
    }
    return false;
  }

  #placeAddresses(sa: number, ca: number, ma: number): void {
    const client = this.#cs ?? this.#cr;
    const server = this.#sr ?? this.#ss;
    if (
      client === undefined &&
      server === undefined &&
      (ca !== NO_ENDPOINT || sa !== NO_ENDPOINT)
    ) {
      if (sa !== NO_ENDPOINT) this.#rowOf(ca).setRemote(sa);
      else {
        this.#first.kind = SERVER;
        this.#first.setRemote(ca);
      }
      return;
    }
    if (ca !== NO_ENDPOINT && server !== undefined) this.#placeCaller(ca, server.endpoint);
    if (sa !== NO_ENDPOINT && client !== undefined) this.#rowOf(client.endpoint).setRemote(sa);
    if (ma === NO_ENDPOINT) return;
    if (this.#ms !== undefined) this.#rowOf(this.#ms.endpoint).setRemote(ma);
    if (this.#mr !== undefined) this.#rowOf(this.#mr.endpoint).setRemote(ma);
  }

  /** Finagle names the client as the server: such a name would make a service call itself. */
  #placeCaller(ca: number, server: number): void {
    const { endpoints } = this.#span;
    if (endpoints[ca]!.equals(endpoints[server]!)) return;
    this.#rowOf(server).setRemote(ca, this.#sameService(ca, server));
  }
}

const converter = new V1Converter();

/** Appends the rows of the span to the batch: one, or one for each side that took part. */
export function convertV1(
  span: V1Span,
  batch: SpanBatch,
  gate: RowGate,
  report: DecodeReport,
): void {
  converter.convert(span, batch, gate, report);
}
