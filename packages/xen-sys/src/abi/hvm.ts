// xen/include/public/hvm/hvm_op.h and params.h: parameters of guests that are no PV guests.
import { struct, u16, u32, u64 } from '@node-vmm/vmm-sys-util';

/** xen/include/public/hvm/hvm_op.h. */
export const HVMOP_get_param = 1;

/** xen/include/public/hvm/hvm_op.h: argument of `HVMOP_get_param`. */
export const XEN_HVM_PARAM = struct(
  'xen_hvm_param',
  { domid: u16(0), pad: u16(2), index: u32(4), value: u64(8) },
  { size: 16 },
);

/** xen/include/public/hvm/params.h: frame of the page that the guest shares with the xenstore. */
export const HVM_PARAM_STORE_PFN = 1;
/**
 * xen/include/public/hvm/params.h: how many pages the toolstack gave for IOREQ servers; none to guests
 * without a device model.
 */
export const HVM_PARAM_NR_IOREQ_SERVER_PAGES = 33;
