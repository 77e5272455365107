import { struct, u32 } from '@node-vmm/vmm-sys-util';

/** Message header. "All numbers are in the machine native byte order." */
export const VHOST_USER_HEADER = struct(
  'VhostUserHeader',
  { request: u32(0), flags: u32(4), size: u32(8) },
  { size: 12 },
);

/** Header flags: the version in the lower two bits, always 1. */
export const VHOST_USER_VERSION = 0x1;
export const VHOST_USER_VERSION_MASK = 0x3;
/** Bit 2: this message is a reply. */
export const VHOST_USER_REPLY = 0x4;
/** Bit 3: the sender wants an acknowledgement (REPLY_ACK). */
export const VHOST_USER_NEED_REPLY = 0x8;
/** Every bit that a header may carry. */
export const VHOST_USER_KNOWN_FLAGS = 0xf;

/** Most descriptors in one message; the specification needs 8, rust-vmm allows 32. */
export const VHOST_USER_MAX_FDS = 32;
/** Most regions in one memory table: one descriptor each. */
export const VHOST_USER_MAX_MEM_REGIONS = 32;
/** Regions that every back-end takes (VHOST_MEMORY_BASELINE_NREGIONS). */
export const VHOST_USER_BASELINE_MEM_REGIONS = 8;
/** End of the configuration window, as rust-vmm has it. QEMU itself asks for at most 256 bytes. */
export const VHOST_USER_CONFIG_MAX = 4096;
/** Configuration bytes that QEMU moves in one message (VHOST_USER_MAX_CONFIG_SIZE). */
export const VHOST_USER_CONFIG_QEMU_MAX = 256;
/** Payload bytes of the longest message: a configuration window with its header. */
export const VHOST_USER_MAX_PAYLOAD: number = VHOST_USER_CONFIG_MAX + 12;

/** SET_VRING_KICK, CALL, ERR: bits 0..7 are the vring index. */
export const VHOST_USER_VRING_IDX_MASK = 0xff;
/** Bit 8 is set when no descriptor comes along. */
export const VHOST_USER_VRING_NOFD_MASK = 0x100;
/** `flags` of SET_VRING_ADDR: used ring writes go to the dirty log at `log`. */
export const VHOST_VRING_F_LOG = 0;

/** `flags` of GET_CONFIG and SET_CONFIG by the specification. rust-vmm front-ends send 1 and 2. */
export const VHOST_USER_CONFIG_FLAG_WRITABLE = 0;
export const VHOST_USER_CONFIG_FLAG_MIGRATION = 1;
