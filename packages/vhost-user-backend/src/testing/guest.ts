import { GuestMemoryMmap, guestAddress } from '@node-vmm/vm-memory';
import type { Fd } from '@node-vmm/vmm-sys-util';

/** Ours: where guest memory appears in the front-end's address space, as its messages have it. */
export const USER_BASE = 0x7f00_0000_0000n;
/** Ours: where guest memory begins. */
export const GUEST_BASE = 0x4000_0000n;
/** Ours: bytes of a guest's memory, without another wish. */
export const GUEST_SIZE = 0x20_0000;

/** A memory region as `SET_MEM_TABLE` names it. */
export interface TableRegion {
  readonly guestAddr: bigint;
  readonly size: bigint;
  readonly userAddr: bigint;
  readonly mmapOffset: bigint;
}

/** Guest memory in a memfd, for several rings and their data. */
export class Guest {
  readonly memory: GuestMemoryMmap;
  /** Bytes. */
  readonly size: number;

  /** @param size - bytes; pages take up room when first touched */
  constructor(size: number = GUEST_SIZE) {
    this.size = size;
    this.memory = GuestMemoryMmap.create([{ guestAddr: guestAddress(GUEST_BASE), length: size }]);
  }

  /** Memory table payload; its descriptors are `fds`. */
  get regions(): TableRegion[] {
    return [
      { guestAddr: GUEST_BASE, size: BigInt(this.size), userAddr: USER_BASE, mmapOffset: 0n },
    ];
  }

  get fds(): Fd[] {
    return this.memory.sharedRegions.map(({ fd }) => fd);
  }

  close(): void {
    this.memory.close();
  }
}
