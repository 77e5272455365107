// xen/include/public/xen.h: hypercall numbers and special domain ids.
/** xen/include/public/xen.h. */
export const __HYPERVISOR_memory_op = 12;
/** xen/include/public/xen.h. */
export const __HYPERVISOR_xen_version = 17;
/** xen/include/public/xen.h. */
export const __HYPERVISOR_event_channel_op = 32;
/** xen/include/public/xen.h. */
export const __HYPERVISOR_hvm_op = 34;
/** xen/include/public/xen.h. */
export const __HYPERVISOR_domctl = 36;
/** xen/include/public/xen.h. */
export const __HYPERVISOR_dm_op = 41;

/** xen/include/public/xen.h: ids from here on are special. */
export const DOMID_FIRST_RESERVED = 0x7ff0;
/** xen/include/public/xen.h. */
export const DOMID_SELF = 0x7ff0;
/** xen/include/public/xen.h. */
export const DOMID_INVALID = 0x7ff4;
/** xen/include/public/xen.h. */
export const DOMID_IDLE = 0x7fff;

/** Linux include/xen/page.h: bytes of a Xen page, whatever the page size of this kernel. */
export const XEN_PAGE_SIZE = 4096;
