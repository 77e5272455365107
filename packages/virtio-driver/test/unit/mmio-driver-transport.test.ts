import { featureWord, VIRTIO_F_VERSION_1, VIRTIO_MMIO_STATUS } from '@node-vmm/virtio-device';
import { FakeVirtioDevice } from '@node-vmm/virtio-device/testing';
import { GuestHeap, MmioDriverTransport } from '@node-vmm/virtio-driver';
import { describe, expect, it } from 'vitest';
import { BASE, DirectPlatform } from '../direct-platform.ts';

const coded = (code: string): unknown => expect.objectContaining({ code });
const LAYOUT = { size: 16, descTable: 0x1000n, availRing: 0x2000n, usedRing: 0x1_0000_3000n };

describe('MmioDriverTransport', () => {
  it('finds nothing where nothing is, and what it does not want', () => {
    const platform = new DirectPlatform();
    expect(() => MmioDriverTransport.probe(platform, BASE)).toThrow(coded('NO_DEVICE'));
    const device = new FakeVirtioDevice();
    platform.plug(device);
    expect(() => MmioDriverTransport.probe(platform, BASE, 4)).toThrow(coded('WRONG_DEVICE'));
    expect(MmioDriverTransport.probe(platform, BASE).deviceId).toBe(device.deviceId);
  });

  it('initializes in the order of §3.1.1', () => {
    const platform = new DirectPlatform();
    const device = new FakeVirtioDevice({ features: featureWord(VIRTIO_F_VERSION_1, 3, 5) });
    const host = platform.plug(device);
    const transport = MmioDriverTransport.probe(platform, BASE);
    expect(transport.negotiate(featureWord(3, 4))).toBe(featureWord(VIRTIO_F_VERSION_1, 3));
    transport.setUpQueue(1, LAYOUT);
    transport.driverOk();
    transport.notify(1);
    expect(device.calls).toEqual([
      { name: 'acceptFeatures', features: featureWord(VIRTIO_F_VERSION_1, 3) },
      {
        name: 'activate',
        features: featureWord(VIRTIO_F_VERSION_1, 3),
        queues: [{ index: 1, ...LAYOUT }],
      },
      { name: 'notifyQueue', index: 1 },
    ]);
    expect(Object.values(host.counters).every((count) => count === 0)).toBe(true);
  });

  it('gives up when features are missing or refused', () => {
    const platform = new DirectPlatform();
    const device = new FakeVirtioDevice({ features: featureWord(VIRTIO_F_VERSION_1, 3) });
    platform.plug(device);
    const transport = MmioDriverTransport.probe(platform, BASE);
    expect(() => transport.negotiate(0n, featureWord(4))).toThrow(coded('FEATURES_REFUSED'));
    transport.reset();
    device.refused = featureWord(3);
    expect(() => transport.negotiate(featureWord(3))).toThrow(coded('FEATURES_REFUSED'));
    expect(transport.readRegister(VIRTIO_MMIO_STATUS) & 0x80).toBe(0x80);
  });

  it('reports a queue that is refused', () => {
    const platform = new DirectPlatform();
    platform.plug(new FakeVirtioDevice());
    const transport = MmioDriverTransport.probe(platform, BASE);
    transport.negotiate(0n);
    expect(transport.queueMaxSize(0)).toBe(64);
    expect(() => transport.setUpQueue(0, { ...LAYOUT, size: 12 })).toThrow(coded('QUEUE_REFUSED'));
    expect(() => transport.setUpQueue(9, LAYOUT)).toThrow(coded('QUEUE_REFUSED'));
  });

  it('reads configuration space again when it changed meanwhile', () => {
    const platform = new DirectPlatform();
    const device = new FakeVirtioDevice({ config: Uint8Array.of(1, 2, 3, 4) });
    const host = platform.plug(device);
    const transport = MmioDriverTransport.probe(platform, BASE);
    let changes = 1;
    const readConfig = device.readConfig.bind(device);
    device.readConfig = (offset, target) => {
      if (offset === 2 && changes-- > 0) {
        device.config.fill(9);
        host.configChanged();
      }
      return readConfig(offset, target);
    };
    expect(transport.readConfig(0, 4)).toEqual(Uint8Array.of(9, 9, 9, 9));
    changes = Number.POSITIVE_INFINITY;
    expect(() => transport.readConfig(0, 4)).toThrow(coded('BROKEN'));
  });

  it('acknowledges interrupts, and learns of a device that needs a reset', () => {
    const platform = new DirectPlatform();
    const host = platform.plug(new FakeVirtioDevice());
    const transport = MmioDriverTransport.probe(platform, BASE);
    transport.negotiate(0n);
    transport.driverOk();
    host.queueInterrupt();
    host.configChanged();
    expect(transport.acknowledgeInterrupt()).toBe(3);
    expect(transport.acknowledgeInterrupt()).toBe(0);
    host.needsReset();
    expect(() => transport.acknowledgeInterrupt()).toThrow(coded('BROKEN'));
  });
});

describe('GuestHeap', () => {
  it('gives out aligned, disjoint memory until it is used up', () => {
    const { memory } = new DirectPlatform();
    const heap = new GuestHeap(memory, 0x4000_0010n, 0x2000);
    expect(heap.allocate(1, 1)).toBe(0x4000_0010n);
    expect(heap.allocate(16, 4096)).toBe(0x4000_1000n);
    expect(heap.allocate(16)).toBe(0x4000_1010n);
    expect(() => heap.allocate(0x1000)).toThrow(coded('OUT_OF_MEMORY'));
    expect(new GuestHeap(memory).allocate(8)).toBe(0x4000_0000n);
  });
});
