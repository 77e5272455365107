import { struct, u8, u16le, u32le } from '@node-vmm/vmm-sys-util/struct';

// VIRTIO 1.3 §5.16 "I2C Adapter Device"; names as in linux/virtio_i2c.h. It has no configuration space.

/** §5.16.3: bit number; zero-length requests and VIRTIO_I2C_FLAGS_M_RD. Mandatory. */
export const VIRTIO_I2C_F_ZERO_LENGTH_REQUEST = 0;

/** §5.16.6.1, in `flags`: a failure of this request fails the next one too. */
export const VIRTIO_I2C_FLAGS_FAIL_NEXT = 1 << 0;
/** §5.16.6.1, in `flags`: the request reads. */
export const VIRTIO_I2C_FLAGS_M_RD = 1 << 1;

/** §5.16.6.1, in `status`: the request was done. */
export const VIRTIO_I2C_MSG_OK = 0;
/** §5.16.6.1, in `status`: the request failed. */
export const VIRTIO_I2C_MSG_ERR = 1;

/**
 * §5.16.6.1: `struct virtio_i2c_out_hdr`, readable by the device, in front of the data of a write.
 * `addr` holds a 7-bit address in bits 7..1.
 */
export const VIRTIO_I2C_OUT_HDR = struct(
  'virtio_i2c_out_hdr',
  { addr: u16le(0), padding: u16le(2), flags: u32le(4) },
  { size: 8 },
);

/** §5.16.6.1: `struct virtio_i2c_in_hdr`, written by the device, behind the data of a read. */
export const VIRTIO_I2C_IN_HDR = struct('virtio_i2c_in_hdr', { status: u8(0) }, { size: 1 });
