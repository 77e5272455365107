import * as d from '@node-vmm/virtio-device';
import { VIRTIO_MMIO_WINDOW_SIZE } from '@node-vmm/virtio-device';
import { FakeVirtioDevice } from '@node-vmm/virtio-device/testing';
import type { BusHandler } from '@node-vmm/vm-device';
import { DispatchedDevice, DispatchPool, DispatchThread } from '@node-vmm/vm-dispatch';
import { FAKE_XEN_THREAD, KillableThreads } from '@node-vmm/vm-dispatch/testing';
import { EventFd, MainPoller } from '@node-vmm/vmm-sys-util';
import { IOREQ_TYPE_INVALIDATE } from '@node-vmm/xen-sys';
import { describe, expect, it } from 'vitest';
import { until } from '../harness.ts';
import { SuiteThread } from '../suite-thread.ts';
import { XenBench } from '../xen-harness.ts';

const BASE = 0x200_0000n;
const window = (index: bigint) =>
  ({
    space: 'memory',
    base: BASE + index * BigInt(VIRTIO_MMIO_WINDOW_SIZE),
    length: VIRTIO_MMIO_WINDOW_SIZE,
  }) as const;
const RUNNING =
  d.VIRTIO_CONFIG_S_ACKNOWLEDGE |
  d.VIRTIO_CONFIG_S_DRIVER |
  d.VIRTIO_CONFIG_S_FEATURES_OK |
  d.VIRTIO_CONFIG_S_DRIVER_OK;

const answering = (value: bigint): BusHandler => ({ read: () => value, write: () => undefined });

/** A driver whose guest blocks this thread. */
function start(b: XenBench, base: bigint, features: bigint): void {
  const write = (register: number, value: number): void =>
    void b.block(base + BigInt(register), BigInt(value));
  write(d.VIRTIO_MMIO_STATUS, d.VIRTIO_CONFIG_S_ACKNOWLEDGE | d.VIRTIO_CONFIG_S_DRIVER);
  for (const word of [0, 1]) {
    write(d.VIRTIO_MMIO_DRIVER_FEATURES_SEL, word);
    write(d.VIRTIO_MMIO_DRIVER_FEATURES, Number((features >> BigInt(32 * word)) & 0xffff_ffffn));
  }
  write(d.VIRTIO_MMIO_STATUS, RUNNING & ~d.VIRTIO_CONFIG_S_DRIVER_OK);
  write(d.VIRTIO_MMIO_STATUS, RUNNING);
}

describe('A guest of Xen on a dispatch thread', () => {
  const suite = new SuiteThread({ threadModule: FAKE_XEN_THREAD });

  const place = (b: XenBench, index = 0n, irq = 33) => {
    const vm = b.vm();
    const device = new FakeVirtioDevice({});
    const dispatched = new DispatchedDevice(device, { irq });
    vm.map(window(index), dispatched);
    return { vm, device, dispatched };
  };

  it('is answered, kicks and is interrupted while the main thread is busy for two seconds', () => {
    using b = new XenBench(suite.thread);
    const { vm, device, dispatched } = place(b);
    using kick = EventFd.create();
    using call = EventFd.create();
    vm.ioeventfd({ guestAddr: BASE + 0x50n, length: 4, datamatch: 1n }, kick);
    const unwire = dispatched.irqfd(call);
    start(b, BASE, device.features);
    let rounds = 0;
    for (const end = performance.now() + 2000; performance.now() < end; rounds++) {
      expect(b.block(BASE)).toBe(d.VIRTIO_MMIO_MAGIC);
      b.block(BASE + BigInt(d.VIRTIO_MMIO_QUEUE_NOTIFY), 1n);
      expect(kick.drain()).toBe(true);
      call.signal();
      b.blockUntil(() => b.guest.takeInterrupt(33));
      expect(b.block(BASE + BigInt(d.VIRTIO_MMIO_INTERRUPT_STATUS))).toBe(d.VIRTIO_MMIO_INT_VRING);
      b.block(BASE + BigInt(d.VIRTIO_MMIO_INTERRUPT_ACK), BigInt(d.VIRTIO_MMIO_INT_VRING));
    }
    expect(rounds).toBeGreaterThan(0);
    // Not one of them waited for this thread's event loop, which did not turn at all.
    expect(device.names).toEqual([]);
    // One that came while the driver acknowledged may come twice.
    expect(vm.interrupts).toBeGreaterThanOrEqual(rounds);
    expect(vm.memoryBus.ioeventfds).toBe(rounds);
    unwire();
  });

  it('has one level line for devices of both threads', async () => {
    using b = new XenBench(suite.thread, { arch: 'x86_64', guestType: 'PV' });
    const { vm, device, dispatched } = place(b, 0n, 5);
    const source = vm.connectIrq({ kind: 'line', irq: 5 });
    const high = (): boolean => b.domain.interrupts.isHigh('isa', 5);
    start(b, BASE, device.features);
    source.raise();
    await until(high);
    dispatched.queueInterrupt();
    source.lower();
    // What the device has pending keeps it high, and interrupts again after each end of one.
    await expect(b.guest.read(BASE + 0x60n, 4)).resolves.toBe(1n);
    expect(high()).toBe(true);
    expect([b.guest.takeInterrupt(5), b.guest.takeInterrupt(5)]).toEqual([true, true]);
    source.raise();
    await b.guest.write(BASE + 0x64n, 4, 1n);
    expect(high()).toBe(true);
    source.lower();
    await until(() => !high());
    // A device that goes takes its own with it.
    dispatched.queueInterrupt();
    await until(high);
    vm.close();
    await until(() => !high());
  });

  it('waits for the main thread where it gives memory back', async () => {
    using b = new XenBench(suite.thread);
    const vm = b.vm();
    vm.map(window(0n), answering(1n));
    let release = (): void => undefined;
    b.invalidate = () =>
      new Promise<void>((resolve) => {
        release = resolve;
      });
    const access = b.domain.access({ address: 0n, size: 4, type: IOREQ_TYPE_INVALIDATE });
    await until(() => vm.counters.invalidates === 1);
    await until(() => vm.held.now === 1);
    // Other vCPUs go on.
    expect(await b.guest.read(BASE, 4, { vcpu: 1 })).toBe(1n);
    expect(access.done).toBe(false);
    release();
    await access.completed;
  });

  it('is left to another process, which goes on with its device', async () => {
    using b = new XenBench(suite.thread);
    const first = place(b);
    start(b, BASE, first.device.features);
    const kept = await first.vm.keep();
    const state = await first.dispatched.state();
    const waiting = b.domain.access({ address: BASE + 0x70n, size: 4 });
    first.vm.close();
    expect(b.domain.servers.size).toBe(1);
    expect(waiting.done).toBe(false);
    const vm = b.vm('user', kept);
    const device = new FakeVirtioDevice({});
    expect(state).toMatchObject({ status: RUNNING });
    const dispatched = new DispatchedDevice(device, { irq: 33, ...(state && { state }) });
    vm.map(window(0n), dispatched);
    expect(await waiting.completed).toBe(BigInt(RUNNING));
    await until(() => device.names.includes('activate'));
    expect(dispatched.status).toBe(RUNNING);
    vm.close();
    b.guest.checkReleased();
  });
});

describe('A guest of Xen whose dispatch thread ends', () => {
  it('is served by the main thread, as those that come later', async () => {
    const poller = new MainPoller();
    const thread = await DispatchThread.start({ poller }, { threadModule: FAKE_XEN_THREAD });
    using b = new XenBench(thread, { arch: 'x86_64', guestType: 'PV' });
    const vm = b.vm();
    vm.map(window(0n), answering(1n));
    const source = vm.connectIrq({ kind: 'line', irq: 5 });
    source.raise();
    await until(() => b.domain.interrupts.isHigh('isa', 5));
    expect(vm.seated).toBe(true);
    const device = new FakeVirtioDevice({});
    const dispatched = new DispatchedDevice(device, { irq: 6 });
    vm.map(window(1n), dispatched);
    start(b, window(1n).base, device.features);
    dispatched.queueInterrupt();
    await until(() => vm.interrupts === 2);
    await b.guest.read(BASE, 4);
    const [before, bus, held] = [vm.counters.requests, vm.memoryBus, vm.held];
    thread.close();
    await thread.ended;
    expect(vm.seated).toBe(false);
    expect(await b.guest.read(BASE, 4)).toBe(1n);
    // What was counted goes on.
    expect(vm.interrupts).toBe(2);
    expect(vm.counters.requests).toBe(before + 1);
    expect(vm.memoryBus.reads).toBeGreaterThan(bus.reads);
    expect(vm.held.counts.reduce((a, b) => a + b)).toBeGreaterThanOrEqual(
      held.counts.reduce((a, b) => a + b),
    );
    expect(held.counts.some((count) => count > 0)).toBe(true);
    expect(b.domain.interrupts.isHigh('isa', 5)).toBe(true);
    source.lower();
    expect(b.domain.interrupts.isHigh('isa', 5)).toBe(false);
    vm.close();
    const late = b.vm();
    late.map(window(0n), answering(2n));
    expect(await b.guest.read(BASE, 4)).toBe(2n);
    expect(late.seated).toBe(false);
    late.close();
    b.guest.checkReleased();
    poller.close();
  });
});

describe('A guest of Xen whose dispatch thread dies', () => {
  it('goes on with its device on another, with its level line as it was', async () => {
    const poller = new MainPoller();
    using threads = new KillableThreads();
    const options = { threads: 1, threadModule: FAKE_XEN_THREAD };
    await using pool = await DispatchPool.start({ poller }, options);
    using b = new XenBench(pool, { arch: 'x86_64', guestType: 'PV' });
    const vm = b.vm();
    const device = new FakeVirtioDevice({});
    const dispatched = new DispatchedDevice(device, { irq: 5 });
    vm.map(window(0n), dispatched);
    const source = vm.connectIrq({ kind: 'line', irq: 5 });
    const high = (): boolean => b.domain.interrupts.isHigh('isa', 5);
    start(b, BASE, device.features);
    dispatched.queueInterrupt();
    await until(high);
    // What wakes it is a request, of which it may have done anything.
    const [killed, waiting] = [threads.kill(), b.guest.read(BASE + 0x70n, 4)];
    await killed;
    expect(await waiting).toBe(BigInt(RUNNING));
    expect(threads.started).toBe(2);
    expect(vm.seated).toBe(true);
    expect(await b.guest.read(BASE + 0x60n, 4, { vcpu: 1 })).toBe(1n);
    expect(high()).toBe(true);
    await b.guest.write(BASE + 0x64n, 4, 1n);
    await until(() => !high());
    // What devices of this thread want is heard there, too.
    source.raise();
    await until(high);
    const [again, read] = [threads.kill(), b.guest.read(BASE + 0x70n, 4)];
    await again;
    expect(await read).toBe(BigInt(RUNNING));
    await until(high);
    source.lower();
    await until(() => !high());
    expect(device.names).toEqual(['acceptFeatures', 'activate']);
    vm.close();
    b.guest.checkReleased();
    pool.close();
    await pool.ended;
    poller.close();
  });
});
