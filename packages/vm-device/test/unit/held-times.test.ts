import { expect, it } from 'vitest';
import { HELD_BOUNDS, HeldTimes } from '../../src/index.ts';

it('counts how long accesses were held, and those that are', () => {
  let now = 1000;
  const times = new HeldTimes(() => now);
  const [first, second] = [times.begin(), times.begin()];
  expect(times.accesses).toMatchObject({ now: 2, seconds: 0 });
  now += 1;
  times.end(first);
  now += 59_999;
  times.end(second);
  const { counts, seconds, ...rest } = times.accesses;
  expect(rest).toEqual({ now: 0, bounds: HELD_BOUNDS });
  expect(seconds).toBeCloseTo(60.001, 9);
  // A bound is in its class; what is over the last has one of its own.
  expect(counts).toEqual([1, ...new Array(HELD_BOUNDS.length - 1).fill(0), 1]);
});
