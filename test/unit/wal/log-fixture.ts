/** What the tests of the log share: a clock that stands still, a recording logger, blocks. */
import type { Clock } from '../../../src/base/clock.ts';
import type { Logger } from '../../../src/telemetry/logger.ts';
import { createMetrics, type Metrics } from '../../../src/telemetry/metrics.ts';
import type { WalConfig } from '../../../src/wal/config.ts';
import { Wal, type BlockMeta, type ClosedSegment } from '../../../src/wal/wal.ts';
import { SimulatedDisk, type Operation } from '../../simulation/simulated-disk.ts';

export const DIR = '/data/wal';

/** Time passes only by advance(). */
export class ManualClock implements Clock {
  ms = 1_700_000_000_000;
  #sleepers: { dueMs: number; wake: () => void }[] = [];

  nowMs(): number {
    return this.ms;
  }

  monotonicMs(): number {
    return this.ms;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const sleeper = { dueMs: this.ms + ms, wake: resolve };
      this.#sleepers.push(sleeper);
      signal?.addEventListener('abort', () => {
        this.#sleepers = this.#sleepers.filter((other) => other !== sleeper);
        resolve();
      });
    });
  }

  get sleepers(): number {
    return this.#sleepers.length;
  }

  async advance(ms: number): Promise<void> {
    this.ms += ms;
    const due = this.#sleepers.filter(({ dueMs }) => dueMs <= this.ms);
    this.#sleepers = this.#sleepers.filter(({ dueMs }) => dueMs > this.ms);
    for (const { wake } of due) wake();
    await settle();
  }
}

/** Lets everything run that does not wait for time. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) {
    await new Promise<void>((resolve) => {
      setImmediate(resolve);
    });
  }
}

export interface LogLine {
  readonly level: string;
  readonly fields: object;
  readonly message: string;
}

export function recordingLogger(): { logger: Logger; lines: LogLine[] } {
  const lines: LogLine[] = [];
  const at =
    (level: string) =>
    (fields: object, message: string): void => {
      lines.push({ level, fields, message });
    };
  const logger: Logger = {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: () => logger,
  };
  return { logger, lines };
}

export const smallConfig: WalConfig = {
  segmentRowsMax: 12,
  segmentBytesMax: 4096,
  segmentAgeMs: 1000,
  walBytesMax: 1_000_000,
  freeBytesMin: 0,
  notesKeptMs: 600_000,
};

const metrics = createMetrics();

export interface Opened {
  readonly wal: Wal;
  readonly lines: LogLine[];
  readonly metrics: Metrics;
}

export async function openWal(
  disk: SimulatedDisk,
  clock: Clock,
  config: Partial<WalConfig> = {},
  random: () => number = () => 0.5,
): Promise<Opened> {
  const { logger, lines } = recordingLogger();
  const wal = await Wal.open({
    dir: DIR,
    config: { ...smallConfig, ...config },
    clock,
    logger,
    metrics,
    files: disk.files(),
    random,
  });
  return { wal, lines, metrics };
}

/** Text of a block: `<id>:<batch>:` and padding, with a terminator, so that blocks can be told. */
export const blockText = (id: number, batch: bigint, padding: number): string =>
  `<${id}:${batch}:${'x'.repeat(padding)}>`;

export const metaOf = (id: number, rows = 3): BlockMeta => ({
  rows,
  days: new Map([[20_000 + (id % 3), rows]]),
  note: Buffer.from(`note-${id}`),
});

/** Appends one block the way the ingester does. */
export async function appendBlock(wal: Wal, id: number, padding = 50, rows = 3): Promise<string> {
  const size = 40 + padding;
  const asked = wal.batchFor(rows, size);
  const batch = typeof asked === 'bigint' ? asked : await asked;
  const text = blockText(id, batch, padding);
  const middle = Math.floor(text.length / 2);
  const chunks = [Buffer.from(text.slice(0, middle)), Buffer.from(text.slice(middle))];
  await wal.append(chunks, metaOf(id, rows));
  return text;
}

export const segmentText = (disk: SimulatedDisk, segment: ClosedSegment): string =>
  disk.content(segment.path).subarray(0, segment.bytes).toString();

/** The blocks in a segment's bytes. */
export const splitBlocks = (text: string): string[] => text.match(/<[^>]*>/g) ?? [];

export const counterValue = async (kind: string): Promise<number> => {
  const { values } = await metrics.walCorruptBytes.get();
  return values.find(({ labels }) => labels.kind === kind)?.value ?? 0;
};

export function world(): { disk: SimulatedDisk; clock: ManualClock } {
  return { disk: new SimulatedDisk(() => 0.5), clock: new ManualClock() };
}

export function collect(wal: Wal): ClosedSegment[] {
  const closed: ClosedSegment[] = [];
  wal.onClosed = (segment) => closed.push(segment);
  return closed;
}

/** Fails the given operations on files of the given kind, so many times. */
export function failing(
  disk: SimulatedDisk,
  operation: Operation,
  kind: string,
  code = 'EIO',
  times = 1,
): void {
  let left = times;
  disk.fault = (now, path) => {
    if (now !== operation || !path.includes(kind) || left <= 0) return undefined;
    left--;
    return { code, applied: false };
  };
}
