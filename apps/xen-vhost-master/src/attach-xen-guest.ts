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
import { BridgeError } from './errors.ts';

/** What attaching works with. */
export interface AttachComponents {
  readonly xen: XenOps;
  readonly poller: Poller;
  readonly logger: Logger;
}

/** A guest's vCPU may stand still for so long; its first accesses wait for back-ends to start. */
const ANSWER_LIMIT_MS = 25_000;

/**
 * Becomes a device model of a Xen guest, and begins to map its memory.
 *
 * @param guest - its domid
 * @throws {IoreqError}
 */
export function attachXenGuest(
  components: AttachComponents,
  guest: number,
  options: { readonly notification: NotificationMode; readonly memory?: readonly GuestRange[] },
): BridgedVm {
  const { xen, poller, logger } = components;
  const domid = asDomId(guest);
  let mapped: GuestMemoryXen | undefined;
  const vm = XenVm.create(
    {
      xen,
      poller,
      logger,
      memory: () => {
        if (mapped !== undefined) return mapped;
        throw new BridgeError('NOT_READY', `Cannot use memory of domain ${domid}: not mapped yet`);
      },
    },
    { domid, answerLimit: ANSWER_LIMIT_MS, notification: options.notification },
  );
  logger.info({ vm: vm.name, vcpus: vm.vcpus }, 'guest attached');
  const map = async (): Promise<GuestMemoryXen> => {
    mapped = await mapMemory(xen, domid, logger);
    if (vm.live) return vm.memory;
    // A domain whose memory somebody maps never goes away.
    mapped[Symbol.dispose]();
    throw new BridgeError('ABORTED', `Cannot use memory of domain ${domid}: detached meanwhile`);
  };
  const memory = map();
  // Whoever needs the memory hears of it; nobody may.
  memory.catch(() => undefined);
  return { vm, memory };
}

async function mapMemory(xen: XenOps, domid: DomId, logger: Logger): Promise<GuestMemoryXen> {
  const maxGfn = xen.maximumGpfn(domid);
  // Back-ends get this descriptor: restricted, it opens this guest's memory and nothing else of Xen.
  using privcmd = Privcmd.open();
  privcmd.restrict(domid);
  const { fd } = privcmd;
  const candidateRanges = candidates(maxGfn);
  const memory = await GuestMemoryXen.discover({ domid, fd, candidateRanges, maxGfn });
  const ranges = memory.sharedRegions.map(
    ({ guestAddr, length }) => `${hex(guestAddr)}+${hex(length)}`,
  );
  logger.info({ domid, ranges }, 'guest memory mapped');
  return memory;
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
