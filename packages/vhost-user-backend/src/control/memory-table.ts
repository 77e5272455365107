import type { MemoryRegion } from '@node-vmm/vhost-user';
import { XEN_MMAP_FOREIGN, XEN_MMAP_GRANT } from '@node-vmm/virtio-bindings';
import {
  type GuestAddress,
  type GuestMemory,
  GuestMemoryMmap,
  mappingsOf,
  type RegionMapping,
} from '@node-vmm/vm-memory';
import { type Fd, hex } from '@node-vmm/vmm-sys-util';
import { VhostUserBackendError } from '../errors.ts';
import { mapForeign } from './foreign-region.ts';

/**
 * Memory regions that a front-end may add one by one, as rust-vmm and libvhost-user have it: what
 * KVM takes less what x86 uses itself.
 */
export const MAX_MEM_SLOTS = 509;

/** A region of the front-end's, mapped here. */
export interface TableEntry {
  readonly region: MemoryRegion;
  readonly memory: GuestMemory;
}

/** An immutable memory table: the regions of the front-end and where this process mapped them. */
export class MemoryTable {
  static readonly EMPTY: MemoryTable = new MemoryTable([]);
  readonly entries: readonly TableEntry[];

  /** @throws {VhostUserBackendError} INVALID_MEMORY when regions overlap */
  constructor(entries: readonly TableEntry[]) {
    this.entries = entries;
    checkOverlap('guest', entries, (region) => region.guestAddr);
    checkOverlap('user', entries, (region) => region.userAddr);
  }

  /** What another thread needs to see the memory. */
  get mappings(): RegionMapping[] {
    return this.entries.flatMap(({ memory }) => mappingsOf(memory));
  }

  /** The entry that is exactly this region. */
  find(region: MemoryRegion): TableEntry | undefined {
    return this.entries.find(
      ({ region: own }) =>
        own.guestAddr === region.guestAddr &&
        own.userAddr === region.userAddr &&
        own.size === region.size,
    );
  }

  /**
   * Guest address of an address in the front-end's address space.
   *
   * @returns undefined when the range is not within one region
   */
  translate(userAddr: bigint, length: number): bigint | undefined {
    for (const { region } of this.entries) {
      const offset = userAddr - region.userAddr;
      if (offset >= 0n && offset + BigInt(length) <= region.size) return region.guestAddr + offset;
    }
    return undefined;
  }
}

/**
 * Maps one region. The descriptor stays the caller's.
 *
 * @throws {VhostUserBackendError} INVALID_MEMORY, UNSUPPORTED for grants
 */
export function mapRegion(region: MemoryRegion, fd: Fd): TableEntry {
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
      xen !== undefined && (flags & XEN_MMAP_FOREIGN) !== 0
        ? mapForeign(region, xen.domid, fd)
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
export function mapRegions(regions: readonly MemoryRegion[], fds: readonly Fd[]): TableEntry[] {
  const entries: TableEntry[] = [];
  try {
    regions.forEach((region, i) => {
      entries.push(mapRegion(region, fds[i] as Fd));
    });
    return entries;
  } catch (error) {
    unmap(entries);
    throw error;
  }
}

/** Unmaps regions that no thread uses any more. */
export function unmap(entries: Iterable<TableEntry>): void {
  for (const { memory } of entries) memory[Symbol.dispose]();
}

function checkOverlap(
  kind: string,
  entries: readonly TableEntry[],
  start: (region: MemoryRegion) => bigint,
): void {
  const sorted = entries
    .map(({ region }) => ({ at: start(region), end: start(region) + region.size }))
    .sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0));
  for (let i = 1; i < sorted.length; i++) {
    const before = sorted[i - 1] as { end: bigint };
    const { at } = sorted[i] as { at: bigint };
    if (at >= before.end) continue;
    throw new VhostUserBackendError(
      'INVALID_MEMORY',
      `Cannot use the memory table: two regions claim ${kind} address ${hex(at)}`,
    );
  }
}
