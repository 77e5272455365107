import { bytes, struct, u8, u16, u32, u64 } from '@node-vmm/vmm-sys-util';

/** `struct vhost_vring_state`, linux/vhost_types.h. */
export const VHOST_VRING_STATE = struct(
  'vhost_vring_state',
  { index: u32(0), num: u32(4) },
  { size: 8 },
);

/** `struct vhost_vring_addr`, linux/vhost_types.h. */
export const VHOST_VRING_ADDR = struct(
  'vhost_vring_addr',
  {
    index: u32(0),
    flags: u32(4),
    desc_user_addr: u64(8),
    used_user_addr: u64(16),
    avail_user_addr: u64(24),
    log_guest_addr: u64(32),
  },
  { size: 40 },
);

/** vhost-user, "Payload": head of a multiple memory regions description. */
export const VHOST_USER_MEMORY = struct(
  'VhostUserMemory',
  { nregions: u32(0), padding: u32(4) },
  { size: 8 },
);

/** vhost-user, "Payload": memory region description. */
export const VHOST_USER_MEMORY_REGION = struct(
  'VhostUserMemoryRegion',
  { guest_phys_addr: u64(0), memory_size: u64(8), userspace_addr: u64(16), mmap_offset: u64(24) },
  { size: 32 },
);

/**
 * vhost-user, "Payload": memory region description once XEN_MMAP has been negotiated; `xen_mmap_data` is
 * the domid.
 */
export const VHOST_USER_MEMORY_REGION_XEN = struct(
  'VhostUserMemoryRegionXen',
  { ...VHOST_USER_MEMORY_REGION.fields, xen_mmap_flags: u32(32), xen_mmap_data: u32(36) },
  { size: 40 },
);

/** vhost-user, "Payload": log description. */
export const VHOST_USER_LOG = struct(
  'VhostUserLog',
  { mmap_size: u64(0), mmap_offset: u64(8) },
  { size: 16 },
);

/** `struct vhost_iotlb_msg`, linux/vhost_types.h. */
export const VHOST_IOTLB_MSG = struct(
  'vhost_iotlb_msg',
  { iova: u64(0), size: u64(8), uaddr: u64(16), perm: u8(24), type: u8(25) },
  { size: 32 },
);

/** vhost-user, "Payload": head of a virtio device config space message; the bytes follow. */
export const VHOST_USER_CONFIG = struct(
  'VhostUserConfig',
  { offset: u32(0), size: u32(4), flags: u32(8) },
  { size: 12 },
);

/** vhost-user, "Payload": vring area description. */
export const VHOST_USER_VRING_AREA = struct(
  'VhostUserVringArea',
  { u64: u64(0), size: u64(8), offset: u64(16) },
  { size: 24 },
);

/**
 * vhost-user, "Payload": inflight description: not packed, so four bytes of padding at its end go over
 * the wire.
 */
export const VHOST_USER_INFLIGHT = struct(
  'VhostUserInflight',
  { mmap_size: u64(0), mmap_offset: u64(8), num_queues: u16(16), queue_size: u16(18) },
  { size: 24 },
);

/** vhost-user, "Payload": UUID of a shared object. */
export const VHOST_USER_SHARED = struct('VhostUserShared', { uuid: bytes(0, 16) }, { size: 16 });

/** vhost-user, "Payload": device state transfer parameters. */
export const VHOST_USER_TRANSFER_DEVICE_STATE = struct(
  'VhostUserTransferDeviceState',
  { direction: u32(0), phase: u32(4) },
  { size: 8 },
);

/** vhost-user, "Payload": mapping into a VIRTIO shared memory region. */
export const VHOST_USER_MMAP = struct(
  'VhostUserMMap',
  { shmid: u8(0), fd_offset: u64(8), shm_offset: u64(16), len: u64(24), flags: u64(32) },
  { size: 40 },
);

/** vhost-user, "Payload": head of a shared memory configuration; 256 sizes of 64 bits follow, by shmid. */
export const VHOST_USER_SHMEM_CONFIG = struct(
  'VhostUserShMemConfig',
  { nregions: u32(0), padding: u32(4) },
  { size: 8 },
);
