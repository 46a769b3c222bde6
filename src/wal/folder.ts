/** Opens the folder of the log: epoch, leftovers of earlier runs, recovery. */
import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { WalConfig } from './config.ts';
import { CORRUPT_FOLDER, isWhyName } from './corrupt.ts';
import { isMissing, type WalFiles } from './files.ts';
import { raiseEpoch } from './identity.ts';
import { parseName } from './names.ts';
import { recover, type Recovery } from './recovery.ts';
import { RecoverySource } from './repair.ts';
import { isPoolName, SegmentStock } from './stock.ts';

export interface FolderOptions {
  readonly dir: string;
  readonly config: WalConfig;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly files: WalFiles;
  /** In [0, 1). */
  readonly random: () => number;
}

export interface OpenedFolder {
  readonly stock: SegmentStock;
  readonly recovery: Recovery;
}

/** What must be durable before the first append: the epoch, and the answer what is on disk. */
export async function openFolder(options: FolderOptions): Promise<OpenedFolder> {
  const { dir, config, clock, logger, metrics, files, random } = options;
  const names = await files.list(dir);
  const aside = await files.list(join(dir, CORRUPT_FOLDER)).catch((error: unknown) => {
    if (isMissing(error)) return [];
    throw error;
  });
  for (const name of names) {
    const isLeftOver = isPoolName(name) || isWhyName(name) || name.endsWith('.tmp');
    if (isLeftOver) await files.remove(join(dir, name));
  }
  const taken = new Set<number>();
  for (const name of [...names, ...aside]) {
    const parsed = parseName(name);
    if (parsed === undefined) continue;
    taken.add(parsed.epoch);
    if (parsed.parent !== undefined) taken.add(parsed.parent.epoch);
  }
  const identity = await raiseEpoch({ files, dir, logger, random }, taken);
  const notesSinceMs = clock.nowMs() - config.notesKeptMs;
  const { segmentBytesMax } = config;
  const limits = { notesSinceMs, segmentBytesMax };
  const source = new RecoverySource(files, dir, logger, metrics, limits);
  const recovery = await recover(source, names, aside, identity.epoch);
  const stock = new SegmentStock({ files, dir, identity, segmentBytesMax });
  return { stock, recovery };
}
