/** The columns of the local or the remote endpoints of a batch. */
import { ByteDictionary, grown, grown32 } from './byte-dictionary.ts';
import { parseIp, parseQuotedIp4 } from './ip.ts';
import type { IpKind, ParsedIp } from './ip.ts';
import { cutAtCodePoint, decodeUtf8, lowerCased } from './text.ts';

/** Bits of `zeros`: the address is there and all zeros. */
const IP4_ZERO = 1;
const IP6_ZERO = 2;

export class EndpointColumns {
  readonly services: ByteDictionary;
  serviceIndex: Uint32Array;
  ip4: Uint32Array;
  ip6: Uint8Array;
  port: Uint16Array;
  zeros: Uint8Array;
  /** IPv4 text of the row being written that must be kept letter by letter. */
  oddIp4: string | undefined;
  readonly #parsed: ParsedIp = { ip4: 0, ip6: new Uint8Array(16), odd: false };
  #ip6Dirty = false;

  constructor(rows: number, seed: number) {
    this.services = new ByteDictionary(seed);
    this.serviceIndex = new Uint32Array(rows);
    this.ip4 = new Uint32Array(rows);
    this.ip6 = new Uint8Array(16 * rows);
    this.port = new Uint16Array(rows);
    this.zeros = new Uint8Array(rows);
  }

  clear(row: number): void {
    this.serviceIndex[row] = 0;
    this.ip4[row] = 0;
    this.port[row] = 0;
    this.zeros[row] = 0;
    this.oddIp4 = undefined;
    // Rows are written in order: only memory that once held an address needs clearing.
    if (this.#ip6Dirty) this.ip6.fill(0, 16 * row, 16 * row + 16);
  }

  /** @returns whether the name was cut */
  setService(row: number, source: Uint8Array, from: number, to: number, bytesMax: number): boolean {
    const known = this.services.find(source, from, to);
    if (known > 0 && to - from <= bytesMax) {
      this.serviceIndex[row] = known;
      return false;
    }
    const lower = lowerCased(source, from, to);
    const text = lower ?? source;
    const start = lower === undefined ? from : 0;
    const whole = lower === undefined ? to : lower.length;
    const end = cutAtCodePoint(text, start, whole, bytesMax);
    this.serviceIndex[row] = this.services.intern(text, start, end);
    return end < whole;
  }

  setIp4(row: number, value: number): void {
    this.ip4[row] = value;
    this.oddIp4 = undefined;
    if (value === 0) this.zeros[row]! |= IP4_ZERO;
  }

  /**
   * Sets the IPv4 address at source[from…] up to its closing quote, as nearly all write it.
   * @returns where the text goes on behind the quote; -1, and nothing is set, for any other text
   */
  setQuotedIp4(row: number, source: Uint8Array, from: number): number {
    const after = parseQuotedIp4(source, from, this.#parsed);
    if (after >= 0) this.setIp4(row, this.#parsed.ip4);
    return after;
  }

  /** @param at where the 16 bytes begin */
  setIp6(row: number, source: Uint8Array, at: number): void {
    this.#ip6Dirty = true;
    let any = 0;
    for (let i = 0; i < 16; i++) any |= this.ip6[16 * row + i] = source[at + i]!;
    if (any === 0) this.zeros[row]! |= IP6_ZERO;
  }

  /** Sets the address that the text is, whatever its kind; 0: it is none. */
  setIpText(row: number, source: Uint8Array, from: number, to: number): IpKind {
    const parsed = this.#parsed;
    const kind = parseIp(source, from, to, parsed);
    if (kind === 6) this.setIp6(row, parsed.ip6, 0);
    if (kind === 4) {
      this.setIp4(row, parsed.ip4);
      this.oddIp4 = parsed.odd ? dottedPart(source, from, to) : undefined;
    }
    return kind;
  }

  grow(rows: number): void {
    this.serviceIndex = grown32(this.serviceIndex, rows);
    this.ip4 = grown32(this.ip4, rows);
    this.ip6 = grown(this.ip6, 16 * rows);
    this.zeros = grown(this.zeros, rows);
    const port = new Uint16Array(rows);
    port.set(this.port);
    this.port = port;
  }
}

/** `::ffff:01.2.3.4` has 01.2.3.4. */
function dottedPart(source: Uint8Array, from: number, to: number): string {
  const text = decodeUtf8(source, from, to);
  return text.slice(text.lastIndexOf(':') + 1);
}
