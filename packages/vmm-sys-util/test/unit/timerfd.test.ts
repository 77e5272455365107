import { describe, expect, it } from 'vitest';
import { EventFd, EventLoop, TimerFd } from '../../src/index.ts';

describe('TimerFd', () => {
  it('fires once in a loop that blocks', () => {
    const stop = EventFd.create();
    const loop = new EventLoop(stop);
    const timer = new TimerFd();
    let fired = 0;
    const watch = loop.watch(timer.fd, { readable: true }, () => {
      if (timer.drain()) fired++;
      loop.stop();
    });
    timer.set(1);
    loop.run();
    expect(fired).toBe(1);
    expect(timer.drain()).toBe(false);
    watch.close();
    timer.close();
    loop.close();
    stop.close();
  });

  it('does not fire when cancelled or set anew', () => {
    const timer = new TimerFd();
    timer.set(1);
    timer.set(60_000);
    const end = performance.now() + 20;
    while (performance.now() < end);
    expect(timer.drain()).toBe(false);
    timer.set(1);
    timer.cancel();
    while (performance.now() < end + 20);
    expect(timer.drain()).toBe(false);
    timer.close();
    timer.close();
  });

  it('refuses times out of range', () => {
    const timer = new TimerFd();
    for (const ms of [0, -1, 1.5, 2 ** 31, Number.NaN]) {
      expect(() => timer.set(ms)).toThrow(RangeError);
    }
    timer.close();
  });
});
