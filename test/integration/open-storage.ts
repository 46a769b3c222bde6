/** A ClickHouse storage with its client, as the tests of this folder open it. */
import { systemClock } from '../../src/base/clock.ts';
import type { Client } from '../../src/storage/clickhouse/client.ts';
import {
  clickhouseSettings,
  type ClickHouseSettingValues,
} from '../../src/storage/clickhouse/config.ts';
import { NativeBlockEncoder } from '../../src/storage/clickhouse/native-block.ts';
import { ClickHouseTraceReader } from '../../src/storage/clickhouse/reader.ts';
import { ClickHouseStorage } from '../../src/storage/clickhouse/storage.ts';
import type { Storage, TraceSearcher } from '../../src/storage/contract.ts';
import { createLogger } from '../../src/telemetry/logger.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';

const DEFAULTS = Object.fromEntries(
  Object.entries(clickhouseSettings).map(([key, setting]) => [key, setting.default]),
) as unknown as ClickHouseSettingValues;

export const READ_LIMITS = { timeoutMs: 20_000, memoryBytes: 500_000_000, threads: 1 };

export interface Opened {
  readonly storage: Storage;
  readonly client: Client;
}

/** Not started; nothing searches through it. @param settings what differs from the defaults */
export function openStorage(
  engineDir: string,
  settings: Partial<ClickHouseSettingValues> = {},
): Opened {
  let client: Client | undefined;
  const storage = new ClickHouseStorage({
    settings: { ...DEFAULTS, ...settings },
    engineDir,
    encoder: new NativeBlockEncoder(),
    createReader: (given) => {
      client = given;
      return new ClickHouseTraceReader(given, READ_LIMITS);
    },
    createSearcher: () => ({}) as TraceSearcher,
    logger: createLogger('silent', false),
    metrics: createMetrics(),
    clock: systemClock,
    random: () => 0,
  });
  if (client === undefined) throw new Error('no reader was created');
  return { storage, client };
}
