import { _IOR, _IOWR, bytes, i32, struct, u32, u64 } from '@node-vmm/vmm-sys-util';

// linux/gpio.h: version 2 of the GPIO character device's interface, Linux 5.10 and later.

/** linux/gpio.h: bytes of names, labels and consumers, the NUL included. */
export const GPIO_MAX_NAME_SIZE = 32;
/** linux/gpio.h: most lines of one request. */
export const GPIO_V2_LINES_MAX = 64;
/** linux/gpio.h: most attributes of a configuration, which is one for all lines of a request. */
export const GPIO_V2_LINE_NUM_ATTRS_MAX = 10;

/** linux/gpio.h: enum gpio_v2_line_flag. */
export const GPIO_V2_LINE_FLAG_USED = 1n << 0n;
/** linux/gpio.h. */
export const GPIO_V2_LINE_FLAG_ACTIVE_LOW = 1n << 1n;
/** linux/gpio.h. */
export const GPIO_V2_LINE_FLAG_INPUT = 1n << 2n;
/** linux/gpio.h. */
export const GPIO_V2_LINE_FLAG_OUTPUT = 1n << 3n;
/** linux/gpio.h. */
export const GPIO_V2_LINE_FLAG_EDGE_RISING = 1n << 4n;
/** linux/gpio.h. */
export const GPIO_V2_LINE_FLAG_EDGE_FALLING = 1n << 5n;

/** linux/gpio.h: enum gpio_v2_line_attr_id. */
export const GPIO_V2_LINE_ATTR_ID_FLAGS = 1;
/** linux/gpio.h. */
export const GPIO_V2_LINE_ATTR_ID_OUTPUT_VALUES = 2;
/** linux/gpio.h. */
export const GPIO_V2_LINE_ATTR_ID_DEBOUNCE = 3;

/** linux/gpio.h: enum gpio_v2_line_event_id. */
export const GPIO_V2_LINE_EVENT_RISING_EDGE = 1;
/** linux/gpio.h. */
export const GPIO_V2_LINE_EVENT_FALLING_EDGE = 2;

/** linux/gpio.h. */
export const GPIOCHIP_INFO = struct(
  'gpiochip_info',
  { name: bytes(0, GPIO_MAX_NAME_SIZE), label: bytes(32, GPIO_MAX_NAME_SIZE), lines: u32(64) },
  { size: 68 },
);

/** linux/gpio.h. */
export const GPIO_V2_LINE_VALUES = struct(
  'gpio_v2_line_values',
  { bits: u64(0), mask: u64(8) },
  { size: 16 },
);

/** linux/gpio.h: with the first member of its union, which is as long as `values`. */
export const GPIO_V2_LINE_ATTRIBUTE = struct(
  'gpio_v2_line_attribute',
  { id: u32(0), padding: u32(4), flags: u64(8) },
  { size: 16 },
);

/** linux/gpio.h: with its attribute's fields at their places: `attr` is a `gpio_v2_line_attribute`. */
export const GPIO_V2_LINE_CONFIG_ATTRIBUTE = struct(
  'gpio_v2_line_config_attribute',
  { attr: bytes(0, GPIO_V2_LINE_ATTRIBUTE.SIZE), mask: u64(16) },
  { size: 24 },
);

/** linux/gpio.h. */
export const GPIO_V2_LINE_CONFIG = struct(
  'gpio_v2_line_config',
  {
    flags: u64(0),
    num_attrs: u32(8),
    padding: bytes(12, 20),
    attrs: bytes(32, GPIO_V2_LINE_NUM_ATTRS_MAX * GPIO_V2_LINE_CONFIG_ATTRIBUTE.SIZE),
  },
  { size: 272 },
);

/** linux/gpio.h. */
export const GPIO_V2_LINE_REQUEST = struct(
  'gpio_v2_line_request',
  {
    offsets: bytes(0, GPIO_V2_LINES_MAX * 4),
    consumer: bytes(256, GPIO_MAX_NAME_SIZE),
    config: bytes(288, GPIO_V2_LINE_CONFIG.SIZE),
    num_lines: u32(560),
    event_buffer_size: u32(564),
    padding: bytes(568, 20),
    fd: i32(588),
  },
  { size: 592 },
);

/** linux/gpio.h. */
export const GPIO_V2_LINE_INFO = struct(
  'gpio_v2_line_info',
  {
    name: bytes(0, GPIO_MAX_NAME_SIZE),
    consumer: bytes(32, GPIO_MAX_NAME_SIZE),
    offset: u32(64),
    num_attrs: u32(68),
    flags: u64(72),
    attrs: bytes(80, GPIO_V2_LINE_NUM_ATTRS_MAX * GPIO_V2_LINE_ATTRIBUTE.SIZE),
    padding: bytes(240, 16),
  },
  { size: 256 },
);

/** linux/gpio.h. */
export const GPIO_V2_LINE_EVENT = struct(
  'gpio_v2_line_event',
  {
    timestamp_ns: u64(0),
    id: u32(8),
    offset: u32(12),
    seqno: u32(16),
    line_seqno: u32(20),
    padding: bytes(24, 24),
  },
  { size: 48 },
);

/** linux/gpio.h: of `/dev/gpiochipN`. */
export const GPIO_GET_CHIPINFO_IOCTL = _IOR(
  'GPIO_GET_CHIPINFO_IOCTL',
  0xb4,
  0x01,
  GPIOCHIP_INFO.SIZE,
);
/** linux/gpio.h: of `/dev/gpiochipN`. Requests nothing. */
export const GPIO_V2_GET_LINEINFO_IOCTL = _IOWR(
  'GPIO_V2_GET_LINEINFO_IOCTL',
  0xb4,
  0x05,
  GPIO_V2_LINE_INFO.SIZE,
);
/** linux/gpio.h: of `/dev/gpiochipN`. Gives a descriptor, whose closing gives the lines back. */
export const GPIO_V2_GET_LINE_IOCTL = _IOWR(
  'GPIO_V2_GET_LINE_IOCTL',
  0xb4,
  0x07,
  GPIO_V2_LINE_REQUEST.SIZE,
);
/** linux/gpio.h: of the descriptor of lines. */
export const GPIO_V2_LINE_SET_CONFIG_IOCTL = _IOWR(
  'GPIO_V2_LINE_SET_CONFIG_IOCTL',
  0xb4,
  0x0d,
  GPIO_V2_LINE_CONFIG.SIZE,
);
/** linux/gpio.h: of the descriptor of lines. */
export const GPIO_V2_LINE_GET_VALUES_IOCTL = _IOWR(
  'GPIO_V2_LINE_GET_VALUES_IOCTL',
  0xb4,
  0x0e,
  GPIO_V2_LINE_VALUES.SIZE,
);
/** linux/gpio.h: of the descriptor of lines. */
export const GPIO_V2_LINE_SET_VALUES_IOCTL = _IOWR(
  'GPIO_V2_LINE_SET_VALUES_IOCTL',
  0xb4,
  0x0f,
  GPIO_V2_LINE_VALUES.SIZE,
);
