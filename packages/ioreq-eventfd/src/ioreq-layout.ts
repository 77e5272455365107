// struct ioreq, xen/include/public/hvm/ioreq.h. Bit fields are seen as parts of one 32-bit word, so
// that `Atomics` can be used on the state.

export const IOREQ_SIZE = 32;
export const IOREQ_OFFSETS = {
  addr: 0,
  data: 8,
  count: 16,
  size: 20,
  vpEport: 24,
  /** `_pad0`, the bit fields and `type`. */
  stateWord: 28,
} as const;

export const STATE_SHIFT = 16;
export const STATE_MASK = 0xf;
export const PTR_BIT: number = 1 << 20;
export const DIR_BIT: number = 1 << 21;
export const DF_BIT: number = 1 << 22;
export const TYPE_SHIFT = 24;

export const STATE_IOREQ_NONE = 0;
export const STATE_IOREQ_READY = 1;
export const STATE_IOREQ_INPROCESS = 2;
export const STATE_IORESP_READY = 3;

export const IOREQ_WRITE = 0;
export const IOREQ_READ = 1;

export const IOREQ_TYPE_PIO = 0;
export const IOREQ_TYPE_COPY = 1;
export const IOREQ_TYPE_PCI_CONFIG = 2;
export const IOREQ_TYPE_TIMEOFFSET = 7;
export const IOREQ_TYPE_INVALIDATE = 8;
