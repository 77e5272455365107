import { expect, it } from 'vitest';
import { ByteQuota } from '../../src/byte-quota.ts';

it('gives so many at once, and then as time goes by', () => {
  let now = 5;
  const quota = new ByteQuota(100, 1000, () => now);
  expect(quota.available).toBe(100);
  quota.take(100);
  expect(quota.available).toBe(0);
  expect(quota.waitFor(1)).toBe(10);
  expect(quota.waitFor(100)).toBe(1000);
  now += 15;
  expect(quota.available).toBe(1);
  expect(quota.waitFor(1)).toBe(0);
  now += 1e9;
  expect(quota.available).toBe(100);
});

it('lends one period’s in advance, which what comes pays', () => {
  let now = 0;
  const quota = new ByteQuota(10, 10, () => now);
  expect(quota.borrowable).toBe(20);
  quota.take(20);
  expect(quota.borrowable).toBe(0);
  expect(quota.available).toBe(0);
  expect(quota.waitFor(1)).toBe(11);
  now += 12;
  expect(quota.available).toBe(2);
  expect(quota.borrowable).toBe(12);
});

it.each([
  [1, 65_536],
  [3, 7],
  [Number.MAX_SAFE_INTEGER, 1],
])('is never had earlier than it says: %d in %d ms', (most, period) => {
  let now = 0;
  const quota = new ByteQuota(most, period, () => now);
  for (let i = 0; i < 20; i++) {
    quota.take(1);
    const wait = quota.waitFor(most);
    expect(wait).toBeLessThanOrEqual(period + 1);
    if (wait > 0) {
      now += wait - 1;
      expect(quota.waitFor(most)).toBeGreaterThan(0);
      now += 1;
    }
    // A millisecond more for what is lost in rounding.
    expect(quota.waitFor(most)).toBeLessThanOrEqual(1);
  }
});
