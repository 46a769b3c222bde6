/** Lists of texts as Zipkin's server writes them: JSON with Jackson's escapes. */

const SHORT_OR_UNICODE_ESCAPE = /\\(?:u[\da-f]{4}|.)/g;

/** Sorted as Java sorts strings, by UTF-16 units, which is how JavaScript does. */
export function sortedJson(texts: readonly string[]): Uint8Array {
  // Jackson differs from JSON.stringify in the digits of \u001F alone.
  const json = JSON.stringify(texts.toSorted(byUnits)).replaceAll(
    SHORT_OR_UNICODE_ESCAPE,
    (escape) => (escape.length === 2 ? escape : `\\u${escape.slice(2).toUpperCase()}`),
  );
  return Buffer.from(json);
}

function byUnits(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
