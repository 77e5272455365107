import { struct, u16le, u32le, u64le } from '@node-vmm/vmm-sys-util';

// VIRTIO 1.3 §2.7 "Split Virtqueues"; names of constants as there, names of structs as in
// include/uapi/linux/virtio_ring.h.

/** The descriptor continues in the one that `next` names. */
export const VIRTQ_DESC_F_NEXT = 1;
/** The device writes the buffer; without it, the device reads it. */
export const VIRTQ_DESC_F_WRITE = 2;
/** The buffer is a table of descriptors. */
export const VIRTQ_DESC_F_INDIRECT = 4;
/** In `avail.flags`: the driver wants no used buffer notification. */
export const VIRTQ_AVAIL_F_NO_INTERRUPT = 1;
/** In `used.flags`: the device wants no available buffer notification. */
export const VIRTQ_USED_F_NO_NOTIFY = 1;

/** Alignments of the three parts in guest memory, in bytes (§2.7). */
export const VRING_DESC_ALIGN_SIZE = 16;
export const VRING_AVAIL_ALIGN_SIZE = 2;
export const VRING_USED_ALIGN_SIZE = 4;

/** Largest queue size (§2.7). */
export const VIRTQUEUE_MAX_SIZE = 32768;

/** `struct vring_desc`. */
export const vring_desc = struct(
  'vring_desc',
  { addr: u64le(0), len: u32le(8), flags: u16le(12), next: u16le(14) },
  { size: 16 },
);

/** `struct vring_avail`; `ring` and `used_event`, 16 bits each, follow. */
export const vring_avail = struct('vring_avail', { flags: u16le(0), idx: u16le(2) }, { size: 4 });

/** `struct vring_used`; `ring` of {@link vring_used_elem} and a 16-bit `avail_event` follow. */
export const vring_used = struct('vring_used', { flags: u16le(0), idx: u16le(2) }, { size: 4 });

/** `struct vring_used_elem`. */
export const vring_used_elem = struct(
  'vring_used_elem',
  { id: u32le(0), len: u32le(4) },
  { size: 8 },
);
