import { expect, test } from 'vitest';
import { RateLimits } from '../../../src/distributor/rate-limits.ts';

const OFF = { rateSpans: 0, burstSpans: 0, rateBytes: 0, burstBytes: 0 };
const SPANS_10 = { ...OFF, rateSpans: 10 };

test('without rates nothing is refused', () => {
  const limits = new RateLimits(OFF);
  limits.spend('a', 1e9, 1e9, 0);
  expect([limits.enabled, limits.refusal('a', 0), limits.isInDebt('a', 0)]).toEqual([
    false,
    undefined,
    false,
  ]);
});

test('a message of any size is taken by who has rested, and its debt is waited for', () => {
  const limits = new RateLimits(SPANS_10);
  expect(limits.refusal('a', 0)).toBeUndefined();
  limits.spend('a', 45, 0, 0);
  const refusal = limits.refusal('a', 0);
  expect(refusal).toMatchObject({
    code: 'SCRUBJAY_ERR_RATE_LIMITED',
    status: 429,
    retryAfterS: 4,
    message: 'Tenant a sends over 10 spans a second (SCRUBJAY_INGESTION_RATE_SPANS): wait 4 s',
  });
  expect(limits.refusal('a', 3400)).toMatchObject({ retryAfterS: 1 });
  expect(limits.refusal('a', 4000)).toBeUndefined();
});

test('a rest saves up no more than the burst', () => {
  const limits = new RateLimits({ ...SPANS_10, burstSpans: 30 });
  limits.spend('a', 30, 0, 3_600_000);
  expect(limits.refusal('a', 3_600_000)).toMatchObject({ retryAfterS: 1 });
});

test('bytes have a rate of their own', () => {
  const limits = new RateLimits({ ...OFF, rateBytes: 1000 });
  limits.spend('a', 1, 2500, 0);
  expect(limits.refusal('a', 0)?.message).toBe(
    'Tenant a sends over 1000 bytes a second (SCRUBJAY_INGESTION_RATE_BYTES): wait 2 s',
  );
});

test('the flood of one tenant is no debt of another', () => {
  const limits = new RateLimits(SPANS_10);
  limits.spend('flood', 1e6, 0, 0);
  expect([limits.isInDebt('flood', 0), limits.isInDebt('calm', 0)]).toEqual([true, false]);
});

test('debts are remembered while tenants without number come and go', () => {
  const limits = new RateLimits(SPANS_10);
  for (let n = 0; n < 5000; n++) limits.refusal(`before-${n}`, 0);
  limits.spend('flood', 1e9, 0, 0);
  for (let n = 0; n < 9000; n++) limits.refusal(`after-${n}`, 1000);
  expect(limits.isInDebt('flood', 1000)).toBe(true);
});

test('debt that nobody is refused for is forgiven beyond its limit', () => {
  const limits = new RateLimits(SPANS_10);
  for (let n = 0; n < 100; n++) limits.spend('a', 1000, 0, 0, 1);
  expect([limits.isInDebt('a', 1000), limits.isInDebt('a', 1200)]).toEqual([true, false]);
});

test('the longest debt says when to come again', () => {
  const limits = new RateLimits({ ...SPANS_10, rateBytes: 10 });
  limits.spend('a', 20, 300, 0);
  expect(limits.refusal('a', 0)).toMatchObject({ retryAfterS: 30 });
});
