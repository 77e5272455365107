import { describe, expect, it } from 'vitest';
import { DeathLimit } from '../../src/death-limit.ts';

describe('A limit of deaths', () => {
  it('is passed by one more than there may be within the time', () => {
    const limit = new DeathLimit(2, 1000);
    expect([0, 500, 999].map((now) => limit.another(now))).toEqual([true, true, false]);
  });

  it('counts those within the time alone, however many there were before', () => {
    const limit = new DeathLimit(2, 1000);
    const times = [0, 500, 1000, 1499, 1500, 2499];
    expect(times.map((now) => limit.another(now))).toEqual([true, true, true, false, false, true]);
    expect(limit.another(3500)).toBe(true);
  });
});
