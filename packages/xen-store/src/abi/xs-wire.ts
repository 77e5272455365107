// xen/include/public/io/xs_wire.h: the wire protocol of xenstore.
import { struct, u32 } from '@node-vmm/vmm-sys-util';

/** xen/include/public/io/xs_wire.h. */
export const XS_CONTROL = 0;
/** xen/include/public/io/xs_wire.h. */
export const XS_DIRECTORY = 1;
/** xen/include/public/io/xs_wire.h. */
export const XS_READ = 2;
/** xen/include/public/io/xs_wire.h. */
export const XS_GET_PERMS = 3;
/** xen/include/public/io/xs_wire.h. */
export const XS_WATCH = 4;
/** xen/include/public/io/xs_wire.h. */
export const XS_UNWATCH = 5;
/** xen/include/public/io/xs_wire.h. */
export const XS_TRANSACTION_START = 6;
/** xen/include/public/io/xs_wire.h. */
export const XS_TRANSACTION_END = 7;
/** xen/include/public/io/xs_wire.h. */
export const XS_INTRODUCE = 8;
/** xen/include/public/io/xs_wire.h. */
export const XS_RELEASE = 9;
/** xen/include/public/io/xs_wire.h. */
export const XS_GET_DOMAIN_PATH = 10;
/** xen/include/public/io/xs_wire.h. */
export const XS_WRITE = 11;
/** xen/include/public/io/xs_wire.h. */
export const XS_MKDIR = 12;
/** xen/include/public/io/xs_wire.h. */
export const XS_RM = 13;
/** xen/include/public/io/xs_wire.h. */
export const XS_SET_PERMS = 14;
/** xen/include/public/io/xs_wire.h. */
export const XS_WATCH_EVENT = 15;
/** xen/include/public/io/xs_wire.h. */
export const XS_ERROR = 16;
/** xen/include/public/io/xs_wire.h. */
export const XS_IS_DOMAIN_INTRODUCED = 17;
/** xen/include/public/io/xs_wire.h. */
export const XS_RESUME = 18;
/** xen/include/public/io/xs_wire.h. */
export const XS_SET_TARGET = 19;
/** xen/include/public/io/xs_wire.h. */
export const XS_RESET_WATCHES = 21;
/** xen/include/public/io/xs_wire.h. */
export const XS_DIRECTORY_PART = 22;

/** xen/include/public/io/xs_wire.h: head of every message. `len` is the number of bytes that follow it. */
export const XSD_SOCKMSG = struct(
  'xsd_sockmsg',
  { type: u32(0), req_id: u32(4), tx_id: u32(8), len: u32(12) },
  { size: 16 },
);

/**
 * xen/include/public/io/xs_wire.h: most bytes after the head, in both directions; a client that sends
 * more is disconnected.
 */
export const XENSTORE_PAYLOAD_MAX = 4096;
/** xen/include/public/io/xs_wire.h: longest path in bytes that starts with `/`. */
export const XENSTORE_ABS_PATH_MAX = 3072;
/** xen/include/public/io/xs_wire.h: longest path in bytes that is relative to `/local/domain/<own id>`. */
export const XENSTORE_REL_PATH_MAX = 2048;
