import { EventFd, type Timers } from '@node-vmm/vmm-sys-util';
import { expect, it } from 'vitest';
import { BusySignals } from '../../src/thread/busy-signals.ts';

it('A timer does not rest while there are signals', () => {
  const due: (() => void)[] = [];
  const timers: Timers = {
    after: (_milliseconds, callback) => {
      due.push(callback);
      return { cancel: () => undefined };
    },
    soon: () => undefined,
  };
  let rests = 0;
  const timer = { keepRunning: () => undefined, rest: () => rests++, signal: () => true };
  using event = EventFd.create();
  const signals = new BusySignals(timer, timers);
  for (let look = 0; look < 5; look++) {
    signals.signal(event);
    expect(due).toHaveLength(1);
    due.shift()?.();
    expect(rests).toBe(0);
  }
  due.shift()?.();
  expect(rests).toBe(1);
  expect(due).toHaveLength(0);
});
