import { VRING_DESC } from '@node-vmm/virtio-bindings';
import type { DriverBuffer } from '@node-vmm/virtio-queue/driver';
import { type GuestAddress, guestAddress } from '@node-vmm/vm-memory';
import type { Guest } from './guest.ts';
import type { GuestHeap } from './guest-heap.ts';

/** A request in guest memory. */
export interface PlacedRequest {
  /** Readable ones first. */
  readonly buffers: readonly DriverBuffer[];
  /** Where an indirect table of them has room. */
  readonly table: GuestAddress | undefined;
  /** Gives the memory back. */
  release(): void;
}

/**
 * Lays a request out in guest memory.
 *
 * @param readable - what the device reads, a buffer each
 * @param writable - sizes of the buffers that the device writes, in bytes
 * @param indirect - with room for an indirect table
 * @throws {RangeError} when there is no room, with nothing taken
 */
export function placeRequest(
  { memory }: Guest,
  heap: GuestHeap,
  readable: readonly Uint8Array[],
  writable: readonly number[],
  indirect: boolean,
): PlacedRequest {
  const taken: { at: bigint; length: number }[] = [];
  const release = (): void => {
    for (const { at, length } of taken) heap.free(at, length);
  };
  const take = (length: number): GuestAddress => {
    const at = heap.allocate(length);
    taken.push({ at, length });
    return guestAddress(at);
  };
  try {
    const buffers = [
      ...readable.map((data) => {
        const guestAddr = take(data.length);
        memory.write(guestAddr, data);
        return { guestAddr, length: data.length, writable: false };
      }),
      ...writable.map((length) => ({ guestAddr: take(length), length, writable: true })),
    ];
    const table = indirect ? take(buffers.length * VRING_DESC.SIZE) : undefined;
    return { buffers, table, release };
  } catch (error) {
    release();
    throw error;
  }
}
