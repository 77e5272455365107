import * as d from '@node-vmm/virtio-device';
import { RegisterMemory, transportState } from '@node-vmm/virtio-device';
import type { FakeVirtioDeviceOptions } from '@node-vmm/virtio-device/testing';
import { describe, expect, it } from 'vitest';
import { Bench, FEATURES_SET, RUNNING } from '../harness.ts';

/** Another transport, over what the first one left. */
function successor(b: Bench, options: FakeVirtioDeviceOptions = {}): Bench {
  const next = new Bench(options, b.registers);
  next.transport.resume();
  return next;
}

describe('registers that outlive their transport', () => {
  it('are those of the next one, which activates the device again', () => {
    const b = new Bench();
    b.start();
    b.transport.configChanged();
    const { state } = b.transport;
    const next = successor(b);
    expect(next.transport.state).toEqual(state);
    expect(transportState(b.registers)).toEqual(state);
    expect(next.read(d.VIRTIO_MMIO_STATUS)).toBe(RUNNING);
    expect(next.device.calls).toEqual(b.device.calls.filter(({ name }) => name === 'activate'));
    expect(next.interrupts).toBe(1);
    expect(next.read(d.VIRTIO_MMIO_INTERRUPT_STATUS)).toBe(d.VIRTIO_MMIO_INT_CONFIG);
  });

  it('go on in the middle of a negotiation, and lower a line that nothing is pending at', () => {
    const b = new Bench();
    b.negotiate();
    b.setUpQueue(1);
    const next = successor(b);
    expect(next.device.names).toEqual([]);
    expect([next.interrupts, next.acknowledged]).toEqual([0, 1]);
    next.write(d.VIRTIO_MMIO_STATUS, FEATURES_SET | d.VIRTIO_CONFIG_S_DRIVER_OK);
    expect(next.device.calls[0]?.features).toBe(b.device.features);
    expect(next.device.calls[0]?.queues).toHaveLength(1);
  });

  it('say that features beyond the second word were written', () => {
    const b = new Bench();
    b.write(d.VIRTIO_MMIO_STATUS, 3);
    b.writeFeatures(b.device.features);
    b.write(d.VIRTIO_MMIO_DRIVER_FEATURES_SEL, 2);
    b.write(d.VIRTIO_MMIO_DRIVER_FEATURES, 1);
    const next = successor(b);
    next.write(d.VIRTIO_MMIO_STATUS, FEATURES_SET);
    expect(next.read(d.VIRTIO_MMIO_STATUS)).toBe(3);
  });

  it('take no acknowledgement for what the driver may not have seen', () => {
    const b = new Bench();
    b.start();
    b.transport.queueInterrupt();
    b.read(d.VIRTIO_MMIO_INTERRUPT_STATUS);
    const next = successor(b);
    next.write(d.VIRTIO_MMIO_INTERRUPT_ACK, d.VIRTIO_MMIO_INT_VRING);
    expect(next.read(d.VIRTIO_MMIO_INTERRUPT_STATUS)).toBe(d.VIRTIO_MMIO_INT_VRING);
    next.write(d.VIRTIO_MMIO_INTERRUPT_ACK, d.VIRTIO_MMIO_INT_VRING);
    expect(next.read(d.VIRTIO_MMIO_INTERRUPT_STATUS)).toBe(0);
  });

  it('end a reset that had begun', async () => {
    const b = new Bench({ manual: true });
    b.start();
    b.write(d.VIRTIO_MMIO_STATUS, 0);
    const next = successor(b, { manual: true });
    expect(next.device.names).toEqual(['reset']);
    // The driver's write is there, too.
    const written = next.write(d.VIRTIO_MMIO_STATUS, 0);
    expect(next.read(d.VIRTIO_MMIO_STATUS)).toBe(RUNNING);
    next.device.finish();
    await written;
    expect(next.read(d.VIRTIO_MMIO_STATUS)).toBe(0);
    expect(next.device.names).toEqual(['reset']);
    expect(transportState(b.registers)).toEqual(new Bench().transport.state);
  });

  it.each([
    ['stop', d.VIRTIO_MMIO_QUEUE_READY, 0],
    ['reset', d.VIRTIO_MMIO_QUEUE_RESET, 1],
  ])('end the %s of a queue that had begun, and do not start it', async (_, register, value) => {
    const b = new Bench({ manual: true });
    b.start();
    b.write(register, value);
    const next = successor(b, { manual: true });
    expect(next.device.calls.map(({ name, queues }) => [name, queues?.length])).toEqual([
      ['activate', 1],
      ['stopQueue', undefined],
    ]);
    expect(next.read(d.VIRTIO_MMIO_QUEUE_READY)).toBe(1);
    next.device.finish();
    await Promise.resolve();
    expect(next.read(d.VIRTIO_MMIO_QUEUE_READY)).toBe(0);
    expect(next.read(d.VIRTIO_MMIO_QUEUE_RESET)).toBe(0);
  });

  it('are a fresh device once cleared', () => {
    const b = new Bench();
    b.start();
    b.registers.clear();
    expect(successor(b).transport.state).toEqual(new Bench().transport.state);
    expect(RegisterMemory.bytes(2) % 4).toBe(0);
  });
});
