/**
 * What a seed decides before anything runs: how the collector is set up, how many lives it has,
 * and what befalls each of them. Each seed has few kinds of trouble, so that every kind is seen
 * on its own as well as together with others.
 */
import type { StorageFailure } from '../../src/storage/contract.ts';
import type { WalConfig } from '../../src/wal/config.ts';
import type { Chance } from './chance.ts';

/** What becomes of an insert, by weight. */
export type StorageFates = Readonly<
  Record<
    | 'stored'
    /** Some days, then an error. */
    | 'partial'
    /** All days, then no answer. */
    | 'timeout-after'
    /** No answer; the days come later, unless it is killed. */
    | 'timeout-late'
    /** Some days, and the answer is success all the same. */
    | 'untrue'
    /** Some days, then the rest is called unreadable. */
    | 'poison',
    number
  >
>;

export const HEALTHY: StorageFates = {
  stored: 1,
  partial: 0,
  'timeout-after': 0,
  'timeout-late': 0,
  untrue: 0,
  poison: 0,
};

/** Virtual milliseconds from the start of the life, in a plan; of the schedule, in storage. */
export interface Outage {
  readonly fromMs: number;
  readonly toMs: number;
  readonly failure: StorageFailure;
  /** No answer until the caller's time is up. */
  readonly isHanging: boolean;
}

export interface LifePlan {
  readonly durationMs: number;
  readonly messages: number;
  readonly queries: number;
  /** Of messages that were sent before, answered or not. */
  readonly resends: number;
  readonly end: 'kill' | 'power-cut' | 'stop';
  /** Disk operations until it ends before its time, by a torn one. */
  readonly killAfter: number;
  /** Which operations count for that: before a sync, what was written is only in the page cache. */
  readonly killAt: 'datasync' | undefined;
  /** Chance of an operation of the disk to fail. */
  readonly faultShare: number;
  readonly faultCode: 'EIO' | 'ENOSPC';
  /** Most operations of the disk fail. */
  readonly broken: Pick<Outage, 'fromMs' | 'toMs'> | undefined;
  /** The disk is nearly full. */
  readonly crowded: Pick<Outage, 'fromMs' | 'toMs'> | undefined;
  readonly outage: Outage | undefined;
}

export interface Plan {
  readonly wal: WalConfig;
  readonly freshnessWaitMs: number;
  readonly fates: StorageFates;
  readonly badShare: number;
  /** Longest time of one operation of the disk. */
  readonly diskMsMax: number;
  readonly lives: readonly LifePlan[];
}

const KIB = 1024;

export function drawPlan(chance: Chance): Plan {
  return {
    wal: {
      segmentRowsMax: chance.oneOf(4, 12, 60),
      segmentBytesMax: chance.oneOf(8, 16) * KIB,
      segmentAgeMs: chance.oneOf(50, 300, 1000),
      walBytesMax: chance.oneOf(1000, 1000, 6) * KIB,
      freeBytesMin: 0,
      notesKeptMs: chance.oneOf(20_000, 600_000),
    },
    freshnessWaitMs: chance.oneOf(1000, 5000),
    fates: drawFates(chance),
    badShare: chance.oneOf(0, 0.2, 0.5),
    diskMsMax: chance.oneOf(0.5, 5, 30),
    lives: Array.from({ length: chance.integer(1, 6) }, () => drawLife(chance)),
  };
}

function drawFates(chance: Chance): StorageFates {
  const some = (weight: number): number => (chance.happens(0.4) ? weight : 0);
  return {
    stored: 10,
    partial: some(6),
    'timeout-after': some(6),
    'timeout-late': some(6),
    untrue: some(3),
    poison: chance.happens(0.15) ? 12 : 0,
  };
}

function drawLife(chance: Chance): LifePlan {
  const durationMs = chance.oneOf(100, 400, 900, 1500, 8000, 60_000);
  const within = (share: number): Pick<Outage, 'fromMs' | 'toMs'> | undefined => {
    if (!chance.happens(share)) return undefined;
    const fromMs = chance.between(0, durationMs);
    return { fromMs, toMs: chance.between(fromMs, durationMs) };
  };
  const outage = within(0.3);
  const killAt = chance.oneOf(undefined, 'datasync' as const);
  return {
    durationMs,
    messages: chance.integer(0, 6),
    queries: chance.integer(0, 3),
    resends: chance.integer(0, 3),
    end: chance.oneOf('kill', 'power-cut', 'stop'),
    killAfter: chance.happens(0.7)
      ? chance.integer(1, killAt === undefined ? 90 : 25)
      : Number.POSITIVE_INFINITY,
    killAt,
    faultShare: chance.oneOf(0, 0, 0.02, 0.15),
    faultCode: chance.oneOf('EIO', 'EIO', 'ENOSPC'),
    broken: within(0.15),
    crowded: within(0.1),
    outage: outage && {
      ...outage,
      failure: chance.oneOf<StorageFailure>('retry', 'retry', 'auth', 'schema'),
      isHanging: chance.happens(0.3),
    },
  };
}
