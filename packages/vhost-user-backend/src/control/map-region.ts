import { fstatSync } from 'node:fs';
import type { MemoryRegion } from '@node-vmm/vhost-user';
import { XEN_MMAP_FOREIGN, XEN_MMAP_GRANT } from '@node-vmm/virtio-bindings';
import { type GuestAddress, type GuestMemory, GuestMemoryMmap } from '@node-vmm/vm-memory';
import { type FaultGuard, type Fd, hex } from '@node-vmm/vmm-sys-util';
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

/** How regions are mapped. */
export interface MappingMeans {
  /** Guards mappings of files, never of a Xen domain's memory, which must not be replaced in part. */
  readonly guard?: FaultGuard | undefined;
  readonly mapForeign?: MapForeign | undefined;
}

/**
 * Maps one region. The descriptor stays the caller's.
 *
 * @throws {VhostUserBackendError} INVALID_MEMORY, UNSUPPORTED for grants
 */
export function mapRegion(
  region: MemoryRegion,
  fd: Fd,
  { guard, mapForeign }: MappingMeans = {},
): TableEntry {
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
    if (xen !== undefined && (flags & XEN_MMAP_FOREIGN) !== 0 && mapForeign !== undefined) {
      const memory = mapForeign({ domid: xen.domid, fd, guestAddr, length });
      return { region, memory, file: undefined };
    }
    // First: what throws must leave nothing mapped.
    const file = identityOf(fd);
    const part = { guestAddr, length, fd, fdOffset: region.mmapOffset };
    return { region, memory: GuestMemoryMmap.fromRegions([part], { guard }), file };
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
  means: MappingMeans = {},
): TableEntry[] {
  const entries: TableEntry[] = [];
  try {
    regions.forEach((region, i) => {
      entries.push(mapRegion(region, fds[i] as Fd, means));
    });
    return entries;
  } catch (error) {
    for (const { memory } of entries) memory[Symbol.dispose]();
    throw error;
  }
}

/** Of a regular file, which all are that can be mapped: a device's would be that of many memories. */
function identityOf(fd: Fd): string {
  const { dev, ino } = fstatSync(fd, { bigint: true });
  return `${dev}:${ino}`;
}
