import {
  VIRTIO_RING_F_EVENT_IDX,
  VIRTQ_AVAIL_F_NO_INTERRUPT,
  VIRTQ_USED_F_NO_NOTIFY,
} from '@node-vmm/virtio-queue';
import { describe, expect, it } from 'vitest';
import { chainsOf, Rig, writable } from '../rig.ts';

const EVENT = { features: [VIRTIO_RING_F_EVENT_IDX] };
const CRUDE = { features: [] };

/** Has `count` chains used up to, and not including, `flush`. */
function use(rig: Rig, count: number): void {
  for (let i = 0; i < count; i++) rig.driver.add([writable(0, 4)]);
  rig.driver.publish();
  for (const chain of chainsOf(rig.queue.popBatch())) rig.queue.complete(chain, 4);
}

function drain(rig: Rig): void {
  while (rig.driver.pollUsed());
}

describe('§2.7.7.2 Used buffer notifications without VIRTIO_F_EVENT_IDX', () => {
  it('MUST send one when flags is 0, and MUST ignore used_event', () => {
    const rig = new Rig(CRUDE);
    rig.driver.raw.usedEvent = 1000;
    use(rig, 3);
    expect(rig.queue.flush()).toBe(true);
    expect(rig.queue.counters).toMatchObject({ notifications: 1, suppressedNotifications: 0 });
  });

  it('SHOULD NOT send one when flags is 1', () => {
    const rig = new Rig(CRUDE);
    rig.driver.disableInterrupts();
    expect(rig.driver.raw.availFlags).toBe(VIRTQ_AVAIL_F_NO_INTERRUPT);
    use(rig, 3);
    expect(rig.queue.flush()).toBe(false);
    expect(rig.queue.counters).toMatchObject({ notifications: 0, suppressedNotifications: 1 });
    expect(rig.driver.enableInterrupts()).toBe(true);
    drain(rig);
    expect(rig.driver.enableInterrupts()).toBe(false);
    use(rig, 1);
    expect(rig.queue.flush()).toBe(true);
  });

  it('sends none when nothing was used', () => {
    const rig = new Rig(CRUDE);
    expect(rig.queue.flush()).toBe(false);
    use(rig, 1);
    expect(rig.queue.flush()).toBe(true);
    expect(rig.queue.flush()).toBe(false);
    expect(rig.queue.counters.suppressedNotifications).toBe(0);
  });
});

describe.each([
  ['without', CRUDE],
  ['with', EVENT],
])('§2.7.7.2 Used buffer notifications %s VIRTIO_F_EVENT_IDX', (_, options) => {
  it('sends none of a new ring of which nothing was used, also where its position is told', () => {
    const rig = new Rig({ ...options, start: 0 });
    expect(rig.queue.flush()).toBe(false);
    rig.driver.add([writable(0, 4)]);
    rig.driver.publish();
    const [chain] = [...chainsOf(rig.queue.popBatch())].map((it) => it.detach());
    expect(rig.queue.flush()).toBe(false);
    if (chain !== undefined) rig.queue.complete(chain, 4);
    expect(rig.queue.flush()).toBe(true);
  });
});

describe('§2.7.7.2 Used buffer notifications with VIRTIO_F_EVENT_IDX', () => {
  it.each([
    // used_event, first index of the batch, chains, notified
    [0, 0, 1, true],
    [0, 0, 4, true],
    [3, 0, 4, true],
    [4, 0, 4, false],
    [65_535, 0, 4, false],
    [65_535, 65_534, 1, false],
    [65_535, 65_534, 2, true],
    [65_535, 65_534, 4, true],
    [0, 65_534, 2, false],
    [0, 65_534, 3, true],
    [1, 65_534, 3, false],
    [30_000, 65_534, 4, false],
  ])('with used_event %i, entries %i.. (%i of them): %s', (event, first, count, notified) => {
    const rig = new Rig({ ...EVENT, start: (first - 1) & 0xffff });
    use(rig, 1);
    rig.queue.flush();
    drain(rig);
    use(rig, count);
    rig.driver.raw.usedEvent = event;
    expect(rig.queue.flush()).toBe(notified);
  });

  it('MUST ignore the lower bit of flags', () => {
    const rig = new Rig(EVENT);
    rig.driver.raw.availFlags = VIRTQ_AVAIL_F_NO_INTERRUPT;
    use(rig, 1);
    expect(rig.queue.flush()).toBe(true);
  });

  it('sends one in any case after a restore: the predecessor may have died before it did', () => {
    const rig = new Rig({ ...EVENT, start: 7 });
    use(rig, 1);
    rig.driver.raw.usedEvent = 100;
    expect(rig.queue.flush()).toBe(true);
    drain(rig);
    use(rig, 1);
    rig.driver.raw.usedEvent = 100;
    expect(rig.queue.flush()).toBe(false);
  });

  it('announces a batch once to a driver that waits for all of it', () => {
    const rig = new Rig({ ...EVENT, size: 64 });
    for (let i = 0; i < 64; i++) rig.driver.addWritable(0x1_0000, 0, 4);
    rig.driver.publish();
    expect(rig.driver.enableInterrupts(64)).toBe(false);
    const chains = chainsOf(rig.queue.popBatch());
    const calls = chains.map((chain) => {
      rig.queue.complete(chain, 4);
      return rig.queue.flush();
    });
    expect(calls.indexOf(true)).toBe(63);
    expect(rig.queue.counters).toMatchObject({ notifications: 1, suppressedNotifications: 63 });
  });

  it('sends none to a driver that disabled interrupts', () => {
    const rig = new Rig(EVENT);
    rig.driver.disableInterrupts();
    for (let i = 0; i < 20; i++) {
      use(rig, 2);
      expect(rig.queue.flush()).toBe(false);
      drain(rig);
    }
  });
});

describe('§2.7.10.2 Available buffer notifications without VIRTIO_F_EVENT_IDX', () => {
  it('MUST set flags to 0 or 1', () => {
    const rig = new Rig(CRUDE);
    const add = (): boolean => {
      rig.driver.add([writable(0, 4)]);
      return rig.driver.publish();
    };
    expect(add()).toBe(true);
    rig.queue.disableNotification();
    expect(rig.driver.raw.usedFlags).toBe(VIRTQ_USED_F_NO_NOTIFY);
    expect(add()).toBe(false);
    expect(rig.queue.enableNotification()).toBe(true);
    expect(rig.driver.raw.usedFlags).toBe(0);
    rig.queue.popBatch();
    expect(rig.queue.enableNotification()).toBe(false);
    expect(add()).toBe(true);
  });
});

describe('§2.7.10.2 Available buffer notifications with VIRTIO_F_EVENT_IDX', () => {
  it.each([0, 65_530])('asks for the next chain and no other; indices from %i', (start) => {
    const rig = new Rig({ ...EVENT, start });
    const add = (): boolean => {
      rig.driver.add([writable(0, 4)]);
      return rig.driver.publish();
    };
    for (let i = 0; i < 10; i++) {
      expect(add()).toBe(true);
      rig.queue.disableNotification();
      expect(rig.driver.raw.usedFlags).toBe(0);
      expect(add()).toBe(false);
      expect(rig.queue.enableNotification()).toBe(true);
      for (const chain of chainsOf(rig.queue.popBatch())) rig.queue.complete(chain, 0);
      expect(rig.queue.enableNotification()).toBe(false);
      rig.queue.flush();
      drain(rig);
    }
  });
});
