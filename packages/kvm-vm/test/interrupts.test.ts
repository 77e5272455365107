import { Kvm } from '@node-vmm/kvm-sys';
import { KvmMachine } from '@node-vmm/kvm-vm';
import * as d from '@node-vmm/virtio-device';
import { FakeVirtioDevice } from '@node-vmm/virtio-device/testing';
import { DispatchedDevice, DispatchThread } from '@node-vmm/vm-dispatch';
import { EventFd, MainPoller } from '@node-vmm/vmm-sys-util';
import { afterEach, describe, expect, it } from 'vitest';
import { unavailable } from './fixtures/available.ts';
import { MailboxGuest } from './fixtures/mailbox-guest.ts';
import { MmioDriver, QUEUE } from './fixtures/mmio-driver.ts';

/** A million of them, in the closing notes: `NODE_VMM_SOAK=1`. */
const SOAK = process.env['NODE_VMM_SOAK'] !== undefined;
const REQUESTS = SOAK ? 1_000_000 : 1_000;
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

/** A machine of one of the ways, and who serves it. */
class Bench {
  readonly guest: MailboxGuest;
  readonly kernel: boolean;
  readonly #vm: KvmMachine;
  readonly #thread: DispatchThread | undefined;
  readonly #used: readonly Disposable[];
  readonly #kicks: EventFd[] = [];

  private constructor(
    parts: { vm: KvmMachine; guest: MailboxGuest; thread: DispatchThread | undefined },
    kernel: boolean,
    used: readonly Disposable[],
  ) {
    this.#vm = parts.vm;
    this.guest = parts.guest;
    this.#thread = parts.thread;
    this.kernel = kernel;
    this.#used = used;
  }

  static async make(way: (typeof WAYS)[number], vcpus: number): Promise<Bench> {
    const kernel = way.startsWith('by the kernel');
    const kvm = Kvm.open();
    const poller = new MainPoller();
    const thread = way.includes('dispatch') ? await DispatchThread.start({ poller }) : undefined;
    const vm = KvmMachine.create(
      { kvm, poller, ...(thread === undefined ? {} : { host: thread }) },
      { memory: 2 << 20, vcpus, notification: kernel ? 'kernel' : 'user' },
    );
    const guest = await MailboxGuest.start(vm, vcpus);
    return new Bench({ vm, guest, thread }, kernel, [poller, kvm]);
  }

  /** A device that does everything at once: what tells it of a request interrupts the driver. */
  async device(base: bigint, irq: number): Promise<Subject> {
    const { guest, kernel } = this;
    const vm = this.#vm;
    const kick = EventFd.create();
    this.#kicks.push(kick);
    const device = new FakeVirtioDevice({ config: Uint8Array.of(0) });
    const window = { space: 'memory', base, length: d.VIRTIO_MMIO_WINDOW_SIZE } as const;
    const transport = this.#thread === undefined ? this.#here(device, kick, irq) : undefined;
    const registers = transport ?? new DispatchedDevice(device, { irq, configSize: 1 });
    vm.map(window, registers);
    if (registers instanceof DispatchedDevice) {
      if (kernel) vm.connectIrq({ kind: 'line', irq }).irqfd(kick);
      else registers.irqfd(kick);
    }
    registers.setVringInterruptsAssisted(kernel);
    vm.ioeventfd({ guestAddr: base + 0x50n, length: 4, datamatch: BigInt(QUEUE) }, kick);
    const driver = new MmioDriver(guest, base, this.#thread !== undefined);
    await driver.start(device.features);
    const configChanged = (): void => {
      device.config.set([(device.config[0] as number) + 1]);
      registers.configChanged();
    };
    return { guest, driver, kernel, configChanged };
  }

  #here(device: FakeVirtioDevice, kick: EventFd, line: number): d.VirtioMmioTransport {
    const irq = this.#vm.connectIrq({ kind: 'line', irq: line });
    const transport = new d.VirtioMmioTransport(device, { interrupt: () => irq.raise() });
    irq.irqfd(kick, () => transport.queueInterrupt());
    return transport;
  }

  async close(): Promise<void> {
    this.#vm.close();
    await this.#vm.closed;
    this.guest.close();
    this.#thread?.close();
    await this.#thread?.ended;
    for (const used of [...this.#kicks, ...this.#used]) used[Symbol.dispose]();
  }
}

describe.skipIf(unavailable)(`interrupts of a KvmMachine ${unavailable ?? 'on /dev/kvm'}`, () => {
  const timeout = REQUESTS * 20 + 60_000;
  let bench: Bench | undefined;
  afterEach(async () => {
    await bench?.close();
    bench = undefined;
  });

  it.each(WAYS)('are none too few and none too many, %s', { timeout }, async (way) => {
    bench = await Bench.make(way, 1);
    const subject = await bench.device(BASE, IRQ);
    const begun = performance.now();
    const found = await count(subject);
    const seconds = Math.round((performance.now() - begun) / 1000);
    if (SOAK) console.log(`${way}: ${JSON.stringify(found)} in ${seconds} s`);
    expect(found).toMatchObject({ requests: REQUESTS, lost: 0, spurious: 0, status: 0 });
  });

  it.each(WAYS)('reach each vCPU that has a device of its own, %s', { timeout }, async (way) => {
    bench = await Bench.make(way, 2);
    const { guest, kernel } = bench;
    const drive = async (vcpu: number) => {
      const [base, irq] = [BASE + BigInt(0x1000 * vcpu), IRQ + vcpu];
      await bench?.device(base, irq);
      await guest.route(irq, vcpu);
      return () => guest.requests(base, REQUESTS, kernel ? LOOK_EACH : 1, PATIENCE, vcpu);
    };
    const runs = [await drive(0), await drive(1)];
    const nothing = { lost: 0, spurious: 0, status: 0 };
    expect(await Promise.all(runs.map((run) => run()))).toEqual([nothing, nothing]);
  });
});
