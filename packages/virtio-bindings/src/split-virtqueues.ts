import { struct, u16le, u32le, u64le } from '@node-vmm/vmm-sys-util/struct';

// VIRTIO 1.3 §2.7 "Split Virtqueues"; names of constants as there, names of structs and alignments as
// in linux/virtio_ring.h, which has a draft's VRING_ for VIRTQ_.

/** §2.7.5: the descriptor continues in the one that `next` names. */
export const VIRTQ_DESC_F_NEXT = 1;
/** §2.7.5: the device writes the buffer; without it, the device reads it. */
export const VIRTQ_DESC_F_WRITE = 2;
/** §2.7.5: the buffer is a table of descriptors. */
export const VIRTQ_DESC_F_INDIRECT = 4;
/** §2.7.6, in `avail.flags`: the driver wants no used buffer notification. */
export const VIRTQ_AVAIL_F_NO_INTERRUPT = 1;
/** §2.7.8, in `used.flags`: the device wants no available buffer notification. */
export const VIRTQ_USED_F_NO_NOTIFY = 1;

/** §2.7: alignment of the descriptor table in guest memory, in bytes. */
export const VRING_DESC_ALIGN_SIZE = 16;
/** §2.7: alignment of the available ring in guest memory, in bytes. */
export const VRING_AVAIL_ALIGN_SIZE = 2;
/** §2.7: alignment of the used ring in guest memory, in bytes. */
export const VRING_USED_ALIGN_SIZE = 4;

/** §2.7: largest queue size. */
export const VIRTQUEUE_MAX_SIZE = 32768;

/** §2.7.5: `struct vring_desc`. */
export const VRING_DESC = struct(
  'vring_desc',
  { addr: u64le(0), len: u32le(8), flags: u16le(12), next: u16le(14) },
  { size: 16 },
);

/** §2.7.6: `struct vring_avail`; `ring` and `used_event`, 16 bits each, follow. */
export const VRING_AVAIL = struct('vring_avail', { flags: u16le(0), idx: u16le(2) }, { size: 4 });

/** §2.7.8: `struct vring_used`; `ring` of {@link VRING_USED_ELEM} and a 16-bit `avail_event` follow. */
export const VRING_USED = struct('vring_used', { flags: u16le(0), idx: u16le(2) }, { size: 4 });

/** §2.7.8: `struct vring_used_elem`. */
export const VRING_USED_ELEM = struct(
  'vring_used_elem',
  { id: u32le(0), len: u32le(4) },
  { size: 8 },
);
