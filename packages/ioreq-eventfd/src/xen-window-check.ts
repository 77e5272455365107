import { type AddressRange, describeRange, VmError } from '@node-vmm/vm-device';
import { errorMessage, hex, type Logger, PROT_READ } from '@node-vmm/vmm-sys-util';
import {
  type DomId,
  type ForeignMapper,
  type LayoutRange,
  XEN_PAGE_SIZE,
  XenSysError,
} from '@node-vmm/xen-sys';

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
 * @throws {VmError} RANGE_RESERVED, RANGE_IS_MEMORY
 * @throws {XenSysError} NO_SUCH_DOMAIN
 */
export function checkWindow(check: WindowCheck, range: AddressRange): void {
  const { space, base, length } = range;
  const vm = `xen:${check.domid}`;
  const end = base + BigInt(length);
  const context = { vm, space, guestAddr: base, length };
  const what = `Cannot map ${describeRange(range)} of ${vm}`;
  const taken = check.reserved.find((other) => base < other.base + other.size && other.base < end);
  if (taken !== undefined) {
    const place = `${hex(taken.base)} to ${hex(taken.base + taken.size - 1n)}`;
    throw new VmError(
      'RANGE_RESERVED',
      `${what}: ${taken.what} is at ${place}; choose another address`,
      context,
    );
  }
  const first = base / PAGE;
  const count = Number((end - 1n) / PAGE - first) + 1;
  if (!hasMemory(check, first, count)) return;
  throw new VmError(
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
