import { bytes, legacyIoctl, struct, u8, u16, u32, u64 } from '@node-vmm/vmm-sys-util';

// linux/i2c.h

/** linux/i2c.h: flag of a message that reads. */
export const I2C_M_RD = 0x0001;
/** linux/i2c.h: flag of a message whose address has 10 bits. */
export const I2C_M_TEN = 0x0010;

/** linux/i2c.h: what an adapter can do; I2C_FUNCS reports it. */
export const I2C_FUNC_I2C = 0x0000_0001;
/** linux/i2c.h. */
export const I2C_FUNC_10BIT_ADDR = 0x0000_0002;
/** linux/i2c.h. */
export const I2C_FUNC_SMBUS_QUICK = 0x0001_0000;
/** linux/i2c.h. */
export const I2C_FUNC_SMBUS_READ_BYTE = 0x0002_0000;
/** linux/i2c.h. */
export const I2C_FUNC_SMBUS_WRITE_BYTE = 0x0004_0000;
/** linux/i2c.h. */
export const I2C_FUNC_SMBUS_READ_BYTE_DATA = 0x0008_0000;
/** linux/i2c.h. */
export const I2C_FUNC_SMBUS_WRITE_BYTE_DATA = 0x0010_0000;
/** linux/i2c.h. */
export const I2C_FUNC_SMBUS_READ_WORD_DATA = 0x0020_0000;
/** linux/i2c.h. */
export const I2C_FUNC_SMBUS_WRITE_WORD_DATA = 0x0040_0000;
/** linux/i2c.h. */
export const I2C_FUNC_SMBUS_PROC_CALL = 0x0080_0000;
/** linux/i2c.h. */
export const I2C_FUNC_SMBUS_READ_I2C_BLOCK = 0x0400_0000;
/** linux/i2c.h. */
export const I2C_FUNC_SMBUS_WRITE_I2C_BLOCK = 0x0800_0000;

/** linux/i2c.h: most data bytes of an SMBus block. */
export const I2C_SMBUS_BLOCK_MAX = 32;

/** linux/i2c.h: directions of an SMBus transfer. */
export const I2C_SMBUS_WRITE = 0;
/** linux/i2c.h. */
export const I2C_SMBUS_READ = 1;

/** linux/i2c.h: kinds of SMBus transfer (`size`). */
export const I2C_SMBUS_QUICK = 0;
/** linux/i2c.h. */
export const I2C_SMBUS_BYTE = 1;
/** linux/i2c.h. */
export const I2C_SMBUS_BYTE_DATA = 2;
/** linux/i2c.h. */
export const I2C_SMBUS_WORD_DATA = 3;
/** linux/i2c.h. */
export const I2C_SMBUS_PROC_CALL = 4;
/** linux/i2c.h. */
export const I2C_SMBUS_I2C_BLOCK_DATA = 8;

/** linux/i2c.h (64-bit). */
export const I2C_MSG = struct(
  'i2c_msg',
  { addr: u16(0), flags: u16(2), len: u16(4), buf: u64(8) },
  { size: 16 },
);

/** linux/i2c.h: `union i2c_smbus_data` as its longest member: a length, the data, one spare byte. */
export const I2C_SMBUS_DATA = struct(
  'i2c_smbus_data',
  { block: bytes(0, I2C_SMBUS_BLOCK_MAX + 2) },
  { size: I2C_SMBUS_BLOCK_MAX + 2 },
);

// linux/i2c-dev.h. These requests are older than the encoding of ioctl numbers.

/** linux/i2c-dev.h: the address for I2C_SMBUS; EBUSY when a driver of the host is bound to it. */
export const I2C_SLAVE = legacyIoctl('I2C_SLAVE', 0x0703);
/** linux/i2c-dev.h: whether the address of I2C_SLAVE has 10 bits (1) or 7 (0). */
export const I2C_TENBIT = legacyIoctl('I2C_TENBIT', 0x0704);
/** linux/i2c-dev.h: writes an `unsigned long` of I2C_FUNC_ bits. */
export const I2C_FUNCS = legacyIoctl('I2C_FUNCS', 0x0705);
/** linux/i2c-dev.h: one combined transfer. */
export const I2C_RDWR = legacyIoctl('I2C_RDWR', 0x0707);
/** linux/i2c-dev.h: one SMBus transfer. */
export const I2C_SMBUS = legacyIoctl('I2C_SMBUS', 0x0720);

/** linux/i2c-dev.h: most messages of one I2C_RDWR. */
export const I2C_RDWR_IOCTL_MAX_MSGS = 42;

/** linux/i2c-dev.h (64-bit). */
export const I2C_RDWR_IOCTL_DATA = struct(
  'i2c_rdwr_ioctl_data',
  { msgs: u64(0), nmsgs: u32(8) },
  { size: 16 },
);

/** linux/i2c-dev.h (64-bit). */
export const I2C_SMBUS_IOCTL_DATA = struct(
  'i2c_smbus_ioctl_data',
  { read_write: u8(0), command: u8(1), size: u32(4), data: u64(8) },
  { size: 16 },
);
