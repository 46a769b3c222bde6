/** The bench's v2 spans in the other formats, and as plain objects for comparison. */

const IP = (text) => text.split('.').map(Number);

function endpointToProto(endpoint) {
  if (endpoint === undefined) return undefined;
  const { serviceName, ipv4, port } = endpoint;
  return {
    ...(serviceName && { service_name: serviceName }),
    ...(ipv4 && { ipv4: Buffer.from(IP(ipv4)) }),
    ...(port && { port }),
  };
}

/** @returns a zipkin.proto3.ListOfSpans */
export function toProto(ListOfSpans, spans) {
  const messages = spans.map((span) => ({
    trace_id: Buffer.from(span.traceId, 'hex'),
    ...(span.parentId && { parent_id: Buffer.from(span.parentId, 'hex') }),
    id: Buffer.from(span.id, 'hex'),
    kind: span.kind,
    name: span.name,
    timestamp: span.timestamp,
    duration: span.duration,
    local_endpoint: endpointToProto(span.localEndpoint),
    remote_endpoint: endpointToProto(span.remoteEndpoint),
    annotations: span.annotations ?? [],
    tags: span.tags,
    shared: span.shared ?? false,
  }));
  return ListOfSpans.encode(ListOfSpans.fromObject({ spans: messages })).finish();
}

/** A v1 span with core annotations and an address, as Brave wrote them. */
export function toV1(span) {
  const { localEndpoint: endpoint, remoteEndpoint, timestamp, duration } = span;
  const [begin, end, address] = span.kind === 'SERVER' ? ['sr', 'ss', 'ca'] : ['cs', 'cr', 'sa'];
  return {
    traceId: span.traceId,
    ...(span.parentId && { parentId: span.parentId }),
    id: span.id,
    name: span.name,
    ...(span.shared ? {} : { timestamp, duration }),
    annotations: [
      { timestamp, value: begin, endpoint },
      { timestamp: timestamp + duration, value: end, endpoint },
      ...(span.annotations ?? []).map(({ timestamp: at, value }) => ({
        timestamp: at,
        value,
        endpoint,
      })),
    ],
    binaryAnnotations: [
      ...Object.entries(span.tags).map(([key, value]) => ({ key, value, endpoint })),
      ...(remoteEndpoint ? [{ key: address, value: true, endpoint: remoteEndpoint }] : []),
    ],
  };
}

const i16 = (value) => Buffer.from([(value >> 8) & 255, value & 255]);
const i32 = (value) => {
  const out = Buffer.alloc(4);
  out.writeInt32BE(value);
  return out;
};
const i64 = (value) => {
  const out = Buffer.alloc(8);
  out.writeBigInt64BE(BigInt.asIntN(64, BigInt(value)));
  return out;
};
const text = (value) => Buffer.concat([i32(Buffer.byteLength(value)), Buffer.from(value)]);
const field = (type, id, value) => Buffer.concat([Buffer.from([type]), i16(id), value]);
const struct = (...fields) => Buffer.concat([...fields.flat(), Buffer.from([0])]);
const list = (values) => Buffer.concat([Buffer.from([12]), i32(values.length), ...values]);
const host = ({ ipv4 = '0.0.0.0', port = 0, serviceName = '' }) =>
  struct(
    field(8, 1, i32(Buffer.from(IP(ipv4)).readInt32BE())),
    field(6, 2, i16(port)),
    field(11, 3, text(serviceName)),
  );

function annotationToThrift({ timestamp, value, endpoint }) {
  return struct(
    field(10, 1, i64(timestamp)),
    field(11, 2, text(value)),
    field(12, 3, host(endpoint)),
  );
}

function tagToThrift({ key, value, endpoint }) {
  const isAddress = value === true;
  return struct(
    field(11, 1, text(key)),
    field(11, 2, isAddress ? Buffer.concat([i32(1), Buffer.from([1])]) : text(value)),
    field(8, 3, i32(isAddress ? 0 : 6)),
    field(12, 4, host(endpoint)),
  );
}

/** TBinaryProtocol, list<Span> of zipkinCore.thrift. */
export function toThrift(spans) {
  return list(
    spans.map((span) =>
      struct(
        field(10, 1, i64(`0x${span.traceId.slice(-16)}`)),
        field(11, 3, text(span.name)),
        field(10, 4, i64(`0x${span.id}`)),
        span.parentId ? field(10, 5, i64(`0x${span.parentId}`)) : [],
        field(15, 6, list(span.annotations.map(annotationToThrift))),
        field(15, 8, list(span.binaryAnnotations.map(tagToThrift))),
        span.timestamp ? field(10, 10, i64(span.timestamp)) : [],
        span.duration ? field(10, 11, i64(span.duration)) : [],
        field(10, 12, i64(`0x${span.traceId.slice(0, -16) || '0'}`)),
      ),
    ),
  );
}

const ID = /^[\da-f]{1,32}$/;

/** What a server in the usual way does with JSON.parse's answer: check and normalise objects. */
export function objectsOf(spans) {
  return spans.map((span) => {
    if (!ID.test(span.traceId) || !ID.test(span.id)) throw new Error('bad id');
    const endpoint = (e) => (e ? { ...e, serviceName: e.serviceName?.toLowerCase() } : undefined);
    return {
      traceId: span.traceId.padStart(span.traceId.length > 16 ? 32 : 16, '0'),
      id: span.id.padStart(16, '0'),
      parentId: span.parentId?.padStart(16, '0'),
      kind: span.kind,
      name: span.name?.toLowerCase(),
      timestamp: span.timestamp,
      duration: span.duration,
      localEndpoint: endpoint(span.localEndpoint),
      remoteEndpoint: endpoint(span.remoteEndpoint),
      annotations: (span.annotations ?? []).toSorted((a, b) => a.timestamp - b.timestamp),
      tags: new Map(
        span.binaryAnnotations
          ? span.binaryAnnotations.map(({ key, value }) => [key, String(value)])
          : Object.entries(span.tags ?? {}),
      ),
      debug: span.debug === true,
      shared: span.shared === true,
    };
  });
}
