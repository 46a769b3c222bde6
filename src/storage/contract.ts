/**
 * What ingester and query ask of a storage. Implementations live in folders beside this file.
 * Every promise here is tested by test/contract/storage-kit.ts.
 */
import type { DependencyLink } from '../model/dependency-link.ts';
import type { NameEntry } from '../model/name-set.ts';
import type { Span, SpanKind } from '../model/span.ts';
import type { SpanBatch } from '../model/span-batch.ts';
import type { TagValue } from '../model/tag-values.ts';
import type { TraceKey } from '../model/trace-id.ts';

/** Rows by day: days since 1970-01-01 UTC as storage partitions them -> rows. */
export type RowsByDay = ReadonlyMap<number, number>;

/** A closed log segment as storage takes it: a file whose first `bytes` bytes are whole blocks. */
export interface InsertSource {
  readonly batch: bigint;
  readonly path: string;
  readonly bytes: number;
  readonly rows: number;
  readonly days: RowsByDay;
}

/** Turns decoded spans into the bytes that the log keeps and storage takes as they are. */
export interface BlockEncoder {
  /**
   * The block of all rows of the batch, every row marked with `batchId`. The bytes are valid until
   * the next call; the batch may be emptied at once.
   */
  encode(batch: SpanBatch, batchId: bigint): Uint8Array;
}

/** A block whose rows can be taken one by one. */
export interface OpenedBlock {
  /** By row: days since 1970-01-01 UTC, as storage partitions. */
  readonly days: readonly number[];
  /**
   * A block of the rows with these numbers, which ascend, each marked with `batchId`. Valid until
   * the next call.
   */
  take(rows: readonly number[], batchId: bigint): Uint8Array;
}

/** Takes apart what a BlockEncoder made, also one of an earlier version. */
export interface BlockCutter {
  /** @throws Error when the bytes are not one whole block */
  open(block: Buffer): OpenedBlock;
}

/** Why a storage call failed, and so what to do. */
export type StorageFailure =
  /** network, timeout, overload: try again */
  | 'retry'
  /** not enough memory: try again, with less at once */
  | 'memory'
  /** table or column is missing: ensure the schema, then try again */
  | 'schema'
  /** credentials or grants: keep spooling, alarm, try again */
  | 'auth'
  /** these bytes will never be taken: bisect and set aside */
  | 'poison'
  /** the caller aborted it or its time was up */
  | 'aborted';

/** @throws by every call below. `message` is for the log, never for a client. */
export class StorageError extends Error {
  readonly failure: StorageFailure;
  /** ClickHouse error code, 0 when there was no answer. */
  readonly code: number;

  constructor(failure: StorageFailure, code: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'StorageError';
    this.failure = failure;
    this.code = code;
  }
}

export interface SpanWriter {
  /**
   * Inserts the whole segment, or only the rows of `onlyDays`. Each day is stored whole or not at
   * all. Resolves when storage has acknowledged; a rejection says nothing about what is stored.
   */
  insert(source: InsertSource, onlyDays?: readonly number[]): Promise<void>;
  /** Makes sure that no insert of this batch runs any more, then counts what is stored of it. */
  countBack(batch: bigint): Promise<RowsByDay>;
  /** Set by who writes; called when storage that was away can be reached again. */
  onReturn?: () => void;
}

export interface ReadOptions {
  readonly tenant: string;
  readonly signal?: AbortSignal;
  /** Blocks of its BlockEncoder: traces and candidates count their rows as if they were stored. */
  readonly unstored?: readonly Buffer[];
}

export interface TraceReader {
  /**
   * All spans of a trace as stored, in no special order, those equal in every field once; [] when
   * there is no such trace.
   * @param strict false: match the low 64 bits only
   */
  trace(key: TraceKey, strict: boolean, options: ReadOptions): Promise<Span[]>;
  /** Rows in storage now, of all tenants. */
  countRows(signal?: AbortSignal): Promise<number>;
}

/** Conditions, each of which some span of the service must meet, not all the same one. */
export interface SpanCriteria {
  /** Local service; any when absent. */
  readonly service?: string;
  readonly remote?: string;
  readonly name?: string;
  /** Microseconds, both inclusive; the upper only together with the lower. */
  readonly minDurationUs?: number;
  readonly maxDurationUs?: number;
  /** Tag keys, `key=value` of tags, texts of annotations. */
  readonly words: readonly string[];
}

/** Epoch microseconds, both inclusive. */
export interface TimeRange {
  readonly fromUs: number;
  readonly toUs: number;
}

export interface CandidateRequest {
  readonly criteria: SpanCriteria;
  /** Where the trace must have a span with a timestamp. */
  readonly window: TimeRange;
  /** Where the spans are that count for the criteria: the window and what is around it. */
  readonly rows: TimeRange;
  /** Only candidates of this time or before. */
  readonly notAfterUs?: number;
  readonly limit: number;
}

/** A trace that may answer a search. */
export interface Candidate {
  /** Low 64 bits of its id. */
  readonly low: bigint;
  /** Of its earliest root, else of its earliest span, among the spans that were looked at. */
  readonly timestampUs: number;
}

/** Finds traces in two steps: what may match, out of few columns, then the traces themselves. */
export interface TraceSearcher {
  /**
   * The latest `limit` traces that may match, newest first. Some may turn out not to; none that
   * matches within `rows` is left out. Spans without a timestamp count wherever they are.
   */
  candidates(request: CandidateRequest, options: ReadOptions): Promise<Candidate[]>;
  /**
   * Every trace whose id has one of these low 64 bits, in no special order: its spans by time,
   * those without timestamp last, those equal in every field once.
   * @param strict false: ids that share their low 64 bits are of one trace
   * @param about when the traces are, as a hint for reading
   */
  traces(
    lows: readonly bigint[],
    strict: boolean,
    options: ReadOptions,
    about?: TimeRange,
  ): Promise<Span[][]>;
}

/** Names and values of tags that were seen on spans of one tenant. */
export interface NamesOfTenant {
  readonly tenant: string;
  readonly names: readonly NameEntry[];
  readonly values: readonly TagValue[];
}

export interface RecordedNames extends Omit<NamesOfTenant, 'tenant'> {
  /** When the latest of them was recorded, epoch seconds by the clock of storage; 0: none. */
  readonly toS: number;
}

/** Which names there are, kept as long as the spans that have them. */
export interface NameStore {
  /** Adds what is not there and raises days; may be repeated. */
  record(names: readonly NamesOfTenant[]): Promise<void>;
  /**
   * What was recorded of a tenant at `sinceS` or later, epoch seconds by the clock of storage.
   * @param max entries of names, and of values, beyond which the rest is left out
   */
  recorded(tenant: string, sinceS: number, max: number): Promise<RecordedNames>;
  /** All names of the node's segments before this one are recorded. */
  mark(batch: bigint): Promise<void>;
  /**
   * Records the names of all stored spans that are beyond their node's mark or in `batches`.
   * @param keys of the tags whose values are recorded
   */
  recordUnmarked(keys: readonly string[], batches: readonly bigint[]): Promise<void>;
}

/** A row of `spans`, as far as dependency links read it. */
export interface LinkRow {
  readonly tenant: string;
  /** Low 64 bits of the trace id as 8 characters of a byte each, highest first. */
  readonly trace: string;
  /** Of the log segment that it came with. */
  readonly batch: bigint;
  /** Epoch microseconds under which it is stored: its timestamp, or when it arrived. */
  readonly storedUs: number;
  /** Written as `trace`, so that the order of texts is that of the ids. */
  readonly id: string;
  readonly parentId: string | undefined;
  readonly kind: SpanKind | undefined;
  readonly shared: boolean;
  readonly timestamp: number | bigint | undefined;
  readonly localService: string | undefined;
  readonly localIpv4: string | undefined;
  readonly localIpv6: string | undefined;
  readonly localPort: number | undefined;
  readonly remoteService: string | undefined;
  /** There is a tag `error`. */
  readonly error: boolean;
}

/** Which rows; days are counted since 1970-01-01 UTC, traces are written as in LinkRow. */
export type LinkSelection =
  | { readonly of: 'segments'; readonly day: number; readonly batches: readonly bigint[] }
  | {
      readonly of: 'traces';
      readonly tenants: readonly string[];
      readonly traces: readonly string[];
      readonly days: readonly number[];
    }
  /** Rows stored in `within` of traces that have one stored in `at`. */
  | {
      readonly of: 'moment';
      readonly tenant: string;
      readonly at: TimeRange;
      readonly within: TimeRange;
    };

/** Reads what dependency links are made of, of all tenants. */
export interface LinkReader {
  rowsByDay(signal?: AbortSignal): Promise<RowsByDay>;
  /** Rows of the day by log segment; those of the segments in `except` may be left out. */
  segments(
    day: number,
    except: readonly { readonly from: bigint; readonly to: bigint }[],
    signal?: AbortSignal,
  ): Promise<ReadonlyMap<bigint, number>>;
  /** In no special order. */
  rows(selection: LinkSelection, signal?: AbortSignal): Promise<LinkRow[]>;
  /**
   * The rows of all traces whose low 64 bits are in the range, both ends inclusive: lists of rows,
   * made as they are asked for, with all of a trace in the same list.
   */
  range(from: bigint, to: bigint, signal?: AbortSignal): Promise<Iterable<LinkRow[]>>;
  /** The traces of a day, some more than once: each as LinkRow.trace, low word first. */
  traces(day: number, signal?: AbortSignal): AsyncIterable<Uint32Array>;
  /** Ascending numbers that cut the traces by their low 64 bits into ranges of about equal rows. */
  cuts(ranges: number, signal?: AbortSignal): Promise<bigint[]>;
}

/** Links of the traces that began or ended in a minute, or have a long time without a span. */
export interface LinkBucket {
  readonly kind: 'opened' | 'closed' | 'gap';
  /** Minutes since 1970; of a gap, in which it begins. */
  readonly minute: number;
  /** In which a gap ends; 0 otherwise. */
  readonly beforeMinute: number;
  readonly links: readonly DependencyLink[];
  /** Epoch ms between which the rows of these traces are stored; 0 but for 'opened'. */
  readonly storedFromMs: number;
  readonly storedToMs: number;
}

/** Which rows of a day are in the buckets. */
export interface LinkedDay {
  readonly day: number;
  readonly rows: number;
  /** Log segments, both inclusive. */
  readonly batches: readonly { readonly from: bigint; readonly to: bigint }[];
}

export interface SavedLinks {
  readonly days: readonly LinkedDay[];
  readonly buckets: readonly { readonly tenant: string; readonly bucket: LinkBucket }[];
}

/** Keeps buckets over restarts. They can be made again from the spans. */
export interface LinkStore {
  load(): Promise<SavedLinks>;
  /** Replaces those that are given, all at once or none. */
  save(links: SavedLinks): Promise<void>;
  /** Forgets all. */
  clear(): Promise<void>;
}

export type StorageState = 'starting' | 'up' | 'down' | 'stopped';

export interface StorageHealth {
  readonly state: StorageState;
  /** e.g. `ClickHouse 26.7.2 (embedded)`; the key of the component in /health. */
  readonly name: string;
  /** Why it is not up, for an operator. */
  readonly error?: string;
}

/** A storage with its lifecycle. `start` resolves when reads and inserts work. */
export interface Storage {
  readonly encoder: BlockEncoder;
  readonly writer: SpanWriter;
  readonly reader: TraceReader;
  readonly names: NameStore;
  readonly searcher: TraceSearcher;
  readonly links: LinkReader & LinkStore;
  start(): Promise<void>;
  stop(): Promise<void>;
  health(): StorageHealth;
}
