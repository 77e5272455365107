import type { Fd } from '@node-vmm/vmm-sys-util';
import type { GuestAddress } from './guest-address.ts';

/** How another process maps a region of a Xen guest, as vhost-user carries it (XEN_MMAP). */
export interface XenMapping {
  /** `XEN_MMAP_FOREIGN`, later `XEN_MMAP_GRANT` and its modifiers. */
  readonly mmapFlags: number;
  /** Domain whose memory it is. */
  readonly domid: number;
}

/** A region that another process can map: what a front-end sends to its back-ends. */
export interface SharedMemoryRegion {
  readonly guestAddr: GuestAddress;
  /** Bytes. */
  readonly length: bigint;
  /** File to map; stays the owner's. */
  readonly fd: Fd;
  /** Byte offset in the file, 0 for Xen. */
  readonly fdOffset: bigint;
  readonly xen?: XenMapping;
}

/** Guest memory that can be lent to another process. */
export interface ShareableMemory {
  /** The regions, in ascending order. Their descriptors live as long as the memory. */
  readonly sharedRegions: readonly SharedMemoryRegion[];
}
