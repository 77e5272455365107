import { SimulatedTestGuest } from '@node-vmm/ioreq-eventfd/testing';
import * as d from '@node-vmm/virtio-device';
import { EventFd } from '@node-vmm/vmm-sys-util';
import { describe, expect, it } from 'vitest';
import { RUNNING, startDriver } from '../driver.ts';
import { BASE, Bench, IRQ, until } from '../harness.ts';
import { SuiteThread } from '../suite-thread.ts';

describe('DispatchedDevice', () => {
  const suite = new SuiteThread();

  it('answers reads, kicks and interrupts while the main thread stands still', () => {
    using b = new Bench(suite.thread, { config: Uint8Array.of(1, 2, 3, 4) });
    const [kick, call] = [EventFd.create(), EventFd.create()];
    b.vm.ioeventfd({ guestAddr: BASE + 0x50n, length: 4, datamatch: 1n }, kick);
    b.dispatched.irqfd(call);
    // In one turn of this thread's loop: it does nothing but wait for answers.
    startDriver(b, 1);
    expect(b.read(d.VIRTIO_MMIO_MAGIC_VALUE)).toBe(d.VIRTIO_MMIO_MAGIC);
    expect(b.read(d.VIRTIO_MMIO_DEVICE_ID)).toBe(b.device.deviceId);
    expect(b.read(d.VIRTIO_MMIO_STATUS)).toBe(RUNNING);
    expect(b.dispatched.status).toBe(RUNNING);
    expect(b.read(d.VIRTIO_MMIO_CONFIG, 2)).toBe(0x0201);
    for (let request = 0; request < 100; request++) {
      b.write(d.VIRTIO_MMIO_QUEUE_NOTIFY, 1);
      expect(kick.drain()).toBe(true);
      call.signal();
      expect(b.guest.waitInterrupt(IRQ, 30_000)).toBe(true);
      expect(b.read(d.VIRTIO_MMIO_INTERRUPT_STATUS)).toBe(d.VIRTIO_MMIO_INT_VRING);
      b.write(d.VIRTIO_MMIO_INTERRUPT_ACK, d.VIRTIO_MMIO_INT_VRING);
      expect(b.read(d.VIRTIO_MMIO_INTERRUPT_STATUS)).toBe(0);
    }
    expect(b.device.names).toEqual([]);
    b.vm.close();
    kick.close();
    call.close();
  });

  it('has the device do what the driver wants, in order', async () => {
    using b = new Bench(suite.thread);
    using guest = new SimulatedTestGuest(b.vm.guestResources());
    const write = (register: number, value: number): Promise<void> =>
      guest.write(BASE + BigInt(register), 4, BigInt(value));
    startDriver(b, 1);
    b.write(d.VIRTIO_MMIO_QUEUE_NOTIFY, 1);
    b.write(d.VIRTIO_MMIO_QUEUE_NOTIFY, 1);
    await write(d.VIRTIO_MMIO_QUEUE_READY, 0);
    await write(d.VIRTIO_MMIO_QUEUE_READY, 1);
    await write(d.VIRTIO_MMIO_STATUS, 0);
    expect(b.device.names).toEqual([
      'acceptFeatures',
      'activate',
      'notifyQueue',
      'stopQueue',
      'startQueue',
      'reset',
    ]);
    expect(b.device.calls[1]?.queues).toEqual([
      {
        index: 1,
        size: 8,
        descTable: 0x4000_0000n,
        availRing: 0x4000_1000n,
        usedRing: 0x4000_2000n,
      },
    ]);
    expect(b.read(d.VIRTIO_MMIO_STATUS)).toBe(0);
    expect(b.dispatched.status).toBe(0);
  });

  it('holds a reset until the device is done, and serves other vCPUs meanwhile', async () => {
    using b = new Bench(suite.thread, { manual: true }, { vcpus: 2 });
    using guest = new SimulatedTestGuest(b.vm.guestResources());
    startDriver(b, 1);
    let reset = false;
    const over = guest.write(BASE + BigInt(d.VIRTIO_MMIO_STATUS), 4, 0n).then(() => {
      reset = true;
    });
    await until(() => b.device.names.includes('reset'));
    const status = await guest.read(BASE + BigInt(d.VIRTIO_MMIO_STATUS), 4, { vcpu: 1 });
    expect(Number(status)).toBe(RUNNING);
    expect(reset).toBe(false);
    b.device.finish();
    await over;
    expect(b.read(d.VIRTIO_MMIO_STATUS)).toBe(0);
  });

  it('tells the driver of a new configuration, which it never sees with the old generation', () => {
    using b = new Bench(suite.thread, { config: new Uint8Array(8) });
    startDriver(b, 1);
    for (let round = 1; round < 50; round++) {
      const before = b.read(d.VIRTIO_MMIO_CONFIG_GENERATION);
      b.device.config.fill(round);
      b.dispatched.configChanged();
      expect(b.read(d.VIRTIO_MMIO_CONFIG)).toBe(round * 0x0101_0101);
      expect(b.read(d.VIRTIO_MMIO_CONFIG_GENERATION)).not.toBe(before);
      expect(b.guest.waitInterrupt(IRQ, 30_000)).toBe(true);
      expect(b.read(d.VIRTIO_MMIO_INTERRUPT_STATUS)).toBe(d.VIRTIO_MMIO_INT_CONFIG);
      b.write(d.VIRTIO_MMIO_INTERRUPT_ACK, d.VIRTIO_MMIO_INT_CONFIG);
    }
  });

  it('shows a driver at once what it wrote to configuration', async () => {
    using b = new Bench(suite.thread, { config: new Uint8Array(8) });
    using guest = new SimulatedTestGuest(b.vm.guestResources());
    await guest.write(BASE + 0x102n, 2, 0xbeefn);
    expect(b.read(d.VIRTIO_MMIO_CONFIG)).toBe(0xbeef_0000);
    expect(b.device.calls).toEqual([{ name: 'writeConfig', index: 2, bytes: [0xef, 0xbe] }]);
  });

  it.each(['acceptFeatures', 'activate'])('asks for a reset when %s fails', async (call) => {
    using b = new Bench(suite.thread);
    b.device.failing.add(call);
    startDriver(b, 1);
    await until(() => (b.dispatched.status & d.VIRTIO_CONFIG_S_NEEDS_RESET) !== 0);
    expect(b.logger.lines.some(({ level }) => level === 'warn')).toBe(true);
  });

  it('counts what the driver does wrong where the main thread can read it', async () => {
    using b = new Bench(suite.thread);
    b.write(d.VIRTIO_MMIO_MAGIC_VALUE, 1);
    expect(b.read(d.VIRTIO_MMIO_QUEUE_NOTIFY)).toBe(0);
    expect(b.dispatched.counters).toMatchObject({ readOnly: 1, writeOnly: 1 });
    expect(b.vm.counters.requests).toBe(2);
  });

  it('goes on with the registers of another', async () => {
    using first = new Bench(suite.thread);
    startDriver(first, 1);
    const state = await first.dispatched.state();
    expect(state).toMatchObject({ status: RUNNING, queueSel: 1 });
    first.vm.close();
    expect(first.guest.memory.contains(0x4000_0000n as never, 1)).toBe(true);
  });
});
