import { fstatSync, readlinkSync } from 'node:fs';
import type { Fd } from '@node-vmm/vmm-sys-util';
import { asDomId } from '@node-vmm/xen-sys';
import { deviceName } from '../device-name.ts';
import { VmMemoryError } from '../errors.ts';
import type { GuestAddress } from '../guest-address.ts';
import { GuestMemoryXen } from './guest-memory-xen.ts';

/** A range of another Xen domain's memory, and a descriptor of privcmd to map it through. */
export interface ForeignMapRequest {
  readonly domid: number;
  /** Stays the caller's. */
  readonly fd: Fd;
  /** Page-aligned, as `length` is. */
  readonly guestAddr: GuestAddress;
  /** Bytes. */
  readonly length: bigint;
}

/**
 * Maps a range of another domain's memory through somebody else's privcmd, so that this process needs no
 * right of its own to open it: what a vhost-user back-end does with regions of XEN_MMAP.
 *
 * @throws {VmMemoryError} BAD_REGION when the descriptor is something else; FOREIGN_MAP_FAILED ...
 * @throws {RangeError} when `domid` is out of range
 */
export function mapForeign({ domid, fd, guestAddr, length }: ForeignMapRequest): GuestMemoryXen {
  if (!isPrivcmd(fd)) {
    // Its ioctl numbers mean something else to other drivers.
    throw new VmMemoryError(
      'BAD_REGION',
      'Cannot map foreign memory: the descriptor is not /dev/xen/privcmd',
    );
  }
  return GuestMemoryXen.map({ domid: asDomId(domid), fd, ranges: [{ guestAddr, length }] });
}

function isPrivcmd(fd: Fd): boolean {
  const stat = fstatSync(fd, { bigint: true });
  if (!stat.isCharacterDevice()) return false;
  if (readlinkSync(`/proc/self/fd/${fd}`) === '/dev/xen/privcmd') return true;
  // The front-end may have opened it under another name or in another mount namespace.
  return deviceName(stat) === 'xen!privcmd';
}
