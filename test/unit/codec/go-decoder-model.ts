/**
 * How Grafana's Zipkin data source reads a list of spans: the decoder of openzipkin/zipkin-go
 * v0.4.3 (model/span.go and its neighbours) on top of Go's encoding/json, and what its writer
 * refuses afterwards. One value that does not fit fails the whole list.
 */

/** JSON as it was written: numbers, and the ids that Go reads from raw tokens, need their text. */
type Node =
  | { readonly kind: 'null' | 'true' | 'false' | 'number'; readonly raw: string }
  | { readonly kind: 'string'; readonly raw: string; readonly text: string }
  | { readonly kind: 'array'; readonly raw: string; readonly items: readonly Node[] }
  | {
      readonly kind: 'object';
      readonly raw: string;
      readonly members: readonly (readonly [string, Node])[];
    };

export interface GoEndpoint {
  serviceName: string;
  ipv4?: string;
  ipv6?: string;
  port: number;
}

/** A span as Go has it; times are what is left of them after 64-bit nanoseconds. */
export interface GoSpan {
  traceId: string;
  id: string;
  parentId?: string;
  name: string;
  kind: string;
  /** Undefined: the year 1. */
  timestampUs?: bigint;
  durationNs: bigint;
  debug: boolean;
  shared: boolean;
  localEndpoint?: GoEndpoint;
  remoteEndpoint?: GoEndpoint;
  annotations: { timestampUs: bigint; value: string }[];
  tags: Record<string, string>;
}

export class GoDecodeError extends Error {}

const UINT64_MAX = 2n ** 64n - 1n;

const LITERAL = /(null|true|false)|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const STRING = /"(?:[^"\\]|\\.)*"/sy;

class Parser {
  readonly #source: string;
  #at = 0;

  constructor(source: string) {
    this.#source = source;
  }

  /** The first value; what comes behind it does not count, as with json.NewDecoder. */
  value(): Node {
    const next = this.#peek();
    const from = this.#at;
    if (next === '[') {
      const items: Node[] = [];
      this.#list(']', () => items.push(this.value()));
      return { kind: 'array', raw: this.#source.slice(from, this.#at), items };
    }
    if (next === '{') {
      const members: [string, Node][] = [];
      this.#list('}', () => {
        const name = this.#string();
        if (this.#peek() !== ':') throw new GoDecodeError('invalid character after object key');
        this.#at++;
        members.push([name.text, this.value()]);
      });
      return { kind: 'object', raw: this.#source.slice(from, this.#at), members };
    }
    return next === '"' ? this.#string() : this.#literal();
  }

  #peek(): string {
    while (/\s/.test(this.#source[this.#at] ?? '')) this.#at++;
    const next = this.#source[this.#at];
    if (next === undefined) throw new GoDecodeError('EOF');
    return next;
  }

  #list(close: string, read: () => void): void {
    this.#at++;
    if (this.#peek() === close) {
      this.#at++;
      return;
    }
    for (;;) {
      read();
      const next = this.#peek();
      this.#at++;
      if (next === close) return;
      if (next !== ',') throw new GoDecodeError(`invalid character '${next}'`);
    }
  }

  #string(): { kind: 'string'; raw: string; text: string } {
    this.#peek();
    STRING.lastIndex = this.#at;
    const raw = STRING.exec(this.#source)?.[0];
    if (raw === undefined) throw new GoDecodeError('unexpected end of string');
    this.#at += raw.length;
    try {
      return { kind: 'string', raw, text: Buffer.from(JSON.parse(raw) as string).toString() };
    } catch {
      throw new GoDecodeError('invalid character in string literal');
    }
  }

  #literal(): Node {
    LITERAL.lastIndex = this.#at;
    const match = LITERAL.exec(this.#source);
    const word = match?.[1] as 'null' | 'true' | 'false' | undefined;
    const raw = match?.[0];
    if (raw === undefined) throw new GoDecodeError('invalid character looking for a value');
    this.#at += raw.length;
    return { kind: word ?? 'number', raw };
  }
}

const mismatch = (node: Node, type: string): GoDecodeError =>
  new GoDecodeError(
    `json: cannot unmarshal ${node.kind}${node.kind === 'number' ? ` ${node.raw}` : ''} into ${type}`,
  );

/** Members by name, of which Go ignores the case. Go judges all of one name: here none is. */
function membersOf(node: Node, type: string): Map<string, Node> {
  if (node.kind === 'null') return new Map();
  if (node.kind !== 'object') throw mismatch(node, type);
  const members = new Map(node.members.map(([name, value]) => [name.toLowerCase(), value]));
  if (members.size < node.members.length) throw new GoDecodeError('a member is there twice');
  return members;
}

function itemsOf(node: Node | undefined, type: string): readonly Node[] {
  if (node === undefined || node.kind === 'null') return [];
  if (node.kind !== 'array') throw mismatch(node, type);
  return node.items;
}

function textOf(node: Node | undefined): string {
  if (node === undefined || node.kind === 'null') return '';
  if (node.kind !== 'string') throw mismatch(node, 'string');
  return node.text;
}

function flagOf(node: Node | undefined): boolean {
  if (node === undefined || node.kind === 'null') return false;
  if (node.kind !== 'true' && node.kind !== 'false') throw mismatch(node, 'bool');
  return node.kind === 'true';
}

function uintOf(node: Node | undefined, max: bigint, type: string): bigint {
  if (node === undefined || node.kind === 'null') return 0n;
  const value = node.kind === 'number' && /^\d+$/.test(node.raw) ? BigInt(node.raw) : max + 1n;
  if (value > max) throw mismatch(node, type);
  return value;
}

/** strconv.ParseUint(text, 16, 64) */
function parseHex(text: string): bigint {
  if (!/^[\da-fA-F]+$/.test(text)) {
    throw new GoDecodeError(`strconv.ParseUint: parsing "${text}": invalid syntax`);
  }
  const value = BigInt(`0x${text}`);
  if (value > UINT64_MAX) throw new GoDecodeError(`parsing "${text}": value out of range`);
  return value;
}

const hex16 = (value: bigint): string => value.toString(16).padStart(16, '0');

function traceIdOf(node: Node | undefined): string {
  if (node === undefined) return hex16(0n);
  if (node.raw.length < 3) throw new GoDecodeError('valid traceId required');
  const text = node.raw.slice(1, -1);
  if (text.length <= 16) return hex16(parseHex(text));
  const high = parseHex(text.slice(0, -16));
  const low = hex16(parseHex(text.slice(-16)));
  return high === 0n ? low : hex16(high) + low;
}

const idOf = (node: Node | undefined): bigint =>
  node === undefined || node.raw.length < 3 ? 0n : parseHex(node.raw.slice(1, -1));

/** net.ParseIP, whose rules are those of netip.ParseAddr without zones. */
function isIp(text: string): boolean {
  const dotted = text.slice(text.lastIndexOf(':') + 1);
  const isIp4 = /^(?:(?:0|[1-9]\d{0,2})(?:\.|$)){4}$/.test(`${dotted}.`.slice(0, -1));
  const ip4Valid =
    isIp4 && !dotted.endsWith('.') && dotted.split('.').every((n) => Number(n) < 256);
  if (!text.includes(':')) return ip4Valid;
  if (dotted.includes('.') && !ip4Valid) return false;
  const groups = dotted.includes('.') ? `${text.slice(0, -dotted.length)}0:0` : text;
  const halves = groups.split('::');
  if (halves.length > 2) return false;
  const parts = halves.flatMap((half) => (half === '' ? [] : half.split(':')));
  if (!parts.every((part) => /^[\da-fA-F]{1,4}$/.test(part))) return false;
  return halves.length === 2 ? parts.length < 8 : parts.length === 8;
}

/** net.IP.UnmarshalText: the empty text is no address. */
function ipOf(node: Node | undefined): string | undefined {
  if (node === undefined) return undefined;
  if (node.kind === 'null') return undefined;
  if (node.kind !== 'string') throw mismatch(node, 'net.IP');
  if (node.text === '') return undefined;
  if (!isIp(node.text)) throw new GoDecodeError(`invalid IP address: ${node.text}`);
  return node.text;
}

function endpointOf(node: Node | undefined): GoEndpoint | undefined {
  if (node === undefined || node.kind === 'null') return undefined;
  const members = membersOf(node, 'model.Endpoint');
  const ipv4 = ipOf(members.get('ipv4'));
  const ipv6 = ipOf(members.get('ipv6'));
  const endpoint: GoEndpoint = {
    serviceName: textOf(members.get('servicename')),
    ...(ipv4 === undefined ? {} : { ipv4 }),
    ...(ipv6 === undefined ? {} : { ipv6 }),
    port: Number(uintOf(members.get('port'), 65_535n, 'uint16')),
  };
  const { serviceName, port } = endpoint;
  const empty = serviceName === '' && port === 0 && ipv4 === undefined && ipv6 === undefined;
  return empty ? undefined : endpoint;
}

/** time.Unix(0, int64(us)*1e3).UnixMicro(): beyond the year 2262 something else. */
function wrappedUs(us: bigint): bigint {
  const ns = BigInt.asIntN(64, us * 1000n);
  return (ns - (((ns % 1000n) + 1000n) % 1000n)) / 1000n;
}

function annotationOf(node: Node): { timestampUs: bigint; value: string } {
  const members = membersOf(node, 'model.Annotation');
  const us = uintOf(members.get('timestamp'), UINT64_MAX, 'uint64');
  const value = textOf(members.get('value'));
  if (us < 1n) throw new GoDecodeError('valid annotation timestamp required');
  return { timestampUs: wrappedUs(us), value };
}

function tagsOf(node: Node | undefined): Record<string, string> {
  if (node === undefined || node.kind === 'null') return {};
  if (node.kind !== 'object') throw mismatch(node, 'map[string]string');
  return Object.fromEntries(node.members.map(([key, value]) => [key, textOf(value)]));
}

function spanOf(node: Node): GoSpan {
  const members = membersOf(node, 'model.SpanModel');
  const timestamp = uintOf(members.get('timestamp'), UINT64_MAX, 'uint64');
  const duration = uintOf(members.get('duration'), UINT64_MAX, 'uint64');
  const parent = members.get('parentid');
  const localEndpoint = endpointOf(members.get('localendpoint'));
  const remoteEndpoint = endpointOf(members.get('remoteendpoint'));
  const id = idOf(members.get('id'));
  const span: GoSpan = {
    traceId: traceIdOf(members.get('traceid')),
    id: hex16(id),
    ...(parent === undefined || parent.kind === 'null' ? {} : { parentId: hex16(idOf(parent)) }),
    name: textOf(members.get('name')),
    kind: textOf(members.get('kind')),
    ...(timestamp === 0n ? {} : { timestampUs: wrappedUs(timestamp) }),
    durationNs: BigInt.asIntN(64, duration * 1000n),
    debug: flagOf(members.get('debug')),
    shared: flagOf(members.get('shared')),
    ...(localEndpoint === undefined ? {} : { localEndpoint }),
    ...(remoteEndpoint === undefined ? {} : { remoteEndpoint }),
    annotations: itemsOf(members.get('annotations'), '[]model.Annotation').map(annotationOf),
    tags: tagsOf(members.get('tags')),
  };
  if (id < 1n) throw new GoDecodeError('valid span id required');
  return span;
}

/** @throws {GoDecodeError} what the user of Grafana sees instead of the trace */
export function goDecode(json: string): GoSpan[] {
  return itemsOf(new Parser(json).value(), '[]model.SpanModel').map(spanOf);
}

/** Why zipkin-go cannot write what it has read, which fails the list of traces; or undefined. */
export function goWriteFault({ timestampUs, durationNs }: GoSpan): string | undefined {
  if (timestampUs !== undefined && timestampUs < 1_000_000n)
    return 'valid annotation timestamp required';
  return durationNs < 0n ? 'valid duration required' : undefined;
}
