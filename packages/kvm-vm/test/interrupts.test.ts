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
const REQUESTS = process.env['NODE_VMM_SOAK'] === undefined ? 1_000 : 1_000_000;
/** The configuration changes between so many. */
const TURNS = 10;
const BASE = 0xd000_0000n;
const IRQ = 5;
/** An interrupt that takes longer is lost, milliseconds. */
const PATIENCE = 30_000;
/** A driver looks at InterruptStatus for each interrupt, which is a way to this process: here, for so many, once. */
const LOOK_EACH = 64;

/** What a device has to interrupt its driver by, and the driver to look at. */
interface Subject {
  readonly guest: MailboxGuest;
  readonly driver: MmioDriver;
  /** Interrupts of used buffers are the kernel's: InterruptStatus has their bit at any time. */
  readonly kernel: boolean;
  readonly configChanged: () => void;
}

/** What goes wrong, of so many requests one after the other. */
async function count({ guest, driver, kernel, configChanged }: Subject) {
  const found = { requests: 0, configs: 0, lost: 0, spurious: 0, status: 0 };
  const idle = kernel ? d.VIRTIO_MMIO_INT_VRING : 0;
  const status = async (expected: number): Promise<void> => {
    if ((await driver.read(d.VIRTIO_MMIO_INTERRUPT_STATUS)) !== expected) found.status++;
  };
  const comes = async (): Promise<boolean> => {
    for (const end = performance.now() + PATIENCE; !guest.takeInterrupt(IRQ); ) {
      if (performance.now() > end) return false;
      await new Promise(setImmediate);
    }
    return true;
  };
  for (let turn = 0; turn < TURNS; turn++) {
    configChanged();
    if (!(await comes())) found.lost++;
    await status(idle | d.VIRTIO_MMIO_INT_CONFIG);
    await driver.write(d.VIRTIO_MMIO_INTERRUPT_ACK, idle | d.VIRTIO_MMIO_INT_CONFIG);
    await status(idle);
    if (guest.takeInterrupt(IRQ)) found.spurious++;
    found.configs++;
    const some = await guest.requests(BASE, REQUESTS / TURNS, kernel ? LOOK_EACH : 1, PATIENCE);
    found.requests += REQUESTS / TURNS;
    found.lost += some.lost;
    found.spurious += some.spurious;
    found.status += some.status;
    if (found.lost > 0) return found;
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
    // A device that has done everything at once: what tells it of a request interrupts the driver.
    using kick = EventFd.create();
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
        irq.irqfd(kick, () => transport.queueInterrupt());
        transport.setVringInterruptsAssisted(kernel);
        configChanged = () => {
          change();
          transport.configChanged();
        };
      } else {
        const dispatched = new DispatchedDevice(device, { irq: IRQ, configSize: 1 });
        vm.map(window, dispatched);
        if (kernel) vm.connectIrq({ kind: 'line', irq: IRQ }).irqfd(kick);
        else dispatched.irqfd(kick);
        dispatched.setVringInterruptsAssisted(kernel);
        configChanged = () => {
          change();
          dispatched.configChanged();
        };
      }
      vm.ioeventfd({ guestAddr: BASE + 0x50n, length: 4, datamatch: BigInt(QUEUE) }, kick);
      const driver = new MmioDriver(guest, BASE, thread !== undefined);
      await driver.start(device.features);
      const begun = performance.now();
      const found = await count({ guest, driver, kernel, configChanged });
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
