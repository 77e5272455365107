import { describe, expect, it } from 'vitest';
import { countersIn, countersOf } from '../../src/shared-counters.ts';

interface Two {
  read: number;
  written: number;
}
const NAMES = ['read', 'written'] as const;

describe('counters that threads share', () => {
  it('are counted by one and read by the other, from the same memory', () => {
    const values = new Float64Array(new SharedArrayBuffer(16));
    const [counting, read] = [countersIn<Two>(NAMES, values), countersOf<Two>(NAMES, values)];
    counting.read++;
    counting.written += 2 ** 40;
    expect(counting).toMatchObject({ read: 1, written: 2 ** 40 });
    expect({ ...read }).toEqual({ read: 1, written: 2 ** 40 });
    expect(Object.values(read).reduce((sum, count) => sum + count)).toBe(2 ** 40 + 1);
  });

  it('of two guests are apart, and those of other names too', () => {
    const a = countersIn<Two>(NAMES, new Float64Array(2));
    const b = countersIn<Two>(NAMES, new Float64Array(2));
    const other = countersIn<{ written: number }>(['written'], new Float64Array(1));
    a.read = 1;
    b.written = 2;
    other.written = 3;
    expect([a.read, a.written, b.read, b.written, other.written]).toEqual([1, 0, 0, 2, 3]);
  });

  it('are one shape to the engine, however many guests there are', () => {
    const guests = Array.from({ length: 32 }, () => countersIn<Two>(NAMES, new Float64Array(2)));
    expect(new Set(guests.map((counters) => Object.getPrototypeOf(counters))).size).toBe(1);
  });

  it('go on where the thread that counted has ended', () => {
    const values = Float64Array.of(5, 6);
    const read = countersOf<Two>(NAMES, values);
    read.read++;
    expect([...values]).toEqual([6, 6]);
  });
});
