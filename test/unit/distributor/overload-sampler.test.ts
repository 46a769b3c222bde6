import { expect, test } from 'vitest';
import { OverloadSampler } from '../../../src/distributor/overload-sampler.ts';
import { SpanBatch } from '../../../src/model/span-batch.ts';
import { LIMITS } from '../codec/v1-batch-reader.ts';

const HASHES = 4096;

class Harness {
  over = new Set<string>();
  logBytes = 0;
  share = -1;
  readonly batch = new SpanBatch(LIMITS, 1);
  readonly sampler: OverloadSampler;
  #nowMs = 0;

  constructor(enabled = true) {
    this.sampler = new OverloadSampler({
      enabled,
      isOverRate: (tenant) => this.over.has(tenant),
      logBytes: () => this.logBytes,
      onLogShare: (share) => (this.share = share),
    });
    this.kept('a');
  }

  after(seconds: number, tenant = 'a'): number {
    for (let n = 0; n < seconds; n++) {
      this.#nowMs += 1000;
      this.sampler.begin(tenant, this.#nowMs);
    }
    return this.kept(tenant).size / HASHES;
  }

  rest(seconds: number): void {
    this.#nowMs += 1000 * seconds;
  }

  kept(tenant: string): Set<number> {
    this.sampler.begin(tenant, this.#nowMs);
    const kept = new Set<number>();
    for (let n = 0; n < HASHES; n++) if (this.sampler.keeps(this.batch, 7, n)) kept.add(n);
    return kept;
  }
}

test('keeps all while neither rate nor log is too much', () => {
  expect(new Harness().after(10)).toBe(1);
});

test('keeps all whatever happens unless it is switched on', () => {
  const harness = new Harness(false);
  harness.logBytes = 9;
  expect([harness.after(10), harness.share]).toEqual([1, -1]);
});

test('halves the share each second that the log fills, and finds back by twentieths', () => {
  const harness = new Harness();
  harness.logBytes = 9;
  expect(harness.after(2)).toBeCloseTo(0.25, 1);
  expect(harness.share).toBe(0.25);
  const few = harness.kept('a');
  harness.logBytes = 0;
  expect(harness.after(5)).toBeCloseTo(0.5, 1);
  // Whole traces: who was kept at the lower share is kept at the higher one.
  const more = harness.kept('a');
  expect([...few].filter((n) => !more.has(n))).toEqual([]);
  expect(harness.after(10)).toBe(1);
});

test('a tenant over its rate is sampled, its neighbour is not', () => {
  const harness = new Harness();
  harness.over.add('flood');
  expect(harness.after(4, 'flood')).toBeLessThan(0.2);
  expect(harness.kept('calm').size).toBe(HASHES);
});

test('a long rest is as good as as many seconds without too much', () => {
  const harness = new Harness();
  harness.over.add('a');
  harness.after(6);
  harness.over.clear();
  harness.rest(60);
  expect(harness.after(1)).toBe(1);
});

test('never goes down to nothing', () => {
  const harness = new Harness();
  harness.logBytes = 9;
  harness.after(60);
  expect(harness.share).toBe(1 / 1024);
});

test('keeps a span with an error whatever the share', () => {
  const harness = new Harness();
  harness.logBytes = 9;
  harness.after(20);
  const { batch, sampler } = harness;
  const text = Buffer.from('errors error');
  batch.beginMessage(Buffer.from('a'), LIMITS, 1);
  batch.addTag(text, 0, 6, text, 0, 1);
  const ids = Array.from({ length: 100 }, (_, n) => n);
  expect(ids.filter((n) => sampler.keeps(batch, 9, n)).length).toBeLessThan(3);
  batch.addTag(text, 7, 12, text, 0, 1);
  expect(ids.filter((n) => sampler.keeps(batch, 9, n))).toEqual(ids);
});

test('takes all again while a full log empties', () => {
  const harness = new Harness();
  harness.logBytes = 100;
  harness.after(4);
  const shares = [harness.share];
  for (let n = 0; n < 3; n++) {
    harness.logBytes -= 1;
    harness.after(1);
    shares.push(harness.share);
  }
  expect(shares.map((share) => share.toFixed(4))).toEqual(['0.0625', '0.1125', '0.1625', '0.2125']);
});
