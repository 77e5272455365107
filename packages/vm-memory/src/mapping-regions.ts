import { type FaultMark, MAX_VIEW_LENGTH, type Mapping } from '@node-vmm/vmm-sys-util';
import type { GuestAddress } from './guest-address.ts';
import { HostWindows } from './host-windows.ts';
import { MappedRegion } from './mapped-region.ts';

/**
 * Shows a part of a mapping as guest memory, in as many regions as views of at most `MAX_VIEW_LENGTH`
 * bytes need. No view is made before one is looked at.
 *
 * @param guestAddr - where the part appears in the guest
 * @param offset - of the part in the mapping, bytes
 * @param length - of the part, bytes
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
    const start = offset + at;
    const run = Math.min(MAX_VIEW_LENGTH, length - at);
    const show = (within: number, size: number): Uint8Array =>
      new Uint8Array(mapping.buffer(start + within, size));
    const windows = new HostWindows(base + at, run, show);
    regions.push(new MappedRegion((guestAddr + BigInt(at)) as GuestAddress, windows, fault));
  }
  return regions;
}
