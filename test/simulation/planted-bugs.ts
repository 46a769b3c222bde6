/**
 * Bugs as one could write them: each replaces one passage of the real source, found by its exact
 * text. The simulation must find every one of them, or it does not look where it should.
 */
export interface PlantedBug {
  readonly name: string;
  /** From the root of the repository. */
  readonly file: string;
  /** Occurs exactly once in the file. */
  readonly source: string;
  readonly bug: string;
}

export const PLANTED_BUGS: readonly PlantedBug[] = [
  {
    name: 'acknowledges before the block is synced',
    file: 'src/wal/segment.ts',
    source: 'await both(dataFile.datasync(), sideFile.datasync());',
    bug: 'void both(dataFile.datasync(), sideFile.datasync()).catch(() => undefined);',
  },
  {
    name: 'syncs the side file only',
    file: 'src/wal/segment.ts',
    source: 'await both(dataFile.datasync(), sideFile.datasync());',
    bug: 'await sideFile.datasync();',
  },
  {
    name: 'skips the folder sync after a segment was created',
    file: 'src/wal/stock.ts',
    source: 'opened.push(dataFile);\n      await this.#files.syncDirectory(this.#dir);',
    bug: 'opened.push(dataFile);',
  },
  {
    name: 'skips the folder sync before the data file of a stored segment is used again',
    file: 'src/wal/closed-segments.ts',
    source: 'await this.#files.syncDirectory(this.#dir);\n      entry.leaving',
    bug: 'entry.leaving',
  },
  {
    name: 'ignores a short write',
    file: 'src/wal/files.ts',
    source: 'while (written < length) {',
    bug: 'while (written === 0) {',
  },
  {
    name: 'does not seal a segment whose write failed',
    file: 'src/wal/mender.ts',
    source: 'const side = await this.#seal(segment);',
    bug: 'const side = segment.parts.side;',
  },
  {
    name: 'takes a write that failed for done',
    file: 'src/wal/segment.ts',
    source: "if (outcome.status === 'rejected') throw outcome.reason;",
    bug: 'void outcome;',
  },
  {
    name: 'trusts every record of a side file at the start',
    file: 'src/wal/recovery.ts',
    source: 'if (await reader.holds(record, size)) good.push(record);',
    bug: 'good.push(record);',
  },
  {
    name: 'does not sync at the start what a kill left in the page cache',
    file: 'src/wal/recovery.ts',
    source: 'else if (isLast) await secureLast(source, candidate, file, reader);',
    bug: '',
  },
  {
    name: 'forgets at a restart which bodies it has acknowledged',
    file: 'src/wal/recovery.ts',
    source: 'keepNotes(source, notes, result.records);',
    bug: '',
  },
  {
    name: 'removes a segment without counting it back',
    file: 'src/ingester/inserter.ts',
    source: 'const after = await this.#readBack(pending);',
    bug: 'const after = compareDays(segment.days, segment.days);',
  },
  {
    name: 'inserts again without looking what is there',
    file: 'src/ingester/inserter.ts',
    source: 'pending.inDoubt = true;',
    bug: 'pending.inDoubt = false;',
  },
  {
    name: 'inserts what it found at the start without looking what is there',
    file: 'src/ingester/pending-segments.ts',
    source: 'newPending(segment, this.#addedRows, segment.recovered)',
    bug: 'newPending(segment, this.#addedRows, false)',
  },
  {
    name: 'inserts all days when some are there',
    file: 'src/ingester/inserter.ts',
    source: "before.outcome === 'partial' ? before.missingDays : undefined",
    bug: 'undefined',
  },
  {
    name: 'puts parts in the place of a segment before they are synced',
    file: 'src/wal/division.ts',
    source: 'for (const { file } of parts) await file?.datasync();',
    bug: '',
  },
  {
    name: 'delivers the parts of a division that did not come to its end',
    file: 'src/wal/recovery.ts',
    source: 'return names.filter((name) => !isLoose(name));',
    bug: 'return names;',
  },
  {
    name: 'gives parts the days that are in storage already',
    file: 'src/ingester/divisions.ts',
    source: '(wanted.has(day) ? Number(row >= middle) : undefined)',
    bug: 'Number(row >= middle)',
  },
  {
    name: 'sets a refused part aside with its good neighbours',
    file: 'src/ingester/refusals.ts',
    source: 'if (family === undefined) return !this.#refusesAll;',
    bug: 'if (family !== undefined) return false;\n    return !this.#refusesAll;',
  },
  {
    name: 'tries a segment again and again that storage has no memory for',
    file: 'src/ingester/refusals.ts',
    source: "if (cause === 'memory') return segment.bytes > MEMORY_BYTES_MIN;",
    bug: "if (cause === 'memory') return false;",
  },
  {
    name: 'forgets of a divided segment which rows are in storage',
    file: 'src/ingester/inserter.ts',
    source: 'if (rows < segment.rows) ledger.store(segment.rows - rows);',
    bug: '',
  },
  {
    name: 'tells queries that they are fresh once the segment is closed',
    file: 'src/ingester/freshness.ts',
    source: 'if (waiter.rows <= doneRows) waiter.end(true);',
    bug: 'if (waiter.rows <= addedRows) waiter.end(true);',
  },
  {
    name: 'forgets when unstored rows are that join others',
    file: 'src/ingester/unstored-rows.ts',
    source: 'if (us > chunk.maxUs) chunk.maxUs = us;',
    bug: 'if (chunk.maxUs === 0) chunk.maxUs = us;',
  },
  {
    name: 'forgets of which traces unstored rows are that join others',
    file: 'src/ingester/unstored-rows.ts',
    source: 'chunk.traces.add(traceLo[2 * row]!, traceLo[2 * row + 1]!);',
    bug: 'chunk.traces.add(traceLo[0]!, traceLo[1]!);',
  },
  {
    name: 'lets go of unstored rows too early',
    file: 'src/ingester/unstored-rows.ts',
    source: 'this.#chunks[gone]!.endRow <= rows',
    bug: 'this.#chunks[gone]!.firstRow <= rows',
  },
  {
    name: 'keeps the good spans of a message that is refused as a whole',
    file: 'src/distributor/distributor.ts',
    source: 'batch.rollback(mark);\n      this.#bookRejected(report);',
    bug: 'this.#bookRejected(report);',
  },
  {
    name: 'stores a body again that is sent while its first copy is being written',
    file: 'src/distributor/seen-bodies.ts',
    source: 'this.#underWay.set(key, settled);',
    bug: '',
  },
  {
    name: 'books a refused message as if it had not come',
    file: 'src/telemetry/ledger.ts',
    source: 'this.#refused += spans;',
    bug: '',
  },
  {
    name: 'takes what is not in the log for stored',
    file: 'src/ingester/freshness.ts',
    source: 'if (read === undefined && inserter.doneRows < endRow) return undefined;',
    bug: '',
  },
  {
    name: 'takes blocks that came while it read for read',
    file: 'src/ingester/unstored-rows.ts',
    source: 'lengths: [...run.lengths]',
    bug: 'lengths: run.lengths',
  },
  {
    name: 'looks for rows in the first block of a segment only',
    file: 'src/ingester/unstored-rows.ts',
    source: 'last.lengths.push(bytes);',
    bug: '',
  },
];
