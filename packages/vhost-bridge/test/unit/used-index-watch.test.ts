import { RingPosition } from '@node-vmm/vhost-user-master';
import { guestAddress } from '@node-vmm/vm-memory';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { UsedIndexWatch } from '../../src/used-index-watch.ts';

const HOUR_MS = 3_600_000;

describe('the watch over a used index', () => {
  const ring = { used: 0, avail: 0, reads: 0, gone: false };
  let alarms: number;
  let watch: UsedIndexWatch;

  beforeEach(() => {
    vi.useFakeTimers();
    Object.assign(ring, { used: 5, avail: 6, reads: 0, gone: false });
    alarms = 0;
    const memory = {
      readU16: (address: bigint): number => {
        if (ring.gone) throw new Error('no memory');
        ring.reads++;
        return address === 0x2002n ? ring.used : ring.avail;
      },
    };
    const place = {
      index: 0,
      size: 64,
      availRing: guestAddress(0x1000),
      usedRing: guestAddress(0x2000),
      features: 0n,
    };
    const position = new RingPosition(memory, place);
    ring.avail = 7;
    position.resume(true);
    watch = new UsedIndexWatch(position, () => alarms++);
  });

  afterEach(() => {
    watch.close();
    expect(vi.getTimerCount()).toBe(0);
    vi.useRealTimers();
  });

  it('raises one alarm for what stays impossible', () => {
    vi.advanceTimersByTime(HOUR_MS);
    ring.used = 1;
    vi.advanceTimersByTime(HOUR_MS);
    expect(alarms).toBe(1);
  });

  it('believes nothing that it sees once', () => {
    ring.used = 1;
    vi.advanceTimersToNextTimer();
    ring.used = 5;
    vi.advanceTimersToNextTimer();
    ring.used = 1;
    vi.advanceTimersToNextTimer();
    expect(alarms).toBe(0);
    ring.used = 6;
    vi.advanceTimersByTime(HOUR_MS);
    expect(alarms).toBe(0);
  });

  it('ends when the back-end went on where it should', () => {
    vi.advanceTimersByTime(HOUR_MS);
    ring.used = 6;
    vi.advanceTimersByTime(HOUR_MS);
    ring.used = 1;
    const { reads } = ring;
    vi.advanceTimersByTime(HOUR_MS);
    expect({ alarms, reads: ring.reads }).toEqual({ alarms: 0, reads });
  });

  it('looks at an idle ring about once a second', () => {
    vi.advanceTimersByTime(HOUR_MS);
    expect(ring.reads).toBeLessThan((2 * HOUR_MS) / 1000 + 20);
  });

  it("ends with the guest's memory", () => {
    ring.gone = true;
    vi.advanceTimersByTime(HOUR_MS);
    expect(alarms).toBe(0);
  });

  it('ends when it is told', () => {
    ring.used = 1;
    watch.close();
    vi.advanceTimersByTime(HOUR_MS);
    expect(alarms).toBe(0);
  });
});
