import { type FaultMark, MAX_VIEW_LENGTH, type Mapping } from '@node-vmm/vmm-sys-util';
import type { GuestAddress } from './guest-address.ts';
import { MappedRegion } from './mapped-region.ts';

/**
 * Shows a window of a mapping as guest memory, in as many regions as views of at most
 * `MAX_VIEW_LENGTH` bytes need.
 *
 * @param guestAddr - where the window appears in the guest
 * @param offset - of the window in the mapping, bytes
 * @param length - of the window, bytes
 * @param fault - where the mapping's mark is, if it is guarded
 */
export function regionsOfMapping(
  guestAddr: GuestAddress,
  mapping: Mapping,
  offset: number,
  length: number,
  fault?: FaultMark,
): MappedRegion[] {
  const regions: MappedRegion[] = [];
  const base = Number(mapping.pointer) + offset;
  for (let at = 0; at < length; at += MAX_VIEW_LENGTH) {
    const run = Math.min(MAX_VIEW_LENGTH, length - at);
    regions.push(
      new MappedRegion(
        (guestAddr + BigInt(at)) as GuestAddress,
        base + at,
        mapping.buffer(offset + at, run),
        fault,
      ),
    );
  }
  return regions;
}
