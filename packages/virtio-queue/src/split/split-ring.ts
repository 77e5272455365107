import {
  VIRTQUEUE_MAX_SIZE,
  VRING_AVAIL,
  VRING_AVAIL_ALIGN_SIZE,
  VRING_DESC,
  VRING_DESC_ALIGN_SIZE,
  VRING_USED,
  VRING_USED_ALIGN_SIZE,
  VRING_USED_ELEM,
} from '@node-vmm/virtio-bindings';
import {
  ACCESS_READ,
  ACCESS_READ_WRITE,
  type Access,
  type GuestAddress,
  type GuestMemory,
  type GuestSlice,
  VmMemoryError,
} from '@node-vmm/vm-memory';
import { hex, isPowerOfTwo } from '@node-vmm/vmm-sys-util';
import { VirtioQueueError } from '../errors.ts';
import type { RingSizes } from '../ring-layout.ts';
import type { VirtqueueConfig } from '../virtqueue-config.ts';

const EVENT_SIZE = 2;

/** Bytes of the three parts for a queue of `size` entries (§2.7). */
export function splitRingSizes(size: number): RingSizes {
  return {
    desc: VRING_DESC.SIZE * size,
    avail: VRING_AVAIL.SIZE + 2 * size + EVENT_SIZE,
    used: VRING_USED.SIZE + VRING_USED_ELEM.SIZE * size + EVENT_SIZE,
  };
}

/** Positions are the next available index: 16 bits, the others are 0. */
export function isSplitPosition(position: number): boolean {
  return Number.isInteger(position) && position >= 0 && position <= 0xffff;
}

/** 16-bit words of `avail` and `used` where both sides' fields are. */
export const FLAGS_WORD = 0;
export const IDX_WORD = 1;
/** First 16-bit word of `avail.ring`. */
export const AVAIL_RING_WORD = 2;

/**
 * The three parts of a split virtqueue as typed arrays over guest memory. Alignment that §2.7
 * demands makes plain words possible; the host is little endian, as the rings are.
 */
export class SplitRing implements Disposable {
  readonly size: number;
  /** Descriptor `i` at `[4 * i, 4 * i + 4)`: addr low, addr high, len, flags and next << 16. */
  readonly desc: Uint32Array;
  /** `flags`, `idx`, `ring[size]`, `used_event`. */
  readonly avail: Uint16Array;
  /** Element `i` at `[1 + 2 * i, 3 + 2 * i)`: id, len. */
  readonly usedElems: Uint32Array;
  /** `flags`, `idx`, elements, `avail_event`. */
  readonly used: Uint16Array;
  /** Words of `avail` and `used` where the event indices are. */
  readonly usedEventWord: number;
  readonly availEventWord: number;
  readonly #slices: GuestSlice[] = [];

  /**
   * @param deviceSide - true to borrow as the device does, false as the driver does
   * @throws {VirtioQueueError} BAD_SIZE, MISALIGNED, RING_NOT_IN_MEMORY, RING_NOT_READY
   */
  constructor(memory: GuestMemory, config: VirtqueueConfig, deviceSide: boolean) {
    const { size, descTable, availRing, usedRing } = config;
    if (!isPowerOfTwo(size) || size > VIRTQUEUE_MAX_SIZE) {
      throw new VirtioQueueError(
        'BAD_SIZE',
        `Cannot use a queue of ${size} entries: expected a power of two up to ${VIRTQUEUE_MAX_SIZE}`,
        { size },
      );
    }
    this.size = size;
    const bytes = splitRingSizes(size);
    const own = ACCESS_READ_WRITE;
    const borrow = (
      part: string,
      guestAddr: GuestAddress,
      length: number,
      alignment: number,
      access: Access,
    ): Uint8Array => {
      if (guestAddr % BigInt(alignment) !== 0n) throw misaligned(part, guestAddr, alignment);
      let slice: GuestSlice;
      try {
        slice = memory.slice(guestAddr, length, access);
      } catch (cause) {
        throw unusable(part, guestAddr, length, cause);
      }
      this.#slices.push(slice);
      // A region may itself be mapped at an odd place; words need alignment in this process.
      const word = Math.min(alignment, Uint32Array.BYTES_PER_ELEMENT);
      if (slice.hostAddress % word !== 0 || slice.bytes.byteOffset % word !== 0) {
        throw misaligned(part, guestAddr, alignment);
      }
      return slice.bytes;
    };
    try {
      const desc = borrow(
        'descriptor table',
        descTable,
        bytes.desc,
        VRING_DESC_ALIGN_SIZE,
        deviceSide ? ACCESS_READ : own,
      );
      const avail = borrow(
        'available ring',
        availRing,
        bytes.avail,
        VRING_AVAIL_ALIGN_SIZE,
        deviceSide ? ACCESS_READ : own,
      );
      const used = borrow(
        'used ring',
        usedRing,
        bytes.used,
        VRING_USED_ALIGN_SIZE,
        deviceSide ? own : ACCESS_READ,
      );
      this.desc = new Uint32Array(desc.buffer, desc.byteOffset, 4 * size);
      this.avail = new Uint16Array(avail.buffer, avail.byteOffset, bytes.avail / 2);
      this.used = new Uint16Array(used.buffer, used.byteOffset, bytes.used / 2);
      this.usedElems = new Uint32Array(used.buffer, used.byteOffset, 1 + 2 * size);
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
    this.usedEventWord = AVAIL_RING_WORD + size;
    this.availEventWord = 2 + 4 * size;
  }

  /** Gives the memory back; the arrays must not be touched any more. Idempotent. */
  [Symbol.dispose](): void {
    for (const slice of this.#slices) slice.release();
  }
}

function misaligned(part: string, guestAddr: bigint, alignment: number): VirtioQueueError {
  return new VirtioQueueError(
    'MISALIGNED',
    `Cannot use the ${part} at ${hex(guestAddr)}: expected a multiple of ${alignment}`,
    { part, guestAddr },
  );
}

function unusable(
  part: string,
  guestAddr: bigint,
  length: number,
  cause: unknown,
): VirtioQueueError {
  const notYet = VmMemoryError.is(cause) && cause.code === 'NOT_YET';
  return new VirtioQueueError(
    notYet ? 'RING_NOT_READY' : 'RING_NOT_IN_MEMORY',
    `Cannot use the ${part} at ${hex(guestAddr)}: its ${length} bytes are not ` +
      (notYet ? 'mapped yet' : 'in guest memory'),
    { part, guestAddr },
    { cause },
  );
}
