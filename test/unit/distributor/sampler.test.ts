import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Sampler } from '../../../src/distributor/sampler.ts';

const keeps = (sampler: Sampler, id: bigint): boolean =>
  sampler.keeps(
    Number(BigInt.asUintN(64, id) >> 32n),
    Number(BigInt.asUintN(64, id) & 0xffffffffn),
  );

describe('Sampler', () => {
  // Boundaries that Zipkin's CollectorSampler computes (zipkin-contract 2.1).
  test.each([
    [0.0001, 922_337_180_385_280n],
    [0.01, 92_233_718_306_963_456n],
    [0.1, 922_337_217_429_372_928n],
    [0.25, 0x2000000000000000n],
    [0.5, 0x4000000000000000n],
    [0.9, 8_301_034_613_266_972_672n],
  ])('keeps at rate %d what Zipkin keeps', (rate, boundary) => {
    const sampler = new Sampler(rate);
    expect(
      [boundary, boundary + 1n, -boundary, -boundary - 1n].map((id) => keeps(sampler, id)),
    ).toEqual([true, false, true, false]);
  });

  test('keeps every trace at rate 1 and, at rate 0, only the id that is all zeros', () => {
    const min = -(2n ** 63n);
    expect([0n, 1n, -1n, min].map((id) => keeps(new Sampler(1), id))).toEqual([
      true,
      true,
      true,
      true,
    ]);
    expect([0n, 1n, -1n, min].map((id) => keeps(new Sampler(0), id))).toEqual([
      true,
      false,
      false,
      false,
    ]);
  });

  test('decides by the absolute value of the signed id', () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: -(2n ** 63n) + 1n, max: 2n ** 63n - 1n }),
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        (id, rate) => {
          const boundary = BigInt(Math.trunc(Math.fround(2 ** 63 * Math.fround(rate))));
          expect(keeps(new Sampler(rate), id)).toBe((id < 0n ? -id : id) <= boundary);
        },
      ),
    );
  });
});
