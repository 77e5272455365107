// VIRTIO 1.3 §5.16 "I2C Adapter Device"; names as in linux/virtio_i2c.h.
import { struct, u8, u16le, u32le } from '@node-vmm/vmm-sys-util';

export const VIRTIO_ID_I2C_ADAPTER = 34;
/** Feature bit: requests without data are allowed. */
export const VIRTIO_I2C_F_ZERO_LENGTH_REQUEST = 0;

/** Let the following messages fail when this one does. */
export const VIRTIO_I2C_FLAGS_FAIL_NEXT = 1;
/** The message reads. */
export const VIRTIO_I2C_FLAGS_M_RD = 2;

export const VIRTIO_I2C_MSG_OK = 0;
export const VIRTIO_I2C_MSG_ERR = 1;

/** `struct virtio_i2c_out_hdr`; `addr` holds the 7-bit address in bits 7..1. */
export const virtio_i2c_out_hdr = struct(
  'virtio_i2c_out_hdr',
  { addr: u16le(0), padding: u16le(2), flags: u32le(4) },
  { size: 8 },
);
/** `struct virtio_i2c_in_hdr`. */
export const virtio_i2c_in_hdr = struct('virtio_i2c_in_hdr', { status: u8(0) }, { size: 1 });
