/**
 * Parameters of a query as Zipkin's server binds them (ZipkinQueryApiV2.java and Armeria's
 * AnnotatedValueResolver): the first occurrence wins, unknown ones are ignored, an empty optional
 * number means its default.
 */
import { CodedError } from '../base/errors.ts';

const LONG_MAX = 2n ** 63n - 1n;
const INT_MAX = 2n ** 31n - 1n;
const SHOWN_CHARS_MAX = 64;

/** @returns what to throw for a query that cannot be understood, in Zipkin's words */
export const badQuery = (detail: string): CodedError =>
  new CodedError('SCRUBJAY_ERR_BAD_QUERY', { detail });

const missing = (name: string): CodedError =>
  badQuery(`Mandatory parameter/header/attribute is missing: ${name}`);
const empty = (name: string): CodedError =>
  badQuery(`Cannot set null to primitive type parameter: ${name}`);

export class QueryParameters {
  readonly #values: URLSearchParams;

  /** @param url of the request, with its query if it has one */
  constructor(url: string) {
    const at = url.indexOf('?');
    this.#values = new URLSearchParams(at < 0 ? '' : url.slice(at + 1));
  }

  /** Undefined when it is not there; may be empty. */
  text(name: string): string | undefined {
    return this.#values.get(name) ?? undefined;
  }

  /** May be empty. @throws {SCRUBJAY_ERR_BAD_QUERY} */
  mandatoryText(name: string): string {
    const value = this.text(name);
    if (value === undefined) throw missing(name);
    return value;
  }

  /**
   * Java's Long: undefined when absent or empty. Beyond 2^53 the nearest number.
   * @throws {SCRUBJAY_ERR_BAD_QUERY}
   */
  long(name: string): number | undefined {
    const value = this.text(name);
    return value === undefined || value === '' ? undefined : parse(value, LONG_MAX);
  }

  /** Java's long without a default. @throws {SCRUBJAY_ERR_BAD_QUERY} */
  mandatoryLong(name: string): number {
    const value = this.mandatoryText(name);
    if (value === '') throw empty(name);
    return parse(value, LONG_MAX);
  }

  /**
   * Java's int with a default for one that is absent, not for one that is empty.
   * @throws {SCRUBJAY_ERR_BAD_QUERY}
   */
  int(name: string, absent: number): number {
    const value = this.text(name);
    if (value === '') throw empty(name);
    return value === undefined ? absent : parse(value, INT_MAX);
  }
}

/** Integer.parseInt, Long.parseLong: decimal digits behind an optional sign, within the range. */
function parse(text: string, max: bigint): number {
  if (/^[+-]?\d+$/.test(text) && text.length <= 4096) {
    const value = BigInt(text.startsWith('+') ? text.slice(1) : text);
    if (value <= max && value >= -max - 1n) return Number(value);
  }
  throw badQuery(`For input string: "${text.slice(0, SHOWN_CHARS_MAX)}"`);
}
