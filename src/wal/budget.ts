/**
 * How much disk the log may use: its own limit and what must stay free on the disk; the tighter one
 * binds. Free space is sampled, never asked for on the way of an append.
 */
import type { Clock } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { WalConfig } from './config.ts';
import { errorCode, type WalFiles } from './files.ts';

const SAMPLE_AGE_MS = 1000;
const BROWN_OUT_SHARE = 0.8;
/** Fewer waiting segments than this are on their way, not piling up. */
const SPOOLING_SEGMENTS = 4;

export type SpaceState = 'ok' | 'spooling' | 'brown-out' | 'full';

export interface BudgetOptions {
  readonly config: WalConfig;
  readonly dir: string;
  readonly files: WalFiles;
  readonly clock: Clock;
  readonly logger: Logger;
}

interface Limit {
  readonly bytes: number;
  readonly setting: string;
}

export class Budget {
  readonly #config: WalConfig;
  readonly #dir: string;
  readonly #files: WalFiles;
  readonly #clock: Clock;
  readonly #logger: Logger;
  #freeBytes = Number.POSITIVE_INFINITY;
  /** Bytes of the log when free space was sampled: what it grew since is not free any more. */
  #bytesAtSample = 0;
  #sampledMs = Number.NEGATIVE_INFINITY;
  #sampling = false;

  constructor(options: BudgetOptions) {
    this.#config = options.config;
    this.#dir = options.dir;
    this.#files = options.files;
    this.#clock = options.clock;
    this.#logger = options.logger;
  }

  /** Never rejects: a disk that does not tell its free space is bound by its own limit only. */
  async sample(bytes: number): Promise<void> {
    this.#sampling = true;
    this.#sampledMs = this.#clock.monotonicMs();
    try {
      this.#freeBytes = await this.#files.freeBytes(this.#dir);
      this.#bytesAtSample = bytes;
    } catch (error) {
      this.#logger.debug({ cause: errorCode(error) }, 'The free space of the disk is not known');
      this.#freeBytes = Number.POSITIVE_INFINITY;
    } finally {
      this.#sampling = false;
    }
  }

  isSampleOld(): boolean {
    return !this.#sampling && this.#clock.monotonicMs() - this.#sampledMs >= SAMPLE_AGE_MS;
  }

  state(bytes: number, waitingSegments: number): SpaceState {
    const limit = this.#limit();
    if (bytes >= limit.bytes) return 'full';
    if (bytes >= limit.bytes * BROWN_OUT_SHARE) return 'brown-out';
    return waitingSegments >= SPOOLING_SEGMENTS ? 'spooling' : 'ok';
  }

  /** The refusal when the log is full. */
  refusal(bytes: number): CodedError | undefined {
    const limit = this.#limit();
    return bytes < limit.bytes ? undefined : fullError(bytes, limit);
  }

  /** For a disk that refused a write for want of space, whatever it said before. */
  noSpace(bytes: number): CodedError {
    return fullError(bytes, { bytes, setting: 'SCRUBJAY_WAL_MIN_FREE_BYTES' });
  }

  #limit(): Limit {
    const own = this.#config.walBytesMax;
    const byDisk = this.#bytesAtSample + this.#freeBytes - this.#config.freeBytesMin;
    return byDisk < own
      ? { bytes: Math.max(0, byDisk), setting: 'SCRUBJAY_WAL_MIN_FREE_BYTES' }
      : { bytes: own, setting: 'SCRUBJAY_WAL_MAX_BYTES' };
  }
}

const fullError = (actual: number, { bytes, setting }: Limit): CodedError =>
  new CodedError('SCRUBJAY_ERR_WAL_FULL', { actual, limit: bytes, setting });
