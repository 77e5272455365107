import { errorMessage, hex, type Logger, PROT_READ } from '@node-vmm/vmm-sys-util';
import {
  type DomId,
  type ForeignMapper,
  type LayoutRange,
  XEN_PAGE_SIZE,
  XenSysError,
} from '@node-vmm/xen-sys';
import { IoreqError } from './errors.ts';
import type { MmioRange } from './mmio-handler.ts';

const PAGE = BigInt(XEN_PAGE_SIZE);

/** What a window is checked against. */
export interface WindowCheck {
  readonly domid: DomId;
  readonly memory: ForeignMapper;
  /** Where hypervisor and firmware have something of their own. */
  readonly reserved: readonly LayoutRange[];
  readonly logger: Logger;
}

/**
 * Refuses a window where the guest has something already. Xen takes any range, and what it gives to
 * an IOREQ server although memory is there never reaches the server.
 *
 * @throws {IoreqError} RANGE_RESERVED, RANGE_IS_MEMORY
 * @throws {XenSysError} NO_SUCH_DOMAIN
 */
export function checkWindow(check: WindowCheck, range: MmioRange): void {
  const { base, length } = range;
  const end = base + BigInt(length);
  const context = { guestAddr: base, length, domid: check.domid };
  const what = `Cannot map an MMIO window of ${length} bytes at ${hex(base)} of xen:${check.domid}`;
  const taken = check.reserved.find((other) => base < other.base + other.size && other.base < end);
  if (taken !== undefined) {
    const place = `${hex(taken.base)} to ${hex(taken.base + taken.size - 1n)}`;
    throw new IoreqError(
      'RANGE_RESERVED',
      `${what}: ${taken.what} is at ${place}; choose another address`,
      context,
    );
  }
  const first = base / PAGE;
  const count = Number((end - 1n) / PAGE - first) + 1;
  if (!hasMemory(check, first, count)) return;
  throw new IoreqError(
    'RANGE_IS_MEMORY',
    `${what}: the guest has memory there; choose an address outside its RAM`,
    context,
  );
}

/** Whether any of these frames is memory. What can be mapped is: RAM, or a page of Xen's own. */
function hasMemory({ domid, memory, logger }: WindowCheck, first: bigint, count: number): boolean {
  try {
    using mapped = memory.map(domid, { first, count }, PROT_READ);
    return mapped.failed < count;
  } catch (error) {
    // A device model without the right to map can claim windows all the same.
    if (!XenSysError.is(error) || error.code !== 'NOT_PERMITTED') throw error;
    logger.debug({ error: errorMessage(error) }, 'MMIO window not compared with guest memory');
    return false;
  }
}
