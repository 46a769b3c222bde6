/** Texts of JSON that the codecs look for or read as numbers. */

/** A text of at least four bytes, to be compared four at a time; the last four may overlap. */
export interface ExpectedText {
  readonly words: Int32Array;
  readonly last: number;
  readonly length: number;
}

export function expectedText(text: string): ExpectedText {
  const bytes = Buffer.from(text);
  const words = Int32Array.from({ length: bytes.length >> 2 }, (_, i) => bytes.readInt32BE(4 * i));
  return { words, last: bytes.readInt32BE(bytes.length - 4), length: bytes.length };
}

/** A member name with its closing quote and colon, for takesName. */
export const memberName = (name: string): ExpectedText => expectedText(`${name}":`);

/**
 * A JSON number or numeric text as a signed 64-bit integer, clamped, the fraction floored; a
 * bigint beyond 2^53. NaN: no number.
 */
export function integerOf(text: string): number | bigint {
  if (/^-?\d+$/.test(text) && text.length < 40) return narrow(BigInt(text));
  const value = text.trim() === '' || text.length > 400 ? Number.NaN : Number(text);
  if (Number.isNaN(value)) return value;
  if (!Number.isFinite(value)) return value > 0 ? INT64_MAX : INT64_MIN;
  return Math.abs(value) < Number.MAX_SAFE_INTEGER
    ? Math.floor(value)
    : narrow(BigInt(Math.floor(value)));
}

const INT64_MAX = 9_223_372_036_854_775_807n;
const INT64_MIN = -9_223_372_036_854_775_808n;

function narrow(value: bigint): number | bigint {
  if (value > INT64_MAX) return INT64_MAX;
  if (value < INT64_MIN) return INT64_MIN;
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
