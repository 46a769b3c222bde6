/**
 * The statement that finds what a search may answer: one row per trace, out of the few columns of
 * p_search, or through the index of words. Zipkin lets each criterion be met by another span
 * (zipkin2/storage/QueryRequest.java), so a trace is one group and each criterion an aggregate.
 * Traces are told apart by the low 64 bits of their ids: the others would double the projection.
 *
 *   SELECT trace, at, inside FROM rows of the service within reach, first of all by word
 *   GROUP BY trace HAVING each criterion AND in the window ORDER BY at DESC LIMIT n
 */
import { FLAG_TIMESTAMP, TIMESTAMP_US_MAX } from '../../model/span-batch.ts';
import type { CandidateRequest, TimeRange } from '../contract.ts';

/** Of a hundred words the first ones leave little to judge. */
const WORDS_MAX = 8;
/** What is around the window is a small part of it. */
const AROUND_PARTS = 4;

/**
 * A tag without a key, or an annotation without text. Of LowCardinality has() never finds the empty
 * text (ClickHouse 26.7).
 */
const HAS_EMPTY_WORD =
  "(arrayExists(key -> key = '', mapKeys(tags)) OR arrayExists(text -> text = '', ann_value))";

export interface Statement {
  readonly sql: string;
  readonly params: Readonly<Record<string, unknown>>;
}

export const IS_TIMED = `bitAnd(flags, ${FLAG_TIMESTAMP}) != 0`;
export const IS_UNTIMED = `bitAnd(flags, ${FLAG_TIMESTAMP}) = 0`;

/**
 * Which traces count as being in the window:
 *   rows     any that has rows to look at
 *   window   those that have a span in the window, among these rows or elsewhere
 *   untimed  likewise, and spans without a timestamp count wherever they are
 */
export type Reach = 'rows' | 'window' | 'untimed';

/** @param inWindow low 64 bits of traces that are in the window, whatever storage says */
export function candidateSql(
  table: string,
  tenant: string,
  request: CandidateRequest,
  reach: Reach,
  inWindow: readonly bigint[] = [],
): Statement {
  return new CandidateSql(table, tenant, request, reach, inWindow).statement();
}

/**
 * Whether reach `rows` is likely to find hardly any trace that `window` would not: it asks for one
 * table less. A word is rare as a rule, and few of its rows are around the window.
 */
export function mayGuess(request: CandidateRequest, untimed: boolean): boolean {
  const { criteria, window, rows, notAfterUs } = request;
  const aroundUs = window.fromUs - rows.fromUs + (rows.toUs - window.toUs);
  return (
    !untimed &&
    notAfterUs === undefined &&
    criteria.words.some((word) => word !== '') &&
    aroundUs * AROUND_PARTS <= rows.toUs - rows.fromUs
  );
}

class CandidateSql {
  readonly #table: string;
  readonly #request: CandidateRequest;
  readonly #reach: Reach;
  readonly #knownInWindow: readonly bigint[];
  readonly #params: Record<string, unknown>;

  constructor(
    table: string,
    tenant: string,
    request: CandidateRequest,
    reach: Reach,
    knownInWindow: readonly bigint[],
  ) {
    this.#table = table;
    this.#request = request;
    this.#reach = reach;
    this.#knownInWindow = knownInWindow;
    this.#params = { tenant, limit: request.limit };
    const { service } = request.criteria;
    if (service !== undefined) this.#params['service'] = service;
  }

  statement(): Statement {
    const { notAfterUs } = this.#request;
    const plain = this.#plainCriteria();
    const [first, ...words] = this.#wordCriteria();
    // What narrows most comes first: a word through its index.
    const semijoins = (first === undefined ? [] : [...words, ...plain]).map(
      (condition) => `trace_lo IN (${this.#rows('trace_lo', condition)})`,
    );
    const where = first ?? (plain.length === 0 ? 'true' : `(${plain.join(' OR ')})`);
    const columns = 'trace_lo, ts, root, flags, remote, name, duration';
    const having = [
      ...(first === undefined && plain.length > 1 ? plain.map((c) => `countIf(${c}) > 0`) : []),
      ...(this.#reach === 'rows' ? [] : [this.#inWindow()]),
      ...(notAfterUs === undefined ? [] : [`at <= ${this.#time('notAfter', notAfterUs)}`]),
    ];
    const sql =
      `SELECT trace_lo, ${this.#at()} AS at, ${this.#inside()} AS inside ` +
      `FROM (${this.#rows(columns, [where, ...semijoins].join(' AND '))}) ` +
      `GROUP BY trace_lo${having.length === 0 ? '' : ` HAVING ${having.join(' AND ')}`} ` +
      'ORDER BY at DESC LIMIT {limit:UInt32}';
    return { sql, params: this.#params };
  }

  #plainCriteria(): string[] {
    const { remote, name, minDurationUs: min, maxDurationUs: max } = this.#request.criteria;
    const criteria: string[] = [];
    if (remote !== undefined) {
      criteria.push('remote = {remote:String}');
      this.#params['remote'] = remote;
    }
    if (name !== undefined) {
      criteria.push('name = {name:String}');
      this.#params['name'] = name;
    }
    if (min !== undefined) {
      const upper = max === undefined ? '' : ' AND duration <= {durationMax:UInt64}';
      criteria.push(`duration >= {durationMin:UInt64}${upper}`);
      this.#params['durationMin'] = BigInt(min);
      if (max !== undefined) this.#params['durationMax'] = BigInt(max);
    }
    return criteria;
  }

  #wordCriteria(): string[] {
    // The empty word is in no index, so it comes last.
    const words = this.#request.criteria.words.toSorted(
      (a, b) => Number(a === '') - Number(b === ''),
    );
    return words.slice(0, WORDS_MAX).map((word, n) => {
      if (word === '') return HAS_EMPTY_WORD;
      this.#params[`word${n}`] = word;
      return `has(q, {word${n}:String})`;
    });
  }

  /** Rows of tenant and service that meet the condition. */
  #rows(columns: string, condition: string): string {
    const { criteria, rows } = this.#request;
    const service = criteria.service === undefined ? '' : ' AND service = {service:String}';
    const select =
      `SELECT ${columns} FROM ${this.#table} ` +
      `WHERE tenant = {tenant:String}${service} AND ${condition}`;
    const timed = `${select} AND ${IS_TIMED} AND ${this.#within('rows', rows)}`;
    return this.#isUntimed ? `${timed} UNION ALL ${select} AND ${IS_UNTIMED}` : timed;
  }

  /** When the trace began, as far as these rows tell. */
  #at(): string {
    if (!this.#isUntimed) return 'if(max(root), minIf(ts, root), min(ts))';
    const { window } = this.#request;
    const root = `root AND ${IS_TIMED}`;
    const timed = `if(countIf(${root}) > 0, minIf(ts, ${root}), minIf(ts, ${IS_TIMED}))`;
    return `if(countIf(${IS_TIMED}) > 0, ${timed}, ${this.#time('windowTo', window.toUs)})`;
  }

  get #isUntimed(): boolean {
    return this.#reach === 'untimed';
  }

  /** One of these rows is in the window. */
  #inside(): string {
    const { window } = this.#request;
    const from = this.#time('windowFrom', window.fromUs);
    const to = this.#time('windowTo', window.toUs);
    if (!this.#isUntimed) return `min(ts) <= ${to} AND max(ts) >= ${from}`;
    return (
      `countIf(${IS_TIMED}) > 0 AND minIf(ts, ${IS_TIMED}) <= ${to} AND ` +
      `maxIf(ts, ${IS_TIMED}) >= ${from}`
    );
  }

  /** Some span is in the window: one of these rows, or at its edges one that is not among them. */
  #inWindow(): string {
    const { window, rows } = this.#request;
    const elsewhere = elsewhereOf(window, rows, this.#isUntimed);
    if (elsewhere.length === 0) return 'inside';
    const ranges = elsewhere.map((range, n) => `(${this.#within(`edge${n}`, range)})`);
    return (
      `(inside${this.#isKnown()} OR trace_lo IN (SELECT trace_lo FROM ${this.#table} ` +
      `WHERE tenant = {tenant:String} AND ${IS_TIMED} AND (${ranges.join(' OR ')})))`
    );
  }

  #isKnown(): string {
    if (this.#knownInWindow.length === 0) return '';
    this.#params['known'] = this.#knownInWindow;
    return ' OR trace_lo IN {known:Array(UInt64)}';
  }

  /** The hours are part of the primary key, and ClickHouse does not find them by itself. */
  #within(name: string, { fromUs, toUs }: TimeRange): string {
    const from = this.#time(`${name}From`, fromUs);
    const to = this.#time(`${name}To`, toUs);
    return (
      `toStartOfHour(ts) >= toStartOfHour(${from}) AND toStartOfHour(ts) <= toStartOfHour(${to}) ` +
      `AND ts >= ${from} AND ts <= ${to}`
    );
  }

  #time(name: string, us: number): string {
    this.#params[name] = Math.min(Math.max(0, Math.trunc(us)), TIMESTAMP_US_MAX);
    return `fromUnixTimestamp64Micro({${name}:Int64}, 'UTC')`;
  }
}

/**
 * Where spans make a trace be in the window that has none there among the rows that count: where
 * the window is as near to its ends as those rows reach beyond them, or anywhere in it.
 */
export function elsewhereOf(window: TimeRange, rows: TimeRange, untimed: boolean): TimeRange[] {
  if (untimed) return [window];
  const before = window.fromUs - rows.fromUs;
  const after = rows.toUs - window.toUs;
  const edges: TimeRange[] = [];
  if (before > 0) {
    edges.push({ fromUs: window.fromUs, toUs: Math.min(window.fromUs + before, window.toUs) });
  }
  if (after > 0) {
    edges.push({ fromUs: Math.max(window.toUs - after, window.fromUs), toUs: window.toUs });
  }
  return edges;
}
