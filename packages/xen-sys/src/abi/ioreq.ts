// xen/include/public/hvm/ioreq.h: the page that the hypervisor and a device model share.
import { struct, u8, u16, u32, u64 } from '@node-vmm/vmm-sys-util';
import { XEN_PAGE_SIZE } from './xen.ts';

/** xen/include/public/hvm/ioreq.h. */
export const IOREQ_READ = 1;
/** xen/include/public/hvm/ioreq.h. */
export const IOREQ_WRITE = 0;

/** xen/include/public/hvm/ioreq.h. */
export const STATE_IOREQ_NONE = 0;
/** xen/include/public/hvm/ioreq.h. */
export const STATE_IOREQ_READY = 1;
/** xen/include/public/hvm/ioreq.h. */
export const STATE_IOREQ_INPROCESS = 2;
/** xen/include/public/hvm/ioreq.h. */
export const STATE_IORESP_READY = 3;

/** xen/include/public/hvm/ioreq.h. */
export const IOREQ_TYPE_PIO = 0;
/** xen/include/public/hvm/ioreq.h. */
export const IOREQ_TYPE_COPY = 1;
/** xen/include/public/hvm/ioreq.h. */
export const IOREQ_TYPE_PCI_CONFIG = 2;
/** xen/include/public/hvm/ioreq.h. */
export const IOREQ_TYPE_TIMEOFFSET = 7;
/** xen/include/public/hvm/ioreq.h. */
export const IOREQ_TYPE_INVALIDATE = 8;

/**
 * xen/include/public/hvm/ioreq.h: one request, the slot of one vCPU. `bits` is no name of the header: it
 * is the byte that the bit-fields `state`, `data_is_ptr`, `dir` and `df` share, as GCC lays them out.
 */
export const IOREQ = struct(
  'ioreq',
  {
    addr: u64(0),
    data: u64(8),
    count: u32(16),
    size: u32(20),
    vp_eport: u32(24),
    _pad0: u16(28),
    bits: u8(30),
    type: u8(31),
  },
  { size: 32 },
);

/** xen/include/public/hvm/ioreq.h: `state:4` within `bits`. */
export const IOREQ_BITS_STATE_MASK = 0x0f;
/** xen/include/public/hvm/ioreq.h: `data_is_ptr:1` within `bits`. */
export const IOREQ_BITS_DATA_IS_PTR = 0x10;
/** xen/include/public/hvm/ioreq.h: `dir:1` within `bits`; set for a read. */
export const IOREQ_BITS_DIR = 0x20;
/** xen/include/public/hvm/ioreq.h: `df:1` within `bits`: a repeated access counts addresses down. */
export const IOREQ_BITS_DF = 0x40;

/** xen/include/public/hvm/ioreq.h: Slots, so vCPUs, of one ioreq page. */
export const IOREQS_PER_PAGE: number = XEN_PAGE_SIZE / IOREQ.SIZE;
