/**
 * Logs: for people on a terminal, JSON lines otherwise. Only this file knows pino.
 * A line says what happened and, where somebody should act, what to do next.
 */
import { pino } from 'pino';
import { prettyStream } from './pretty.ts';

export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  child(fields: object): Logger;
}

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** @param pretty lines for people; false: one JSON object a line */
export function createLogger(level: LogLevel, pretty: boolean): Logger {
  const options = { level, base: null, timestamp: pino.stdTimeFunctions.isoTime };
  return pretty ? pino(options, prettyStream(process.stdout)) : pino(options);
}
