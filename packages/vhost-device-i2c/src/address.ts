// An address is one number: 7-bit addresses as they are, 10-bit addresses with Linux's offset, by which
// the two never meet.

/** Linux drivers/i2c/i2c-dev.c: 7-bit addresses go up to here. */
export const I2C_ADDRESS_MAX = 0x7f;
/**
 * What Linux adds to 10-bit addresses where it writes them beside 7-bit ones, in /sys and
 * `new_device` (drivers/i2c/i2c-core-base.c): 0xa150 is the 10-bit address 0x150.
 */
export const I2C_ADDR_OFFSET_TEN_BIT = 0xa000;

const TEN_BIT_MASK = 0x3ff;
/** First byte of a 10-bit address, without A9, A8 and the direction: 11110xx0. */
const TEN_BIT_PREFIX = 0xf0;
const TEN_BIT_PREFIX_MASK = 0xf8;

/** True for a 10-bit address, whose {@link I2C_ADDR_OFFSET_TEN_BIT} is in the number. */
export function isTenBit(address: number): boolean {
  return address >= I2C_ADDR_OFFSET_TEN_BIT;
}

/** A 10-bit address without the offset: 0..0x3ff. */
export function tenBits(address: number): number {
  return address & TEN_BIT_MASK;
}

/** 0x78..0x7b: on the wire they are the first byte of a 10-bit address, and never a chip's. */
export function isTenBitPrefix(address: number): boolean {
  return (
    ((address << 1) & ~0xff) === 0 && ((address << 1) & TEN_BIT_PREFIX_MASK) === TEN_BIT_PREFIX
  );
}

/** True for the address of a chip: 0..0x77, 0x7c..0x7f, or 0xa000..0xa3ff for a 10-bit one. */
export function isI2cAddress(address: number): boolean {
  if (!Number.isInteger(address) || address < 0) return false;
  if (address <= I2C_ADDRESS_MAX) return !isTenBitPrefix(address);
  return isTenBit(address) && address <= I2C_ADDR_OFFSET_TEN_BIT + TEN_BIT_MASK;
}

/** @throws {RangeError} when it is not the address of a chip */
export function checkI2cAddress(address: number): void {
  if (isI2cAddress(address)) return;
  throw new RangeError(
    `"address" expected 0 to 0x77, 0x7c to 0x7f, or 0xa000 to 0xa3ff for 10 bits, got ${address}`,
  );
}

/** As people write it: `0x48`, `0xa150`. */
export function formatI2cAddress(address: number): string {
  return `0x${address.toString(16).padStart(2, '0')}`;
}

/**
 * Decodes `addr` of a request (VIRTIO 1.3 §5.16.6.1): a 7-bit address in bits 7..1, or a 10-bit one,
 * with 11110, A9 and A8 in bits 7..1 and A7..A0 in bits 15..8. What begins with that prefix is a 10-bit
 * address, also when its low byte is zero.
 *
 * @returns undefined when it is neither
 */
export function decodeAddr(addr: number): number | undefined {
  if ((addr & 1) !== 0) return undefined;
  if ((addr & TEN_BIT_PREFIX_MASK) === TEN_BIT_PREFIX) {
    return I2C_ADDR_OFFSET_TEN_BIT | ((addr & 0x06) << 7) | (addr >>> 8);
  }
  return addr > 0xff ? undefined : addr >>> 1;
}
