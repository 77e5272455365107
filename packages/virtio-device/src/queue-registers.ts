import { hasFeature, VIRTIO_F_RING_PACKED } from '@node-vmm/virtio-bindings';
import type { Completion } from '@node-vmm/vm-device';
import { isPowerOfTwo } from '@node-vmm/vmm-sys-util';
import type { QueueConfig } from './virtio-device.ts';

const HIGH_WEIGHT = 32n;

/** A 64-bit address register that is written in halves. */
export class AddressRegister {
  low = 0;
  high = 0;

  get value(): bigint {
    return (BigInt(this.high) << HIGH_WEIGHT) | BigInt(this.low);
  }

  set value(address: bigint) {
    this.high = Number(BigInt.asUintN(32, address >> HIGH_WEIGHT));
    this.low = Number(BigInt.asUintN(32, address));
  }

  reset(): void {
    this.low = 0;
    this.high = 0;
  }
}

/** State of one queue, for save and restore. */
export interface QueueRegistersState {
  /** What the driver wrote to QueueNum; not checked unless `ready`. */
  readonly size: number;
  readonly ready: boolean;
  readonly descTable: bigint;
  readonly availRing: bigint;
  readonly usedRing: bigint;
}

/** The registers of one queue. Anything may be written; it is judged when the queue is enabled. */
export class QueueRegisters {
  readonly index: number;
  readonly maxSize: number;
  size: number;
  readonly desc = new AddressRegister();
  readonly avail = new AddressRegister();
  readonly used = new AddressRegister();
  ready = false;
  /** True while QueueReset reads 1. */
  resetting = false;
  /** Set while the device is stopping the queue. */
  stopping: Completion | undefined;

  constructor(index: number, maxSize: number) {
    this.index = index;
    this.maxSize = maxSize;
    this.size = 0;
  }

  /**
   * The queue as the driver described it (VIRTIO 1.3 §2.7, §2.8: alignments, size), or what is wrong
   * with it. Whether the areas are memory is for the device to find out.
   */
  config(features: bigint): QueueConfig | string {
    const packed = hasFeature(features, VIRTIO_F_RING_PACKED);
    const { size, maxSize } = this;
    if (size === 0 || size > maxSize || !(packed || isPowerOfTwo(size))) {
      return `size ${size} of at most ${maxSize}`;
    }
    const descTable = this.desc.value;
    const availRing = this.avail.value;
    const usedRing = this.used.value;
    if (descTable === 0n || availRing === 0n || usedRing === 0n) return 'an area at address 0';
    if (descTable % 16n !== 0n || availRing % (packed ? 4n : 2n) !== 0n || usedRing % 4n !== 0n) {
      return 'an area that is not aligned';
    }
    return { index: this.index, size, descTable, availRing, usedRing };
  }

  reset(): void {
    this.size = 0;
    this.ready = false;
    this.resetting = false;
    this.stopping = undefined;
    this.desc.reset();
    this.avail.reset();
    this.used.reset();
  }

  /** Goes on for another. */
  restore({ size, ready, descTable, availRing, usedRing }: QueueRegistersState): void {
    this.size = size;
    this.ready = ready;
    this.desc.value = descTable;
    this.avail.value = availRing;
    this.used.value = usedRing;
  }

  get state(): QueueRegistersState {
    return {
      size: this.size,
      ready: this.ready,
      descTable: this.desc.value,
      availRing: this.avail.value,
      usedRing: this.used.value,
    };
  }
}
