/** Texts of JSON that the codecs look for or read as numbers. */

/** A text of 4 to 20 bytes, to be compared four at a time; the last four may overlap. */
export class Spelling {
  readonly length: number;
  readonly #first: number;
  readonly #second: number;
  readonly #third: number;
  readonly #fourth: number;
  readonly #last: number;

  constructor(text: string) {
    const bytes = Buffer.from(text);
    const last = bytes.length - 4;
    const wordAt = (at: number): number => bytes.readInt32LE(Math.min(at, last));
    this.length = bytes.length;
    this.#first = wordAt(0);
    this.#second = wordAt(4);
    this.#third = wordAt(8);
    this.#fourth = wordAt(12);
    this.#last = wordAt(last);
  }

  /** @param end of what may be looked at */
  isAt(source: DataView, at: number, end: number): boolean {
    const { length } = this;
    const last = at + length - 4;
    if (last + 4 > end || source.getInt32(at, true) !== this.#first) return false;
    if (length > 8 && source.getInt32(at + 4, true) !== this.#second) return false;
    if (length > 12 && source.getInt32(at + 8, true) !== this.#third) return false;
    if (length > 16 && source.getInt32(at + 12, true) !== this.#fourth) return false;
    return source.getInt32(last, true) === this.#last;
  }
}

/** A member name with its closing quote and colon, for takesName. */
export const memberName = (name: string): Spelling => new Spelling(`${name}":`);

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
