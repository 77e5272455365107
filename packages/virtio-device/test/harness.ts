import * as defs from '@node-vmm/virtio-device';
import { RegisterMemory, VirtioMmioTransport } from '@node-vmm/virtio-device';
import { FakeVirtioDevice, type FakeVirtioDeviceOptions } from '@node-vmm/virtio-device/testing';
import { type Held, heldPromise } from '@node-vmm/vm-device';

export const READY_TO_NEGOTIATE = defs.VIRTIO_CONFIG_S_ACKNOWLEDGE | defs.VIRTIO_CONFIG_S_DRIVER;
export const FEATURES_SET = READY_TO_NEGOTIATE | defs.VIRTIO_CONFIG_S_FEATURES_OK;
export const RUNNING = FEATURES_SET | defs.VIRTIO_CONFIG_S_DRIVER_OK;

/** A transport with its fake device, and a driver's register accesses. */
export class Bench {
  readonly device: FakeVirtioDevice;
  readonly transport: VirtioMmioTransport;
  readonly registers: RegisterMemory;
  interrupts = 0;
  acknowledged = 0;
  readonly warnings: object[] = [];
  /** Who waits for the same thing gets the same promise. */
  readonly #promises = new Map<Held, Promise<void>>();

  /** @param registers - of another, default: fresh */
  constructor(options: FakeVirtioDeviceOptions = {}, registers?: RegisterMemory) {
    this.device = new FakeVirtioDevice(options);
    this.registers = registers ?? new RegisterMemory(this.device.queueMaxSizes.length);
    const logger = {
      debug: () => undefined,
      info: () => undefined,
      warn: (context: object) => void this.warnings.push(context),
      error: () => undefined,
      child: () => logger,
    };
    this.transport = new VirtioMmioTransport(this.device, {
      interrupt: () => {
        this.interrupts++;
      },
      interruptsAcknowledged: () => {
        this.acknowledged++;
      },
      registers: this.registers,
      logger,
    });
  }

  read(register: number): number {
    return Number(this.transport.read(register, 4));
  }

  write(register: number, value: number): Promise<void> | undefined {
    const held: Held | undefined = this.transport.write(register, 4, BigInt(value));
    if (held === undefined) return undefined;
    const promise = this.#promises.get(held) ?? heldPromise(held);
    this.#promises.set(held, promise);
    return promise;
  }

  negotiate(features = this.device.features): void {
    this.write(defs.VIRTIO_MMIO_STATUS, READY_TO_NEGOTIATE);
    this.writeFeatures(features);
    this.write(defs.VIRTIO_MMIO_STATUS, FEATURES_SET);
  }

  writeFeatures(features: bigint): void {
    this.write(defs.VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
    this.write(defs.VIRTIO_MMIO_DRIVER_FEATURES, Number(features >> 32n));
    this.write(defs.VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
    this.write(defs.VIRTIO_MMIO_DRIVER_FEATURES, Number(features & 0xffff_ffffn));
  }

  setUpQueue(index: number, size = 16, base = 0x1000 * (index + 1)): void {
    this.write(defs.VIRTIO_MMIO_QUEUE_SEL, index);
    this.write(defs.VIRTIO_MMIO_QUEUE_NUM, size);
    this.write(defs.VIRTIO_MMIO_QUEUE_DESC_LOW, base);
    this.write(defs.VIRTIO_MMIO_QUEUE_AVAIL_LOW, base + 0x400);
    this.write(defs.VIRTIO_MMIO_QUEUE_USED_LOW, base + 0x800);
    this.write(defs.VIRTIO_MMIO_QUEUE_READY, 1);
  }

  start(features = this.device.features): void {
    this.negotiate(features);
    this.device.queueMaxSizes.forEach((_, index) => {
      this.setUpQueue(index);
    });
    this.write(defs.VIRTIO_MMIO_STATUS, RUNNING);
  }
}
