import type { GuestAddress } from '@node-vmm/vm-memory';

/**
 * Where a driver put a virtqueue, and what it negotiated. The fields have the names that split rings
 * and vhost-user use. VIRTIO 1.3 §2.6 calls the parts, for both layouts, Descriptor Area, Driver Area
 * and Device Area.
 */
export interface VirtqueueConfig {
  /** Entries, 1..32768; in a split queue a power of two. */
  readonly size: number;
  /** Descriptor Area: descriptor table or packed ring, 16-byte aligned. */
  readonly descTable: GuestAddress;
  /** Driver Area: available ring, 2-byte aligned, or driver event suppression. */
  readonly availRing: GuestAddress;
  /** Device Area: used ring, or device event suppression, 4-byte aligned. */
  readonly usedRing: GuestAddress;
  /** Negotiated feature word; RING_PACKED, EVENT_IDX and INDIRECT_DESC matter here. */
  readonly features: bigint;
}
