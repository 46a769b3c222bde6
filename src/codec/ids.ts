/**
 * Ids as text in their unusual forms; the usual ones (16 or 32 lower-case digits) are read by each
 * codec itself. Rules and texts: zipkin2/Span.java normalizeTraceId, toLowerHex.
 */
import type { DecodeReport } from '../model/decode-report.ts';

/** An id of up to 128 bits as 32-bit words, highest first; or what is wrong with it. */
export interface ParsedId {
  readonly words: readonly [number, number, number, number];
  readonly fault: string;
}

const ZEROS: ParsedId['words'] = [0, 0, 0, 0];
const UUID = /^[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}$/i;

function wordsOf(hex: string): ParsedId['words'] {
  const padded = hex.padStart(32, '0');
  const word = (n: number): number => Number.parseInt(padded.slice(8 * n, 8 * n + 8), 16);
  return [word(0), word(1), word(2), word(3)];
}

const wrong = (fault: string): ParsedId => ({ words: ZEROS, fault });
const NOT_HEX = 'should be lower-hex encoded with no prefix';

/** 1 to 32 hex digits, not all zero; upper case and the dashes of a UUID are let pass. */
export function parseTraceId(text: string, report: DecodeReport): ParsedId {
  if (text === '') return wrong('traceId is empty');
  const digits = isUuid(text, report) ? text.replaceAll('-', '') : text;
  if (digits.length > 32) return wrong('traceId.length > 32');
  const lower = digits.toLowerCase();
  if (!/^[\da-f]+$/.test(lower)) return wrong(`${text} ${NOT_HEX}`);
  if (/^0+$/.test(lower)) return wrong('traceId is all zeros');
  if (lower !== digits) report.normalize('id_case');
  return { words: wordsOf(lower), fault: '' };
}

/** A sender writes all its trace ids as UUIDs or none: among others a UUID is a mistake. */
function isUuid(text: string, report: DecodeReport): boolean {
  if (!UUID.test(text)) return false;
  if (report.accepted > 0 && !report.normalized.has('id_uuid')) return false;
  report.normalize('id_uuid');
  return true;
}

/** 1 to 16 hex digits; sixteen zeros are no id, though fewer are, as in Zipkin. */
export function parseSpanId(
  text: string,
  name: 'id' | 'parentId',
  report?: DecodeReport,
): ParsedId {
  if (text === '') return wrong(`${name} is empty`);
  if (text.length > 16) return wrong(`${name}.length > 16`);
  const lower = text.toLowerCase();
  if (!/^[\da-f]+$/.test(lower)) return wrong(`${text} ${NOT_HEX}`);
  if (name === 'id' && lower === '0000000000000000') return wrong('id is all zeros');
  if (lower !== text) report?.normalize('id_case');
  return { words: wordsOf(lower), fault: '' };
}
