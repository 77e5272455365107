// xen/include/public/memory.h: the memory operations in use, and resources of acquire_resource.
import { struct, u16 } from '@node-vmm/vmm-sys-util';

/** xen/include/public/memory.h. */
export const XENMEM_maximum_reservation = 4;
/** xen/include/public/memory.h. */
export const XENMEM_maximum_gpfn = 14;
/** xen/include/public/memory.h. */
export const XENMEM_acquire_resource = 28;

/** xen/include/public/memory.h: argument of `XENMEM_maximum_gpfn` and `XENMEM_maximum_reservation`. */
export const XEN_MEMORY_DOMAIN = struct('xen_memory_domain', { domid: u16(0) }, { size: 2 });

/** xen/include/public/memory.h. */
export const XENMEM_resource_ioreq_server = 0;
/** xen/include/public/memory.h. */
export const XENMEM_resource_grant_table = 1;

/** xen/include/public/memory.h. */
export const XENMEM_resource_ioreq_server_frame_bufioreq = 0;
/** Frame of the n-th page of synchronous ioreqs. */
export function XENMEM_resource_ioreq_server_frame_ioreq(n: number): number {
  return 1 + n;
}
