import { struct, u16, u32 } from '@node-vmm/vmm-sys-util';

/** xen/include/public/domctl.h. */
export const XEN_DOMCTL_pausedomain = 3;
/** xen/include/public/domctl.h. */
export const XEN_DOMCTL_unpausedomain = 4;

/**
 * `struct xen_domctl`, xen/include/public/domctl.h, without its union, whose 128 bytes follow: the
 * operations above have no arguments.
 */
export const XEN_DOMCTL = struct(
  'xen_domctl',
  { cmd: u32(0), interface_version: u32(4), domain: u16(8) },
  { size: 144 },
);

/**
 * xen/include/public/domctl.h: `XEN_DOMCTL_INTERFACE_VERSION` of every release: 4.22, 4.19 to 4.21,
 * 4.18, 4.17, 4.16, 4.15, 4.13 and 4.14. The hypervisor answers any other than its own with EACCES and
 * does nothing.
 */
export const XEN_DOMCTL_INTERFACE_VERSIONS: readonly number[] = [
  0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12,
];
