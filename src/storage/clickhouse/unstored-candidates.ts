/**
 * What a search may answer because of rows that are in the log and not in storage yet. A trace of
 * which all rows that count are stored is found there; so it is a candidate when one of its rows
 * in the log counts for a criterion. Others may be in the window by rows of the log only.
 */
import { FLAG_TIMESTAMP, TIMESTAMP_US_MAX } from '../../model/span-batch.ts';
import type { Candidate, CandidateRequest, SpanCriteria, TimeRange } from '../contract.ts';
import { elsewhereOf } from './candidate-sql.ts';
import { UnstoredBlock } from './unstored-block.ts';
import { textBytes } from './unstored-spans.ts';

interface Seen {
  rootUs: number;
  leastUs: number;
}

export interface UnstoredCandidates {
  /** A row meets a criterion. In no special order; some may turn out not to match. */
  readonly counting: readonly Candidate[];
  /** Low 64 bits of others that are in the window, as far as storage asks for that elsewhere. */
  readonly inWindow: readonly bigint[];
}

const TWO_32 = 2 ** 32;

/** @param untimed the tenant may have spans without a timestamp, which count at any time */
export function unstoredCandidates(
  blocks: readonly Buffer[],
  tenant: string,
  request: CandidateRequest,
  untimed: boolean,
): UnstoredCandidates {
  const scan = new Scan(tenant, request, untimed);
  for (const block of blocks) scan.add(new UnstoredBlock(block));
  return scan.found();
}

class Scan {
  readonly #request: CandidateRequest;
  readonly #tenant: Buffer;
  readonly #criteria: EncodedCriteria;
  readonly #rows: TimeRange;
  readonly #elsewhere: readonly TimeRange[];
  readonly #counting = new Map<bigint, Seen>();
  readonly #inWindow = new Set<bigint>();

  constructor(tenant: string, request: CandidateRequest, untimed: boolean) {
    const { window, rows, criteria } = request;
    this.#request = request;
    this.#tenant = textBytes(tenant);
    this.#criteria = encode(criteria);
    this.#rows = clipped(rows);
    this.#elsewhere = elsewhereOf(window, rows, untimed).map(clipped);
  }

  add(block: UnstoredBlock): void {
    const tenants = block.texts('tenant');
    const number = tenants.numberOf(this.#tenant);
    if (number < 0) return;
    const counts = counting(block, this.#criteria);
    const [times, lows, flags] = ['ts', 'trace_lo', 'flags'].map((name) => block.fixed(name));
    for (let row = 0; row < block.rows; row++) {
      if (tenants.index[row] !== number) continue;
      const isTimed = (flags![row]! & FLAG_TIMESTAMP) !== 0;
      const us = wordsAt(times!, row);
      if ((!isTimed || isWithin(us, this.#rows)) && counts(row)) {
        this.#count(block, row, lows!.readBigUInt64LE(8 * row), isTimed ? us : undefined);
      } else if (isTimed && this.#elsewhere.some((range) => isWithin(us, range))) {
        this.#inWindow.add(lows!.readBigUInt64LE(8 * row));
      }
    }
  }

  #count(block: UnstoredBlock, row: number, low: bigint, us: number | undefined): void {
    const trace = this.#counting.get(low) ?? { rootUs: Infinity, leastUs: Infinity };
    this.#counting.set(low, trace);
    if (us === undefined) return;
    trace.leastUs = Math.min(trace.leastUs, us);
    if (wordsAt(block.fixed('parent_id'), row) === 0) trace.rootUs = Math.min(trace.rootUs, us);
  }

  found(): UnstoredCandidates {
    const { window, notAfterUs = Infinity } = this.#request;
    const candidates = Array.from(this.#counting, ([low, { rootUs, leastUs }]) => {
      const atUs = rootUs === Infinity ? leastUs : rootUs;
      return { low, timestampUs: atUs === Infinity ? window.toUs : atUs };
    }).filter(({ timestampUs }) => timestampUs <= notAfterUs);
    return { counting: candidates, inWindow: [...this.#inWindow] };
  }
}

const wordsAt = (column: Buffer, row: number): number =>
  column.readUInt32LE(8 * row) + column.readUInt32LE(8 * row + 4) * TWO_32;

const isWithin = (us: number, { fromUs, toUs }: TimeRange): boolean => us >= fromUs && us <= toUs;

/** Later times than storage can hold are stored as the latest. */
const clipped = ({ fromUs, toUs }: TimeRange): TimeRange => ({
  fromUs: Math.min(Math.trunc(fromUs), TIMESTAMP_US_MAX),
  toUs: Math.min(toUs, TIMESTAMP_US_MAX),
});

type Met = (row: number) => boolean;

/** Texts as blocks have them. */
interface EncodedCriteria {
  readonly service: Buffer | undefined;
  readonly remote: Buffer | undefined;
  readonly name: Buffer | undefined;
  readonly durationUs: TimeRange | undefined;
  /** With a value: of a tag; without: also the text of an annotation. */
  readonly words: readonly { readonly key: Buffer; readonly value: Buffer | undefined }[];
}

function encode(criteria: SpanCriteria): EncodedCriteria {
  const { service, remote, name, minDurationUs: fromUs, maxDurationUs: toUs } = criteria;
  const text = (value: string | undefined): Buffer | undefined =>
    value === undefined ? undefined : textBytes(value);
  return {
    service: text(service),
    remote: text(remote),
    name: text(name),
    durationUs: fromUs === undefined ? undefined : { fromUs, toUs: toUs ?? Infinity },
    words: criteria.words.map((word) => {
      const equals = word.indexOf('=');
      if (equals < 0) return { key: textBytes(word), value: undefined };
      return { key: textBytes(word.slice(0, equals)), value: textBytes(word.slice(equals + 1)) };
    }),
  };
}

/** Of a block in which no row can meet it: the columns behind need not be read. */
const NEVER: Met = () => false;

/** Whether a row meets one of the criteria, or there are none but the service. */
function counting(block: UnstoredBlock, criteria: EncodedCriteria): Met {
  const { service, remote, name, durationUs, words } = criteria;
  const ofService = service === undefined ? undefined : hasText(block, 'service', service);
  if (ofService === NEVER) return NEVER;
  const met: Met[] = [];
  if (remote !== undefined) met.push(hasText(block, 'remote', remote));
  if (name !== undefined) met.push(hasText(block, 'name', name));
  if (durationUs !== undefined) met.push(hasDuration(block, durationUs));
  for (const { key, value } of words) {
    met.push(hasTag(block, key, value));
    if (value === undefined) met.push(hasAnnotation(block, key));
  }
  const some = met.filter((one) => one !== NEVER);
  if (met.length > 0 && some.length === 0) return NEVER;
  return (row) =>
    (ofService === undefined || ofService(row)) &&
    (some.length === 0 || some.some((one) => one(row)));
}

function hasText(block: UnstoredBlock, column: string, text: Buffer): Met {
  const texts = block.texts(column);
  const number = texts.numberOf(text);
  return number < 0 ? NEVER : (row) => texts.index[row] === number;
}

function hasDuration(block: UnstoredBlock, range: TimeRange): Met {
  const durations = block.fixed('duration');
  return (row) => isWithin(wordsAt(durations, row), range);
}

function hasTag(block: UnstoredBlock, key: Buffer, value: Buffer | undefined): Met {
  if (!block.mayHold(key) || (value !== undefined && !block.mayHold(value))) return NEVER;
  const { lists, keys } = block.lists('tags');
  const number = keys.numberOf(key);
  if (number < 0) return NEVER;
  const values = block.valuesOf(lists);
  return (row) => {
    const { from, to } = lists.range(row);
    for (let tag = from; tag < to; tag++) {
      if (keys.index[tag] === number && (value === undefined || values.equals(tag, value))) {
        return true;
      }
    }
    return false;
  };
}

function hasAnnotation(block: UnstoredBlock, text: Buffer): Met {
  if (!block.mayHold(text)) return NEVER;
  const { lists, keys } = block.lists('ann_value');
  const number = keys.numberOf(text);
  if (number < 0) return NEVER;
  return (row) => {
    const { from, to } = lists.range(row);
    return keys.index.subarray(from, to).includes(number);
  };
}
