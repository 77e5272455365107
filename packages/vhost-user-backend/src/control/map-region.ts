import type { MemoryRegion } from '@node-vmm/vhost-user';
import { XEN_MMAP_FOREIGN, XEN_MMAP_GRANT } from '@node-vmm/virtio-bindings';
import { type GuestAddress, type GuestMemory, GuestMemoryMmap } from '@node-vmm/vm-memory';
import { type Fd, hex } from '@node-vmm/vmm-sys-util';
import { VhostUserBackendError } from '../errors.ts';
import type { TableEntry } from './memory-table.ts';

/** A range of another Xen domain's memory, by its frame numbers. */
export interface ForeignRange {
  readonly domid: number;
  /** What the front-end sent: to be found to be privcmd, and to be used; stays the caller's. */
  readonly fd: Fd;
  readonly guestAddr: GuestAddress;
  /** Bytes. */
  readonly length: bigint;
}

/** Maps memory of a Xen domain: `mapForeign` of `@node-vmm/vm-memory/xen`. */
export type MapForeign = (range: ForeignRange) => GuestMemory;

/**
 * Maps one region. The descriptor stays the caller's.
 *
 * @throws {VhostUserBackendError} INVALID_MEMORY, UNSUPPORTED for grants
 */
export function mapRegion(region: MemoryRegion, fd: Fd, mapForeign?: MapForeign): TableEntry {
  const { xen, size: length } = region;
  const guestAddr = region.guestAddr as GuestAddress;
  const flags = xen?.mmapFlags ?? 0;
  if ((flags & XEN_MMAP_GRANT) !== 0) {
    throw new VhostUserBackendError(
      'UNSUPPORTED',
      'Cannot map guest memory by grants: use foreign mappings (grant_usage=0)',
    );
  }
  try {
    const memory =
      xen !== undefined && (flags & XEN_MMAP_FOREIGN) !== 0 && mapForeign !== undefined
        ? mapForeign({ domid: xen.domid, fd, guestAddr, length })
        : GuestMemoryMmap.fromRegions([{ guestAddr, length, fd, fdOffset: region.mmapOffset }]);
    return { region, memory };
  } catch (cause) {
    throw new VhostUserBackendError(
      'INVALID_MEMORY',
      `Cannot map the region at ${hex(region.guestAddr)}: ${cause instanceof Error ? cause.message : cause}`,
      {},
      { cause },
    );
  }
}

/**
 * Maps several regions, all or none.
 *
 * @throws {VhostUserBackendError} as `mapRegion`
 */
export function mapRegions(
  regions: readonly MemoryRegion[],
  fds: readonly Fd[],
  mapForeign?: MapForeign,
): TableEntry[] {
  const entries: TableEntry[] = [];
  try {
    regions.forEach((region, i) => {
      entries.push(mapRegion(region, fds[i] as Fd, mapForeign));
    });
    return entries;
  } catch (error) {
    for (const { memory } of entries) memory[Symbol.dispose]();
    throw error;
  }
}
