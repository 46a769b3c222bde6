import { describe, expect, test } from 'vitest';
import { CodedError } from '../../../src/base/errors.ts';
import { GroupWriter } from '../../../src/ingester/group-writer.ts';
import type { SpanObserver } from '../../../src/model/span-observer.ts';
import { NOTE_BYTES } from '../../../src/model/span-sink.ts';
import type { BlockEncoder } from '../../../src/storage/contract.ts';
import { Ledger } from '../../../src/telemetry/ledger.ts';
import { createMetrics } from '../../../src/telemetry/metrics.ts';
import { addRows, FakeLog, FakeLogger, fakeEncoder, LIMITS, noteOf, settle } from './fakes.ts';
import { noTracer } from '../no-tracer.ts';

function setUp(encoder: BlockEncoder = fakeEncoder, observer?: SpanObserver) {
  const log = new FakeLog();
  log.auto = false;
  const metrics = createMetrics();
  const ledger = new Ledger(metrics);
  const logger = new FakeLogger();
  const writer = new GroupWriter({
    tracer: noTracer,
    log,
    encoder,
    ledger,
    metrics,
    logger,
    limits: LIMITS,
    seed: 7,
    observers: observer === undefined ? [] : [observer],
  });
  const states: string[] = [];
  const send = (name: string, rows: number, day = 0): Promise<void> => {
    addRows(writer.openBatch(), rows, day);
    return writer.commit(rows, noteOf(name.length)).then(
      () => void states.push(`${name} ok`),
      (error: unknown) => void states.push(`${name} ${(error as CodedError).code}`),
    );
  };
  return { log, ledger, logger, metrics, writer, states, send };
}

const failed = () => new CodedError('SCRUBJAY_ERR_WAL_FAILED', { cause: 'EIO' });

describe('GroupWriter', () => {
  test('writes all requests of one turn as one block', async () => {
    const { log, states, send, metrics } = setUp();
    void send('a', 2);
    void send('bb', 3, 1);
    await settle();
    expect(log.running.map(({ text }) => text)).toEqual(['1:5']);
    const { meta } = log.running[0]!;
    expect(meta.rows).toBe(5);
    expect([...meta.days]).toEqual([
      [0, 2],
      [1, 3],
    ]);
    expect([...meta.note]).toEqual([...noteOf(1), ...noteOf(2)]);
    log.running[0]!.end();
    await settle();
    expect(states).toEqual(['a ok', 'bb ok']);
    const histogram = await metrics.walGroupRequests.get();
    expect(histogram.values.find(({ metricName }) => metricName?.endsWith('_sum'))?.value).toBe(2);
  });

  test('acknowledges and books only after the append resolved', async () => {
    const { log, ledger, states, send } = setUp();
    void send('a', 2);
    await settle();
    expect(states).toEqual([]);
    expect(ledger.entries().accepted).toBe(0);
    log.running[0]!.end();
    await settle();
    expect(states).toEqual(['a ok']);
    expect(ledger.entries()).toMatchObject({ accepted: 2, pending: 2, imbalance: 0 });
  });

  test('shows each group to the observer when it is durable, before it is acknowledged', async () => {
    const seen: unknown[] = [];
    const { log, states, send } = setUp(fakeEncoder, {
      observe: (batch, batchId) => seen.push([batch.rows, batchId, [...states]]),
    });
    void send('a', 2);
    void send('bb', 1);
    await settle();
    expect(seen).toEqual([]);
    log.running[0]!.end();
    await settle();
    expect(seen).toEqual([[3, 1n, []]]);
    void send('c', 1);
    await settle();
    log.running[0]!.end(failed());
    await settle();
    expect(seen).toHaveLength(1);
    expect(states).toEqual(['a ok', 'bb ok', 'c SCRUBJAY_ERR_WAL_FAILED']);
  });

  test('acknowledges whatever happens to the observer', async () => {
    const observe = (): never => {
      throw new TypeError('a bug');
    };
    const { log, ledger, logger, states, send } = setUp(fakeEncoder, { observe });
    void send('a', 2);
    await settle();
    log.running[0]!.end();
    await settle();
    expect(states).toEqual(['a ok']);
    expect(ledger.entries().accepted).toBe(2);
    expect(logger.count('error', 'not observed')).toBe(1);
  });

  test('gathers requests that arrive during a write into the next group', async () => {
    const { log, states, send } = setUp();
    void send('a', 1);
    await settle();
    void send('b', 2);
    await settle();
    void send('c', 3);
    await settle();
    expect(log.running.map(({ text }) => text)).toEqual(['1:1']);
    log.running[0]!.end();
    await settle();
    expect(states).toEqual(['a ok']);
    expect(log.running.map(({ text }) => text)).toEqual(['1:5']);
    log.running[0]!.end();
    await settle();
    expect(states).toEqual(['a ok', 'b ok', 'c ok']);
  });

  test('a failed append rejects exactly its group and its rows are gone', async () => {
    const { log, ledger, states, send, writer } = setUp();
    void send('a', 1);
    void send('b', 1);
    await settle();
    void send('c', 4);
    log.running[0]!.end(failed());
    await settle();
    expect(states).toEqual(['a SCRUBJAY_ERR_WAL_FAILED', 'b SCRUBJAY_ERR_WAL_FAILED']);
    log.running[0]!.end();
    await settle();
    expect(states.slice(2)).toEqual(['c ok']);
    expect(log.appended.map(({ text }) => text)).toEqual(['1:4']);
    expect(ledger.entries()).toMatchObject({ accepted: 4, imbalance: 0 });
    expect(writer.durableRows).toBe(4);
    expect(writer.openBatch().rows).toBe(0);
  });

  test('a log without room rejects the group', async () => {
    const { log, states, send } = setUp();
    log.batchFor = () => Promise.reject(new CodedError('SCRUBJAY_ERR_WAL_FULL'));
    void send('a', 1);
    await settle();
    expect(states).toEqual(['a SCRUBJAY_ERR_WAL_FULL']);
  });

  test('marks the block with the batch of a segment that was made late', async () => {
    const { log, states, send } = setUp();
    log.rotateLate = true;
    void send('a', 1);
    await settle();
    log.running[0]!.end();
    await settle();
    expect(states).toEqual(['a ok']);
  });

  test('gives the batch id back when encoding fails', async () => {
    let broken = true;
    const { log, states, send, logger } = setUp({
      encode: (batch, id) => {
        if (broken) throw new RangeError('too large');
        return fakeEncoder.encode(batch, id);
      },
    });
    void send('a', 1);
    await settle();
    expect(states).toEqual(['a SCRUBJAY_ERR_WAL_FAILED']);
    expect(log.released).toBe(1);
    expect(logger.count('error', 'a bug')).toBe(1);
    broken = false;
    void send('b', 1);
    await settle();
    log.running[0]!.end();
    await settle();
    expect(states.at(-1)).toBe('b ok');
  });

  test('a request without rows is durable without a write', async () => {
    const { log, states, send } = setUp();
    void send('a', 0);
    await settle();
    expect(states).toEqual(['a ok']);
    expect(log.appended).toEqual([]);
  });

  test('copies notes: the caller may use the bytes again', async () => {
    const { log, writer } = setUp();
    const note = noteOf(1);
    for (let i = 0; i < 100; i++) {
      note.fill(i);
      addRows(writer.openBatch(), 1);
      void writer.commit(1, note);
    }
    await settle();
    const { note: kept } = log.running[0]!.meta;
    expect(kept.byteLength).toBe(100 * NOTE_BYTES);
    expect([kept[0], kept[99 * NOTE_BYTES]]).toEqual([0, 99]);
  });

  test('refuses what the log refuses', () => {
    const { log, writer } = setUp();
    expect(writer.refusal()).toBeUndefined();
    log.refusal = failed();
    expect(writer.refusal()).toBe(log.refusal);
  });

  test('stop decides what was taken and takes back what comes later', async () => {
    const { log, states, send, writer } = setUp();
    void send('a', 1);
    await settle();
    void send('b', 2);
    let stopped = false;
    void (async () => {
      await writer.stop();
      stopped = true;
    })();
    expect(writer.refusal()?.code).toBe('SCRUBJAY_ERR_DRAINING');
    void send('c', 4);
    await settle();
    log.running[0]!.end();
    await settle();
    void send('d', 8);
    expect(log.running.map(({ text }) => text)).toEqual(['1:2']);
    expect(stopped).toBe(false);
    log.running[0]!.end();
    await settle();
    expect(stopped).toBe(true);
    const draining = ['c SCRUBJAY_ERR_DRAINING', 'd SCRUBJAY_ERR_DRAINING'];
    expect(states.toSorted()).toEqual(['a ok', 'b ok', ...draining]);
    expect(writer.openBatch().rows).toBe(0);
  });
});
