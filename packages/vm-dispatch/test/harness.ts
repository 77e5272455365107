import type { AccessHost } from '@node-vmm/ioreq-eventfd';
import {
  SimulatedGuest,
  SimulatedVm,
  type SimulatedVmOptions,
} from '@node-vmm/ioreq-eventfd/simulated';
import { VIRTIO_MMIO_WINDOW_SIZE } from '@node-vmm/virtio-device';
import { FakeVirtioDevice, type FakeVirtioDeviceOptions } from '@node-vmm/virtio-device/testing';
import { DispatchedDevice } from '@node-vmm/vm-dispatch';
import { MainPoller } from '@node-vmm/vmm-sys-util';
import { MemoryLogger } from '@node-vmm/vmm-sys-util/testing';

export const BASE = 0x200_0000n;
export const IRQ = 33;

/** A simulated machine on a dispatch thread, with a device whose work is done here. */
export class Bench implements Disposable {
  readonly poller = new MainPoller();
  readonly vm: SimulatedVm;
  readonly device: FakeVirtioDevice;
  readonly dispatched: DispatchedDevice;
  readonly logger = new MemoryLogger();
  /** Blocks this thread, and with it all that the main thread could do. */
  readonly guest: SimulatedGuest;

  constructor(
    host: AccessHost,
    options: FakeVirtioDeviceOptions = {},
    machine: SimulatedVmOptions = {},
  ) {
    this.vm = SimulatedVm.create({ poller: this.poller, host }, machine);
    this.device = new FakeVirtioDevice(options);
    this.dispatched = new DispatchedDevice(this.device, {
      irq: IRQ,
      configSize: this.device.config.length,
      logger: this.logger,
    });
    this.vm.map({ space: 'memory', base: BASE, length: VIRTIO_MMIO_WINDOW_SIZE }, this.dispatched);
    const { machine: description, fds } = this.vm.guestResources();
    this.guest = new SimulatedGuest(description, fds);
  }

  read(register: number, size = 4): number {
    return Number(this.guest.read(BASE + BigInt(register), size));
  }

  write(register: number, value: number, size = 4): void {
    this.guest.write(BASE + BigInt(register), size, BigInt(value));
  }

  [Symbol.dispose](): void {
    this.guest.close();
    this.vm.close();
    this.poller.close();
  }
}

/** Until something is so; the main thread's loop turns meanwhile. */
export async function until(so: () => boolean): Promise<void> {
  while (!so()) await new Promise((resolve) => setTimeout(resolve, 1));
}
