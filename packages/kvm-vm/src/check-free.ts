import { type AddressRange, describeRange, VmError } from '@node-vmm/vm-device';
import type { GuestRange } from '@node-vmm/vm-memory';
import { reservedFor } from './pc-layout.ts';

/**
 * Finds whether a window can be there.
 *
 * @param banks - where the machine has memory
 * @param vm - name of the machine
 * @throws {VmError} RANGE_IS_MEMORY, RANGE_RESERVED
 */
export function checkFree(range: AddressRange, banks: readonly GuestRange[], vm: string): void {
  const { space, base, length } = range;
  const kind = space === 'port' ? 'port' : 'memory';
  const end = base + BigInt(length);
  const context = { vm, space, guestAddr: base, length };
  const has = ({ guestAddr, length: bytes }: GuestRange): boolean =>
    base < guestAddr + BigInt(bytes) && guestAddr < end;
  if (kind === 'memory' && banks.some(has)) {
    const text = `Cannot map ${describeRange(range)}: ${vm} has memory there`;
    throw new VmError('RANGE_IS_MEMORY', text, context);
  }
  const reserved = reservedFor(kind, base, length);
  if (reserved === undefined) return;
  const text = `Cannot map ${describeRange(range)}: ${reserved} of ${vm} is there`;
  throw new VmError('RANGE_RESERVED', text, context);
}
