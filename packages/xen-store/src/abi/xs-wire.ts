// xen/include/public/io/xs_wire.h: the wire protocol of xenstore.
import { struct, u32 } from '@node-vmm/vmm-sys-util';

export const XS_CONTROL = 0;
export const XS_DIRECTORY = 1;
export const XS_READ = 2;
export const XS_GET_PERMS = 3;
export const XS_WATCH = 4;
export const XS_UNWATCH = 5;
export const XS_TRANSACTION_START = 6;
export const XS_TRANSACTION_END = 7;
export const XS_INTRODUCE = 8;
export const XS_RELEASE = 9;
export const XS_GET_DOMAIN_PATH = 10;
export const XS_WRITE = 11;
export const XS_MKDIR = 12;
export const XS_RM = 13;
export const XS_SET_PERMS = 14;
export const XS_WATCH_EVENT = 15;
export const XS_ERROR = 16;
export const XS_IS_DOMAIN_INTRODUCED = 17;
export const XS_RESUME = 18;
export const XS_SET_TARGET = 19;
export const XS_RESET_WATCHES = 21;
export const XS_DIRECTORY_PART = 22;

/** Head of every message. `len` is the number of bytes that follow it. */
export const XSD_SOCKMSG = struct(
  'xsd_sockmsg',
  { type: u32(0), req_id: u32(4), tx_id: u32(8), len: u32(12) },
  { size: 16 },
);

/** Most bytes after the head, in both directions; a client that sends more is disconnected. */
export const XENSTORE_PAYLOAD_MAX = 4096;
/** Longest path in bytes that starts with `/`. */
export const XENSTORE_ABS_PATH_MAX = 3072;
/** Longest path in bytes that is relative to `/local/domain/<own id>`. */
export const XENSTORE_REL_PATH_MAX = 2048;
