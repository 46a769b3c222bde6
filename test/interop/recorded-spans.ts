/**
 * What a recorded request says, read without the code under test: HTTP by hand, JSON by
 * JSON.parse, proto3 by protobufjs. Then the few rules by which Zipkin reads spans.
 */
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import protobuf from 'protobufjs';
import type { FoundEndpoint, FoundSpan } from './scrubjay-process.ts';

const SCHEMA = fileURLToPath(new URL('../../proto/zipkin.proto', import.meta.url));
export const ListOfSpans = protobuf.loadSync(SCHEMA).lookupType('zipkin.proto3.ListOfSpans');

/** As sent: any member may be missing, null or empty. */
export interface SentSpan extends Omit<FoundSpan, 'parentId' | 'timestamp' | 'duration'> {
  readonly parentId?: string | null;
  readonly timestamp?: number;
  readonly duration?: number;
}

interface SentV1Span extends Omit<SentSpan, 'annotations'> {
  readonly annotations?: readonly V1Annotation[];
  readonly binaryAnnotations: readonly V1BinaryAnnotation[];
}
interface V1Annotation {
  readonly timestamp: number;
  readonly value: string;
  readonly endpoint: FoundEndpoint;
}
interface V1BinaryAnnotation {
  readonly key: string;
  readonly value: string | boolean;
  readonly endpoint: FoundEndpoint;
}

/** The spans of one request as the query API should answer them, traces mixed. */
export function spansOfRequest(request: Buffer): FoundSpan[] {
  const body = bodyOf(request);
  if (body.length === 0) return [];
  if (body[0] === 0x0a) return decodeProto3(body).map(expected);
  const spans = JSON.parse(body.toString()) as (SentSpan | SentV1Span)[];
  return spans.map((span) => expected('binaryAnnotations' in span ? toV2(span) : span));
}

function bodyOf(request: Buffer): Buffer {
  const end = request.indexOf('\r\n\r\n');
  const head = request.subarray(0, end).toString();
  const rest = request.subarray(end + 4);
  const framed = /^transfer-encoding: *chunked/im.test(head) ? joinChunks(rest) : rest;
  return /^content-encoding: *gzip/im.test(head) ? gunzipSync(framed) : framed;
}

function joinChunks(framed: Buffer): Buffer {
  const chunks: Buffer[] = [];
  for (let at = 0; ;) {
    const line = framed.indexOf('\r\n', at);
    const length = Number.parseInt(framed.subarray(at, line).toString(), 16);
    if (length === 0) return Buffer.concat(chunks);
    chunks.push(framed.subarray(line + 2, line + 2 + length));
    at = line + 2 + length + 2;
  }
}

interface Proto3Span extends Omit<SentSpan, 'timestamp' | 'duration' | 'annotations'> {
  readonly timestamp: string;
  readonly duration: string;
  readonly annotations: readonly { readonly timestamp: string; readonly value: string }[];
}

function decodeProto3(body: Buffer): SentSpan[] {
  const options = { longs: String, enums: String, bytes: String, defaults: true };
  const { spans } = ListOfSpans.toObject(ListOfSpans.decode(body), options) as {
    spans: Proto3Span[];
  };
  return spans.map(fromProto3);
}

function fromProto3(span: Proto3Span): SentSpan {
  const { traceId, parentId, id, timestamp, duration, annotations, ...rest } = span;
  return {
    ...rest,
    traceId: hex(traceId),
    parentId: hex(parentId ?? ''),
    id: hex(id),
    // A negative duration is a varint of ten bytes.
    timestamp: Number(BigInt.asIntN(64, BigInt(timestamp))),
    duration: Number(BigInt.asIntN(64, BigInt(duration))),
    annotations: annotations.map((one) => ({ timestamp: Number(one.timestamp), value: one.value })),
    localEndpoint: endpointFromProto3(span.localEndpoint),
    remoteEndpoint: endpointFromProto3(span.remoteEndpoint),
  };
}

const hex = (base64: string): string => Buffer.from(base64, 'base64').toString('hex');

function endpointFromProto3(endpoint: FoundEndpoint | null | undefined): FoundEndpoint {
  const ipv4 = Buffer.from(endpoint?.ipv4 ?? '', 'base64');
  const groups = Buffer.from(endpoint?.ipv6 ?? '', 'base64')
    .toString('hex')
    .match(/.{4}/g);
  // URL writes an address in its short form.
  const ipv6 = groups === null ? '' : new URL(`http://[${groups.join(':')}]`).hostname;
  return { ...endpoint, ipv4: ipv4.join('.'), ipv6: ipv6.replaceAll(/[[\]]/g, '') };
}

/** The core annotations of JSON v1, of which the recorded clients send these. */
const KINDS: Readonly<Record<string, string>> = { cs: 'CLIENT', sr: 'SERVER' };
const CORE = new Set(['cs', 'cr', 'sr', 'ss']);

function toV2(span: SentV1Span): SentSpan {
  const { binaryAnnotations, annotations = [], ...rest } = span;
  const begin = annotations.find(({ value }) => value in KINDS);
  const end = annotations.find(({ value }) => value === 'cr' || value === 'ss');
  const remote = binaryAnnotations.find(({ value }) => value === true);
  const tags = binaryAnnotations.filter(({ value }) => typeof value === 'string');
  const { timestamp = begin?.timestamp, duration } = span;
  const measured = begin && end ? end.timestamp - begin.timestamp : undefined;
  return {
    ...rest,
    kind: begin && KINDS[begin.value],
    timestamp,
    duration: duration ?? measured,
    localEndpoint: [...annotations, ...tags][0]?.endpoint,
    remoteEndpoint: remote?.endpoint,
    annotations: annotations.filter(({ value }) => !CORE.has(value)),
    tags: Object.fromEntries(tags.map(({ key, value }) => [key, value])),
    // A server that left the time of the span to the client.
    shared: begin?.value === 'sr' && span.timestamp === undefined,
  } as SentSpan;
}

/** The default of SCRUBJAY_MAX_TAG_VALUE_BYTES; the one tag that is longer is ASCII. */
const TAG_VALUE_MAX = 65_536;

/** Zipkin's reading: names in lower case, whole microseconds, and nothing that is empty. */
export function expected(span: SentSpan): FoundSpan {
  const { parentId, id, annotations = [], tags } = span;
  return withoutEmpty({
    traceId: span.traceId,
    parentId: parentId === id ? undefined : parentId,
    id,
    kind: span.kind === 'SPAN_KIND_UNSPECIFIED' ? undefined : span.kind,
    name: span.name?.toLowerCase(),
    timestamp: positive(span.timestamp),
    duration: positive(span.duration),
    localEndpoint: endpoint(span.localEndpoint),
    remoteEndpoint: endpoint(span.remoteEndpoint),
    annotations: annotations
      .map(({ timestamp, value }) => ({ timestamp: Math.floor(timestamp), value }))
      .toSorted((a, b) => a.timestamp - b.timestamp || (a.value < b.value ? -1 : 1)),
    tags: Object.fromEntries(Object.entries(tags ?? {}).map(([key, value]) => [key, text(value)])),
    debug: span.debug,
    shared: span.shared,
  }) as FoundSpan;
}

/** UTF-8 has no lone surrogates; Java writes a question mark for one. */
const text = (sent: string): string =>
  sent.replaceAll(/\p{Surrogate}/gu, '?').slice(0, TAG_VALUE_MAX);

const positive = (value: number | undefined): number | undefined =>
  value !== undefined && value >= 1 ? Math.floor(value) : undefined;

const endpoint = (sent: FoundEndpoint | null | undefined): object =>
  withoutEmpty({
    serviceName: sent?.serviceName?.toLowerCase(),
    ipv4: sent?.ipv4,
    ipv6: sent?.ipv6,
    port: sent?.port,
  });

function withoutEmpty(members: object): object {
  const isEmpty = (value: unknown): boolean =>
    !value || (typeof value === 'object' && Object.keys(value).length === 0);
  return Object.fromEntries(Object.entries(members).filter(([, value]) => !isEmpty(value)));
}

/** Traces out of the spans of several requests, which may share trace ids; equal spans are one. */
export class SentTraces {
  readonly #spans = new Map<string, Map<string, FoundSpan>>();

  add(spans: readonly FoundSpan[]): void {
    for (const span of spans) {
      const trace = this.#spans.get(span.traceId) ?? new Map<string, FoundSpan>();
      trace.set(JSON.stringify(span), span);
      this.#spans.set(span.traceId, trace);
    }
  }

  of(traceId: string): FoundSpan[] {
    return [...(this.#spans.get(traceId)?.values() ?? [])];
  }
}

/** In an order that two equal lists have, whatever that of their members is. */
export const inOrder = (spans: readonly FoundSpan[]): FoundSpan[] =>
  spans.toSorted((a, b) => (orderKey(a) < orderKey(b) ? -1 : 1));

const orderKey = ({ id, kind, shared, timestamp, duration }: FoundSpan): string =>
  JSON.stringify([id, kind, shared, timestamp, duration]);
