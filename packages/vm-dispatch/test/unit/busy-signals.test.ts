import { EventFd, NodeTimers } from '@node-vmm/vmm-sys-util';
import { describe, expect, it } from 'vitest';
import { BusySignals } from '../../src/thread/busy-signals.ts';

describe('signals of a busy thread', () => {
  it('set the timer once for many, which rests when there are none', async () => {
    const calls: string[] = [];
    let waits = false;
    const timer = {
      keepRunning: () => calls.push('keepRunning'),
      rest: () => calls.push('rest'),
      signal: (event: EventFd) => {
        calls.push('signal');
        event.signal();
        return !waits;
      },
    };
    using event = EventFd.create();
    const signals = new BusySignals(timer, new NodeTimers());
    for (let i = 0; i < 3; i++) expect(signals.signal(event)).toBe(true);
    expect(event.drain()).toBe(true);
    expect(calls).toEqual(['keepRunning', 'signal', 'signal', 'signal']);
    await expect.poll(() => calls.at(-1)).toBe('rest');
    waits = true;
    expect(signals.signal(event)).toBe(false);
    expect(calls.slice(-3)).toEqual(['rest', 'keepRunning', 'signal']);
  });
});
