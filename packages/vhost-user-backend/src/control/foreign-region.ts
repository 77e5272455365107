import { fstatSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import type { MemoryRegion } from '@node-vmm/vhost-user';
import type { GuestAddress, GuestMemory } from '@node-vmm/vm-memory';
import { GuestMemoryXen } from '@node-vmm/vm-memory/xen';
import type { Fd } from '@node-vmm/vmm-sys-util';
import { asDomId } from '@node-vmm/xen-sys';
import { VhostUserBackendError } from '../errors.ts';

/**
 * Maps a region of another Xen domain's memory through the front-end's privcmd, so that this process
 * needs no right of its own to open it.
 *
 * @param fd - stays the caller's
 * @throws {VhostUserBackendError} INVALID_REQUEST when the descriptor is something else
 * @throws {VmMemoryError} FOREIGN_MAP_FAILED ...
 * @throws {RangeError} when `domid` is out of range
 */
export function mapForeign(region: MemoryRegion, domid: number, fd: Fd): GuestMemory {
  if (!isPrivcmd(fd)) {
    // Its ioctl numbers mean something else to other drivers.
    throw new VhostUserBackendError(
      'INVALID_REQUEST',
      'Cannot map foreign memory: the descriptor is not /dev/xen/privcmd',
    );
  }
  return GuestMemoryXen.map({
    domid: asDomId(domid),
    fd,
    ranges: [{ guestAddr: region.guestAddr as GuestAddress, length: region.size }],
  });
}

function isPrivcmd(fd: Fd): boolean {
  const stat = fstatSync(fd, { bigint: true });
  if (!stat.isCharacterDevice()) return false;
  if (readlinkSync(`/proc/self/fd/${fd}`) === '/dev/xen/privcmd') return true;
  try {
    // The front-end may have opened it under another name or in another mount namespace.
    const major = (stat.rdev >> 8n) & 0xfffn;
    const minor = (stat.rdev & 0xffn) | ((stat.rdev >> 12n) & 0xfff00n);
    return basename(readlinkSync(`/sys/dev/char/${major}:${minor}`)) === 'xen!privcmd';
  } catch {
    return false;
  }
}
