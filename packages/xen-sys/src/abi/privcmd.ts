// Linux include/uapi/xen/privcmd.h: ioctls of /dev/xen/privcmd.
import { _IOC_NONE, _IOW, struct, u16, u32, u64 } from '@node-vmm/vmm-sys-util';

/**
 * Linux include/uapi/xen/privcmd.h: an array of five arguments follows `op`; the table names them `arg0`
 * to `arg4`.
 */
export const PRIVCMD_HYPERCALL = struct(
  'privcmd_hypercall',
  { op: u64(0), arg0: u64(8), arg1: u64(16), arg2: u64(24), arg3: u64(32), arg4: u64(40) },
  { size: 48 },
);

/** Linux include/uapi/xen/privcmd.h. */
export const PRIVCMD_MMAPBATCH_V2 = struct(
  'privcmd_mmapbatch_v2',
  { num: u32(0), dom: u16(4), addr: u64(8), arr: u64(16), err: u64(24) },
  { size: 32 },
);

/** Linux include/uapi/xen/privcmd.h. */
export const PRIVCMD_DM_OP_BUF = struct(
  'privcmd_dm_op_buf',
  { uptr: u64(0), size: u64(8) },
  { size: 16 },
);

/** Linux include/uapi/xen/privcmd.h. */
export const PRIVCMD_DM_OP = struct(
  'privcmd_dm_op',
  { dom: u16(0), num: u16(2), ubufs: u64(8) },
  { size: 16 },
);

/** Linux include/uapi/xen/privcmd.h. */
export const PRIVCMD_MMAP_RESOURCE = struct(
  'privcmd_mmap_resource',
  { dom: u16(0), type: u32(4), id: u32(8), idx: u32(12), num: u64(16), addr: u64(24) },
  { size: 32 },
);

/** Linux include/uapi/xen/privcmd.h. */
export const PRIVCMD_IRQFD = struct(
  'privcmd_irqfd',
  { dm_op: u64(0), size: u32(8), fd: u32(12), flags: u32(16), dom: u16(20) },
  { size: 24 },
);
/** Linux include/uapi/xen/privcmd.h. */
export const PRIVCMD_IRQFD_FLAG_DEASSIGN = 1;

/** Linux include/uapi/xen/privcmd.h. */
export const PRIVCMD_IOEVENTFD = struct(
  'privcmd_ioeventfd',
  {
    ioreq: u64(0),
    ports: u64(8),
    addr: u64(16),
    addr_len: u32(24),
    event_fd: u32(28),
    vcpus: u32(32),
    vq: u32(36),
    flags: u32(40),
    dom: u16(44),
  },
  { size: 48 },
);
/** Linux include/uapi/xen/privcmd.h. */
export const PRIVCMD_IOEVENTFD_FLAG_DEASSIGN = 1;

/**
 * Linux drivers/xen/privcmd.c: module parameters `dm_op_max_nr_bufs` and `dm_op_buf_max_size` of
 * xen-privcmd, their defaults.
 */
export const PRIVCMD_DM_OP_MAX_NR_BUFS = 16;
/** Linux drivers/xen/privcmd.c. */
export const PRIVCMD_DM_OP_BUF_MAX_SIZE = 4096;

const TYPE = 'P';
/** Linux include/uapi/xen/privcmd.h. */
export const IOCTL_PRIVCMD_HYPERCALL = _IOC_NONE(
  'IOCTL_PRIVCMD_HYPERCALL',
  TYPE,
  0,
  PRIVCMD_HYPERCALL.SIZE,
);
/** Linux include/uapi/xen/privcmd.h. */
export const IOCTL_PRIVCMD_MMAPBATCH_V2 = _IOC_NONE(
  'IOCTL_PRIVCMD_MMAPBATCH_V2',
  TYPE,
  4,
  PRIVCMD_MMAPBATCH_V2.SIZE,
);
/** Linux include/uapi/xen/privcmd.h. */
export const IOCTL_PRIVCMD_DM_OP = _IOC_NONE('IOCTL_PRIVCMD_DM_OP', TYPE, 5, PRIVCMD_DM_OP.SIZE);
/** Linux include/uapi/xen/privcmd.h: the argument points to a `domid_t`. */
export const IOCTL_PRIVCMD_RESTRICT = _IOC_NONE('IOCTL_PRIVCMD_RESTRICT', TYPE, 6, 2);
/** Linux include/uapi/xen/privcmd.h. */
export const IOCTL_PRIVCMD_MMAP_RESOURCE = _IOC_NONE(
  'IOCTL_PRIVCMD_MMAP_RESOURCE',
  TYPE,
  7,
  PRIVCMD_MMAP_RESOURCE.SIZE,
);
/**
 * Linux include/uapi/xen/privcmd.h: Linux >= 6.6 with CONFIG_XEN_PRIVCMD_EVENTFD
 * (CONFIG_XEN_PRIVCMD_IRQFD before 6.7).
 */
export const IOCTL_PRIVCMD_IRQFD = _IOW('IOCTL_PRIVCMD_IRQFD', TYPE, 8, PRIVCMD_IRQFD.SIZE);
/** Linux include/uapi/xen/privcmd.h: Linux >= 6.7 with CONFIG_XEN_PRIVCMD_EVENTFD. */
export const IOCTL_PRIVCMD_IOEVENTFD = _IOW(
  'IOCTL_PRIVCMD_IOEVENTFD',
  TYPE,
  9,
  PRIVCMD_IOEVENTFD.SIZE,
);
