import { struct, u8, u16, u64 } from '@node-vmm/vmm-sys-util/struct';

// QEMU docs/interop/vhost-user.rst, "Inflight I/O tracking": names of structs and fields as there.

/** `QueueRegionSplit` without `desc`, which follows: an entry for each descriptor. */
export const QUEUE_REGION_SPLIT = struct(
  'QueueRegionSplit',
  {
    features: u64(0),
    version: u16(8),
    desc_num: u16(10),
    last_batch_head: u16(12),
    used_idx: u16(14),
  },
  { size: 16 },
);

/** `DescStateSplit`. */
export const DESC_STATE_SPLIT = struct(
  'DescStateSplit',
  { inflight: u8(0), next: u16(6), counter: u64(8) },
  { size: 16 },
);

/** `version` of a region that is in use; 0 is one that nobody has written to. */
export const INFLIGHT_VERSION = 1;

/** What regions are rounded up to in libvhost-user and DPDK, whose areas we go on with and they with ours. */
const INFLIGHT_ALIGNMENT = 64;

/** Bytes of one queue's region. */
export function splitInflightSize(queueSize: number): number {
  const bytes = QUEUE_REGION_SPLIT.SIZE + DESC_STATE_SPLIT.SIZE * queueSize;
  return Math.ceil(bytes / INFLIGHT_ALIGNMENT) * INFLIGHT_ALIGNMENT;
}
