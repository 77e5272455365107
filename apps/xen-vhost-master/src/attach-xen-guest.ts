import type { AccessHost } from '@node-vmm/ioreq-eventfd';
import { type KeptXenVm, XenVm } from '@node-vmm/ioreq-eventfd/xen';
import { type BridgedVm, type GuestKeeper, MemoryRenewal } from '@node-vmm/vhost-bridge';
import type { NotificationMode } from '@node-vmm/vm-device';
import { type GuestRange, guestAddress } from '@node-vmm/vm-memory';
import { XenBankMemory } from '@node-vmm/vm-memory/xen';
import { errorMessage, hex, type Logger, type Poller } from '@node-vmm/vmm-sys-util';
import {
  asDomId,
  type DomId,
  GUEST_LAYOUTS,
  HVM_PARAM_NR_IOREQ_SERVER_PAGES,
  Privcmd,
  type XenOps,
  XenSysError,
} from '@node-vmm/xen-sys';
import { BridgeError } from './errors.ts';
import { shareBanks } from './share-banks.ts';

/** What attaching works with. */
export interface AttachComponents {
  readonly xen: XenOps;
  readonly poller: Poller;
  readonly logger: Logger;
  /** Serves guests' register accesses on other threads; default: this one does. */
  readonly host?: AccessHost | undefined;
}

/** A guest's vCPU may stand still for so much longer than its first accesses wait for back-ends. */
const ANSWER_MARGIN_MS = 5_000;

/** How a guest is attached to. */
export interface AttachOptions {
  readonly notification: NotificationMode;
  /** How long the guest's first accesses to a device wait for its back-end, milliseconds. */
  readonly holdMs: number;
  /** Where the guest may have RAM; default: where the toolstack puts it on this architecture. */
  readonly memory?: readonly GuestRange[];
  /** What another bridge left of the guest. */
  readonly takeUp?: KeptXenVm;
}

/** A guest that can be left to another bridge. */
export interface AttachedXenGuest extends BridgedVm {
  readonly keeper: GuestKeeper;
  /** What is left once `keeper.keep` has ended. */
  kept(): KeptXenVm | undefined;
}

/**
 * Becomes a device model of a Xen guest. Where it has memory is looked for when that is first asked for.
 *
 * @param guest - its domid
 * @throws {VmError} HYPERVISOR, or NOT_SUPPORTED for notification `kernel` on x86
 */
export function attachXenGuest(
  components: AttachComponents,
  guest: number,
  options: AttachOptions,
): AttachedXenGuest {
  const { xen, poller, logger, host } = components;
  const domid = asDomId(guest);
  let mapped: XenBankMemory | undefined;
  const renewal = new MemoryRenewal(logger.child({ domid }), () => mapped?.renew());
  const vm = XenVm.create(
    {
      xen,
      poller,
      logger,
      host,
      invalidate: () => renewal.changed(),
      memory: () => {
        if (mapped !== undefined) return mapped;
        throw new BridgeError('NOT_READY', `Cannot use memory of domain ${domid}: not found yet`);
      },
    },
    {
      domid,
      answerLimit: options.holdMs + ANSWER_MARGIN_MS,
      notification: options.notification,
      ...(options.takeUp === undefined ? {} : { takeUp: options.takeUp }),
    },
  );
  const takenUp = options.takeUp === undefined ? {} : { takenUp: true };
  logger.info({ vm: vm.name, vcpus: vm.vcpus, ...takenUp }, 'guest attached');
  if (process.arch === 'x64') warnOfX86Guest(xen, domid, logger);
  const map = async (): Promise<XenBankMemory> => {
    mapped = await findMemory(xen, domid, options.memory, logger);
    if (vm.live) return vm.memory;
    // A domain whose memory somebody maps never goes away.
    mapped[Symbol.dispose]();
    throw new BridgeError('ABORTED', `Cannot use memory of domain ${domid}: detached meanwhile`);
  };
  let mapping: Promise<XenBankMemory> | undefined;
  const begin = (): Promise<XenBankMemory> => {
    const begun = map();
    // Whoever needs the memory hears of it; what was lacking may be there for the next.
    begun.catch(() => {
      if (mapping === begun) mapping = undefined;
    });
    return begun;
  };
  let kept: KeptXenVm | undefined;
  const keeper: GuestKeeper = {
    keep: async () => {
      kept = await vm.keep();
    },
    unkeep: () => vm.unkeep(),
  };
  return {
    vm,
    get memory() {
      mapping ??= begin();
      return mapping;
    },
    counters: () => {
      const { kernelKicks, interrupts } = vm;
      return { ...vm.counters, ...vm.memoryBus, kernelKicks, interrupts };
    },
    held: () => vm.held,
    sharing: () => (mapped === undefined ? undefined : shareBanks(mapped)),
    renewal,
    shared: () => vm.shared,
    keeper,
    kept: () => kept,
  };
}

async function findMemory(
  xen: XenOps,
  domid: DomId,
  told: readonly GuestRange[] | undefined,
  logger: Logger,
): Promise<XenBankMemory> {
  // Back-ends get this descriptor. Restricted, it is worth what a device model of this one guest may do: map
  // all of its memory, take its MMIO by an IOREQ server, read other servers' pages, raise its interrupts.
  // It is worth nothing against any other domain, and makes no hypercall but those.
  using privcmd = Privcmd.open();
  privcmd.restrict(domid);
  const { fd } = privcmd;
  const memory =
    told === undefined
      ? await XenBankMemory.find({ domid, fd, ...searchOf(xen, domid, logger) })
      : await XenBankMemory.of({ domid, fd, banks: told });
  const banks = memory.sharedRegions.map(
    ({ guestAddr, length }) => `${hex(guestAddr)}+${hex(length)}`,
  );
  logger.info({ domid, banks }, 'guest memory found');
  return memory;
}

/** Where the architecture may have RAM, and how much of it the toolstack lets the guest have. */
function searchOf(
  xen: XenOps,
  domid: DomId,
  logger: Logger,
): { candidateRanges: GuestRange[]; maxPages?: bigint } {
  const { ram } = GUEST_LAYOUTS[process.arch === 'x64' ? 'x86_64' : 'arm64'];
  const candidateRanges = ram.map(({ base, size }) => ({
    guestAddr: guestAddress(base),
    length: size,
  }));
  try {
    return { candidateRanges, maxPages: xen.maximumReservation(domid) };
  } catch (error) {
    if (!XenSysError.is(error, 'NOT_PERMITTED')) throw error;
    const reason = errorMessage(error);
    logger.info(
      { domid, reason },
      'not told how much memory the guest may have, looking for its end',
    );
    return { candidateRanges };
  }
}

/** What a guest of x86 should be known for; once for each, as it is attached to. */
function warnOfX86Guest(xen: XenOps, domid: DomId, logger: Logger): void {
  logger.warn(
    { domid },
    'saving or migrating this guest would lose what back-ends write to its memory: ' +
      'put nomigrate=1 in its configuration',
  );
  if (!hasNoDeviceModel(xen, domid, logger)) return;
  logger.warn(
    { domid },
    'this seems to be a PVH guest: it has no IO-APIC, so its devices will never interrupt it; ' +
      'use type="hvm"',
  );
}

/**
 * The toolstack prepares HVM guests for device models, and PVH guests not. Its habit, no rule of
 * Xen's: good for a hint.
 */
function hasNoDeviceModel(xen: XenOps, domid: DomId, logger: Logger): boolean {
  try {
    return xen.hvmParam(domid, HVM_PARAM_NR_IOREQ_SERVER_PAGES) === 0n;
  } catch (error) {
    // Outside the control domain it may not be asked.
    logger.debug({ domid, error: errorMessage(error) }, 'kind of guest not known');
    return false;
  }
}
