import { struct, u32 } from '@node-vmm/vmm-sys-util';

/** vhost-user, "Header": message header. "All numbers are in the machine native byte order." */
export const VHOST_USER_HEADER = struct(
  'VhostUserHeader',
  { request: u32(0), flags: u32(4), size: u32(8) },
  { size: 12 },
);

/** vhost-user, "Header": header flags: the version in the lower two bits, always 1. */
export const VHOST_USER_VERSION = 0x1;
/** vhost-user, "Header". */
export const VHOST_USER_VERSION_MASK = 0x3;
/** vhost-user, "Header": bit 2: this message is a reply. */
export const VHOST_USER_REPLY = 0x4;
/** vhost-user, "Header": bit 3: the sender wants an acknowledgement (REPLY_ACK). */
export const VHOST_USER_NEED_REPLY = 0x8;
/** vhost-user, "Header": every bit that a header may carry. */
export const VHOST_USER_KNOWN_FLAGS = 0xf;

/** Most descriptors in one message; the specification needs 8, rust-vmm allows 32. */
export const VHOST_USER_MAX_FDS = 32;
/**
 * vhost-user, "Multiple memory regions description": most regions in one memory table: one descriptor
 * each.
 */
export const VHOST_USER_MAX_MEM_REGIONS = 32;
/**
 * vhost-user, "Multiple memory regions description": regions that every back-end takes
 * (VHOST_MEMORY_BASELINE_NREGIONS).
 */
export const VHOST_USER_BASELINE_MEM_REGIONS = 8;
/** End of the configuration window, as rust-vmm has it. QEMU itself asks for at most 256 bytes. */
export const VHOST_USER_CONFIG_MAX = 4096;
/** Configuration bytes that QEMU moves in one message (VHOST_USER_MAX_CONFIG_SIZE). */
export const VHOST_USER_CONFIG_QEMU_MAX = 256;
/** vhost-user, "Payload": payload bytes of the longest message: a configuration window with its header. */
export const VHOST_USER_MAX_PAYLOAD: number = VHOST_USER_CONFIG_MAX + 12;

/** vhost-user, "Front-end message types": SET_VRING_KICK, CALL, ERR: bits 0..7 are the vring index. */
export const VHOST_USER_VRING_IDX_MASK = 0xff;
/** vhost-user, "Front-end message types": bit 8 is set when no descriptor comes along. */
export const VHOST_USER_VRING_NOFD_MASK = 0x100;
/** linux/vhost_types.h: `flags` of SET_VRING_ADDR: used ring writes go to the dirty log at `log`. */
export const VHOST_VRING_F_LOG = 0;

/** `flags` of GET_CONFIG and SET_CONFIG by the specification. rust-vmm front-ends send 1 and 2. */
export const VHOST_USER_CONFIG_FLAG_WRITABLE = 0;
/** vhost-user, "Virtio device config space". */
export const VHOST_USER_CONFIG_FLAG_MIGRATION = 1;
