/**
 * What is known of the rows that are durable and not yet in storage: by thousands of them, between
 * which times they are, which traces they may be of, and where in the log they are. Most queries
 * look elsewhere and need not wait for them, and those that do not can read them from the log.
 */
import { BloomFilter } from '../model/bloom-filter.ts';
import { TIMESTAMP_US_MAX, type SpanBatch } from '../model/span-batch.ts';
import type { SpanObserver } from '../model/span-observer.ts';
import type { NarrowScope, QueryScope } from '../model/span-sink.ts';

const CHUNK_ROWS = 8192;
/** 32 KiB: beside 8,192 traces, two in ten thousand that are not there look as if they were. */
const WORDS = 8192;
const PROBES = 4;
/** 32 MiB, 8 million rows; of older ones nothing is known any more. */
const CHUNKS_MAX = 1024;
const TWO_32 = 2 ** 32;
const TWO_32N = 2n ** 32n;

/** Rows are numbered in the order in which they became durable. */
interface Chunk {
  firstRow: number;
  /** The row behind its last one. */
  endRow: number;
  readonly traces: BloomFilter;
  minUs: number;
  maxUs: number;
  /** Has spans without a timestamp, which count at any time. */
  untimed: boolean;
  readonly runs: Run[];
}

/** Blocks one behind the other in a segment of the log. */
export interface Run {
  readonly batch: bigint;
  readonly offset: number;
  /** Of the blocks, in bytes. */
  readonly lengths: number[];
  /** Their sum. */
  bytes: number;
  /** When so many rows are in storage, all of these are. */
  endRow: number;
}

export class UnstoredRows implements SpanObserver {
  /** Oldest first. */
  #chunks: Chunk[] = [];
  #spare: BloomFilter | undefined;
  /** Of the rows before nothing is known. */
  #unknownRows = 0;
  #rows = 0;
  /** Where the next block will be, if it goes to the same segment. */
  #batch = -1n;
  #offset = 0;

  /** Rows of an earlier process: before the first is observed. */
  recover(rows: number): void {
    this.#rows += rows;
    this.#unknownRows = this.#rows;
  }

  observe(batch: SpanBatch, batchId: bigint, bytes: number): void {
    const end = this.#rows + batch.rows;
    if (batchId !== this.#batch) this.#offset = 0;
    this.#batch = batchId;
    const offset = this.#offset;
    this.#offset += bytes;
    try {
      this.#add(batch, (chunk) => {
        const last = chunk.runs.at(-1);
        if (last?.batch !== batchId) {
          chunk.runs.push({ batch: batchId, offset, lengths: [bytes], bytes, endRow: end });
          return;
        }
        last.lengths.push(bytes);
        last.bytes += bytes;
        last.endRow = end;
      });
    } catch (error) {
      // Of none anything is known then: they are waited for by all.
      this.#chunks = [];
      this.#rows = end;
      this.#unknownRows = end;
      throw error;
    }
  }

  /**
   * So many of the first `until` rows a query must wait for that looks at no more than this.
   * @param until at most as many as were observed or recovered
   */
  rowsFor(scope: QueryScope, until: number): number {
    if (scope === 'all' || until > this.#rows) return until;
    const mayHold = mayHoldOf(scope);
    for (let n = this.#chunks.length - 1; n >= 0; n--) {
      const chunk = this.#chunks[n]!;
      if (chunk.firstRow < until && mayHold(chunk)) return Math.min(until, chunk.endRow);
    }
    return Math.min(until, this.#unknownRows);
  }

  /**
   * Where those of the first `until` rows may be that are in scope and not in storage; undefined
   * when that is not known of some, or they are more than the limits allow.
   */
  runsOf(scope: NarrowScope, until: number, { bytes, blocks }: RunLimits): Run[] | undefined {
    if (this.#unknownRows > 0 || until > this.#rows) return undefined;
    const mayHold = mayHoldOf(scope);
    const found: Run[] = [];
    let [bytesLeft, blocksLeft] = [bytes, blocks];
    for (const chunk of this.#chunks) {
      if (chunk.firstRow >= until || !mayHold(chunk)) continue;
      for (const all of chunk.runs) {
        const run = behind(found.at(-1), all);
        bytesLeft -= run.bytes;
        blocksLeft -= run.lengths.length;
        if (bytesLeft < 0 || blocksLeft < 0) return undefined;
        // A copy: blocks may be added while it is read.
        if (run.bytes > 0) found.push({ ...run, lengths: [...run.lengths] });
      }
    }
    return found;
  }

  /** The first so many rows are in storage. */
  stored(rows: number): void {
    let gone = 0;
    while (gone < this.#chunks.length && this.#chunks[gone]!.endRow <= rows) gone++;
    if (gone > 0) this.#spare = this.#chunks[gone - 1]!.traces;
    if (gone > 0) this.#chunks = this.#chunks.slice(gone);
    const runs = this.#chunks[0]?.runs ?? [];
    while (runs[0] !== undefined && runs[0].endRow <= rows) runs.shift();
    if (this.#unknownRows <= rows) this.#unknownRows = 0;
  }

  /** @param addTo is called once with each chunk that gets rows of the batch */
  #add(batch: SpanBatch, addTo: (chunk: Chunk) => void): void {
    const { rows, ts, traceLo } = batch;
    let chunk = this.#open();
    if (rows > 0) addTo(chunk);
    for (let row = 0; row < rows; row++) {
      if (this.#rows - chunk.firstRow >= CHUNK_ROWS) {
        chunk = this.#newChunk();
        addTo(chunk);
      }
      const us = ts[2 * row]! + ts[2 * row + 1]! * TWO_32;
      if (us < chunk.minUs) chunk.minUs = us;
      if (us > chunk.maxUs) chunk.maxUs = us;
      if (!batch.hasTimestamp(row)) chunk.untimed = true;
      chunk.traces.add(traceLo[2 * row]!, traceLo[2 * row + 1]!);
      chunk.endRow = ++this.#rows;
    }
  }

  #open(): Chunk {
    const last = this.#chunks.at(-1);
    return last === undefined || last.endRow - last.firstRow >= CHUNK_ROWS
      ? this.#newChunk()
      : last;
  }

  #newChunk(): Chunk {
    const traces = this.#spare ?? new BloomFilter(WORDS, PROBES);
    traces.clear();
    this.#spare = undefined;
    const [firstRow, endRow] = [this.#rows, this.#rows];
    const chunk = { firstRow, endRow, traces, minUs: Infinity, maxUs: 0, untimed: false, runs: [] };
    this.#chunks.push(chunk);
    if (this.#chunks.length > CHUNKS_MAX) this.#unknownRows = this.#chunks.shift()!.endRow;
    return chunk;
  }
}

/** Of what a query reads. */
export interface RunLimits {
  readonly bytes: number;
  readonly blocks: number;
}

/** The run without the block that the one before has too: it has rows of both chunks. */
function behind(before: Run | undefined, run: Run): Run {
  const [first] = run.lengths;
  const isDouble =
    before?.batch === run.batch && first !== undefined && before.offset + before.bytes > run.offset;
  if (!isDouble) return run;
  const { offset, lengths, bytes } = run;
  return { ...run, offset: offset + first, lengths: lengths.slice(1), bytes: bytes - first };
}

type MayHold = (chunk: Chunk) => boolean;

const mayHoldOf = (scope: NarrowScope): MayHold =>
  'traces' in scope ? holderOf(scope.traces) : holderAt(scope);

function holderOf(traces: readonly bigint[]): MayHold {
  const words = traces.map((low) => [Number(BigInt.asUintN(32, low)), Number(low / TWO_32N)]);
  return (chunk) => words.some(([low, high]) => chunk.traces.has(low!, high!));
}

/** Later times than storage can hold are stored as the latest. */
function holderAt({ fromUs, toUs }: { fromUs: number; toUs: number }): MayHold {
  const from = Math.min(Math.trunc(fromUs), TIMESTAMP_US_MAX);
  return (chunk) => chunk.untimed || (chunk.minUs <= toUs && chunk.maxUs >= from);
}
