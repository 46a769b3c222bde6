/** Writes TBinaryProtocol for tests, well-formed or not: every part is just bytes. */
export type Bytes = Buffer;

export const bytes = (...parts: (Bytes | number[])[]): Bytes =>
  Buffer.concat(parts.map((part) => (Array.isArray(part) ? Buffer.from(part) : part)));

export function i16(value: number): Bytes {
  const out = Buffer.alloc(2);
  out.writeUInt16BE(value & 0xffff);
  return out;
}

export function i32(value: number): Bytes {
  const out = Buffer.alloc(4);
  out.writeInt32BE(value | 0);
  return out;
}

export function i64(value: number | bigint): Bytes {
  const out = Buffer.alloc(8);
  out.writeBigInt64BE(BigInt.asIntN(64, BigInt(value)));
  return out;
}

export function double(value: number): Bytes {
  const out = Buffer.alloc(8);
  out.writeDoubleBE(value);
  return out;
}

export function text(value: string | Bytes): Bytes {
  const raw = Buffer.from(value as string);
  return bytes(i32(raw.length), raw);
}

export const field = (type: number, id: number, value: Bytes): Bytes =>
  bytes([type], i16(id), value);
export const struct = (...fields: Bytes[]): Bytes => bytes(...fields, [0]);
export const list = (type: number, ...values: Bytes[]): Bytes =>
  bytes([type], i32(values.length), ...values);
export const spanList = (...spans: Bytes[]): Bytes => list(12, ...spans);

export const repeated = (unit: Bytes, n: number): Bytes => Buffer.alloc(unit.length * n, unit);

export interface Host {
  ip4?: number;
  port?: number;
  service?: string | Bytes;
  ip6?: Bytes;
}

export const host = ({ ip4, port, service, ip6 }: Host): Bytes =>
  struct(
    field(8, 1, i32(ip4 ?? 0)),
    field(6, 2, i16(port ?? 0)),
    field(11, 3, text(service ?? '')),
    ...(ip6 === undefined ? [] : [field(11, 4, text(ip6))]),
  );

export const annotation = (time: number | bigint, value: string | Bytes, at?: Host): Bytes =>
  struct(
    field(10, 1, i64(time)),
    field(11, 2, text(value)),
    ...(at === undefined ? [] : [field(12, 3, host(at))]),
  );

/** @param type AnnotationType; undefined leaves it out */
export const binary = (
  key: string,
  type: number | undefined,
  value: string | Bytes,
  at?: Host,
): Bytes =>
  struct(
    field(11, 1, text(key)),
    field(11, 2, text(value)),
    ...(type === undefined ? [] : [field(8, 3, i32(type))]),
    ...(at === undefined ? [] : [field(12, 4, host(at))]),
  );

/** A span with trace id 1 and id 2 and the given fields. */
export const span = (...fields: Bytes[]): Bytes =>
  struct(field(10, 1, i64(1)), field(10, 4, i64(2)), ...fields);

export const annotations = (...values: Bytes[]): Bytes => field(15, 6, list(12, ...values));
export const tags = (...values: Bytes[]): Bytes => field(15, 8, list(12, ...values));
