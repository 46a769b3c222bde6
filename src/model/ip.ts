/**
 * IP addresses as text and bytes, by the rules of zipkin2/Endpoint.java: the kind is told by the
 * content, an IPv4 address inside an IPv6 text (`::1.2.3.4`, `::ffff:1.2.3.4`) is IPv4, anything
 * with a zone or brackets is no address.
 */
const DOT = 0x2e;
const COLON = 0x3a;
const QUOTE = 0x22;
const ZERO = 0x30;

export type IpKind = 0 | 4 | 6;

/** The last address that parseIp found. */
export interface ParsedIp {
  ip4: number;
  readonly ip6: Uint8Array;
  /** IPv4 text with leading zeros: Zipkin keeps it as it is. */
  odd: boolean;
}

function hexValue(c: number): number {
  if (c >= ZERO && c <= 0x39) return c - ZERO;
  const lower = c | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

function parseIp4(source: Uint8Array, from: number, to: number, out: ParsedIp): boolean {
  let value = 0;
  let octet = 0;
  let digits = 0;
  let dots = 0;
  out.odd = false;
  for (let i = from; i <= to; i++) {
    const c = i === to ? DOT : source[i]!;
    if (c === DOT) {
      if (digits === 0 || digits > 3 || octet > 255) return false;
      if (digits > 1 && source[i - digits] === ZERO) out.odd = true;
      value = value * 256 + octet;
      octet = 0;
      digits = 0;
      dots++;
    } else if (c >= ZERO && c <= 0x39) {
      octet = octet * 10 + c - ZERO;
      digits++;
    } else return false;
  }
  out.ip4 = value >>> 0;
  return dots === 4;
}

/**
 * Reads the IPv4 address at source[from…] up to its closing quote, as nearly all write it: no
 * leading zeros.
 * @param out its `ip4` is set
 * @returns where the text goes on behind the quote; -1: any other text
 */
export function parseQuotedIp4(source: Uint8Array, from: number, out: { ip4: number }): number {
  let p = from;
  let value = 0;
  for (let octets = 1; ; octets++) {
    const start = p;
    let octet = 0;
    let c = source[p]!;
    for (; c >= ZERO && c <= 0x39; c = source[++p]!) octet = octet * 10 + c - ZERO;
    const digits = p - start;
    if (digits === 0 || digits > 3 || octet > 255) return -1;
    if (digits > 1 && source[start] === ZERO) return -1;
    value = ((value << 8) | octet) >>> 0;
    p++;
    if (octets === 4) {
      if (c !== QUOTE) return -1;
      out.ip4 = value;
      return p;
    }
    if (c !== DOT) return -1;
  }
}

/** `::` stands for one run of zero groups; text without dots. */
function parseIp6(source: Uint8Array, from: number, to: number, out: Uint8Array): boolean {
  const groups: number[] = [];
  let gap = -1;
  let i = from;
  if (source[i] === COLON && source[i + 1] !== COLON) return false;
  while (i < to) {
    if (source[i] === COLON && source[i + 1] === COLON && i + 1 < to) {
      if (gap >= 0) return false;
      gap = groups.length;
      i += 2;
      continue;
    }
    if (source[i] === COLON) i++;
    let value = 0;
    let digits = 0;
    for (; i < to && source[i] !== COLON; i++, digits++) value = value * 16 + hexValue(source[i]!);
    if (digits === 0 || digits > 4 || groups.length === 8) return false;
    groups.push(value);
  }
  if (gap < 0 ? groups.length !== 8 : groups.length > 7) return false;
  out.fill(0);
  const moved = gap < 0 ? 0 : 8 - groups.length;
  groups.forEach((group, n) => {
    const at = 2 * (gap >= 0 && n >= gap ? n + moved : n);
    out[at] = group >> 8;
    out[at + 1] = group & 255;
  });
  return true;
}

/** 4 or 6 with the address in `out`, 0 when it is none. */
export function parseIp(source: Uint8Array, from: number, to: number, out: ParsedIp): IpKind {
  let lastColon = -1;
  let dotted = false;
  for (let i = from; i < to; i++) {
    const c = source[i]!;
    if (c === DOT) dotted = true;
    else if (c === COLON) {
      if (dotted) return 0;
      lastColon = i;
    } else if (hexValue(c) < 0) return 0;
  }
  if (lastColon < 0) return dotted && parseIp4(source, from, to, out) ? 4 : 0;
  if (!dotted) return parseIp6(source, from, to, out.ip6) ? 6 : 0;
  if (!parseIp4(source, lastColon + 1, to, out)) return 0;
  if (source[from] !== COLON || source[from + 1] !== COLON) return 0;
  const prefix = lastColon - from;
  if (prefix === 1) return 4;
  if (prefix !== 6) return 0;
  for (let i = from + 2; i < lastColon; i++) {
    if (source[i] !== ZERO && (source[i]! | 0x20) !== 0x66) return 0;
  }
  return 4;
}

/** `1.2.3.4` of the number 0x01020304. */
export function formatIp4(ip: number): string {
  return `${ip >>> 24}.${(ip >>> 16) & 255}.${(ip >>> 8) & 255}.${ip & 255}`;
}

/** Lower case, the first longest run of two or more zero groups as `::` (RFC 5952). */
export function formatIp6(bytes: Uint8Array): string {
  const groups = Array.from({ length: 8 }, (_, i) => bytes[2 * i]! * 256 + bytes[2 * i + 1]!);
  let runStart = -1;
  let runLength = 1;
  for (let i = 0; i < 8; i++) {
    let end = i;
    while (end < 8 && groups[end] === 0) end++;
    if (end - i > runLength) {
      runStart = i;
      runLength = end - i;
    }
    if (end > i) i = end;
  }
  const text = (part: number[]): string => part.map((group) => group.toString(16)).join(':');
  if (runStart < 0) return text(groups);
  return `${text(groups.slice(0, runStart))}::${text(groups.slice(runStart + runLength))}`;
}
