/**
 * Spans as Zipkin v2 JSON: member order and escapes of zipkin2/internal/V2SpanWriter.java and
 * JsonEscaper.java.
 */
import type { Endpoint, Span } from '../model/span.ts';

const SEPARATORS = /[\u2028\u2029]/g;

/** A JSON string; U+2028 and U+2029 are escaped too, so that it is a JavaScript literal as well. */
function quoted(text: string): string {
  return JSON.stringify(text).replace(SEPARATORS, (c) => (c === '\u2028' ? '\\u2028' : '\\u2029'));
}

function endpointJson({ serviceName, ipv4, ipv6, port }: Endpoint): string {
  const members: string[] = [];
  if (serviceName !== undefined) members.push(`"serviceName":${quoted(serviceName)}`);
  if (ipv4 !== undefined) members.push(`"ipv4":"${ipv4}"`);
  if (ipv6 !== undefined) members.push(`"ipv6":"${ipv6}"`);
  if (port !== undefined) members.push(`"port":${port}`);
  return `{${members.join(',')}}`;
}

function tagsJson(tags: ReadonlyMap<string, string>): string {
  const members = Array.from(tags, ([key, value]) => `${quoted(key)}:${quoted(value)}`);
  return `{${members.join(',')}}`;
}

/** One span as a JSON object. */
export function spanJson(span: Span): string {
  let json = `{"traceId":"${span.traceId}"`;
  if (span.parentId !== undefined) json += `,"parentId":"${span.parentId}"`;
  json += `,"id":"${span.id}"`;
  if (span.kind !== undefined) json += `,"kind":"${span.kind}"`;
  if (span.name !== undefined) json += `,"name":${quoted(span.name)}`;
  if (span.timestamp !== undefined) json += `,"timestamp":${span.timestamp}`;
  if (span.duration !== undefined) json += `,"duration":${span.duration}`;
  if (span.localEndpoint !== undefined)
    json += `,"localEndpoint":${endpointJson(span.localEndpoint)}`;
  if (span.remoteEndpoint !== undefined)
    json += `,"remoteEndpoint":${endpointJson(span.remoteEndpoint)}`;
  if (span.annotations !== undefined) {
    const list = span.annotations.map(
      (a) => `{"timestamp":${a.timestamp},"value":${quoted(a.value)}}`,
    );
    json += `,"annotations":[${list.join(',')}]`;
  }
  if (span.tags !== undefined) json += `,"tags":${tagsJson(span.tags)}`;
  if (span.debug !== undefined) json += ',"debug":true';
  if (span.shared !== undefined) json += ',"shared":true';
  return `${json}}`;
}

/** A flat list of spans. */
export function spansJson(spans: readonly Span[]): Buffer {
  return Buffer.from(`[${spans.map(spanJson).join(',')}]`);
}
