/** Log lines for people: `12:00:01 INFO  message key=value`. */
import type { Writable } from 'node:stream';

const COLOURS: Readonly<Record<number, string>> = {
  20: '\u001B[90m',
  30: '\u001B[32m',
  40: '\u001B[33m',
  50: '\u001B[31m',
};
const NAMES: Readonly<Record<number, string>> = {
  20: 'DEBUG',
  30: 'INFO ',
  40: 'WARN ',
  50: 'ERROR',
};
const RESET = '\u001B[0m';

interface Line {
  level: number;
  time: string;
  msg?: string;
  [field: string]: unknown;
}

function show(value: unknown): string {
  if (typeof value === 'string') return /^[\w./:@-]+$/.test(value) ? value : JSON.stringify(value);
  if (typeof value === 'object' && value !== null && 'message' in value)
    return JSON.stringify(value.message);
  return JSON.stringify(value);
}

/** A pino destination that turns each JSON line into a line for people. */
export function prettyStream(out: Writable): { write(line: string): void } {
  return {
    write(text) {
      const { level, time, msg, ...fields } = JSON.parse(text) as Line;
      const words = Object.entries(fields).map(([key, value]) => `${key}=${show(value)}`);
      const name = NAMES[level] ?? String(level);
      const head = `${time.slice(11, 19)} ${COLOURS[level] ?? ''}${name}${RESET}`;
      out.write(`${[head, msg ?? '', ...words].filter((word) => word !== '').join(' ')}\n`);
    },
  };
}
