import * as d from '@node-vmm/virtio-bindings';
import type { GuestMmio } from '@node-vmm/vm-device';
import { hex } from '@node-vmm/vmm-sys-util';
import { DriverError } from './errors.ts';

const U32 = 0xffff_ffffn;
const CONFIG_ATTEMPTS = 16;

/** Where a queue lies in guest memory. */
export interface DriverQueueLayout {
  readonly size: number;
  readonly descTable: bigint;
  readonly availRing: bigint;
  readonly usedRing: bigint;
}

/**
 * The driver's side of a virtio-mmio version 2 device (VIRTIO 1.3 §4.2.3): initialization in the
 * order of §3.1.1, queues, interrupts, reset.
 */
export class MmioDriverTransport {
  readonly base: bigint;
  readonly deviceId: number;
  readonly vendorId: number;
  readonly #bus: GuestMmio;

  private constructor(bus: GuestMmio, base: bigint) {
    this.#bus = bus;
    this.base = base;
    this.deviceId = this.readRegister(d.VIRTIO_MMIO_DEVICE_ID);
    this.vendorId = this.readRegister(d.VIRTIO_MMIO_VENDOR_ID);
  }

  /**
   * Looks for a device, and resets it.
   *
   * @param base - guest physical address of its window
   * @param deviceId - type that is wanted (VIRTIO 1.3 §5), any when left out
   * @throws {DriverError} NO_DEVICE, WRONG_DEVICE, TIMEOUT
   */
  static probe(bus: GuestMmio, base: bigint, deviceId?: number): MmioDriverTransport {
    const magic = Number(bus.read(base + BigInt(d.VIRTIO_MMIO_MAGIC_VALUE), 4));
    const version = Number(bus.read(base + BigInt(d.VIRTIO_MMIO_VERSION), 4));
    const context = { guestAddr: base };
    if (magic !== d.VIRTIO_MMIO_MAGIC || version !== d.VIRTIO_MMIO_VERSION_2) {
      const found = `magic ${hex(magic)}, version ${version}`;
      throw new DriverError(
        'NO_DEVICE',
        `Cannot use the device at ${hex(base)}: ${found}`,
        context,
      );
    }
    const transport = new MmioDriverTransport(bus, base);
    if (transport.deviceId === 0) {
      throw new DriverError('NO_DEVICE', `Cannot use the device at ${hex(base)}: none`, context);
    }
    if (deviceId !== undefined && transport.deviceId !== deviceId) {
      throw new DriverError(
        'WRONG_DEVICE',
        `Cannot use the device at ${hex(base)}: its id is ${transport.deviceId}, not ${deviceId}`,
        context,
      );
    }
    transport.reset();
    return transport;
  }

  readRegister(offset: number): number {
    return Number(this.#bus.read(this.base + BigInt(offset), 4));
  }

  writeRegister(offset: number, value: number): void {
    this.#bus.write(this.base + BigInt(offset), 4, BigInt(value));
  }

  get status(): number {
    return this.readRegister(d.VIRTIO_MMIO_STATUS);
  }

  /** §2.4: the write is answered when the reset is complete, which is checked all the same. */
  reset(): void {
    this.writeRegister(d.VIRTIO_MMIO_STATUS, 0);
    if (this.status !== 0) {
      throw new DriverError('BROKEN', `Cannot reset the device at ${hex(this.base)}`, {
        guestAddr: this.base,
      });
    }
  }

  /** Features that the device offers. */
  deviceFeatures(): bigint {
    const word = (sel: number): bigint => {
      this.writeRegister(d.VIRTIO_MMIO_DEVICE_FEATURES_SEL, sel);
      return BigInt(this.readRegister(d.VIRTIO_MMIO_DEVICE_FEATURES));
    };
    return word(0) | (word(1) << 32n);
  }

  /**
   * Steps 2 to 6 of §3.1.1.
   *
   * @param wanted - features to use where the device offers them; VERSION_1 is always needed
   * @param needed - features without which the driver does not work
   * @returns what was negotiated
   * @throws {DriverError} FEATURES_REFUSED
   */
  negotiate(wanted: bigint, needed = 0n): bigint {
    this.#addStatus(d.VIRTIO_CONFIG_S_ACKNOWLEDGE);
    this.#addStatus(d.VIRTIO_CONFIG_S_DRIVER);
    const must = needed | d.featureWord(d.VIRTIO_F_VERSION_1);
    const features = this.deviceFeatures() & (wanted | must);
    const context = { guestAddr: this.base };
    if ((features & must) !== must) {
      this.#addStatus(d.VIRTIO_CONFIG_S_FAILED);
      const text = `Cannot drive the device at ${hex(this.base)}: it lacks ${hex(must & ~features)}`;
      throw new DriverError('FEATURES_REFUSED', text, context);
    }
    this.writeRegister(d.VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
    this.writeRegister(d.VIRTIO_MMIO_DRIVER_FEATURES, Number(features >> 32n));
    this.writeRegister(d.VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
    this.writeRegister(d.VIRTIO_MMIO_DRIVER_FEATURES, Number(features & U32));
    this.#addStatus(d.VIRTIO_CONFIG_S_FEATURES_OK);
    if ((this.status & d.VIRTIO_CONFIG_S_FEATURES_OK) === 0) {
      this.#addStatus(d.VIRTIO_CONFIG_S_FAILED);
      const text = `Cannot drive the device at ${hex(this.base)}: it refuses ${hex(features)}`;
      throw new DriverError('FEATURES_REFUSED', text, context);
    }
    return features;
  }

  /** Largest size of a queue, 0 when there is no such queue. */
  queueMaxSize(queue: number): number {
    this.writeRegister(d.VIRTIO_MMIO_QUEUE_SEL, queue);
    return this.readRegister(d.VIRTIO_MMIO_QUEUE_NUM_MAX);
  }

  /** §4.2.3.2. @throws {DriverError} QUEUE_REFUSED */
  setUpQueue(queue: number, layout: DriverQueueLayout): void {
    const max = this.queueMaxSize(queue);
    this.writeRegister(d.VIRTIO_MMIO_QUEUE_NUM, layout.size);
    this.#writeAddress(d.VIRTIO_MMIO_QUEUE_DESC_LOW, layout.descTable);
    this.#writeAddress(d.VIRTIO_MMIO_QUEUE_AVAIL_LOW, layout.availRing);
    this.#writeAddress(d.VIRTIO_MMIO_QUEUE_USED_LOW, layout.usedRing);
    this.writeRegister(d.VIRTIO_MMIO_QUEUE_READY, 1);
    if (this.readRegister(d.VIRTIO_MMIO_QUEUE_READY) === 1) return;
    const text = `Cannot enable queue ${queue}: refused with size ${layout.size} of at most ${max}`;
    throw new DriverError('QUEUE_REFUSED', text, { guestAddr: this.base, queue });
  }

  /** §4.2.2.2: stops a queue; its memory may be reused afterwards. */
  stopQueue(queue: number): void {
    this.writeRegister(d.VIRTIO_MMIO_QUEUE_SEL, queue);
    this.writeRegister(d.VIRTIO_MMIO_QUEUE_READY, 0);
    if (this.readRegister(d.VIRTIO_MMIO_QUEUE_READY) === 0) return;
    throw new DriverError('BROKEN', `Cannot stop queue ${queue}: it stays ready`, { queue });
  }

  /** §2.6.1, with VIRTIO_F_RING_RESET. */
  resetQueue(queue: number): void {
    this.writeRegister(d.VIRTIO_MMIO_QUEUE_SEL, queue);
    this.writeRegister(d.VIRTIO_MMIO_QUEUE_RESET, 1);
    if (this.readRegister(d.VIRTIO_MMIO_QUEUE_RESET) === 0) return;
    throw new DriverError('BROKEN', `Cannot reset queue ${queue}: it does not end`, { queue });
  }

  /** Step 8 of §3.1.1: the device is live. */
  driverOk(): void {
    this.#addStatus(d.VIRTIO_CONFIG_S_DRIVER_OK);
  }

  notify(queue: number): void {
    this.writeRegister(d.VIRTIO_MMIO_QUEUE_NOTIFY, queue);
  }

  /**
   * §4.2.3.4: reads and acknowledges what caused an interrupt.
   *
   * @returns bits of InterruptStatus
   * @throws {DriverError} BROKEN when the device needs a reset
   */
  acknowledgeInterrupt(): number {
    const events = this.readRegister(d.VIRTIO_MMIO_INTERRUPT_STATUS);
    if (events !== 0) this.writeRegister(d.VIRTIO_MMIO_INTERRUPT_ACK, events);
    const needsReset =
      (events & d.VIRTIO_MMIO_INT_CONFIG) !== 0 &&
      (this.status & d.VIRTIO_CONFIG_S_NEEDS_RESET) !== 0;
    if (!needsReset) return events;
    throw new DriverError('BROKEN', `Cannot go on with the device at ${hex(this.base)}: reset it`, {
      guestAddr: this.base,
    });
  }

  /**
   * Reads configuration space consistently (§2.5.1).
   *
   * @param offset - bytes, @param length - bytes
   * @throws {DriverError} BROKEN when it never stands still
   */
  readConfig(offset: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let attempt = 0; attempt < CONFIG_ATTEMPTS; attempt++) {
      const before = this.readRegister(d.VIRTIO_MMIO_CONFIG_GENERATION);
      for (let i = 0; i < length; i++) {
        bytes[i] = Number(this.#bus.read(this.base + BigInt(d.VIRTIO_MMIO_CONFIG + offset + i), 1));
      }
      if (this.readRegister(d.VIRTIO_MMIO_CONFIG_GENERATION) === before) return bytes;
    }
    throw new DriverError('BROKEN', 'Cannot read configuration space: it changes all the time', {
      guestAddr: this.base,
    });
  }

  #addStatus(bit: number): void {
    this.writeRegister(d.VIRTIO_MMIO_STATUS, this.status | bit);
  }

  #writeAddress(register: number, address: bigint): void {
    this.writeRegister(register, Number(address & U32));
    this.writeRegister(register + 4, Number(address >> 32n));
  }
}
