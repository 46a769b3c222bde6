/**
 * What people paste to find a trace: an id, or a header of a request or a log line.
 *
 *   reference := (name (":" | "="))? value         ; any case, quotes and blanks do not count
 *   name      := "b3" | "traceparent" | "X-B3-TraceId"
 *   value     := the value of that header, or a trace id
 */
import { parseB3Single } from './b3.ts';
import { parseTraceparent } from './traceparent.ts';

const NAMED = /^["']?(b3|traceparent|x-b3-traceid)["']?\s*[:=]\s*(.*)$/s;
/** Longer than any header that is meant. */
const CHARS_MAX = 512;

/**
 * The trace id in a reference; the text unchanged when it is none of these, an id alone included:
 * what is wrong with it is for others to say.
 */
export function traceIdOfReference(text: string): string {
  if (text.length > CHARS_MAX) return text;
  const lower = text.trim().toLowerCase();
  const named = NAMED.exec(lower);
  const value = unquoted(named?.[2] ?? lower);
  const traceId = (parseB3Single(value) ?? parseTraceparent(value))?.traceId;
  if (traceId !== undefined) return traceId;
  // A single character after `b3:` says sampling, not an id.
  return named !== null && /^[\da-f]{2,32}$/.test(value) ? value : text;
}

const unquoted = (value: string): string => value.replace(/^["']|["'],?$/g, '').trim();
