import { HeldTimes } from '@node-vmm/vm-device';
import { describe, expect, it } from 'vitest';
import { BridgeCounters } from '../../src/bridge-counters.ts';

/** A guest whose accesses take 2 s, each. */
function guest(requests: number) {
  let now = 0;
  const times = new HeldTimes(() => now);
  const counters = { requests, errors: 1 };
  for (let i = 0; i < requests; i++) {
    const begun = times.begin();
    now += 2000;
    times.end(begun);
  }
  times.begin();
  return { counters, activity: () => ({ counters: { ...counters }, held: times.accesses }) };
}

describe('BridgeCounters', () => {
  it('count on what has gone', () => {
    const counters = new BridgeCounters();
    const [first, second] = [guest(3), guest(4)];
    const gone = counters.addGuest(first.activity);
    counters.addGuest(second.activity);
    expect(counters.totals.counters).toEqual({ requests: 7, errors: 2 });
    expect(counters.totals.held).toMatchObject({ now: 2, seconds: 14 });
    gone();
    gone();
    first.counters.requests = 1000;
    second.counters.requests = 5;
    expect(counters.totals.counters).toEqual({ requests: 8, errors: 2 });
    expect(counters.totals.held).toMatchObject({ now: 1, seconds: 14 });
    expect(counters.totals.held.counts.reduce((a, b) => a + b)).toBe(7);
  });

  it('keep nothing of a guest that has gone but what it adds to the sums', () => {
    const counters = new BridgeCounters();
    const sizes: number[] = [];
    for (let i = 0; i < 1000; i++) {
      counters.addGuest(guest(1).activity)();
      if (i % 500 === 0) sizes.push(JSON.stringify(counters.totals).length);
    }
    expect(counters.totals.counters.requests).toBe(1000);
    expect((sizes[1] ?? 0) - (sizes[0] ?? 0)).toBeLessThan(40);
  });

  it('count devices by type, those without a name together', () => {
    const counters = new BridgeCounters();
    const faults = { badWidth: 2 };
    const gone = counters.devicesOf('i2c').add(() => faults);
    counters.devicesOf('i2c').add(() => ({ badWidth: 1, badQueue: 4 }));
    counters.devicesOf('i2c').reconnected();
    gone();
    faults.badWidth = 1000;
    for (let id = 100; id < 200; id++) counters.devicesOf(`virtio-${id}`).failed();
    expect(counters.totals.devices).toEqual({
      i2c: { reconnects: 1, failures: 0, faults: { badWidth: 3, badQueue: 4 } },
      other: { reconnects: 0, failures: 100, faults: {} },
    });
  });
});
