import { SimulatedTestGuest } from '@node-vmm/ioreq-eventfd/testing';
import * as d from '@node-vmm/virtio-device';
import { BASE, type Bench } from './harness.ts';

const READY = d.VIRTIO_CONFIG_S_ACKNOWLEDGE | d.VIRTIO_CONFIG_S_DRIVER;
const FEATURES_SET = READY | d.VIRTIO_CONFIG_S_FEATURES_OK;
export const RUNNING = FEATURES_SET | d.VIRTIO_CONFIG_S_DRIVER_OK;

/** A driver of a {@link Bench}'s device, on this thread, whose loop turns while the guest waits. */
export class Driver implements Disposable {
  readonly guest: SimulatedTestGuest;
  readonly #features: bigint;

  constructor({ vm, device }: Bench) {
    this.guest = new SimulatedTestGuest(vm.guestResources());
    this.#features = device.features;
  }

  async read(register: number, vcpu = 0): Promise<number> {
    return Number(await this.guest.read(BASE + BigInt(register), 4, { vcpu }));
  }

  write(register: number, value: number, vcpu = 0): Promise<void> {
    return this.guest.write(BASE + BigInt(register), 4, BigInt(value), { vcpu });
  }

  /** Until DRIVER_OK, with queue 1. */
  async start(): Promise<void> {
    await this.write(d.VIRTIO_MMIO_STATUS, READY);
    for (const word of [0, 1]) {
      await this.write(d.VIRTIO_MMIO_DRIVER_FEATURES_SEL, word);
      const features = Number((this.#features >> BigInt(32 * word)) & 0xffff_ffffn);
      await this.write(d.VIRTIO_MMIO_DRIVER_FEATURES, features);
    }
    await this.write(d.VIRTIO_MMIO_STATUS, FEATURES_SET);
    await this.write(d.VIRTIO_MMIO_QUEUE_SEL, 1);
    await this.write(d.VIRTIO_MMIO_QUEUE_NUM, 8);
    await this.write(d.VIRTIO_MMIO_QUEUE_DESC_LOW, 0x4000_0000);
    await this.write(d.VIRTIO_MMIO_QUEUE_AVAIL_LOW, 0x4000_1000);
    await this.write(d.VIRTIO_MMIO_QUEUE_USED_LOW, 0x4000_2000);
    await this.write(d.VIRTIO_MMIO_QUEUE_READY, 1);
    await this.write(d.VIRTIO_MMIO_STATUS, RUNNING);
  }

  [Symbol.dispose](): void {
    this.guest.close();
  }
}

/**
 * A driver's part until DRIVER_OK, with one queue of its device, in which nothing waits for the main thread: this one
 * stands still.
 */
export function startDriver(b: Bench, queue: number): void {
  b.write(d.VIRTIO_MMIO_STATUS, READY);
  for (const word of [0, 1]) {
    b.write(d.VIRTIO_MMIO_DRIVER_FEATURES_SEL, word);
    const features = Number((b.device.features >> BigInt(32 * word)) & 0xffff_ffffn);
    b.write(d.VIRTIO_MMIO_DRIVER_FEATURES, features);
  }
  b.write(d.VIRTIO_MMIO_STATUS, FEATURES_SET);
  b.write(d.VIRTIO_MMIO_QUEUE_SEL, queue);
  b.write(d.VIRTIO_MMIO_QUEUE_NUM, 8);
  b.write(d.VIRTIO_MMIO_QUEUE_DESC_LOW, 0x4000_0000);
  b.write(d.VIRTIO_MMIO_QUEUE_AVAIL_LOW, 0x4000_1000);
  b.write(d.VIRTIO_MMIO_QUEUE_USED_LOW, 0x4000_2000);
  b.write(d.VIRTIO_MMIO_QUEUE_READY, 1);
  b.write(d.VIRTIO_MMIO_STATUS, RUNNING);
}
