// struct ioreq seen as 32-bit words: the bit fields and the state are parts of one word, so that
// `Atomics` can be used on it. Little endian, as all machines that Xen runs on.
import {
  IOREQ,
  IOREQ_BITS_DATA_IS_PTR,
  IOREQ_BITS_DF,
  IOREQ_BITS_DIR,
  IOREQ_BITS_STATE_MASK,
} from '@node-vmm/xen-sys';

export {
  IOREQ_TYPE_COPY,
  IOREQ_TYPE_INVALIDATE,
  IOREQ_TYPE_PCI_CONFIG,
  IOREQ_TYPE_PIO,
  STATE_IOREQ_INPROCESS,
  STATE_IOREQ_NONE,
  STATE_IOREQ_READY,
  STATE_IORESP_READY,
} from '@node-vmm/xen-sys';

const WORD = 4;
const { OFFSETS } = IOREQ;
const STATE_WORD = Math.floor(OFFSETS.bits / WORD);

/** xen/include/public/hvm/ioreq.h: bytes of a slot, one for each vCPU. */
export const SLOT_SIZE: number = IOREQ.SIZE;
/** Words of a slot. */
export const IOREQ_WORDS: number = IOREQ.SIZE / WORD;
export const ADDR_WORD: number = OFFSETS.addr / WORD;
export const DATA_WORD: number = OFFSETS.data / WORD;
export const COUNT_WORD: number = OFFSETS.count / WORD;
export const SIZE_WORD: number = OFFSETS.size / WORD;
export const PORT_WORD: number = OFFSETS.vp_eport / WORD;
/** The word that holds `bits` and `type`. */
export const BITS_WORD: number = STATE_WORD;

export const STATE_SHIFT: number = 8 * (OFFSETS.bits - WORD * STATE_WORD);
export const STATE_MASK: number = IOREQ_BITS_STATE_MASK;
export const TYPE_SHIFT: number = 8 * (OFFSETS.type - WORD * STATE_WORD);
export const PTR_BIT: number = IOREQ_BITS_DATA_IS_PTR << STATE_SHIFT;
export const DIR_BIT: number = IOREQ_BITS_DIR << STATE_SHIFT;
export const DF_BIT: number = IOREQ_BITS_DF << STATE_SHIFT;
