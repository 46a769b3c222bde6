/** One row of v2 while it is made of the parts of a v1 span (v1-convert.ts), and its writing. */
import type { EndpointColumns } from '../model/endpoint-columns.ts';
import { FLAG_DEBUG, FLAG_SHARED } from '../model/span-batch.ts';
import type { SpanBatch } from '../model/span-batch.ts';
import { NO_ENDPOINT } from './v1-span.ts';
import type { Micros, V1Annotation, V1Span, V1Tag } from './v1-span.ts';

export class V1Row {
  kind = 0;
  shared = false;
  timestamp: Micros = 0;
  duration: Micros = 0;
  local: number = NO_ENDPOINT;
  remote: number = NO_ENDPOINT;
  /** The service of the remote endpoint is left out. */
  unnamedRemote = false;
  annotations: V1Annotation | undefined;
  lastAnnotation: V1Annotation | undefined;
  /** The annotation of an end whose begin is unknown; other rows may have it too. */
  ending: V1Annotation | undefined;
  tags: V1Tag | undefined;
  lastTag: V1Tag | undefined;

  begin(local: number): void {
    this.kind = 0;
    this.shared = false;
    this.timestamp = 0;
    this.duration = 0;
    this.local = local;
    this.remote = NO_ENDPOINT;
    this.unnamedRemote = false;
    this.annotations = undefined;
    this.lastAnnotation = undefined;
    this.ending = undefined;
    this.tags = undefined;
    this.lastTag = undefined;
  }

  setRemote(endpoint: number, unnamed = false): void {
    this.remote = endpoint;
    this.unnamedRemote = unnamed;
  }

  /** Annotations come by time. */
  addAnnotation(annotation: V1Annotation): void {
    annotation.next = undefined;
    if (this.lastAnnotation === undefined) this.annotations = annotation;
    else this.lastAnnotation.next = annotation;
    this.lastAnnotation = annotation;
  }

  /** At its place by time: the columns need not sort then. */
  insertAnnotation(annotation: V1Annotation): void {
    let before: V1Annotation | undefined;
    let after = this.annotations;
    while (after !== undefined && after.time <= annotation.time) {
      before = after;
      after = after.next;
    }
    if (after === undefined) {
      this.addAnnotation(annotation);
      return;
    }
    annotation.next = after;
    if (before === undefined) this.annotations = annotation;
    else before.next = annotation;
  }

  addTag(tag: V1Tag): void {
    tag.next = undefined;
    if (this.lastTag === undefined) this.tags = tag;
    else this.lastTag.next = tag;
    this.lastTag = tag;
  }
}

/** Sets all columns of the batch's row, between its beginRow and endRow. */
export function writeV1Row(row: V1Row, span: V1Span, batch: SpanBatch): void {
  const id = span.traceId;
  batch.setTraceId(id[0], id[1], id[2], id[3]);
  batch.setId(span.idHi, span.idLo);
  batch.setParentId(span.parentHi, span.parentLo);
  if (span.nameLength > 0) {
    const at = span.nameAt < 0 ? ~span.nameAt : span.nameAt;
    batch.setName(span.bytesAt(span.nameAt), at, at + span.nameLength);
  }
  if (row.kind !== 0) batch.setKind(row.kind);
  if (span.debug) batch.setFlag(FLAG_DEBUG, true);
  if (row.shared) batch.setFlag(FLAG_SHARED, true);
  batch.setTimestamp(row.timestamp);
  batch.setDuration(row.duration);
  if (row.local !== NO_ENDPOINT) writeEndpoint(span, batch, batch.local, row.local, true);
  if (row.remote !== NO_ENDPOINT) {
    writeEndpoint(span, batch, batch.remote, row.remote, !row.unnamedRemote);
  }
  for (let a = row.annotations; a !== undefined; a = a.next) writeAnnotation(span, batch, a);
  if (row.ending !== undefined) writeAnnotation(span, batch, row.ending);
  let before = 0;
  for (let tag = row.tags; tag !== undefined; tag = tag.next) {
    before = writeTag(span, batch, tag, before);
  }
}

function writeAnnotation(span: V1Span, batch: SpanBatch, annotation: V1Annotation): void {
  const { time, valueAt, valueLength } = annotation;
  const at = valueAt < 0 ? ~valueAt : valueAt;
  batch.addAnnotation(time, span.bytesAt(valueAt), at, at + valueLength);
}

/** @param before the key of the tag before. @returns the key of this one */
function writeTag(span: V1Span, batch: SpanBatch, tag: V1Tag, before: number): number {
  const { keyAt, keyLength, valueAt, valueLength } = tag;
  const { keys } = batch.tags;
  // Spans of one kind have the same keys in the same order: try those that came next before.
  let key = keyAt < 0 ? 0 : keys.followerIn(before, span.view, keyAt, keyLength);
  if (key === 0) {
    const from = keyAt < 0 ? ~keyAt : keyAt;
    key = batch.tagKey(span.bytesAt(keyAt), from, from + keyLength);
    keys.noteFollower(before, key);
  }
  if (valueAt < 0) batch.addTagOf(key, span.scratch, ~valueAt, ~valueAt + valueLength);
  else batch.addTagOf(key, span.source, valueAt, valueAt + valueLength, span.view);
  return key;
}

function writeEndpoint(
  span: V1Span,
  batch: SpanBatch,
  side: EndpointColumns,
  number: number,
  named: boolean,
): void {
  const { services } = span;
  const endpoint = span.endpoints[number]!;
  const { service, textAt } = endpoint;
  const row = batch.rows;
  if (named && service !== 0) {
    batch.setService(side, services.arena, services.starts[service]!, services.ends[service]!);
  }
  if (endpoint.odd) {
    const at = textAt < 0 ? ~textAt : textAt;
    side.setIpText(row, span.bytesAt(textAt), at, at + endpoint.textLength);
  } else if (endpoint.hasIp4) side.setIp4(row, endpoint.ip4);
  if (endpoint.hasIp6) side.setIp6(row, endpoint.ip6, 0);
  if (endpoint.port !== 0) side.port[row] = endpoint.port;
}
