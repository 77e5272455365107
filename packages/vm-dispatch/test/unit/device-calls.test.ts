import { SimulatedTestGuest } from '@node-vmm/ioreq-eventfd/testing';
import * as d from '@node-vmm/virtio-device';
import { describe, expect, it } from 'vitest';
import { startDriver } from '../driver.ts';
import { BASE, Bench, IRQ, until } from '../harness.ts';
import { SuiteThread } from '../suite-thread.ts';

describe('What a driver has its device do on the main thread', () => {
  const suite = new SuiteThread();

  it('needs a reset where the device takes none of the features it offered', async () => {
    using b = new Bench(suite.thread);
    b.device.refused = b.device.features;
    startDriver(b, 0);
    await until(() => (b.dispatched.status & d.VIRTIO_CONFIG_S_NEEDS_RESET) !== 0);
  });

  it.each(['stopQueue', 'reset', 'writeConfig'])(
    'lets the driver go on when %s fails',
    async (call) => {
      using b = new Bench(suite.thread, { config: new Uint8Array(4) });
      using guest = new SimulatedTestGuest(b.vm.guestResources());
      startDriver(b, 0);
      b.device.failing.add(call);
      const [register, value] = {
        stopQueue: [d.VIRTIO_MMIO_QUEUE_READY, 0],
        reset: [d.VIRTIO_MMIO_STATUS, 0],
        writeConfig: [d.VIRTIO_MMIO_CONFIG, 1],
      }[call] as [number, number];
      // Answered at once, and not when time is up.
      const began = performance.now();
      await guest.write(BASE + BigInt(register), 4, BigInt(value));
      expect(performance.now() - began).toBeLessThan(4000);
      expect(b.logger.find('a device failed')?.context).toMatchObject({ call });
      // A queue that was not stopped may still be written.
      if (call === 'stopQueue') {
        await until(() => (b.dispatched.status & d.VIRTIO_CONFIG_S_NEEDS_RESET) !== 0);
      } else {
        expect(b.dispatched.status & d.VIRTIO_CONFIG_S_NEEDS_RESET).toBe(0);
      }
    },
  );

  it('hears of a queue again that is notified while it is being looked at', async () => {
    using b = new Bench(suite.thread);
    startDriver(b, 0);
    const { device } = b;
    const notifyQueue = device.notifyQueue.bind(device);
    device.notifyQueue = (queue) => {
      notifyQueue(queue);
      // The guest waits for nobody, this thread waits for it.
      if (device.names.filter((name) => name === 'notifyQueue').length === 1) {
        b.write(d.VIRTIO_MMIO_QUEUE_NOTIFY, queue);
      }
    };
    b.write(d.VIRTIO_MMIO_QUEUE_NOTIFY, 0);
    await until(() => device.names.filter((name) => name === 'notifyQueue').length === 2);
  });

  it('is told of a new configuration when it can read that, not before', () => {
    using b = new Bench(suite.thread, { config: new Uint8Array(4) });
    startDriver(b, 0);
    const readConfig = b.device.readConfig.bind(b.device);
    let told: boolean | undefined;
    b.device.readConfig = (offset, target) => {
      told = b.guest.waitInterrupt(IRQ, 200);
      return readConfig(offset, target);
    };
    b.dispatched.configChanged();
    expect(told).toBe(false);
    expect(b.guest.waitInterrupt(IRQ, 30_000)).toBe(true);
  });

  it('is of one window', () => {
    using b = new Bench(suite.thread);
    const second = { space: 'memory', base: BASE + 0x1000n, length: 0x200 } as const;
    expect(() => b.vm.map(second, b.dispatched)).toThrow(
      expect.objectContaining({ code: 'NOT_SUPPORTED', message: expect.stringMatching(/already/) }),
    );
    expect(b.read(d.VIRTIO_MMIO_MAGIC_VALUE)).toBe(d.VIRTIO_MMIO_MAGIC);
  });
});
