// vhost-user, "Memory region description" under VHOST_USER_PROTOCOL_F_XEN_MMAP: how another process is
// to map a region of a Xen guest. Names and values as in rust-vmm's vm-memory; QEMU's vhost-user.rst
// has the same for the first three.

/** vhost-user `xen_mmap_flags`: the file is mapped as any file is. */
export const XEN_MMAP_UNIX = 0x0;
/** vhost-user `xen_mmap_flags`, bit 0: mapped whole by guest frame numbers; the file is privcmd. */
export const XEN_MMAP_FOREIGN = 0x1;
/** vhost-user `xen_mmap_flags`, bit 1: addresses are grant references; the file is gntdev. */
export const XEN_MMAP_GRANT = 0x2;
/**
 * vhost-user `xen_mmap_flags`, with {@link XEN_MMAP_GRANT}: mapped on demand, piece by piece. The
 * value that the only implementation, rust-vmm's vm-memory, has.
 */
export const XEN_MMAP_NO_ADVANCE_MAP = 0x8;
/** The same as the vhost-user specification numbers it ("Bit 8"). Accepted, never sent. */
export const XEN_MMAP_NO_ADVANCE_MAP_SPEC = 0x100;
