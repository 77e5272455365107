import { fstatSync, readlinkSync } from 'node:fs';
import { type Fd, PAGE_SIZE } from '@node-vmm/vmm-sys-util';
import { deviceName } from '../device-name.ts';
import { rangeText, VmMemoryError } from '../errors.ts';
import type { GuestAddress } from '../guest-address.ts';
import { ForeignPages } from './foreign-pages.ts';

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
 * Maps a few pages of another domain's memory through somebody else's privcmd, so that this process needs no
 * right of its own to open it: what a vhost-user back-end does with regions of XEN_MMAP. Pages that the
 * domain does not have are told in `errors`.
 *
 * @throws {VmMemoryError} BAD_REGION when the descriptor is something else, or these are not whole pages;
 * FOREIGN_MAP_FAILED
 * @throws {XenSysError} NOT_PERMITTED when the descriptor is for another domain
 * @throws {RangeError} when `domid` is out of range
 */
export async function mapForeign(request: ForeignMapRequest): Promise<ForeignPages> {
  const { domid, fd, guestAddr, length } = request;
  if (!isPrivcmd(fd)) {
    // Its ioctl numbers mean something else to other drivers.
    throw new VmMemoryError(
      'BAD_REGION',
      'Cannot map foreign memory: the descriptor is not /dev/xen/privcmd',
    );
  }
  const page = BigInt(PAGE_SIZE);
  if (guestAddr % page !== 0n || length % page !== 0n || length === 0n) {
    const text = `Cannot map ${rangeText(guestAddr, length)}: Xen maps whole pages of ${PAGE_SIZE} bytes`;
    throw new VmMemoryError('BAD_REGION', text, { guestAddr, length });
  }
  return ForeignPages.map(domid, fd, guestAddr / page, Number(length / page));
}

function isPrivcmd(fd: Fd): boolean {
  const stat = fstatSync(fd, { bigint: true });
  if (!stat.isCharacterDevice()) return false;
  if (readlinkSync(`/proc/self/fd/${fd}`) === '/dev/xen/privcmd') return true;
  // The front-end may have opened it under another name or in another mount namespace.
  return deviceName(stat) === 'xen!privcmd';
}
