import * as d from '@node-vmm/virtio-device';
import { describe, expect, it } from 'vitest';
import { Bench, FEATURES_SET, RUNNING } from '../harness.ts';

describe('virtio-mmio registers', () => {
  it('§4.2.2.1 MUST return the magic value, version 2, device and vendor', () => {
    const b = new Bench();
    expect(b.read(d.VIRTIO_MMIO_MAGIC_VALUE)).toBe(0x74726976);
    expect(b.read(d.VIRTIO_MMIO_VERSION)).toBe(2);
    expect(b.read(d.VIRTIO_MMIO_DEVICE_ID)).toBe(34);
    expect(b.read(d.VIRTIO_MMIO_VENDOR_ID)).toBe(0x554d4551);
  });

  it('§4.2.2 DeviceFeatures shows the selected word, zero past the second', () => {
    const b = new Bench({ features: 0x1_8000_0005n });
    const word = (sel: number): number => {
      b.write(d.VIRTIO_MMIO_DEVICE_FEATURES_SEL, sel);
      return b.read(d.VIRTIO_MMIO_DEVICE_FEATURES);
    };
    expect([word(0), word(1), word(2), word(0xffff_ffff)]).toEqual([0x80000005, 1, 0, 0]);
  });

  it('§4.2.2 QueueSel may name any queue: those that do not exist read zero', () => {
    const b = new Bench();
    b.negotiate();
    for (const index of [2, 255, 0x8000_0000, 0xffff_ffff]) {
      b.write(d.VIRTIO_MMIO_QUEUE_SEL, index);
      expect(b.read(d.VIRTIO_MMIO_QUEUE_NUM_MAX)).toBe(0);
      expect(b.read(d.VIRTIO_MMIO_QUEUE_READY)).toBe(0);
      expect(b.read(d.VIRTIO_MMIO_QUEUE_RESET)).toBe(0);
      b.setUpQueue(index);
      expect(b.read(d.VIRTIO_MMIO_QUEUE_READY)).toBe(0);
    }
    b.write(d.VIRTIO_MMIO_QUEUE_SEL, 1);
    expect(b.read(d.VIRTIO_MMIO_QUEUE_NUM_MAX)).toBe(16);
  });

  it.each([
    ['size 0', 0, 0x1000, 0x2000, 0x3000],
    ['size over the maximum', 128, 0x1000, 0x2000, 0x3000],
    ['size no power of two', 12, 0x1000, 0x2000, 0x3000],
    ['no descriptor area', 16, 0, 0x2000, 0x3000],
    ['no driver area', 16, 0x1000, 0, 0x3000],
    ['no device area', 16, 0x1000, 0x2000, 0],
    ['descriptor area not 16-aligned', 16, 0x1008, 0x2000, 0x3000],
    ['driver area not 2-aligned', 16, 0x1000, 0x2001, 0x3000],
    ['device area not 4-aligned', 16, 0x1000, 0x2000, 0x3002],
  ])('§2.7 a queue is not enabled with %s', (_, size, desc, avail, used) => {
    const b = new Bench();
    b.negotiate();
    b.write(d.VIRTIO_MMIO_QUEUE_SEL, 0);
    b.write(d.VIRTIO_MMIO_QUEUE_NUM, size);
    b.write(d.VIRTIO_MMIO_QUEUE_DESC_LOW, desc);
    b.write(d.VIRTIO_MMIO_QUEUE_AVAIL_LOW, avail);
    b.write(d.VIRTIO_MMIO_QUEUE_USED_LOW, used);
    b.write(d.VIRTIO_MMIO_QUEUE_READY, 1);
    expect(b.read(d.VIRTIO_MMIO_QUEUE_READY)).toBe(0);
    expect(b.transport.counters.badQueue).toBe(1);
    b.write(d.VIRTIO_MMIO_STATUS, RUNNING);
    expect(b.device.calls.at(-1)).toMatchObject({ name: 'activate', queues: [] });
  });

  it('§2.8 a packed queue may have any size up to the maximum', () => {
    const b = new Bench({ features: d.featureWord(d.VIRTIO_F_VERSION_1, d.VIRTIO_F_RING_PACKED) });
    b.negotiate();
    b.setUpQueue(0, 12);
    expect(b.read(d.VIRTIO_MMIO_QUEUE_READY)).toBe(1);
  });

  it('§4.2.2 addresses are 64 bits in two halves', () => {
    const b = new Bench();
    b.negotiate();
    b.write(d.VIRTIO_MMIO_QUEUE_SEL, 1);
    b.write(d.VIRTIO_MMIO_QUEUE_DESC_HIGH, 0x8000_0001);
    b.write(d.VIRTIO_MMIO_QUEUE_AVAIL_HIGH, 2);
    b.write(d.VIRTIO_MMIO_QUEUE_USED_HIGH, 3);
    b.setUpQueue(1, 8, 0xf000_0000);
    b.write(d.VIRTIO_MMIO_STATUS, RUNNING);
    expect(b.device.calls.at(-1)?.queues).toEqual([
      {
        index: 1,
        size: 8,
        descTable: 0x8000_0001_f000_0000n,
        availRing: 0x2_f000_0400n,
        usedRing: 0x3_f000_0800n,
      },
    ]);
  });

  it('§4.2.2.2 registers of a ready queue cannot be changed', () => {
    const b = new Bench();
    b.negotiate();
    b.setUpQueue(0);
    b.write(d.VIRTIO_MMIO_QUEUE_NUM, 4);
    b.write(d.VIRTIO_MMIO_QUEUE_DESC_LOW, 0x9000);
    expect(b.transport.counters.badQueue).toBe(2);
    expect(b.transport.state.queues[0]).toMatchObject({ size: 16, descTable: 0x1000n });
  });

  it('§4.2.2 a shared memory region that does not exist has length and base -1', () => {
    const b = new Bench();
    b.write(d.VIRTIO_MMIO_SHM_SEL, 7);
    for (const register of [0xb0, 0xb4, 0xb8, 0xbc]) {
      expect(b.read(register)).toBe(0xffff_ffff);
    }
  });

  it('§4.2.2.2 only aligned 32-bit accesses reach control registers; others read zero', () => {
    const b = new Bench();
    for (const [offset, size] of [
      [0, 1],
      [0, 2],
      [0, 8],
      [2, 4],
      [0xfc, 8],
    ] as const) {
      expect(b.transport.read(offset, size)).toBe(0n);
      b.transport.write(offset, size, 1n);
    }
    expect(b.transport.counters.badWidth).toBe(10);
    expect(b.warnings).toHaveLength(1);
  });

  it('§4.2.2.2 unknown, read-only and write-only registers are answered and counted', () => {
    const b = new Bench();
    expect(b.read(0x3c)).toBe(0);
    b.write(0x28, 1);
    b.write(d.VIRTIO_MMIO_MAGIC_VALUE, 5);
    expect(b.read(d.VIRTIO_MMIO_QUEUE_NOTIFY)).toBe(0);
    expect(b.transport.counters).toMatchObject({ unknownRegister: 2, readOnly: 1, writeOnly: 1 });
    expect(b.read(d.VIRTIO_MMIO_MAGIC_VALUE)).toBe(0x74726976);
  });

  it('§4.2.2 QueueNotify reaches running queues only', () => {
    const b = new Bench();
    b.negotiate();
    b.setUpQueue(1);
    b.write(d.VIRTIO_MMIO_QUEUE_NOTIFY, 1);
    b.write(d.VIRTIO_MMIO_STATUS, RUNNING);
    for (const index of [0, 1, 2, 0xffff_ffff]) b.write(d.VIRTIO_MMIO_QUEUE_NOTIFY, index);
    expect(b.device.calls.filter((call) => call.name === 'notifyQueue')).toEqual([
      { name: 'notifyQueue', index: 1 },
    ]);
    expect(b.transport.counters.badNotify).toBe(4);
  });

  it('§4.2.2 with VIRTIO_F_NOTIFICATION_DATA the low half of QueueNotify is the queue', () => {
    const b = new Bench({
      features: d.featureWord(d.VIRTIO_F_VERSION_1, d.VIRTIO_F_NOTIFICATION_DATA),
    });
    b.start();
    b.write(d.VIRTIO_MMIO_QUEUE_NOTIFY, 0x1234_0001);
    expect(b.device.calls.at(-1)).toEqual({ name: 'notifyQueue', index: 1 });
  });
});

describe('configuration space', () => {
  const config = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9);

  it('§4.2.2 is read by 1, 2, 4 and 8 bytes with byte alignment', () => {
    const b = new Bench({ config: config.slice() });
    expect(b.transport.read(0x100, 1)).toBe(1n);
    expect(b.transport.read(0x101, 2)).toBe(0x0302n);
    expect(b.transport.read(0x102, 4)).toBe(0x06050403n);
    expect(b.transport.read(0x101, 8)).toBe(0x0908070605040302n);
    expect(b.transport.read(0x104, 8)).toBe(0n);
    expect(b.transport.read(0x100, 3)).toBe(0n);
    expect(b.transport.counters).toMatchObject({ badConfig: 1, badWidth: 1 });
  });

  it('§4.2.2 is written by 1, 2, 4 and 8 bytes', () => {
    const b = new Bench({ config: new Uint8Array(8) });
    b.transport.write(0x106, 2, 0xabcdn);
    expect(b.device.calls).toEqual([{ name: 'writeConfig', index: 6, bytes: [0xcd, 0xab] }]);
    b.transport.write(0x100, 8, 0x1122334455667788n);
    expect(b.transport.read(0x100, 8)).toBe(0x1122334455667788n);
  });

  it('§4.2.2.1 ConfigGeneration changes with the configuration', () => {
    const b = new Bench({ config: config.slice() });
    const before = b.read(d.VIRTIO_MMIO_CONFIG_GENERATION);
    b.transport.configChanged();
    expect(b.read(d.VIRTIO_MMIO_CONFIG_GENERATION)).not.toBe(before);
    expect(b.interrupts).toBe(0);
    b.start();
    b.transport.configChanged();
    expect(b.interrupts).toBe(1);
    expect(b.read(d.VIRTIO_MMIO_INTERRUPT_STATUS)).toBe(d.VIRTIO_MMIO_INT_CONFIG);
  });
});

describe('interrupts', () => {
  it('§4.2.2.1 MUST present each event until it is acknowledged', () => {
    const b = new Bench();
    b.start();
    b.transport.queueInterrupt();
    b.transport.configChanged();
    expect(b.read(d.VIRTIO_MMIO_INTERRUPT_STATUS)).toBe(3);
    b.write(d.VIRTIO_MMIO_INTERRUPT_ACK, 1);
    expect(b.read(d.VIRTIO_MMIO_INTERRUPT_STATUS)).toBe(2);
    expect(b.acknowledged).toBe(0);
    b.write(d.VIRTIO_MMIO_INTERRUPT_ACK, 0xffff_ffff);
    expect(b.read(d.VIRTIO_MMIO_INTERRUPT_STATUS)).toBe(0);
    expect([b.interrupts, b.acknowledged]).toEqual([2, 1]);
  });

  it.each([
    ['queueInterrupt', d.VIRTIO_MMIO_INT_VRING],
    ['configChanged', d.VIRTIO_MMIO_INT_CONFIG],
  ] as const)(
    '§4.2.3.4 an acknowledgement does not mean what came after the status was read: %s',
    (event, bit) => {
      const b = new Bench();
      b.start();
      b.transport[event]();
      expect(b.read(d.VIRTIO_MMIO_INTERRUPT_STATUS)).toBe(bit);
      b.transport[event]();
      expect([b.interrupts, b.acknowledged]).toEqual([2, 0]);
      b.write(d.VIRTIO_MMIO_INTERRUPT_ACK, bit);
      // Interrupted again, and not acknowledged: a level stays, an edge comes anew.
      expect([b.interrupts, b.acknowledged]).toEqual([3, 0]);
      expect(b.read(d.VIRTIO_MMIO_INTERRUPT_STATUS)).toBe(bit);
      b.write(d.VIRTIO_MMIO_INTERRUPT_ACK, bit);
      expect([b.interrupts, b.acknowledged]).toEqual([3, 1]);
      expect(b.read(d.VIRTIO_MMIO_INTERRUPT_STATUS)).toBe(0);
    },
  );

  it('§4.2.3.4 what was seen and is acknowledged later does not interrupt again', () => {
    const b = new Bench();
    b.start();
    b.transport.queueInterrupt();
    b.transport.configChanged();
    b.read(d.VIRTIO_MMIO_INTERRUPT_STATUS);
    b.write(d.VIRTIO_MMIO_INTERRUPT_ACK, d.VIRTIO_MMIO_INT_VRING);
    b.write(d.VIRTIO_MMIO_INTERRUPT_ACK, d.VIRTIO_MMIO_INT_CONFIG);
    expect([b.interrupts, b.acknowledged]).toEqual([2, 1]);
  });

  it('§4.2.3.4 a driver that never reads the status means everything it acknowledges', async () => {
    const b = new Bench();
    b.start();
    for (let i = 0; i < 3; i++) b.transport.queueInterrupt();
    b.write(d.VIRTIO_MMIO_INTERRUPT_ACK, 3);
    expect([b.interrupts, b.acknowledged]).toEqual([3, 1]);
    b.read(d.VIRTIO_MMIO_INTERRUPT_STATUS);
    b.transport.queueInterrupt();
    b.write(d.VIRTIO_MMIO_INTERRUPT_ACK, 3);
    expect([b.interrupts, b.acknowledged]).toEqual([5, 1]);
    // The next driver is another.
    await b.write(d.VIRTIO_MMIO_STATUS, 0);
    b.start();
    b.transport.queueInterrupt();
    b.write(d.VIRTIO_MMIO_INTERRUPT_ACK, 3);
    expect([b.interrupts, b.acknowledged]).toEqual([6, 3]);
  });

  it('§2.1.2 MUST NOT notify before DRIVER_OK', () => {
    const b = new Bench();
    b.negotiate();
    b.transport.queueInterrupt();
    b.transport.needsReset();
    expect(b.interrupts).toBe(0);
    expect(b.read(d.VIRTIO_MMIO_INTERRUPT_STATUS)).toBe(0);
    expect(b.read(d.VIRTIO_MMIO_STATUS)).toBe(FEATURES_SET | d.VIRTIO_CONFIG_S_NEEDS_RESET);
  });

  it('§4.2.2 assisted interrupts always show a used buffer notification to a running driver', () => {
    const b = new Bench();
    b.transport.setVringInterruptsAssisted(true);
    expect(b.read(d.VIRTIO_MMIO_INTERRUPT_STATUS)).toBe(0);
    b.start();
    expect(b.read(d.VIRTIO_MMIO_INTERRUPT_STATUS)).toBe(1);
    b.transport.configChanged();
    b.write(d.VIRTIO_MMIO_INTERRUPT_ACK, 1);
    expect(b.read(d.VIRTIO_MMIO_INTERRUPT_STATUS)).toBe(3);
    b.write(d.VIRTIO_MMIO_INTERRUPT_ACK, 3);
    expect(b.read(d.VIRTIO_MMIO_INTERRUPT_STATUS)).toBe(1);
    b.transport.setVringInterruptsAssisted(false);
    expect(b.read(d.VIRTIO_MMIO_INTERRUPT_STATUS)).toBe(0);
  });
});
