import { systemClock } from '../../src/base/clock.ts';
import {
  clickhouseSettings,
  type ClickHouseSettingValues,
} from '../../src/storage/clickhouse/config.ts';
import { NativeBlockEncoder } from '../../src/storage/clickhouse/native-block.ts';
import { ClickHouseTraceReader } from '../../src/storage/clickhouse/reader.ts';
import { ClickHouseTraceSearcher } from '../../src/storage/clickhouse/search.ts';
import { UntimedTenants } from '../../src/storage/clickhouse/untimed.ts';
import { ClickHouseStorage } from '../../src/storage/clickhouse/storage.ts';
import { createLogger } from '../../src/telemetry/logger.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { describeStorage } from './storage-kit.ts';

const LIMITS = { timeoutMs: 20_000, memoryBytes: 500_000_000, threads: 2 };
const defaults = Object.fromEntries(
  Object.entries(clickhouseSettings).map(([key, setting]) => [key, setting.default]),
) as unknown as ClickHouseSettingValues;

/** Spans come from writers that tell nobody: what was known is always too old. */
function untimed(): UntimedTenants {
  let nowMs = 0;
  return new UntimedTenants({ ...systemClock, monotonicMs: () => (nowMs += 60_000) });
}

describeStorage(
  'Embedded ClickHouse',
  (engineDir) =>
    new ClickHouseStorage({
      settings: { ...defaults, retentionMs: 0 },
      engineDir,
      encoder: new NativeBlockEncoder(),
      createReader: (client) => new ClickHouseTraceReader(client, LIMITS),
      createSearcher: (client) => new ClickHouseTraceSearcher(client, LIMITS, untimed()),
      logger: createLogger('silent', false),
      metrics: createMetrics(),
      clock: systemClock,
      random: () => 0,
    }),
);
