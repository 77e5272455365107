import { Kvm } from '@node-vmm/kvm-sys';
import { KvmMachine } from '@node-vmm/kvm-vm';
import * as d from '@node-vmm/virtio-device';
import { FakeVirtioDevice } from '@node-vmm/virtio-device/testing';
import { DispatchedDevice, DispatchThread } from '@node-vmm/vm-dispatch';
import { EventFd, MainPoller } from '@node-vmm/vmm-sys-util';
import { expect, it } from 'vitest';
import { unavailable } from './fixtures/available.ts';
import { MailboxGuest } from './fixtures/mailbox-guest.ts';
import { MmioDriver, QUEUE } from './fixtures/mmio-driver.ts';

/** A million of them, in the closing notes: `NODE_VMM_SOAK=1`. */
const REQUESTS = process.env['NODE_VMM_SOAK'] === undefined ? 500 : 1_000_000;
/** One change of configuration for so many requests. */
const CONFIG_EVERY = 50;
const BASE = 0xd000_0000n;
const IRQ = 5;
/** An interrupt that takes longer is lost. */
const LOST_MS = 10_000;
const ALONE = d.VIRTIO_MMIO_INT_CONFIG;

/** What a device has to interrupt its driver by, and the driver to look at. */
interface Subject {
  readonly guest: MailboxGuest;
  readonly driver: MmioDriver;
  readonly kick: EventFd;
  readonly call: EventFd;
  readonly configChanged: () => void;
  /** InterruptStatus when there is nothing. */
  readonly idle: number;
}

/** What went wrong, of requests one after the other. */
async function count({ guest, driver, kick, call, configChanged, idle }: Subject) {
  const found = { requests: 0, configs: 0, lost: 0, spurious: 0, status: 0 };
  const wait = async (came: () => boolean): Promise<boolean> => {
    for (const end = performance.now() + LOST_MS; !came(); await new Promise(setImmediate)) {
      if (performance.now() > end) return false;
    }
    return true;
  };
  const interrupted = async (status: number): Promise<void> => {
    if (!(await wait(() => guest.takeInterrupt(IRQ)))) found.lost++;
    if ((await driver.read(d.VIRTIO_MMIO_INTERRUPT_STATUS)) !== status) found.status++;
    await driver.write(d.VIRTIO_MMIO_INTERRUPT_ACK, status);
    if (guest.takeInterrupt(IRQ)) found.spurious++;
  };
  while (found.requests < REQUESTS) {
    if (found.requests % CONFIG_EVERY === 0) {
      configChanged();
      await interrupted(ALONE | idle);
      found.configs++;
      if ((await driver.read(d.VIRTIO_MMIO_INTERRUPT_STATUS)) !== idle) found.status++;
    }
    await driver.write(d.VIRTIO_MMIO_QUEUE_NOTIFY, QUEUE);
    if (!(await wait(() => kick.drain()))) found.lost++;
    call.signal();
    await interrupted(d.VIRTIO_MMIO_INT_VRING);
    found.requests++;
  }
  await new Promise((resolve) => setTimeout(resolve, 100));
  if (guest.takeInterrupt(IRQ)) found.spurious++;
  return found;
}

/** How a queue's notifications and interrupts travel, and who has the registers. */
const WAYS = [
  'by the kernel',
  'in user space',
  'on a dispatch thread',
  'by the kernel, dispatched',
] as const;

it.skipIf(unavailable).each(WAYS)(
  `${unavailable ?? 'on /dev/kvm'} no interrupt is lost and none is spurious, %s`,
  async (way) => {
    const kernel = way.startsWith('by the kernel');
    using kvm = Kvm.open();
    using poller = new MainPoller();
    const thread = way.includes('dispatch') ? await DispatchThread.start({ poller }) : undefined;
    const vm = KvmMachine.create(
      { kvm, poller, ...(thread === undefined ? {} : { host: thread }) },
      { memory: 2 << 20, notification: kernel ? 'kernel' : 'user' },
    );
    const guest = await MailboxGuest.start(vm, 1);
    using kick = EventFd.create();
    using call = EventFd.create();
    try {
      const device = new FakeVirtioDevice({ config: Uint8Array.of(0) });
      const window = { space: 'memory', base: BASE, length: d.VIRTIO_MMIO_WINDOW_SIZE } as const;
      const change = (): void => {
        device.config.set([(device.config[0] as number) + 1]);
      };
      let configChanged: () => void;
      if (thread === undefined) {
        const irq = vm.connectIrq({ kind: 'line', irq: IRQ });
        const transport = new d.VirtioMmioTransport(device, { interrupt: () => irq.raise() });
        vm.map(window, transport);
        irq.irqfd(call, () => transport.queueInterrupt());
        transport.setVringInterruptsAssisted(kernel);
        configChanged = () => {
          change();
          transport.configChanged();
        };
      } else {
        const dispatched = new DispatchedDevice(device, { irq: IRQ, configSize: 1 });
        vm.map(window, dispatched);
        if (kernel) vm.connectIrq({ kind: 'line', irq: IRQ }).irqfd(call);
        else dispatched.irqfd(call);
        dispatched.setVringInterruptsAssisted(kernel);
        configChanged = () => {
          change();
          dispatched.configChanged();
        };
      }
      vm.ioeventfd({ guestAddr: BASE + 0x50n, length: 4, datamatch: BigInt(QUEUE) }, kick);
      const driver = new MmioDriver(guest, BASE, thread !== undefined);
      await driver.start(device.features);
      const idle = kernel ? d.VIRTIO_MMIO_INT_VRING : 0;
      const begun = performance.now();
      const found = await count({ guest, driver, kick, call, configChanged, idle });
      const seconds = Math.round((performance.now() - begun) / 1000);
      console.log(`${way}: ${JSON.stringify(found)} in ${seconds} s`);
      expect(found).toMatchObject({ requests: REQUESTS, lost: 0, spurious: 0, status: 0 });
    } finally {
      vm.close();
      await vm.closed;
      guest.close();
      thread?.close();
      await thread?.ended;
    }
  },
  REQUESTS * 20 + 60_000,
);
