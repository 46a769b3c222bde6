/**
 * What happens after a write or a sync failed. The file is never synced again: the kernel may have
 * dropped the dirty pages and would answer success. The segment is sealed by a rename that says how
 * many of its records count, and a new one is opened. Two failures in a row: the log has failed
 * until a new segment can be made, tried with backoff when somebody asks.
 */
import { join } from 'node:path';
import type { Backoff } from '../base/backoff.ts';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../telemetry/logger.ts';
import { errorCode, isMissing, isNoSpace, type WalFiles } from './files.ts';
import { sideName } from './names.ts';
import type { OpenSegment } from './segment.ts';
import type { SegmentStock } from './stock.ts';

const FAILURES_MAX = 2;

export interface MenderOptions {
  readonly files: WalFiles;
  readonly dir: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly backoff: Backoff;
  readonly stock: SegmentStock;
  /** Takes a sealed segment with its blocks that were acknowledged. */
  readonly onSealed: (segment: OpenSegment, sidePath: string) => void;
}

export class Mender {
  readonly #options: MenderOptions;
  readonly #poisoned: OpenSegment[] = [];
  #failures = 0;
  #noSpace = false;
  #lastCode = '';
  #retryMs = Number.NEGATIVE_INFINITY;
  /** A segment was poisoned since the last try to seal. */
  #unsealed = false;
  #mending: Promise<void> | undefined;

  constructor(options: MenderOptions) {
    this.#options = options;
  }

  get failed(): boolean {
    return this.#failures >= FAILURES_MAX;
  }

  /** The disk refused a write for want of space and has not taken one since. */
  get noSpace(): boolean {
    return this.#noSpace;
  }

  get isWell(): boolean {
    return !this.failed && !this.#noSpace && this.#poisoned.length === 0;
  }

  /** Code of the operating system error of the last failure. */
  get lastCode(): string {
    return this.#lastCode;
  }

  /** Segments that wait for their seal; nothing is appended elsewhere before. */
  get poisoned(): readonly OpenSegment[] {
    return this.#poisoned;
  }

  succeeded(): void {
    if (this.#failures === 0) return;
    this.#failures = 0;
    this.#options.backoff.reset();
  }

  /** Takes over a segment whose append failed. */
  poison(segment: OpenSegment, error: unknown): void {
    this.#poisoned.push(segment);
    this.#unsealed = true;
    this.note(error, 'A write to the log failed: its segment is closed after the last good block');
  }

  note(error: unknown, message: string): void {
    const { clock, backoff, logger } = this.#options;
    this.#lastCode = errorCode(error);
    if (isNoSpace(error)) this.#noSpace = true;
    else this.#failures++;
    if (this.#noSpace || this.failed) this.#retryMs = clock.monotonicMs() + backoff.nextMs();
    logger.error({ err: error, failures: this.#failures }, message);
  }

  /** Never rejects; returns at once while the disk is given time. One at a time. */
  mend(): Promise<void> {
    this.#mending ??= this.#tryToMend().finally(() => {
      this.#mending = undefined;
    });
    return this.#mending;
  }

  async #tryToMend(): Promise<void> {
    const { clock, stock, logger } = this.#options;
    const isEarly = (this.failed || this.#noSpace) && clock.monotonicMs() < this.#retryMs;
    if (isEarly && !this.#unsealed) return;
    this.#unsealed = false;
    try {
      // Renames need no space: blocks that were acknowledged do not wait for the disk to recover.
      await this.#sealAll();
      if (isEarly) return;
      if (this.#noSpace) await stock.dropPool();
      // A segment that was ready before the failure proves nothing about the disk now.
      if (this.failed) await stock.renew();
      else await stock.prepare();
      if (this.failed) logger.info({}, 'The log can be written again');
      this.#failures = Math.min(this.#failures, FAILURES_MAX - 1);
      this.#noSpace = false;
    } catch (error) {
      this.note(error, 'No new segment of the log can be made');
    }
  }

  async #sealAll(): Promise<void> {
    const { stock, onSealed } = this.#options;
    for (let segment = this.#poisoned[0]; segment !== undefined; segment = this.#poisoned[0]) {
      const side = await this.#seal(segment);
      if (segment.records === 0) await stock.discard({ ...segment.parts, side });
      await segment.abandon();
      this.#poisoned.shift();
      if (segment.records > 0) onSealed(segment, side);
    }
  }

  /** A block that was refused may be whole on disk: without the seal a restart would deliver it. */
  async #seal({ parts, records }: OpenSegment): Promise<string> {
    const { files, dir } = this.#options;
    const sealed = join(dir, sideName(parts.stem, 'idx', records));
    try {
      await files.rename(parts.side, sealed);
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
    await files.syncDirectory(dir);
    return sealed;
  }
}
