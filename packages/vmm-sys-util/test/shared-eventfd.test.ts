import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EventFd, InterruptTimer, setNonBlocking, ThreadInterrupt, writeFd } from '../src/index.ts';

const FULL = BigUint64Array.of(0xffff_ffff_ffff_fffen);

describe('an eventfd shared with a peer that makes it blocking', () => {
  let timer: InterruptTimer;
  let event: EventFd;
  let stalls: number;
  beforeEach(() => {
    timer = new InterruptTimer(ThreadInterrupt.install(), 20);
    event = EventFd.create();
    stalls = 0;
    event.share(timer, () => {
      stalls++;
    });
  });
  afterEach(() => {
    event.close();
    timer.close();
  });

  it('is signalled and drained as any other', () => {
    event.signal();
    expect([event.drain(), event.drain(), stalls]).toEqual([true, false, 0]);
  });

  it('does not keep whoever drains it', () => {
    setNonBlocking(event.fd, false);
    expect(event.drain()).toBe(false);
  });

  it('does not keep whoever signals it, is left alone then, and can be restored', () => {
    setNonBlocking(event.fd, false);
    writeFd(event.fd, FULL, 8);
    event.signal();
    event.signal();
    expect(stalls).toBe(1);
    event.restore();
    expect(event.drain()).toBe(false);
    event.signal();
    expect([event.drain(), stalls]).toEqual([true, 1]);
  });

  it('does not keep whoever signals it while the timer is kept running, nor after that', () => {
    timer.keepRunning();
    event.signal();
    expect([event.drain(), stalls]).toEqual([true, 0]);
    for (const expected of [1, 2, 3]) {
      if (expected === 3) timer.rest();
      setNonBlocking(event.fd, false);
      writeFd(event.fd, FULL, 8);
      event.signal();
      expect(stalls).toBe(expected);
      event.restore();
    }
    event.signal();
    expect([event.drain(), stalls]).toEqual([true, 3]);
  });
});
