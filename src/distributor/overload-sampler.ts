/**
 * Which traces are kept when more comes than may or can be stored: whole traces by a hash of their
 * id, so that every node keeps the same ones at the same share; spans with an error or `debug` are
 * always kept. The share is halved each second that is too much, and grows by a twentieth in every
 * other (AIMD): it finds what fits by itself.
 */
import type { ByteDictionary } from '../model/byte-dictionary.ts';
import type { SpanBatch } from '../model/span-batch.ts';

const STEP_MS = 1000;
const DECREASE = 0.5;
const INCREASE = 0.05;
const SHARE_MIN = 1 / 1024;
const TENANTS_MAX = 10_000;
const TWO_32 = 2 ** 32;
const ERROR_KEY = Buffer.from('error');

class Share {
  value = 1;
  #movedMs: number;

  constructor(nowMs: number) {
    this.#movedMs = nowMs;
  }

  /**
   * @param isTooMuch asked at most once a second
   * @returns whether it was asked
   */
  move(isTooMuch: () => boolean, nowMs: number): boolean {
    const steps = Math.floor((nowMs - this.#movedMs) / STEP_MS);
    if (steps < 1) return false;
    this.#movedMs = nowMs;
    this.value = isTooMuch()
      ? Math.max(SHARE_MIN, this.value * DECREASE)
      : Math.min(1, this.value + steps * INCREASE);
    return true;
  }
}

export interface OverloadSamplerOptions {
  /** SCRUBJAY_OVERLOAD=sample; false: all is kept. */
  readonly enabled: boolean;
  /** Whether a tenant has sent more than its rate. */
  readonly isOverRate: (tenant: string, nowMs: number) => boolean;
  /** Bytes of the log when it is so full that it may soon take no more; else 0. */
  readonly logBytes: () => number;
  /** Told of the share that the log allows. */
  readonly onLogShare: (share: number) => void;
}

export class OverloadSampler {
  readonly #options: OverloadSamplerOptions;
  readonly #tenants = new Map<string, Share>();
  #log: Share | undefined;
  #logBytes = 0;
  /** Hashes below are kept. */
  #below = TWO_32;

  constructor(options: OverloadSamplerOptions) {
    this.#options = options;
  }

  /** Before each message. @param nowMs monotonic */
  begin(tenant: string, nowMs: number): void {
    const { enabled, isOverRate, onLogShare } = this.#options;
    if (!enabled) return;
    this.#log ??= new Share(nowMs);
    if (this.#log.move(() => this.#isLogGrowing(), nowMs)) onLogShare(this.#log.value);
    const own = this.#shareOf(tenant, nowMs);
    own.move(() => isOverRate(tenant, nowMs), nowMs);
    this.#below = Math.min(this.#log.value, own.value) * TWO_32;
  }

  /** Of the row that is being written. @param hi, lo words of the low 64 bits of its trace id */
  keeps(batch: SpanBatch, hi: number, lo: number): boolean {
    if (this.#below >= TWO_32) return true;
    return mixed(hi, lo) < this.#below || hasErrorTag(batch);
  }

  /** A log that is nearly full and empties again has room for all that comes. */
  #isLogGrowing(): boolean {
    const before = this.#logBytes;
    this.#logBytes = this.#options.logBytes();
    return this.#logBytes > 0 && this.#logBytes >= before;
  }

  #shareOf(tenant: string, nowMs: number): Share {
    const known = this.#tenants.get(tenant);
    if (known !== undefined) return known;
    if (this.#tenants.size >= TENANTS_MAX) this.#tenants.clear();
    const share = new Share(nowMs);
    this.#tenants.set(tenant, share);
    return share;
  }
}

/** Even whatever the ids are, and independent of COLLECTOR_SAMPLE_RATE, which takes them raw. */
function mixed(hi: number, lo: number): number {
  let hash = Math.imul(hi ^ 0x9e3779b9, 0x85ebca6b) ^ lo;
  hash = Math.imul(hash ^ (hash >>> 16), 0xc2b2ae35);
  hash = Math.imul(hash ^ (hash >>> 13), 0x27d4eb2f);
  return (hash ^ (hash >>> 16)) >>> 0;
}

function hasErrorTag({ tags }: SpanBatch): boolean {
  for (let i = tags.count - tags.rowCount; i < tags.count; i++) {
    if (isErrorKey(tags.keys, tags.keyIndex[i]!)) return true;
  }
  return false;
}

function isErrorKey({ arena, starts, ends }: ByteDictionary, entry: number): boolean {
  const start = starts[entry]!;
  if (ends[entry]! - start !== ERROR_KEY.length) return false;
  for (let i = 0; i < ERROR_KEY.length; i++) if (arena[start + i] !== ERROR_KEY[i]) return false;
  return true;
}
