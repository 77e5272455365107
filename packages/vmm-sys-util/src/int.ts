/** stdint.h: largest value of an unsigned 32-bit integer. */
export const U32_MAX = 0xffff_ffff;
/** stdint.h: largest value of an unsigned 64-bit integer. */
export const U64_MAX = 0xffff_ffff_ffff_ffffn;
/** Ours: 2^32, the weight of the high half of a 64-bit integer. */
export const TWO_32 = 0x1_0000_0000;

/**
 * Asserts that a value is an integer within `[min, max]`.
 *
 * @param title - name of the argument, for the message
 * @throws {RangeError} otherwise
 */
export function checkInteger(title: string, value: number, min: number, max: number): number {
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new RangeError(`"${title}" expected an integer of ${min}..${max}, got ${value}`);
  }
  return value;
}

/**
 * Asserts that a bigint fits an unsigned 64-bit integer.
 *
 * @throws {RangeError} otherwise
 */
export function checkU64(title: string, value: bigint): bigint {
  if (value < 0n || value > U64_MAX) {
    throw new RangeError(`"${title}" expected an unsigned 64-bit integer, got ${value}`);
  }
  return value;
}

/** Formats an address for messages: `0x` and lower-case hexadecimal digits. */
export function hex(value: bigint | number): string {
  return `0x${value.toString(16)}`;
}

/** True when `value` is a power of two (1, 2, 4, ...), up to 2^31. */
export function isPowerOfTwo(value: number): boolean {
  return value > 0 && Number.isInteger(value) && (value & (value - 1)) === 0;
}
