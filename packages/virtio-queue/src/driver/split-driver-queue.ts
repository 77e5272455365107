import {
  hasFeature,
  VIRTIO_RING_F_EVENT_IDX,
  VIRTQ_AVAIL_F_NO_INTERRUPT,
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_WRITE,
  VIRTQ_USED_F_NO_NOTIFY,
  VRING_DESC,
  VRING_DESC_ALIGN_SIZE,
  VRING_USED_ALIGN_SIZE,
} from '@node-vmm/virtio-bindings';
import type { GuestAddress, GuestMemory } from '@node-vmm/vm-memory';
import {
  AVAIL_RING_WORD,
  FLAGS_WORD,
  IDX_WORD,
  SplitRing,
  splitRingSizes,
} from '../split/split-ring.ts';
import type { VirtqueueConfig } from '../virtqueue-config.ts';
import { RawRing } from './raw-ring.ts';
import type { DriverBuffer, UsedRequest, VirtqueueDriver } from './virtqueue-driver.ts';

/** Addresses for a queue's three parts, one after the other. */
export interface QueueLayout {
  readonly size: number;
  readonly descTable: GuestAddress;
  readonly availRing: GuestAddress;
  readonly usedRing: GuestAddress;
  /** Bytes from `descTable` to the end of the used ring. */
  readonly byteLength: number;
}

const alignUp = (value: number, alignment: number): number =>
  Math.ceil(value / alignment) * alignment;

/**
 * The driver side of a split virtqueue: for simulated guests, tests and benchmarks. Keeps the rules of
 * a driver; `raw` breaks them.
 */
export class SplitDriverQueue implements VirtqueueDriver {
  readonly size: number;
  /** Direct access to the ring's fields, for hostile tests. */
  readonly raw: RawRing;
  /** Request that the last `pollUsed` took. */
  usedHead = 0;
  usedWritten = 0;
  readonly #memory: GuestMemory;
  readonly #ring: SplitRing;
  readonly #eventIdx: boolean;
  /** Descriptors: next of the free list, or of the chain; the ring's copy is the device's to see. */
  readonly #next: Uint16Array;
  /** Descriptors of the chain that starts here, 0 for none. */
  readonly #chainSize: Uint16Array;
  #freeHead = 0;
  #free: number;
  #availIdx: number;
  #published: number;
  #usedIdx: number;
  // Requests to wait for before an interrupt; 0 for no interrupts.
  #interruptAfter = 1;

  /**
   * Starts a fresh queue: the rings' headers are overwritten.
   *
   * @param startIndex - first value of both indices, to test the wrap at 65536; a device starts
   * from the same state
   * @throws {VirtioQueueError} as `createVirtqueue`
   */
  constructor(memory: GuestMemory, config: VirtqueueConfig, startIndex = 0) {
    const { size } = config;
    const ring = new SplitRing(memory, config, false);
    this.size = size;
    this.raw = new RawRing(ring);
    this.#memory = memory;
    this.#ring = ring;
    this.#eventIdx = hasFeature(config.features, VIRTIO_RING_F_EVENT_IDX);
    this.#next = Uint16Array.from({ length: size }, (_, i) => i + 1);
    this.#chainSize = new Uint16Array(size);
    this.#free = size;
    this.#availIdx = startIndex & 0xffff;
    this.#published = this.#availIdx;
    this.#usedIdx = this.#availIdx;
    ring.avail[FLAGS_WORD] = 0;
    ring.avail[ring.usedEventWord] = this.#usedIdx;
    ring.used[FLAGS_WORD] = 0;
    ring.used[IDX_WORD] = this.#usedIdx;
    ring.used[ring.availEventWord] = this.#usedIdx;
    Atomics.store(ring.avail, IDX_WORD, this.#availIdx);
  }

  /**
   * Lays out a queue.
   *
   * @param base - where the descriptor table goes, 16-byte aligned
   */
  static layout(size: number, base: GuestAddress | bigint = 0n): QueueLayout {
    if (base % BigInt(VRING_DESC_ALIGN_SIZE) !== 0n) {
      throw new RangeError(`"base" expected a multiple of ${VRING_DESC_ALIGN_SIZE}, got ${base}`);
    }
    const { desc, avail, used } = splitRingSizes(size);
    const usedOffset = alignUp(desc + avail, VRING_USED_ALIGN_SIZE);
    return {
      size,
      descTable: base as GuestAddress,
      availRing: (base + BigInt(desc)) as GuestAddress,
      usedRing: (base + BigInt(usedOffset)) as GuestAddress,
      byteLength: usedOffset + used,
    };
  }

  /** Descriptors that are free. */
  get free(): number {
    return this.#free;
  }

  /** Counted by the indices. */
  get outstanding(): number {
    return (this.#availIdx - this.#usedIdx) & 0xffff;
  }

  /** The answer is the chain's head. */
  add(buffers: readonly DriverBuffer[], indirectTable?: GuestAddress): number {
    if (indirectTable !== undefined) return this.#addIndirect(buffers, indirectTable);
    const count = buffers.length;
    if (count === 0) throw new RangeError('Cannot add a request: it has no buffers');
    if (count > this.#free) return -1;
    const head = this.#freeHead;
    let index = head;
    buffers.forEach(({ guestAddr, length, writable }, i) => {
      const low = Number(guestAddr & 0xffff_ffffn);
      const high = Number(guestAddr >> 32n);
      const next = this.#next[index] as number;
      const more = i + 1 < count;
      const flags = (writable ? VIRTQ_DESC_F_WRITE : 0) | (more ? VIRTQ_DESC_F_NEXT : 0);
      this.#putDescriptor(index, low, high, length, flags, more ? next : 0);
      if (more) index = next;
    });
    this.#offer(head, index, count);
    return head;
  }

  /**
   * Adds a request of one buffer that the device writes, without allocation.
   *
   * @returns the chain's head, -1 when no descriptor is free
   */
  addWritable(addrLow: number, addrHigh: number, length: number): number {
    return this.#addOne(addrLow, addrHigh, length, VIRTQ_DESC_F_WRITE);
  }

  /** Adds a request of one buffer that the device reads; as `addWritable`. */
  addReadable(addrLow: number, addrHigh: number, length: number): number {
    return this.#addOne(addrLow, addrHigh, length, 0);
  }

  publish(): boolean {
    const index = this.#availIdx;
    const old = this.#published;
    if (index === old) return false;
    const { avail, used, availEventWord } = this.#ring;
    Atomics.store(avail, IDX_WORD, index);
    this.#published = index;
    if (!this.#eventIdx) return (Atomics.load(used, FLAGS_WORD) & VIRTQ_USED_F_NO_NOTIFY) === 0;
    const event = Atomics.load(used, availEventWord);
    return ((index - event - 1) & 0xffff) < ((index - old) & 0xffff);
  }

  poll(): UsedRequest | undefined {
    return this.pollUsed() ? { head: this.usedHead, written: this.usedWritten } : undefined;
  }

  /**
   * As `poll`, into `usedHead` and `usedWritten`, without allocation. When it finds nothing the
   * device has been asked for an interrupt, unless they are disabled.
   *
   * @throws {Error} when the device returned what it did not have
   */
  pollUsed(): boolean {
    const ring = this.#ring;
    if (Atomics.load(ring.used, IDX_WORD) === this.#usedIdx && !this.#rearm()) return false;
    const word = 1 + 2 * (this.#usedIdx & (this.size - 1));
    const head = ring.usedElems[word] as number;
    const count = this.#chainSize[head] ?? 0;
    if (count === 0)
      throw new Error(`Cannot take back request ${head}: the device did not have it`);
    this.usedHead = head;
    this.usedWritten = ring.usedElems[word + 1] as number;
    this.#usedIdx = (this.#usedIdx + 1) & 0xffff;
    this.#chainSize[head] = 0;
    let last = head;
    for (let i = 1; i < count; i++) last = this.#next[last] as number;
    this.#next[last] = this.#freeHead;
    this.#freeHead = head;
    this.#free += count;
    return true;
  }

  disableInterrupts(): void {
    this.#interruptAfter = 0;
    // With event indices, an event just passed is never reached again.
    if (this.#eventIdx) this.#setUsedEvent((this.#usedIdx - 1) & 0xffff);
    else Atomics.store(this.#ring.avail, FLAGS_WORD, VIRTQ_AVAIL_F_NO_INTERRUPT);
  }

  enableInterrupts(after = 1): boolean {
    this.#interruptAfter = after;
    if (!this.#eventIdx) Atomics.store(this.#ring.avail, FLAGS_WORD, 0);
    return this.#rearm();
  }

  [Symbol.dispose](): void {
    this.#ring[Symbol.dispose]();
  }

  /** Moves the event behind what was polled; true when there is something to poll after all. */
  #rearm(): boolean {
    if (this.#interruptAfter === 0) return false;
    if (this.#eventIdx) {
      // No further than what the device holds, or the interrupt would never come.
      const after = Math.max(1, Math.min(this.#interruptAfter, this.outstanding));
      this.#setUsedEvent((this.#usedIdx + after - 1) & 0xffff);
    }
    return Atomics.load(this.#ring.used, IDX_WORD) !== this.#usedIdx;
  }

  #setUsedEvent(value: number): void {
    const { avail, usedEventWord } = this.#ring;
    if (avail[usedEventWord] !== value) Atomics.store(avail, usedEventWord, value);
  }

  #addOne(addrLow: number, addrHigh: number, length: number, flags: number): number {
    if (this.#free === 0) return -1;
    const head = this.#freeHead;
    this.#putDescriptor(head, addrLow, addrHigh, length, flags, 0);
    this.#offer(head, head, 1);
    return head;
  }

  #addIndirect(buffers: readonly DriverBuffer[], table: GuestAddress): number {
    if (this.#free === 0) return -1;
    const bytes = new Uint8Array(buffers.length * VRING_DESC.SIZE);
    const view = new DataView(bytes.buffer);
    buffers.forEach(({ guestAddr, length, writable }, i) => {
      const more = i + 1 < buffers.length;
      VRING_DESC.write(view, i * VRING_DESC.SIZE, {
        addr: guestAddr,
        len: length,
        flags: (writable ? VIRTQ_DESC_F_WRITE : 0) | (more ? VIRTQ_DESC_F_NEXT : 0),
        next: more ? i + 1 : 0,
      });
    });
    this.#memory.write(table, bytes);
    const low = Number(table & 0xffff_ffffn);
    return this.#addOne(low, Number(table >> 32n), bytes.length, VIRTQ_DESC_F_INDIRECT);
  }

  #putDescriptor(
    index: number,
    addrLow: number,
    addrHigh: number,
    length: number,
    flags: number,
    next: number,
  ): void {
    const { desc } = this.#ring;
    const word = 4 * index;
    desc[word] = addrLow;
    desc[word + 1] = addrHigh;
    desc[word + 2] = length;
    desc[word + 3] = flags | (next << 16);
  }

  /** Takes a filled chain off the free list and puts it into the available ring. */
  #offer(head: number, last: number, count: number): void {
    this.#freeHead = this.#next[last] as number;
    this.#free -= count;
    this.#chainSize[head] = count;
    const slot = AVAIL_RING_WORD + (this.#availIdx & (this.size - 1));
    this.#ring.avail[slot] = head;
    this.#availIdx = (this.#availIdx + 1) & 0xffff;
  }
}
