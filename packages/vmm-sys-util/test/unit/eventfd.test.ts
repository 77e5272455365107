import { openSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { asFd, closeFd, EventFd, hex, isPowerOfTwo } from '../../src/index.ts';

describe('EventFd', () => {
  it('counts signals and clears them', () => {
    using event = EventFd.create();
    expect(event.drain()).toBe(false);
    event.signal();
    event.signal();
    expect(event.drain()).toBe(true);
    expect(event.drain()).toBe(false);
  });

  it('shares its counter with a clone', () => {
    const event = EventFd.create(1);
    using clone = event.clone();
    event.close();
    event.close();
    expect(event.live).toBe(false);
    expect(clone.drain()).toBe(true);
  });

  it('reports a descriptor that is no eventfd', () => {
    const fd = asFd(openSync('/proc/self/status', 'r'));
    expect(() => EventFd.fromFd(fd).signal()).toThrow(/write failed on eventfd: EBADF/);
    closeFd(fd);
    expect(() => asFd(-1)).toThrow(RangeError);
  });
});

describe('integers', () => {
  it('are shown in hexadecimal, and known as powers of two', () => {
    expect(hex(0x8000_0000_0000_0000n)).toBe('0x8000000000000000');
    expect([0, 1, 2, 3, 32768].map(isPowerOfTwo)).toEqual([false, true, true, false, true]);
  });
});
