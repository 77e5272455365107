import { type Brand, checkU64 } from '@node-vmm/vmm-sys-util';

/** A guest physical address. */
export type GuestAddress = Brand<bigint, 'GuestAddress'>;

/**
 * Marks a value as a guest physical address.
 *
 * @param value - unsigned 64-bit, or a safe integer
 * @throws {RangeError} when out of range
 */
export function guestAddress(value: bigint | number): GuestAddress {
  return checkU64('guestAddr', BigInt(value)) as GuestAddress;
}
