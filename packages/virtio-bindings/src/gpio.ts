import { struct, u8, u16le, u32le } from '@node-vmm/vmm-sys-util/struct';

// VIRTIO 1.3 §5.18 "GPIO Device"; names as there. linux/virtio_gpio.h has the same numbers, and calls
// two of the messages VIRTIO_GPIO_MSG_GET_NAMES and VIRTIO_GPIO_MSG_IRQ_TYPE.

/** §5.18.3: bit number; lines have interrupts, and there is an eventq. */
export const VIRTIO_GPIO_F_IRQ = 0;

/** §5.18.4: `struct virtio_gpio_config`, the configuration space. */
export const VIRTIO_GPIO_CONFIG = struct(
  'virtio_gpio_config',
  { ngpio: u16le(0), gpio_names_size: u32le(4) },
  { size: 8 },
);

/** §5.18.6, in `type`: the names of all lines. */
export const VIRTIO_GPIO_MSG_GET_LINE_NAMES = 0x0001;
/** §5.18.6, in `type`: the direction of a line. */
export const VIRTIO_GPIO_MSG_GET_DIRECTION = 0x0002;
/** §5.18.6, in `type`: `value` is VIRTIO_GPIO_DIRECTION_*. */
export const VIRTIO_GPIO_MSG_SET_DIRECTION = 0x0003;
/** §5.18.6, in `type`: the level that is sensed on a line. */
export const VIRTIO_GPIO_MSG_GET_VALUE = 0x0004;
/** §5.18.6, in `type`: `value` is the level of a line that is an output or becomes one. */
export const VIRTIO_GPIO_MSG_SET_VALUE = 0x0005;
/** §5.18.6, in `type`: `value` is VIRTIO_GPIO_IRQ_TYPE_*. */
export const VIRTIO_GPIO_MSG_SET_IRQ_TYPE = 0x0006;

/** §5.18.6, in `status`: the request was done. */
export const VIRTIO_GPIO_STATUS_OK = 0x0;
/** §5.18.6, in `status`: the request failed. */
export const VIRTIO_GPIO_STATUS_ERR = 0x1;

/** §5.18.6: the line is not active. */
export const VIRTIO_GPIO_DIRECTION_NONE = 0x00;
/** §5.18.6: the line is driven. */
export const VIRTIO_GPIO_DIRECTION_OUT = 0x01;
/** §5.18.6: the line is sensed. */
export const VIRTIO_GPIO_DIRECTION_IN = 0x02;

/** §5.18.6: the interrupt is disabled. */
export const VIRTIO_GPIO_IRQ_TYPE_NONE = 0x00;
/** §5.18.6: from low to high. */
export const VIRTIO_GPIO_IRQ_TYPE_EDGE_RISING = 0x01;
/** §5.18.6: from high to low. */
export const VIRTIO_GPIO_IRQ_TYPE_EDGE_FALLING = 0x02;
/** §5.18.6: any change. */
export const VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH = 0x03;
/** §5.18.6: as long as the line is high. */
export const VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH = 0x04;
/** §5.18.6: as long as the line is low. */
export const VIRTIO_GPIO_IRQ_TYPE_LEVEL_LOW = 0x08;

/** §5.18.6: `struct virtio_gpio_request`, readable by the device. */
export const VIRTIO_GPIO_REQUEST = struct(
  'virtio_gpio_request',
  { type: u16le(0), gpio: u16le(2), value: u32le(4) },
  { size: 8 },
);

/** §5.18.6: `struct virtio_gpio_response`, written by the device; of names, `value` has more bytes. */
export const VIRTIO_GPIO_RESPONSE = struct(
  'virtio_gpio_response',
  { status: u8(0), value: u8(1) },
  { size: 2 },
);

/** §5.18.7, in `status`: the buffer comes back without an interrupt. */
export const VIRTIO_GPIO_IRQ_STATUS_INVALID = 0x0;
/** §5.18.7, in `status`: an interrupt. */
export const VIRTIO_GPIO_IRQ_STATUS_VALID = 0x1;

/** §5.18.7: `struct virtio_gpio_irq_request`, readable by the device: unmasks the line. */
export const VIRTIO_GPIO_IRQ_REQUEST = struct(
  'virtio_gpio_irq_request',
  { gpio: u16le(0) },
  { size: 2 },
);

/** §5.18.7: `struct virtio_gpio_irq_response`, written by the device: masks the line. */
export const VIRTIO_GPIO_IRQ_RESPONSE = struct(
  'virtio_gpio_irq_response',
  { status: u8(0) },
  { size: 1 },
);
