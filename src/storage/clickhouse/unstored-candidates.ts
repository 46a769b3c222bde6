/**
 * What a search may answer because of rows that are in the log and not in storage yet. A trace of
 * which all rows that count are stored is found there; so it is a candidate when one of its rows
 * in the log counts: for a criterion, or for the trace being in the window.
 */
import { FLAG_TIMESTAMP } from '../../model/span-batch.ts';
import type { Candidate, CandidateRequest, SpanCriteria, TimeRange } from '../contract.ts';
import { edgesOf } from './candidate-sql.ts';
import { UnstoredBlock } from './unstored-block.ts';
import { textBytes } from './unstored-spans.ts';

type Met = (row: number) => boolean;

interface Seen {
  rootUs: number;
  leastUs: number;
}

const TWO_32 = 2 ** 32;

export interface UnstoredCandidates {
  /** A row meets a criterion. In no special order; some may turn out not to match. */
  readonly counting: readonly Candidate[];
  /** Others with a row in a part of the window beside which rows outside of it count. */
  readonly atEdges: readonly Candidate[];
}

/** @param edgesMax so many of `atEdges` will do */
export function unstoredCandidates(
  blocks: readonly Buffer[],
  tenant: string,
  request: CandidateRequest,
  edgesMax = Infinity,
): UnstoredCandidates {
  const found: Found = { counting: new Map(), atEdges: new Map() };
  const bytes = textBytes(tenant);
  for (const block of blocks) collect(new UnstoredBlock(block), bytes, request, found, edgesMax);
  const { window, notAfterUs = Infinity } = request;
  const list = (traces: ReadonlyMap<bigint, Seen>): Candidate[] =>
    Array.from(traces, ([low, { rootUs, leastUs }]) => {
      const atUs = rootUs === Infinity ? leastUs : rootUs;
      return { low, timestampUs: atUs === Infinity ? window.toUs : atUs };
    }).filter(({ timestampUs }) => timestampUs <= notAfterUs);
  return { counting: list(found.counting), atEdges: list(found.atEdges) };
}

type Found = Readonly<Record<keyof UnstoredCandidates, Map<bigint, Seen>>>;

function collect(
  block: UnstoredBlock,
  tenant: Buffer,
  { criteria, window, rows }: CandidateRequest,
  found: Found,
  edgesMax: number,
): void {
  const tenants = block.texts('tenant');
  const number = tenants.numberOf(tenant);
  if (number < 0) return;
  const counts = counting(block, criteria);
  const edges = edgesOf(window, rows);
  const [times, lows, parents] = ['ts', 'trace_lo', 'parent_id'].map((name) => block.fixed(name));
  const flags = block.fixed('flags');
  for (let row = 0; row < block.rows; row++) {
    if (tenants.index[row] !== number) continue;
    const isTimed = (flags[row]! & FLAG_TIMESTAMP) !== 0;
    const us = times!.readUInt32LE(8 * row) + times!.readUInt32LE(8 * row + 4) * TWO_32;
    const isCounting = (!isTimed || isWithin(us, rows)) && counts(row);
    if (!isCounting) {
      const isFull = found.atEdges.size >= edgesMax;
      if (!isTimed || isFull || !edges.some((edge) => isWithin(us, edge))) continue;
    }
    const seen = isCounting ? found.counting : found.atEdges;
    const low = lows!.readBigUInt64LE(8 * row);
    const trace = seen.get(low) ?? { rootUs: Infinity, leastUs: Infinity };
    seen.set(low, trace);
    if (!isTimed) continue;
    const isRoot = parents!.readUInt32LE(8 * row) + parents!.readUInt32LE(8 * row + 4) === 0;
    if (isRoot) trace.rootUs = Math.min(trace.rootUs, us);
    trace.leastUs = Math.min(trace.leastUs, us);
  }
}

const isWithin = (us: number, { fromUs, toUs }: TimeRange): boolean => us >= fromUs && us <= toUs;

/** Whether a row meets one of the criteria, or there are none but the service. */
function counting(block: UnstoredBlock, criteria: SpanCriteria): Met {
  const { service, remote, name, minDurationUs: min, maxDurationUs: max = Infinity } = criteria;
  const ofService = service === undefined ? undefined : hasText(block, 'service', service);
  if (ofService === NEVER) return NEVER;
  const met: Met[] = [];
  if (remote !== undefined) met.push(hasText(block, 'remote', remote));
  if (name !== undefined) met.push(hasText(block, 'name', name));
  if (min !== undefined) met.push(hasDuration(block, min, max));
  for (const word of criteria.words) met.push(...hasWord(block, word));
  const some = met.filter((one) => one !== NEVER);
  if (met.length > 0 && some.length === 0) return NEVER;
  return (row) =>
    (ofService === undefined || ofService(row)) &&
    (some.length === 0 || some.some((one) => one(row)));
}

/** Of a block in which no row can meet it: the columns behind need not be read. */
const NEVER: Met = () => false;

function hasText(block: UnstoredBlock, column: string, text: string): Met {
  const texts = block.texts(column);
  const number = texts.numberOf(textBytes(text));
  return number < 0 ? NEVER : (row) => texts.index[row] === number;
}

function hasDuration(block: UnstoredBlock, min: number, max: number): Met {
  const durations = block.fixed('duration');
  return (row) => {
    const us = durations.readUInt32LE(8 * row) + durations.readUInt32LE(8 * row + 4) * TWO_32;
    return us >= min && us <= max;
  };
}

/** Of a tag, with or without its value, or of an annotation: see SpanCriteria. */
function hasWord(block: UnstoredBlock, word: string): Met[] {
  const equals = word.indexOf('=');
  if (equals >= 0) return [hasTag(block, word.slice(0, equals), word.slice(equals + 1))];
  return [hasTag(block, word), hasAnnotation(block, word)];
}

function hasTag(block: UnstoredBlock, key: string, value?: string): Met {
  const [bytes, wanted] = [textBytes(key), value === undefined ? undefined : textBytes(value)];
  if (!block.mayHold(bytes) || (wanted !== undefined && !block.mayHold(wanted))) return NEVER;
  const { lists, keys } = block.lists('tags');
  const number = keys.numberOf(bytes);
  if (number < 0) return NEVER;
  const values = block.valuesOf(lists);
  return (row) => {
    const { from, to } = lists.range(row);
    for (let tag = from; tag < to; tag++) {
      if (keys.index[tag] !== number) continue;
      if (wanted === undefined || values.equals(tag, wanted)) return true;
    }
    return false;
  };
}

function hasAnnotation(block: UnstoredBlock, text: string): Met {
  const bytes = textBytes(text);
  if (!block.mayHold(bytes)) return NEVER;
  const { lists, keys } = block.lists('ann_value');
  const number = keys.numberOf(bytes);
  if (number < 0) return NEVER;
  return (row) => {
    const { from, to } = lists.range(row);
    return keys.index.subarray(from, to).includes(number);
  };
}
