/** Settings of the program's own logs. */
import { choice } from '../base/settings.ts';
import { LOG_LEVELS } from './logger.ts';

export const telemetrySettings = {
  logLevel: choice({
    env: 'SCRUBJAY_LOG_LEVEL',
    of: LOG_LEVELS,
    default: 'info',
    doc: 'Least level of log lines that are written',
  }),
  logFormat: choice({
    env: 'SCRUBJAY_LOG_FORMAT',
    of: ['auto', 'pretty', 'json'],
    default: 'auto',
    doc: 'Log lines for people or JSON; auto: for people on a terminal, JSON otherwise',
  }),
};
