import { struct, u8, u16le, u32le } from '@node-vmm/vmm-sys-util';

// VIRTIO 1.3 §5.16 I2C Adapter Device; linux/virtio_i2c.h.

/** Device ID, §5.16.1; linux/virtio_ids.h. */
export const VIRTIO_ID_I2C_ADAPTER = 34;

/** Feature bit 0, §5.16.3: zero-length requests and VIRTIO_I2C_FLAGS_M_RD. Mandatory. */
export const VIRTIO_I2C_F_ZERO_LENGTH_REQUEST = 0;

/** A failure of this request fails the next one too, §5.16.6.1. */
export const VIRTIO_I2C_FLAGS_FAIL_NEXT = 1 << 0;
/** The request reads. */
export const VIRTIO_I2C_FLAGS_M_RD = 1 << 1;

/** Values of `status`. */
export const VIRTIO_I2C_MSG_OK = 0;
export const VIRTIO_I2C_MSG_ERR = 1;

/** Readable by the device, in front of the data of a write. */
export const VIRTIO_I2C_OUT_HDR = struct(
  'virtio_i2c_out_hdr',
  { addr: u16le(0), padding: u16le(2), flags: u32le(4) },
  { size: 8 },
);

/** Written by the device, behind the data of a read. */
export const VIRTIO_I2C_IN_HDR = struct('virtio_i2c_in_hdr', { status: u8(0) }, { size: 1 });
