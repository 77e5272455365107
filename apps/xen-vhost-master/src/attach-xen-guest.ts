import type { NotificationMode } from '@node-vmm/ioreq-eventfd';
import { XenVm } from '@node-vmm/ioreq-eventfd/xen';
import { type GuestRange, guestAddress } from '@node-vmm/vm-memory';
import { GuestMemoryXen } from '@node-vmm/vm-memory/xen';
import { hex, type Logger, PAGE_SIZE, type Poller } from '@node-vmm/vmm-sys-util';
import {
  asDomId,
  type DomId,
  GUEST_RAM0_BASE,
  GUEST_RAM0_SIZE,
  GUEST_RAM1_BASE,
  GUEST_RAM1_SIZE,
  Privcmd,
  type XenOps,
} from '@node-vmm/xen-sys';
import type { BridgedVm } from './bridged-vm.ts';

/** What attaching works with. */
export interface AttachComponents {
  readonly xen: XenOps;
  readonly poller: Poller;
  readonly logger: Logger;
}

/**
 * Becomes a device model of a Xen guest. Its memory is mapped when it is first needed.
 *
 * @param guest - its domid
 * @throws {IoreqError}
 */
export async function attachXenGuest(
  components: AttachComponents,
  guest: number,
  options: { readonly notification: NotificationMode },
): Promise<BridgedVm> {
  const { xen, poller, logger } = components;
  const domid = asDomId(guest);
  const memory = (): GuestMemoryXen => mapMemory(xen, domid, logger);
  const vm = XenVm.create({ xen, memory, poller, logger }, { domid, ...options });
  logger.info({ vm: vm.name, vcpus: vm.vcpus }, 'guest attached');
  return vm;
}

function mapMemory(xen: XenOps, domid: DomId, logger: Logger): GuestMemoryXen {
  const maxGfn = xen.maximumGpfn(domid);
  // Back-ends get this descriptor: restricted, it opens this guest's memory and nothing else of Xen.
  using privcmd = Privcmd.open();
  privcmd.restrict(domid);
  const { fd } = privcmd;
  const candidateRanges = candidates(maxGfn);
  const ranges = GuestMemoryXen.discover({ domid, fd, candidateRanges, maxGfn });
  const text = ranges.map(({ guestAddr, length }) => `${hex(guestAddr)}+${hex(length)}`);
  logger.info({ domid, ranges: text }, 'guest memory found');
  return GuestMemoryXen.map({ domid, fd, ranges });
}

/** Where the architecture may have RAM; what is really there is asked page by page. */
function candidates(maxGfn: bigint): GuestRange[] {
  if (process.arch === 'arm64') {
    return [
      { guestAddr: guestAddress(GUEST_RAM0_BASE), length: GUEST_RAM0_SIZE },
      { guestAddr: guestAddress(GUEST_RAM1_BASE), length: GUEST_RAM1_SIZE },
    ];
  }
  return [{ guestAddr: guestAddress(0), length: (maxGfn + 1n) * BigInt(PAGE_SIZE) }];
}
