import * as d from '@node-vmm/virtio-device';
import { VirtioMmioTransport } from '@node-vmm/virtio-device';
import { FakeVirtioDevice } from '@node-vmm/virtio-device/testing';
import { describe, expect, it } from 'vitest';
import { Bench, FEATURES_SET, READY_TO_NEGOTIATE, RUNNING } from '../harness.ts';

const V1 = d.featureWord(d.VIRTIO_F_VERSION_1);

describe('initialization', () => {
  it('§3.1.1 runs through the steps to DRIVER_OK and activates the queues that are ready', () => {
    const b = new Bench();
    b.negotiate();
    b.setUpQueue(1);
    b.write(d.VIRTIO_MMIO_STATUS, RUNNING);
    expect(b.read(d.VIRTIO_MMIO_STATUS)).toBe(RUNNING);
    expect(b.device.names).toEqual(['acceptFeatures', 'activate']);
    expect(b.device.calls[1]?.queues?.map((queue) => queue.index)).toEqual([1]);
    expect(b.device.calls[1]?.features).toBe(b.device.features);
    expect(Object.values(b.transport.counters).every((count) => count === 0)).toBe(true);
  });

  it('§2.2.2 features may be written in any order and more than once', () => {
    const b = new Bench({ features: V1 | 7n });
    b.write(d.VIRTIO_MMIO_STATUS, READY_TO_NEGOTIATE);
    b.write(d.VIRTIO_MMIO_DRIVER_FEATURES, 7);
    b.write(d.VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
    b.write(d.VIRTIO_MMIO_DRIVER_FEATURES, 1);
    b.write(d.VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
    b.write(d.VIRTIO_MMIO_DRIVER_FEATURES, 2);
    b.write(d.VIRTIO_MMIO_STATUS, FEATURES_SET);
    expect(b.device.calls).toEqual([{ name: 'acceptFeatures', features: V1 | 2n }]);
  });

  it.each([
    ['without VIRTIO_F_VERSION_1', 0n],
    ['with a bit that was not offered', V1 | 1n],
  ])('§2.2.2 MUST fail to set FEATURES_OK %s', (_, features) => {
    const b = new Bench();
    b.negotiate(features);
    expect(b.read(d.VIRTIO_MMIO_STATUS)).toBe(READY_TO_NEGOTIATE);
    expect(b.transport.counters.badFeatures).toBe(1);
    b.write(d.VIRTIO_MMIO_STATUS, RUNNING);
    expect(b.device.names).toEqual([]);
    b.writeFeatures(V1);
    b.write(d.VIRTIO_MMIO_STATUS, FEATURES_SET);
    expect(b.read(d.VIRTIO_MMIO_STATUS)).toBe(FEATURES_SET);
  });

  it('§2.2.2 bits past the second word spoil the negotiation until a reset', () => {
    const b = new Bench();
    b.write(d.VIRTIO_MMIO_DRIVER_FEATURES_SEL, 2);
    b.write(d.VIRTIO_MMIO_DRIVER_FEATURES, 1);
    b.negotiate();
    expect(b.read(d.VIRTIO_MMIO_STATUS)).toBe(READY_TO_NEGOTIATE);
    b.write(d.VIRTIO_MMIO_STATUS, 0);
    b.negotiate();
    expect(b.read(d.VIRTIO_MMIO_STATUS)).toBe(FEATURES_SET);
  });

  it('§2.2.2 the device may refuse a set, and so does one that throws', () => {
    const b = new Bench({ features: V1 | 1n });
    b.device.refused = 1n;
    b.negotiate();
    expect(b.read(d.VIRTIO_MMIO_STATUS)).toBe(READY_TO_NEGOTIATE);
    b.device.failing.add('acceptFeatures');
    b.negotiate(V1);
    expect(b.read(d.VIRTIO_MMIO_STATUS)).toBe(READY_TO_NEGOTIATE);
  });

  it('§2.2.1 features are frozen by FEATURES_OK', () => {
    const b = new Bench();
    b.negotiate();
    b.writeFeatures(0n);
    b.write(d.VIRTIO_MMIO_STATUS, RUNNING);
    expect(b.device.calls.at(-1)?.features).toBe(b.device.features);
    expect(b.transport.counters.badFeatures).toBe(2);
  });

  it('§2.1.1 MUST NOT clear a bit: such writes are ignored', () => {
    const b = new Bench();
    b.start();
    b.write(d.VIRTIO_MMIO_STATUS, d.VIRTIO_CONFIG_S_ACKNOWLEDGE);
    expect(b.read(d.VIRTIO_MMIO_STATUS)).toBe(RUNNING);
    b.write(d.VIRTIO_MMIO_STATUS, RUNNING | 0x130);
    expect(b.read(d.VIRTIO_MMIO_STATUS)).toBe(RUNNING);
    expect(b.transport.counters.badStatus).toBe(2);
    expect(b.device.names.filter((name) => name === 'activate')).toHaveLength(1);
  });

  it('§2.1.1 after FAILED only a reset helps', async () => {
    const b = new Bench();
    b.negotiate();
    b.write(d.VIRTIO_MMIO_STATUS, FEATURES_SET | d.VIRTIO_CONFIG_S_FAILED);
    b.write(d.VIRTIO_MMIO_STATUS, RUNNING | d.VIRTIO_CONFIG_S_FAILED);
    expect(b.device.names).toEqual(['acceptFeatures']);
    await b.write(d.VIRTIO_MMIO_STATUS, 0);
    b.start();
    expect(b.read(d.VIRTIO_MMIO_STATUS)).toBe(RUNNING);
  });

  it('§3.1.1 queues cannot be enabled before FEATURES_OK', () => {
    const b = new Bench();
    b.setUpQueue(0);
    expect(b.read(d.VIRTIO_MMIO_QUEUE_READY)).toBe(0);
  });
});

describe('DEVICE_NEEDS_RESET', () => {
  it('§2.1.2 MUST send a configuration change notification when DRIVER_OK is set', () => {
    const b = new Bench();
    b.start();
    b.transport.needsReset();
    b.transport.needsReset();
    expect(b.interrupts).toBe(1);
    expect(b.read(d.VIRTIO_MMIO_INTERRUPT_STATUS)).toBe(d.VIRTIO_MMIO_INT_CONFIG);
    expect(b.read(d.VIRTIO_MMIO_STATUS)).toBe(RUNNING | d.VIRTIO_CONFIG_S_NEEDS_RESET);
    b.write(d.VIRTIO_MMIO_QUEUE_NOTIFY, 0);
    expect(b.device.names).not.toContain('notifyQueue');
  });

  it('§2.1.2 is set when a driver uses a device that it did not set up, as a restored one does', async () => {
    const b = new Bench();
    b.write(d.VIRTIO_MMIO_QUEUE_NOTIFY, 1);
    b.write(d.VIRTIO_MMIO_QUEUE_NOTIFY, 1);
    expect(b.read(d.VIRTIO_MMIO_STATUS)).toBe(d.VIRTIO_CONFIG_S_NEEDS_RESET);
    expect(b.read(d.VIRTIO_MMIO_INTERRUPT_STATUS)).toBe(d.VIRTIO_MMIO_INT_CONFIG);
    expect(b.interrupts).toBe(1);
    expect(b.transport.counters).toMatchObject({ notSetUp: 1, badNotify: 1 });
    expect(b.warnings[0]).toMatchObject({ fault: 'notSetUp' });
    expect(b.device.names).toEqual([]);
    b.write(d.VIRTIO_MMIO_INTERRUPT_ACK, d.VIRTIO_MMIO_INT_CONFIG);
    expect(b.acknowledged).toBe(1);
    await b.write(d.VIRTIO_MMIO_STATUS, 0);
    expect(b.read(d.VIRTIO_MMIO_STATUS)).toBe(0);
    b.start();
    b.write(d.VIRTIO_MMIO_QUEUE_NOTIFY, 1);
    expect(b.read(d.VIRTIO_MMIO_STATUS)).toBe(RUNNING);
    expect(b.device.names.at(-1)).toBe('notifyQueue');
    expect(b.transport.counters.notSetUp).toBe(1);
  });

  it.each(['activate', 'startQueue', 'stopQueue'])('§2.1.2 is set when %s throws', async (call) => {
    const b = new Bench();
    b.device.failing.add(call);
    b.start();
    await b.write(d.VIRTIO_MMIO_QUEUE_READY, 0);
    b.write(d.VIRTIO_MMIO_QUEUE_READY, 1);
    expect(b.read(d.VIRTIO_MMIO_STATUS)).toBe(RUNNING | d.VIRTIO_CONFIG_S_NEEDS_RESET);
    expect(b.transport.counters.deviceErrors).toBe(1);
  });

  it('§2.1.2 an interrupt callback that throws harms nobody', () => {
    const transport = new VirtioMmioTransport(new FakeVirtioDevice(), {
      interrupt: () => {
        throw new Error('the domain is gone');
      },
    });
    const b = new Bench();
    Object.defineProperty(b, 'transport', { value: transport });
    b.start();
    transport.queueInterrupt();
    expect(transport.counters.deviceErrors).toBe(1);
  });
});

describe('reset', () => {
  it('§2.4.2 status reads 0 only when the reset is complete; the answer is held until then', async () => {
    const b = new Bench({ manual: true });
    b.start();
    b.transport.queueInterrupt();
    const first = b.write(d.VIRTIO_MMIO_STATUS, 0);
    const joined = b.write(d.VIRTIO_MMIO_STATUS, 0);
    expect(first).toBeInstanceOf(Promise);
    expect(joined).toBe(first);
    expect(b.read(d.VIRTIO_MMIO_STATUS)).toBe(RUNNING);
    b.write(d.VIRTIO_MMIO_STATUS, READY_TO_NEGOTIATE);
    b.write(d.VIRTIO_MMIO_QUEUE_NOTIFY, 0);
    b.transport.queueInterrupt();
    expect(b.interrupts).toBe(1);
    b.device.finish();
    await first;
    expect(b.read(d.VIRTIO_MMIO_STATUS)).toBe(0);
    expect(b.device.names.filter((name) => name === 'reset')).toHaveLength(1);
    expect(b.device.names).not.toContain('notifyQueue');
  });

  it('§4.2.2.1 MUST clear InterruptStatus and QueueReady of all queues', async () => {
    const b = new Bench();
    const fresh = b.transport.state;
    b.start();
    b.transport.queueInterrupt();
    await b.write(d.VIRTIO_MMIO_STATUS, 0);
    expect(b.transport.state).toEqual(fresh);
    expect(b.acknowledged).toBe(1);
  });

  it('§3.1 goes on in another transport, which activates the device as it was', () => {
    const b = new Bench();
    b.start();
    b.write(d.VIRTIO_MMIO_QUEUE_SEL, 1);
    b.transport.configChanged();
    const { state } = b.transport;
    const next = new Bench();
    expect(next.transport.restore(structuredClone(state))).toBeUndefined();
    // The configuration may be another by now.
    const configGeneration = state.configGeneration + 1;
    expect(next.transport.state).toEqual({ ...state, configGeneration });
    expect(next.device.calls).toEqual([b.device.calls[1]]);
    expect(next.interrupts).toBe(1);
    expect(next.write(d.VIRTIO_MMIO_STATUS, 0)).toBeInstanceOf(Promise);
  });

  it('§4.2.3.4 an acknowledgement of what was read before does not mean what came since', () => {
    const b = new Bench();
    b.start();
    b.transport.queueInterrupt();
    b.read(d.VIRTIO_MMIO_INTERRUPT_STATUS);
    b.transport.queueInterrupt();
    const next = new Bench();
    next.transport.restore(b.transport.state);
    next.write(d.VIRTIO_MMIO_INTERRUPT_ACK, d.VIRTIO_MMIO_INT_VRING);
    expect(next.read(d.VIRTIO_MMIO_INTERRUPT_STATUS)).toBe(d.VIRTIO_MMIO_INT_VRING);
    expect(next.acknowledged).toBe(0);
  });

  it('§2.1 goes on before DRIVER_OK, after FAILED and while it needs a reset without activating', () => {
    const negotiated = new Bench();
    negotiated.negotiate();
    negotiated.setUpQueue(0);
    const failed = new Bench();
    failed.start();
    failed.write(d.VIRTIO_MMIO_STATUS, RUNNING | d.VIRTIO_CONFIG_S_FAILED);
    const broken = new Bench();
    broken.start();
    broken.transport.needsReset();
    for (const { transport } of [negotiated, failed, broken]) {
      const next = new Bench();
      expect(next.transport.restore(transport.state)).toBeUndefined();
      expect(next.transport.status).toBe(transport.status);
      expect(next.device.calls).toEqual([]);
    }
  });

  it.each([
    ['another number of queues', { queues: [] }],
    ['a ready queue that cannot be', { size: 3 }],
    ['a ready queue at address 0', { descTable: 0n }],
  ])(
    'does not go on with %s',
    (_, change: { queues?: never[]; size?: number; descTable?: bigint }) => {
      const b = new Bench();
      b.start();
      b.transport.queueInterrupt();
      const { queues, ...rest } = b.transport.state;
      const spoilt = queues.map((queue) => ({ ...queue, ...change }));
      const next = new Bench();
      const fresh = next.transport.state;
      const state = { ...rest, queues: change.queues ?? spoilt };
      expect(next.transport.restore(state)).toEqual(expect.any(String));
      expect(next.transport.state).toEqual(fresh);
      expect(next.device.calls).toEqual([]);
      expect(next.interrupts).toBe(0);
    },
  );

  it('§2.4 a device that was told nothing is not asked to reset', () => {
    const b = new Bench();
    expect(b.write(d.VIRTIO_MMIO_STATUS, 0)).toBeUndefined();
    b.write(d.VIRTIO_MMIO_STATUS, READY_TO_NEGOTIATE);
    expect(b.write(d.VIRTIO_MMIO_STATUS, 0)).toBeUndefined();
    expect(b.read(d.VIRTIO_MMIO_STATUS)).toBe(0);
    expect(b.device.names).toEqual([]);
  });

  it('§2.4.1 a device whose reset fails is reset all the same', async () => {
    const b = new Bench();
    b.device.failing.add('reset');
    b.start();
    await b.write(d.VIRTIO_MMIO_STATUS, 0);
    expect(b.read(d.VIRTIO_MMIO_STATUS)).toBe(0);
    b.device.failing.clear();
    b.start();
    expect(b.read(d.VIRTIO_MMIO_STATUS)).toBe(RUNNING);
  });
});

describe('queue reset', () => {
  it('§4.2.2.1 QueueReady = 0 stops that queue only, and reads 1 until it has stopped', async () => {
    const b = new Bench({ manual: true });
    b.start();
    b.write(d.VIRTIO_MMIO_QUEUE_SEL, 0);
    const stopped = b.write(d.VIRTIO_MMIO_QUEUE_READY, 0);
    expect(b.write(d.VIRTIO_MMIO_QUEUE_READY, 0)).toBe(stopped);
    expect(b.read(d.VIRTIO_MMIO_QUEUE_READY)).toBe(1);
    b.write(d.VIRTIO_MMIO_QUEUE_NOTIFY, 0);
    b.device.finish();
    await stopped;
    expect(b.read(d.VIRTIO_MMIO_QUEUE_READY)).toBe(0);
    expect(b.device.names).toEqual(['acceptFeatures', 'activate', 'stopQueue']);
    b.write(d.VIRTIO_MMIO_QUEUE_SEL, 1);
    expect(b.read(d.VIRTIO_MMIO_QUEUE_READY)).toBe(1);
  });

  it('§2.6.1 QueueReset reads 1 while under way, then the queue can be enabled anew', async () => {
    const b = new Bench({ manual: true });
    b.start();
    b.write(d.VIRTIO_MMIO_QUEUE_SEL, 0);
    const done = b.write(d.VIRTIO_MMIO_QUEUE_RESET, 1);
    expect(b.read(d.VIRTIO_MMIO_QUEUE_RESET)).toBe(1);
    b.device.finish();
    await done;
    expect(b.read(d.VIRTIO_MMIO_QUEUE_RESET)).toBe(0);
    expect(b.read(d.VIRTIO_MMIO_QUEUE_READY)).toBe(0);
    b.setUpQueue(0, 32, 0x8000);
    expect(b.device.calls.at(-1)).toMatchObject({
      name: 'startQueue',
      queues: [{ index: 0, size: 32, descTable: 0x8000n }],
    });
  });

  it('§2.6.1 QueueReset does nothing without VIRTIO_F_RING_RESET', () => {
    const b = new Bench();
    b.start(V1);
    expect(b.write(d.VIRTIO_MMIO_QUEUE_RESET, 1)).toBeUndefined();
    expect(b.read(d.VIRTIO_MMIO_QUEUE_READY)).toBe(1);
    expect(b.transport.counters.badQueue).toBe(1);
  });

  it('§2.6.1 a stop that ends after a reset began does not touch the next session', async () => {
    const b = new Bench({ manual: true });
    b.start();
    const stopped = b.write(d.VIRTIO_MMIO_QUEUE_READY, 0);
    const reset = b.write(d.VIRTIO_MMIO_STATUS, 0);
    b.device.finish('reset');
    await reset;
    b.start();
    b.device.finish('stopQueue');
    await stopped;
    expect(b.transport.state.queues.map((queue) => queue.ready)).toEqual([true, true]);
  });
});
