import { describe, expect, it } from 'vitest';
import { RestartSchedule } from '../../src/control/restart-schedule.ts';

describe('RestartSchedule', () => {
  it('doubles the delay up to the longest, until the device has served for that long', () => {
    const schedule = new RestartSchedule({});
    const delays = Array.from({ length: 8 }, () => schedule.next(59_999));
    expect(delays).toEqual([1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
    expect(schedule.next(60_000)).toBe(1000);
    expect(schedule.next(0)).toBe(2000);
  });

  it('keeps to the longest delay however often it is asked', () => {
    const schedule = new RestartSchedule({ firstDelay: 1 });
    for (let i = 0; i < 2000; i++) schedule.next(0);
    expect(schedule.next(0)).toBe(60_000);
  });

  it('ends when too many workers were lost', () => {
    const schedule = new RestartSchedule({ maxLostWorkers: 1 });
    schedule.workerLost();
    expect(schedule.next(0)).toBe(1000);
    schedule.workerLost();
    expect(schedule.next(0)).toBeUndefined();
    expect(schedule.open).toBe(false);
  });
});
