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
    /** Some days, then too little memory for the rest. */
    | 'memory'
    /** Some days, then the rest is called unreadable, although nothing is wrong with it. */
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
  memory: 0,
  poison: 0,
};

/** What storage never takes, until a person has mended it. */
export interface Refused {
  /** Rows that are marked so. */
  readonly poison: boolean;
  /** Inserts of more bytes than this. */
  readonly aboveBytes: number;
}

export const NOTHING: Refused = { poison: false, aboveBytes: Number.POSITIVE_INFINITY };

export interface MessagePlan {
  /** Share of messages with something wrong in them. */
  readonly badShare: number;
  /** Share of spans that storage refuses. */
  readonly poisonShare: number;
  /** Share of spans without a timestamp. */
  readonly untimedShare: number;
  readonly spansMax: number;
  /** Most bytes of a tag. */
  readonly paddingMax: number;
}

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
  /** Which operations count for that: before a sync, what was changed is only in the page cache. */
  readonly killAt: 'datasync' | 'syncDirectory' | undefined;
  /** Chance of an operation of the disk to fail. */
  readonly faultShare: number;
  readonly faultCode: 'EIO' | 'ENOSPC';
  /** Most operations of the disk fail. */
  readonly broken: Pick<Outage, 'fromMs' | 'toMs'> | undefined;
  /** The disk is nearly full. */
  readonly crowded: Pick<Outage, 'fromMs' | 'toMs'> | undefined;
  readonly outage: Outage | undefined;
  /** The wall clock is set. */
  readonly clockJumps: readonly { readonly atMs: number; readonly byMs: number }[];
  /** After it a person brings back what was set aside, whether that is right or not. */
  readonly retry: boolean;
}

export interface Plan {
  readonly wal: WalConfig;
  readonly freshnessWaitMs: number;
  readonly fates: StorageFates;
  readonly refused: Refused;
  readonly sent: MessagePlan;
  /** Longest time of one operation of the disk. */
  readonly diskMsMax: number;
  readonly lives: readonly LifePlan[];
}

/** Something may be set aside. */
export const isPoisonous = ({ fates, refused }: Pick<Plan, 'fates' | 'refused'>): boolean =>
  fates.poison > 0 || refused.poison;

const KIB = 1024;
/** In so many worlds segments are large enough to be divided for want of memory. */
const LARGE_SHARE = 0.02;
const LARGE_BYTES = 1024 * KIB;
/** Above what is divided at all for that. */
const MEMORY_BYTES = 300 * KIB;
const SMALL_PADDING = 200;
const LARGE_PADDING = 60 * KIB;

const HOUR_MS = 3_600_000;

export function drawPlan(chance: Chance): Plan {
  const isLarge = chance.happens(LARGE_SHARE);
  const poisonShare = chance.happens(0.3) ? chance.oneOf(0.05, 0.3, 1) : 0;
  return {
    wal: {
      segmentRowsMax: chance.oneOf(4, 12, 60),
      segmentBytesMax: isLarge ? LARGE_BYTES : chance.oneOf(8, 16) * KIB,
      segmentAgeMs: chance.oneOf(50, 300, 1000),
      walBytesMax: isLarge ? 32 * LARGE_BYTES : chance.oneOf(1000, 1000, 6) * KIB,
      freeBytesMin: 0,
      notesKeptMs: chance.oneOf(20_000, 600_000),
    },
    freshnessWaitMs: chance.oneOf(1000, 5000),
    fates: drawFates(chance),
    refused: {
      poison: poisonShare > 0,
      aboveBytes: isLarge ? MEMORY_BYTES : Number.POSITIVE_INFINITY,
    },
    sent: {
      badShare: chance.oneOf(0, 0.2, 0.5),
      poisonShare,
      untimedShare: chance.oneOf(0, 0.05, 0.3),
      spansMax: isLarge ? 16 : 4,
      paddingMax: isLarge ? LARGE_PADDING : SMALL_PADDING,
    },
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
    memory: chance.happens(0.2) ? 6 : 0,
    poison: chance.happens(0.1) ? 12 : 0,
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
  const killAt = chance.oneOf(undefined, 'datasync' as const, 'syncDirectory' as const);
  return {
    durationMs,
    messages: chance.integer(0, 6),
    queries: chance.integer(0, 8),
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
    retry: chance.happens(0.2),
    clockJumps: Array.from({ length: chance.oneOf(0, 0, 0, 1, 3) }, () => ({
      atMs: chance.between(0, durationMs),
      byMs: chance.oneOf(-6 * HOUR_MS, -HOUR_MS, -5000, 5000, HOUR_MS, 6 * HOUR_MS),
    })),
    outage: outage && {
      ...outage,
      failure: chance.oneOf<StorageFailure>('retry', 'retry', 'auth', 'schema'),
      isHanging: chance.happens(0.3),
    },
  };
}
