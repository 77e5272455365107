import { VRING_AVAIL, VRING_USED } from '@node-vmm/virtio-bindings';
import { guestAddress } from '@node-vmm/vm-memory';
import type { RingMemory, RingPlace } from '../ring-layout.ts';

/** Position of a ring that no device has served: positions are the next available index. */
export const SPLIT_FRESH_POSITION = 0;

/** Both indices of a ring as they stand in guest memory. */
export interface SplitIndices {
  readonly used: number;
  readonly avail: number;
}

/**
 * Reads the used index first: what is returned was available before.
 *
 * @throws {VmMemoryError} OUT_OF_RANGE
 */
export function splitIndices(memory: RingMemory, { usedRing, availRing }: RingPlace): SplitIndices {
  const used = memory.readU16(guestAddress(usedRing + BigInt(VRING_USED.OFFSETS.idx)));
  const avail = memory.readU16(guestAddress(availRing + BigInt(VRING_AVAIL.OFFSETS.idx)));
  return { used, avail };
}

/** Steps from one index to another, upwards: indices wrap at 65536. */
export function distance(from: number, to: number): number {
  return (to - from) & 0xffff;
}
