import { hasFeature, VIRTIO_F_RING_PACKED } from '@node-vmm/virtio-bindings';
import type { Completion } from '@node-vmm/vm-device';
import { isPowerOfTwo } from '@node-vmm/vmm-sys-util';
import { type QueueWords, wide } from './register-memory.ts';
import type { QueueConfig } from './virtio-device.ts';

const HIGH_WEIGHT = 32n;

/** A 64-bit address register that is written in halves. */
export class AddressRegister {
  readonly #words: QueueWords;
  readonly #low: keyof QueueWords;
  readonly #high: keyof QueueWords;

  constructor(words: QueueWords, area: 'desc' | 'avail' | 'used') {
    this.#words = words;
    this.#low = `${area}Low`;
    this.#high = `${area}High`;
  }

  get value(): bigint {
    return wide(this.#words[this.#low], this.#words[this.#high]);
  }

  set value(address: bigint) {
    this.high = Number(BigInt.asUintN(32, address >> HIGH_WEIGHT));
    this.low = Number(BigInt.asUintN(32, address));
  }

  set low(word: number) {
    this.#words[this.#low] = word;
  }

  set high(word: number) {
    this.#words[this.#high] = word;
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
  readonly desc: AddressRegister;
  readonly avail: AddressRegister;
  readonly used: AddressRegister;
  readonly #words: QueueWords;
  #stopping: Completion | undefined;

  constructor(index: number, maxSize: number, words: QueueWords) {
    this.index = index;
    this.maxSize = maxSize;
    this.#words = words;
    this.desc = new AddressRegister(words, 'desc');
    this.avail = new AddressRegister(words, 'avail');
    this.used = new AddressRegister(words, 'used');
  }

  get size(): number {
    return this.#words.size;
  }

  set size(size: number) {
    this.#words.size = size;
  }

  get ready(): boolean {
    return this.#words.ready !== 0;
  }

  set ready(ready: boolean) {
    this.#words.ready = ready ? 1 : 0;
  }

  /** True while QueueReset reads 1. */
  get resetting(): boolean {
    return this.#words.resetting !== 0;
  }

  set resetting(resetting: boolean) {
    this.#words.resetting = resetting ? 1 : 0;
  }

  /** Set while the device is stopping the queue. */
  get stopping(): Completion | undefined {
    return this.#stopping;
  }

  set stopping(stopping: Completion | undefined) {
    this.#stopping = stopping;
    this.#words.stopping = stopping === undefined ? 0 : 1;
  }

  /** The driver wanted it to stop, here or of whoever had these registers before, and it has not yet. */
  get stops(): boolean {
    return this.#words.stopping !== 0;
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
}
