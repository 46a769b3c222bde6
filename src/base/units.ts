/** Sizes and durations as people write them. */
const BYTE_UNITS: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  k: 1024,
  kb: 1000,
  kib: 1024,
  m: 1024 ** 2,
  mb: 1e6,
  mib: 1024 ** 2,
  g: 1024 ** 3,
  gb: 1e9,
  gib: 1024 ** 3,
  t: 1024 ** 4,
  tb: 1e12,
  tib: 1024 ** 4,
};
const MS_UNITS: Readonly<Record<string, number>> = {
  '': 1,
  ms: 1,
  s: 1000,
  m: 60_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

function parseWithUnit(value: string, units: Readonly<Record<string, number>>): number | undefined {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(value);
  const factor = match === null ? undefined : units[(match[2] ?? '').toLowerCase()];
  if (match === null || factor === undefined) return undefined;
  const amount = Number(match[1]) * factor;
  return Number.isSafeInteger(Math.round(amount)) ? Math.round(amount) : undefined;
}

function formatWithUnit(amount: number, steps: ReadonlyArray<readonly [string, number]>): string {
  for (const [unit, factor] of steps) {
    if (amount !== 0 && amount % factor === 0) return `${amount / factor}${unit}`;
  }
  return String(amount);
}

/** `5MiB` is 5,242,880; `5MB` is 5,000,000; a bare number is bytes. Undefined: not a size. */
export const parseBytes = (value: string): number | undefined => parseWithUnit(value, BYTE_UNITS);
/** `10s` is 10,000; a bare number is milliseconds. Undefined: not a duration. */
export const parseDuration = (value: string): number | undefined => parseWithUnit(value, MS_UNITS);

export const formatBytes = (amount: number): string =>
  formatWithUnit(amount, [
    ['TiB', 1024 ** 4],
    ['GiB', 1024 ** 3],
    ['MiB', 1024 ** 2],
    ['KiB', 1024],
  ]);
export const formatDuration = (ms: number): string =>
  formatWithUnit(ms, [
    ['d', 86_400_000],
    ['h', 3_600_000],
    ['m', 60_000],
    ['s', 1000],
    ['ms', 1],
  ]);
