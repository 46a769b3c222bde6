/** An Inserter between a log, a storage and a clock in memory. */
import { Inserter, type InserterOptions } from '../../../src/ingester/inserter.ts';
import type { ClosedSegment } from '../../../src/ingester/segment-log.ts';
import { Ledger } from '../../../src/telemetry/ledger.ts';
import { createMetrics } from '../../../src/telemetry/metrics.ts';
import { noTracer } from '../no-tracer.ts';
import { fakeCutter, FakeClock, FakeLog, FakeLogger, FakeStorage } from './fakes.ts';

type More = Partial<Pick<InserterOptions, 'cutter' | 'storageReady'>>;

export function inserterWith(segments: readonly ClosedSegment[], more: More = {}) {
  const log = new FakeLog(segments);
  const storage = new FakeStorage();
  const metrics = createMetrics();
  const ledger = new Ledger(metrics);
  const clock = new FakeClock();
  const logger = new FakeLogger();
  const inserter = new Inserter({
    tracer: noTracer,
    log,
    cutter: fakeCutter,
    writer: storage,
    ledger,
    metrics,
    logger,
    clock,
    random: () => 1,
    storageReady: Promise.resolve(),
    onProgress: () => undefined,
    ...more,
  });
  const add = (segment: ClosedSegment): void => {
    log.disk.set(segment.batch, segment);
    ledger.accept(segment.rows);
    inserter.add(segment);
  };
  for (const segment of segments) add(segment);
  return { log, storage, metrics, ledger, clock, logger, inserter, add };
}
