import type { Virtqueue } from '@node-vmm/virtio-queue';
import type { RingCounters } from '../status.ts';

/** What a ring has counted that was never served. */
export function noCounters(): RingCounters {
  return {
    chains: 0,
    malformedChains: 0,
    wrongLengths: 0,
    notifications: 0,
    suppressedNotifications: 0,
    wakeups: 0,
    broken: 0,
  };
}

/** Adds what a queue counted. */
export function addCounters(sum: RingCounters, queue: Virtqueue): void {
  const { counters } = queue;
  sum.chains += counters.chains;
  sum.malformedChains += counters.malformedChains;
  sum.wrongLengths += counters.wrongLengths;
  sum.notifications += counters.notifications;
  sum.suppressedNotifications += counters.suppressedNotifications;
}
