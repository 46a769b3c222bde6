/** Small steps on UTF-8 bytes that every codec shares. */

/** The largest end <= from + max that does not cut a code point of source[from, to). */
export function cutAtCodePoint(source: Uint8Array, from: number, to: number, max: number): number {
  if (to - from <= max) return to;
  let end = from + max;
  while (end > from && (source[end]! & 0xc0) === 0x80) end--;
  return end;
}

/**
 * Lower case as Java's `toLowerCase(Locale.ROOT)` has it; undefined when the bytes are already so.
 */
export function lowerCased(source: Uint8Array, from: number, to: number): Uint8Array | undefined {
  let seen = 0;
  for (let i = from; i < to; i++) {
    const c = source[i]!;
    if (c >= 0x80) return Buffer.from(decodeUtf8(source, from, to).toLowerCase());
    if (c >= 0x41 && c <= 0x5a) seen = 1;
  }
  if (seen === 0) return undefined;
  const lower = source.slice(from, to);
  for (let i = 0; i < lower.length; i++) {
    const c = lower[i]!;
    if (c >= 0x41 && c <= 0x5a) lower[i] = c + 0x20;
  }
  return lower;
}

export function decodeUtf8(source: Uint8Array, from: number, to: number): string {
  return Buffer.from(source.buffer, source.byteOffset + from, to - from).toString('utf8');
}
