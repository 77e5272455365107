import {
  type MemoryRegion,
  VHOST_USER_BASELINE_MEM_REGIONS,
  XEN_MMAP_UNIX,
} from '@node-vmm/vhost-user';
import type { ShareableMemory, SharedMemoryRegion } from '@node-vmm/vm-memory';
import type { Fd } from '@node-vmm/vmm-sys-util';
import { VhostUserMasterError } from './errors.ts';

/** What decides how memory is described to a back-end. */
export interface MemoryTableOptions {
  /** XEN_MMAP has been negotiated. */
  readonly xenMmap: boolean;
  /** Slots of the back-end with CONFIGURE_MEM_SLOTS, else undefined. */
  readonly memSlots: number | undefined;
}

/** A region on the wire and the file to map. */
export interface TableEntry {
  readonly region: MemoryRegion;
  readonly fd: Fd;
}

/** How guest memory goes to the back-end. */
export interface MemoryTable {
  /** By SET_MEM_TABLE, which replaces whatever the back-end had. */
  readonly table: readonly TableEntry[];
  /** Then one by one by ADD_MEM_REG. */
  readonly added: readonly TableEntry[];
}

/**
 * Lays guest memory out for a back-end. User addresses are the guest addresses: this front-end need
 * not have mapped the memory at all.
 *
 * @throws {VhostUserMasterError} TOO_MANY_REGIONS, XEN_MMAP_MISSING
 * @throws {RangeError} when there is no region
 */
export function planMemoryTable(
  memory: ShareableMemory,
  { xenMmap, memSlots }: MemoryTableOptions,
): MemoryTable {
  const regions = memory.sharedRegions;
  if (regions.length === 0) throw new RangeError('"memory" expected at least one region, got none');
  const limit = memSlots ?? VHOST_USER_BASELINE_MEM_REGIONS;
  if (regions.length > limit) {
    throw new VhostUserMasterError(
      'TOO_MANY_REGIONS',
      `Cannot share ${regions.length} memory regions: the back-end takes ${limit}`,
    );
  }
  const entries = regions.map((region) => ({ region: toWire(region, xenMmap), fd: region.fd }));
  return {
    table: entries.slice(0, VHOST_USER_BASELINE_MEM_REGIONS),
    added: entries.slice(VHOST_USER_BASELINE_MEM_REGIONS),
  };
}

function toWire(region: SharedMemoryRegion, xenMmap: boolean): MemoryRegion {
  const { guestAddr, length, fdOffset, xen } = region;
  const plain = { guestAddr, size: length, userAddr: guestAddr, mmapOffset: fdOffset };
  if (xenMmap) return { ...plain, xen: xen ?? { mmapFlags: XEN_MMAP_UNIX, domid: 0 } };
  if (xen === undefined) return plain;
  throw new VhostUserMasterError(
    'XEN_MMAP_MISSING',
    'Cannot share memory of a Xen guest: the back-end does not offer XEN_MMAP. ' +
      'Use one that was built for Xen',
  );
}
