/** Settings of the program's own logs and traces. */
import { choice, decimal, durationMs, flag, integer, type Setting } from '../base/settings.ts';
import { LOG_LEVELS } from './logger.ts';

/** Seconds when there is no unit, as Zipkin has this one; milliseconds as the value. */
function durationOfSeconds(o: { env: string; default: number; doc: string }): Setting<number> {
  const duration = durationMs({ ...o, min: 1 });
  return {
    ...duration,
    unit: 's',
    allowed: 'a duration above 0, in seconds without a unit',
    parse: (text) => duration.parse(/^\s*[\d.]+\s*$/.test(text) ? `${text.trim()}s` : text),
  };
}

const selfTracingSettings = {
  selfTracingEnabled: flag({
    env: 'SELF_TRACING_ENABLED',
    default: false,
    doc: 'Trace this collector itself, as the service `scrubjay`',
  }),
  selfTracingSampleRate: {
    ...decimal({
      env: 'SELF_TRACING_SAMPLE_RATE',
      default: 1,
      min: 0,
      max: 1,
      unit: 'rate',
      doc: 'Share of its own requests to trace; where the caller has decided, that counts',
    }),
    allowed: 'between 0 and 1',
  },
  selfTracingTracesPerSecond: integer({
    env: 'SELF_TRACING_TRACES_PER_SECOND',
    default: 1,
    unit: 'traces/s',
    doc: 'Most traces of its own begun in a second, of receiving and of queries each; 0: no limit',
  }),
  selfTracingFlushIntervalMs: durationOfSeconds({
    env: 'SELF_TRACING_FLUSH_INTERVAL',
    default: 1000,
    doc: 'Time after which finished spans of its own are stored',
  }),
};

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
  ...selfTracingSettings,
};
