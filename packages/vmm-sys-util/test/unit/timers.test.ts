import { EventFd, EventLoop, LoopTimers, NodeTimers } from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

describe('LoopTimers', () => {
  let stop: EventFd;
  let loop: EventLoop;
  let timers: LoopTimers;

  beforeEach(() => {
    stop = EventFd.create();
    loop = new EventLoop(stop);
    timers = new LoopTimers(loop);
  });

  afterEach(() => {
    timers.close();
    loop.close();
    stop.close();
  });

  it('calls in order of time, whatever the order of asking', () => {
    const called: string[] = [];
    timers.after(30, () => {
      called.push('last');
      loop.stop();
    });
    timers.after(1, () => {
      called.push('first');
      timers.after(1, () => called.push('second'));
    });
    timers.after(29, () => called.push('third'));
    loop.run();
    expect(called).toEqual(['first', 'second', 'third', 'last']);
  });

  it('calls nobody who cancelled', () => {
    const called: string[] = [];
    const cancelled = timers.after(1, () => called.push('cancelled'));
    timers.after(2, () => {
      called.push('kept');
      loop.stop();
    });
    cancelled.cancel();
    cancelled.cancel();
    loop.run();
    expect(called).toEqual(['kept']);
  });

  it('calls soon in the next turn, in order, and what is asked for then in the one after it', () => {
    const called: string[] = [];
    timers.soon(() => {
      called.push('a');
      timers.soon(() => {
        called.push('c');
        loop.stop();
      });
    });
    timers.soon(() => called.push('b'));
    loop.turn(-1);
    expect(called).toEqual(['a', 'b']);
    loop.run();
    expect(called).toEqual(['a', 'b', 'c']);
  });

  it('calls for no time at all, and waits for one that no descriptor can be set to', () => {
    const called: string[] = [];
    timers.after(2 ** 40, () => called.push('never'));
    timers.after(0, () => {
      called.push('at once');
      loop.stop();
    });
    loop.run();
    expect(called).toEqual(['at once']);
  });
});

describe('NodeTimers', () => {
  it('calls later, soon, and nobody who cancelled', async () => {
    const timers = new NodeTimers();
    const called: string[] = [];
    timers.after(1, () => called.push('cancelled')).cancel();
    timers.soon(() => called.push('soon'));
    await new Promise<void>((resolve) => timers.after(2, resolve));
    expect(called).toEqual(['soon']);
  });
});
