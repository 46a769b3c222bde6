/** Endpoints, annotations and tags of a v2 JSON span, into the row that is being written. */
import type { EndpointColumns } from '../model/endpoint-columns.ts';
import type { SpanBatch } from '../model/span-batch.ts';
import {
  CLOSE_LIST,
  COLON,
  COMMA,
  CLOSE_OBJECT,
  OPEN_LIST,
  OPEN_OBJECT,
  QUOTE,
} from './json-reader.ts';
import { memberName } from './json-text.ts';
import type { JsonReader } from './json-reader.ts';
import type { JsonValues } from './json-values.ts';

const SERVICE_NAME = memberName('serviceName');
const IPV4 = memberName('ipv4');
const PORT = memberName('port');
const TIMESTAMP = memberName('timestamp');
const VALUE = memberName('value');
const CORE_ANNOTATION = /^(?:c[sr]|s[sr]|m[sr]|w[sr])$/;

/** Where the parts go: an object that lives as long as the decoder. */
export interface PartTarget {
  batch: SpanBatch;
  /** A member was met that only the v1 format has. */
  looksV1: boolean;
  looksV2: boolean;
}

/** An endpoint replaces what an earlier member of that name had set. */
export function readEndpoint(v: JsonValues, target: PartTarget, side: EndpointColumns): true {
  const r = v.reader;
  if (r.peek() !== OPEN_OBJECT) {
    if (r.kind() !== 'null') v.report.normalize('endpoint_dropped');
    r.skipValue();
    return true;
  }
  target.looksV2 = true;
  r.p++;
  side.clear(target.batch.rows);
  if (!r.closesAtOnce(CLOSE_OBJECT)) readEndpointMembers(v, target, side);
  return true;
}

/** From the first member that is left, the closing brace included. */
export function readEndpointMembers(
  v: JsonValues,
  target: PartTarget,
  side: EndpointColumns,
): void {
  const r = v.reader;
  do {
    r.openName();
    if (r.takesName(SERVICE_NAME)) readService(v, target, side);
    else if (r.takesName(IPV4)) readIp(v, target, side, 4);
    else if (r.takesName(PORT)) readPort(v, target, side);
    else anyEndpointMember(v, target, side);
  } while (r.more(CLOSE_OBJECT));
}

function anyEndpointMember(v: JsonValues, target: PartTarget, side: EndpointColumns): void {
  const r = v.reader;
  r.readName();
  const name = r.textString();
  if (name === 'serviceName') readService(v, target, side);
  else if (name === 'ipv4') readIp(v, target, side, 4);
  else if (name === 'ipv6') readIp(v, target, side, 6);
  else if (name === 'port') readPort(v, target, side);
  else r.skipValue();
}

function readService(v: JsonValues, { batch }: PartTarget, side: EndpointColumns): void {
  const r = v.reader;
  // Most spans of a message come from one service: try the name that came last.
  const guess = side.services.followers[0]!;
  const taken = r.peek() === QUOTE ? side.services.spelledAt(guess, r.view, r.p + 1) : 0;
  if (taken > 0) {
    side.serviceIndex[batch.rows] = guess;
    r.p += taken + 1;
  } else if (v.readLenientText()) {
    batch.setService(side, r.text, r.textFrom, r.textTo);
    side.services.followers[0] = side.serviceIndex[batch.rows]!;
  }
}

function readIp(v: JsonValues, target: PartTarget, side: EndpointColumns, expected: number): void {
  const r = v.reader;
  if (expected === 4 && r.source[r.p] === QUOTE) {
    const after = side.setQuotedIp4(target.batch.rows, r.source, r.p + 1);
    if (after > 0) {
      r.p = after;
      return;
    }
  }
  if (!v.readLenientText() || r.textFrom === r.textTo) return;
  const kind = side.setIpText(target.batch.rows, r.text, r.textFrom, r.textTo);
  if (kind === 0) v.report.normalize('ip_dropped');
  else if (kind !== expected) v.report.normalize('ip_moved');
}

function readPort(v: JsonValues, { batch }: PartTarget, side: EndpointColumns): void {
  const port = v.integer('port_dropped');
  if (port === undefined) return;
  const valid = port >= 0 && port <= 65_535;
  if (!valid && port !== -1) v.report.normalize('port_dropped');
  side.port[batch.rows] = valid ? Number(port) : 0;
}

export function readAnnotations(v: JsonValues, target: PartTarget): true {
  const r = v.reader;
  if (r.peek() !== OPEN_LIST) {
    if (r.kind() !== 'null') v.report.normalize('annotation_dropped');
    r.skipValue();
    return true;
  }
  r.p++;
  if (r.closesAtOnce(CLOSE_LIST)) return true;
  do {
    if (r.peek() === OPEN_OBJECT) readAnnotation(v, target);
    else {
      r.skipValue();
      v.report.normalize('annotation_dropped');
    }
  } while (r.more(CLOSE_LIST));
  return true;
}

function readAnnotation(v: JsonValues, target: PartTarget): void {
  const r = v.reader;
  let time: number | bigint | undefined;
  let value: Uint8Array | undefined;
  let hasEndpoint = false;
  r.p++;
  if (!r.closesAtOnce(CLOSE_OBJECT)) {
    do {
      r.openName();
      const name = r.takesName(TIMESTAMP)
        ? 'timestamp'
        : r.takesName(VALUE)
          ? 'value'
          : nameText(v);
      if (name === 'timestamp') time = v.integer();
      else if (name === 'value') {
        if (v.readLenientText()) value = r.text.slice(r.textFrom, r.textTo);
      } else {
        hasEndpoint ||= name === 'endpoint' && r.kind() === 'object';
        r.skipValue();
      }
    } while (r.more(CLOSE_OBJECT));
  }
  if (time === undefined || value === undefined) {
    v.report.normalize('annotation_dropped');
    return;
  }
  if (hasEndpoint && value.length === 2) {
    target.looksV1 ||= CORE_ANNOTATION.test(Buffer.from(value).toString('latin1'));
  }
  target.batch.addAnnotation(time, value, 0, value.length);
}

function nameText(v: JsonValues): string {
  v.reader.readName();
  return v.reader.textString();
}

export function readTags(v: JsonValues, target: PartTarget): void {
  const r = v.reader;
  if (r.peek() !== OPEN_OBJECT) {
    const kind = r.kind();
    if (kind !== 'null') v.report.normalize('tags_dropped');
    if (kind !== 'null') target.looksV2 = true;
    r.skipValue();
    return;
  }
  target.looksV2 = true;
  r.p++;
  if (r.closesAtOnce(CLOSE_OBJECT)) return;
  do readTag(v, target.batch);
  while (r.more(CLOSE_OBJECT));
}

/** One tag and all that follow it in the usual form; what ends them stays unread. */
function readTag(v: JsonValues, batch: SpanBatch): void {
  const r = v.reader;
  const { source, view } = r;
  const { tags, limits } = batch;
  const { keys } = tags;
  let before = 0;
  let p: number;
  for (;;) {
    r.openName();
    // Spans of one kind have the same keys in the same order: try the key that came next before.
    let key = keys.followers[before]!;
    let taken = keys.spelledAt(key, view, r.p);
    if (taken === 0) {
      const first = key;
      key = keys.rarerFollowers[before]!;
      taken = keys.spelledAt(key, view, r.p);
      if (taken === 0) key = otherKey(r, batch);
      keys.rarerFollowers[before] = first;
      keys.followers[before] = key;
    }
    before = key;
    p = r.p += taken;
    if (tags.rowCount >= limits.tagsMax) break;
    if (source[p] === 0x20) p++;
    if (source[p] !== QUOTE) break;
    const after = tags.addQuoted(key, view, p + 1, limits.tagValueBytesMax);
    if (after < 0) break;
    r.p = after;
    if (source[after] !== COMMA) return;
    r.p++;
  }
  if (r.peek() === QUOTE) {
    r.p++;
    r.readString();
    batch.addTagOf(before, r.text, r.textFrom, r.textTo);
  } else typedTag(v, batch, before);
}

/** A key that was not foreseen, and the colon behind it. */
function otherKey(r: JsonReader, batch: SpanBatch): number {
  r.readString();
  const key = batch.tagKey(r.text, r.textFrom, r.textTo);
  r.expect(COLON);
  return key;
}

/** null drops the tag; any other value counts as its JSON text. */
function typedTag(v: JsonValues, batch: SpanBatch, key: number): void {
  const r = v.reader;
  const kind = r.kind();
  const from = r.p;
  r.skipValue();
  if (kind === 'null') {
    v.report.normalize('tag_null_dropped');
    return;
  }
  if (kind !== 'number') v.report.normalize('tag_typed');
  batch.addTagOf(key, r.source, from, r.p);
}
