// How another process is to map a region of a Xen guest: the flags of a vhost-user memory region
// under XEN_MMAP. Values as in rust-vmm's vm-memory; QEMU's vhost-user.rst has the same for the
// first three.

/** The region is a file, as without Xen. */
export const XEN_MMAP_UNIX = 0;
/** The region is mapped whole by guest frame numbers; the file is privcmd. */
export const XEN_MMAP_FOREIGN = 1;
/** Addresses are grant references; the file is gntdev. */
export const XEN_MMAP_GRANT = 2;
/** With {@link XEN_MMAP_GRANT}: grants are mapped when they are used, not in advance. */
export const XEN_MMAP_NO_ADVANCE_MAP = 8;
