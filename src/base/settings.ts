/**
 * What a setting is: each module's config.ts lists its own with these words; config/ reads the
 * environment and the YAML file against all of them. Pure: no access to process.env here.
 */
import { formatBytes, formatDuration, parseBytes, parseDuration } from './units.ts';

export interface Setting<T> {
  /** Name of the environment variable and, as it is, the key in the YAML file. */
  readonly env: string;
  /** One sentence for README, --help and check-config. */
  readonly doc: string;
  /** Unit of a bare number: bytes, ms, rows, … ; empty for texts. */
  readonly unit: string;
  readonly default: T;
  /** What values are allowed, for error messages. */
  readonly allowed: string;
  readonly secret: boolean;
  /** The value, or undefined when the text is not allowed. */
  parse(text: string): T | undefined;
  /** As a person would write it; secrets masked by the caller. */
  format(value: T): string;
}

export type SettingGroup = Readonly<Record<string, Setting<unknown>>>;
export type SettingValues<G> = {
  readonly [K in keyof G]: G[K] extends Setting<infer T> ? T : never;
};

interface Common<T> {
  env: string;
  default: T;
  doc: string;
  secret?: boolean;
}
interface Range {
  min?: number;
  max?: number;
}

function numeric(
  o: Common<number> & Range,
  unit: string,
  read: (text: string) => number | undefined,
  format: (value: number) => string,
): Setting<number> {
  const { min = 0, max = Number.MAX_SAFE_INTEGER } = o;
  const upTo = max === Number.MAX_SAFE_INTEGER ? '' : ` up to ${format(max)}`;
  return {
    ...o,
    unit,
    secret: false,
    allowed: `${unit} from ${format(min)}${upTo}`,
    format,
    parse: (text) => {
      const value = read(text);
      return value === undefined || value < min || value > max ? undefined : value;
    },
  };
}

const readNumber = (text: string): number | undefined =>
  /^\s*-?\d+(?:\.\d+)?\s*$/.test(text) ? Number(text) : undefined;
const readInteger = (text: string): number | undefined =>
  /^\s*-?\d+\s*$/.test(text) ? Number(text) : undefined;

/** A whole number of `unit` (rows, requests, …). */
export const integer = (o: Common<number> & Range & { unit: string }): Setting<number> =>
  numeric(o, o.unit, readInteger, String);
/** A ratio or rate with a fraction. */
export const decimal = (o: Common<number> & Range & { unit: string }): Setting<number> =>
  numeric(o, o.unit, readNumber, String);
/** Bytes; accepts `5MiB`, `5MB`, `1g`, a bare number is bytes. */
export const bytes = (o: Common<number> & Range): Setting<number> =>
  numeric(o, 'bytes', parseBytes, formatBytes);
/** Milliseconds; accepts `10s`, `7d`, a bare number is in `bareUnit` (ms). */
export const durationMs = (o: Common<number> & Range): Setting<number> =>
  numeric(o, 'ms', parseDuration, formatDuration);

export const flag = (o: Common<boolean>): Setting<boolean> => ({
  ...o,
  unit: '',
  secret: false,
  allowed: 'true or false',
  parse: (text) => {
    const word = text.trim().toLowerCase();
    if (['true', '1', 'yes', 'on'].includes(word)) return true;
    return ['false', '0', 'no', 'off'].includes(word) ? false : undefined;
  },
  format: String,
});

export const choice = <T extends string>(
  o: Common<NoInfer<T>> & { of: readonly T[] },
): Setting<T> => ({
  ...o,
  unit: '',
  secret: false,
  allowed: o.of.join(' or '),
  parse: (text) => o.of.find((name) => name === text.trim().toLowerCase()),
  format: String,
});

export const text = (
  o: Common<string> & { allowed?: string; test?: (value: string) => boolean },
): Setting<string> => ({
  ...o,
  unit: '',
  secret: o.secret ?? false,
  allowed: o.allowed ?? 'any text',
  parse: (value) => (o.test === undefined || o.test(value) ? value : undefined),
  format: String,
});

/** A comma-separated list; blanks around entries are cut, empty entries dropped. */
export const list = (o: Common<readonly string[]>): Setting<readonly string[]> => ({
  ...o,
  unit: '',
  secret: false,
  allowed: 'a comma-separated list',
  parse: (value) =>
    value
      .split(',')
      .map((entry) => entry.trim())
      .filter((entry) => entry !== ''),
  format: (value) => value.join(','),
});
