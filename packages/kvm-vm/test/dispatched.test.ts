import { readdirSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { Kvm } from '@node-vmm/kvm-sys';
import { KvmMachine } from '@node-vmm/kvm-vm';
import * as d from '@node-vmm/virtio-device';
import { FakeVirtioDevice } from '@node-vmm/virtio-device/testing';
import { DispatchedDevice, DispatchPool, DispatchThread } from '@node-vmm/vm-dispatch';
import { KillableThreads } from '@node-vmm/vm-dispatch/testing';
import { EventFd, MainPoller } from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { unavailable } from './fixtures/available.ts';
import { MailboxGuest } from './fixtures/mailbox-guest.ts';
import { MmioDriver, QUEUE, RUNNING } from './fixtures/mmio-driver.ts';

const BASE = 0xd000_0000n;
const IRQ = 5;
const BUSY_MS = 2000;
const WINDOW = { space: 'memory', base: BASE, length: d.VIRTIO_MMIO_WINDOW_SIZE } as const;

describe.skipIf(unavailable)(`a KvmMachine on a dispatch thread ${unavailable ?? ''}`, () => {
  let kvm: Kvm;
  let poller: MainPoller;
  let thread: DispatchThread;
  let vm: KvmMachine;
  let guest: MailboxGuest;

  beforeEach(async () => {
    kvm = Kvm.open();
    poller = new MainPoller();
    thread = await DispatchThread.start({ poller });
    vm = KvmMachine.create(
      { kvm, poller, host: thread },
      { memory: 2 << 20, vcpus: 2, notification: 'user' },
    );
    guest = await MailboxGuest.start(vm, 2);
  });

  afterEach(async () => {
    vm.close();
    await vm.closed;
    guest.close();
    thread.close();
    await thread.ended;
    expect(poller.size).toBe(0);
    poller.close();
    kvm.close();
  });

  it('delays no register read, kick or interrupt while the main thread is busy for two seconds', async () => {
    const device = new FakeVirtioDevice({ config: Uint8Array.of(1, 2, 3, 4) });
    const dispatched = new DispatchedDevice(device, { irq: IRQ, configSize: 4 });
    vm.map(WINDOW, dispatched);
    using kick = EventFd.create();
    using call = EventFd.create();
    vm.ioeventfd({ guestAddr: BASE + 0x50n, length: 4, datamatch: BigInt(QUEUE) }, kick);
    dispatched.irqfd(call);
    const driver = new MmioDriver(guest, BASE, true);
    await driver.start(device.features);
    // One turn of this thread's loop from here on: it does nothing but wait for the guest.
    const begun = performance.now();
    let rounds = 0;
    for (let now = begun; now < begun + BUSY_MS; rounds++) {
      expect(driver.readNow(d.VIRTIO_MMIO_DEVICE_ID)).toBe(device.deviceId);
      expect(driver.readNow(d.VIRTIO_MMIO_CONFIG, 2)).toBe(0x0201);
      driver.writeNow(d.VIRTIO_MMIO_QUEUE_NOTIFY, QUEUE);
      expect(kick.drain()).toBe(true);
      call.signal();
      while (!guest.takeInterrupt(IRQ)) expect(performance.now()).toBeLessThan(begun + 60_000);
      expect(driver.readNow(d.VIRTIO_MMIO_INTERRUPT_STATUS)).toBe(d.VIRTIO_MMIO_INT_VRING);
      driver.writeNow(d.VIRTIO_MMIO_INTERRUPT_ACK, d.VIRTIO_MMIO_INT_VRING);
      expect(guest.takeInterrupt(IRQ)).toBe(false);
      now = performance.now();
    }
    expect(rounds).toBeGreaterThan(1);
    expect(dispatched.status).toBe(RUNNING);
    expect(device.names).toEqual([]);
  });

  it('leaves no descriptor behind, machine after machine, with vCPUs that wait for answers', async () => {
    const open = (): number => readdirSync('/proc/self/fd').length;
    const round = async (): Promise<void> => {
      const one = KvmMachine.create({ kvm, poller, host: thread }, { memory: 2 << 20 });
      const other = await MailboxGuest.start(one, 1);
      one.map(WINDOW, { read: () => 0n, write: () => new Promise(() => undefined) });
      const held = other.write(BASE, 4, 1n);
      while (one.counters.deferred === 0) await delay(1);
      one.close();
      await one.closed;
      await held;
      other.close();
    };
    await round();
    const before = open();
    for (let i = 0; i < 8; i++) await round();
    expect(open()).toBeLessThanOrEqual(before);
  });

  it('has the main thread serve what is no device there, and all of it when the thread is gone', async () => {
    vm.map(WINDOW, { read: () => 0x1234n, write: () => undefined });
    expect(await guest.read(BASE, 4)).toBe(0x1234n);
    thread.close();
    await thread.ended;
    expect(await guest.read(BASE, 4)).toBe(0x1234n);
    expect(await guest.read(BASE, 4, { vcpu: 1 })).toBe(0x1234n);
    // Its counts go on.
    expect(vm.counters.requests).toBe(3);
  });

  it('goes on with its device on another thread when its own dies', async () => {
    using threads = new KillableThreads();
    await using pool = await DispatchPool.start({ poller }, { threads: 1 });
    const one = KvmMachine.create(
      { kvm, poller, host: pool },
      { memory: 2 << 20, notification: 'user' },
    );
    const other = await MailboxGuest.start(one, 1);
    const device = new FakeVirtioDevice({ config: Uint8Array.of(1, 2, 3, 4) });
    const dispatched = new DispatchedDevice(device, { irq: IRQ, configSize: 4 });
    one.map(WINDOW, dispatched);
    using kick = EventFd.create();
    using call = EventFd.create();
    one.ioeventfd({ guestAddr: BASE + 0x50n, length: 4, datamatch: BigInt(QUEUE) }, kick);
    dispatched.irqfd(call);
    const driver = new MmioDriver(other, BASE, true);
    await driver.start(device.features);
    // The first that was started: the others are vCPUs.
    const [killed, waiting] = [threads.kill(0), other.read(BASE + 0x70n, 4)];
    await killed;
    expect(await waiting).toBe(BigInt(RUNNING));
    expect(await other.read(BASE + 0x100n, 2)).toBe(0x0201n);
    await other.write(BASE + 0x50n, 4, BigInt(QUEUE));
    expect(kick.drain()).toBe(true);
    other.takeInterrupt(IRQ);
    call.signal();
    while (!other.takeInterrupt(IRQ)) await delay(1);
    expect(await other.read(BASE + 0x60n, 4)).toBe(BigInt(d.VIRTIO_MMIO_INT_VRING));
    expect(device.names).toEqual(['acceptFeatures', 'activate']);
    one.close();
    await one.closed;
    other.close();
  });
});
