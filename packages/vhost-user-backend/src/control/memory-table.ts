import type { MemoryRegion } from '@node-vmm/vhost-user';
import { hex } from '@node-vmm/vmm-sys-util';
import type { DemandRange, LentMapping } from '../between/worker-calls.ts';
import { VhostUserBackendError } from '../errors.ts';
import type { ForeignRegion } from './foreign-region.ts';

/**
 * Memory regions that a front-end may add one by one, as rust-vmm and libvhost-user have it: what
 * KVM takes less what x86 uses itself.
 */
export const MAX_MEM_SLOTS = 509;

/** A region of the front-end's, mapped here. */
export interface TableEntry {
  readonly region: MemoryRegion;
  /** Where, in pieces that one view can show. */
  readonly mappings: readonly LentMapping[];
  /** What identifies the file that it maps, undefined for memory of a Xen domain. */
  readonly file: string | undefined;
  /** Where it is memory of a Xen domain, of which nothing is mapped before it is needed. */
  readonly foreign: ForeignRegion | undefined;
  /** Nobody uses the region any more; resolves when nothing of it is mapped. Idempotent. */
  release(): Promise<void>;
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
  get mappings(): LentMapping[] {
    return this.entries.flatMap(({ mappings }) => mappings);
  }

  /** What another thread is to ask for when it needs it. */
  get onDemand(): DemandRange[] {
    return this.foreign.map(({ region }) => ({
      guestAddr: region.guestAddr,
      length: region.size,
    }));
  }

  /** The regions of Xen domains. */
  get foreign(): ForeignRegion[] {
    return this.entries.flatMap(({ foreign }) => (foreign === undefined ? [] : [foreign]));
  }

  /** True when it has exactly these regions, in this order, each of a Xen domain. */
  isForeign(regions: readonly MemoryRegion[]): boolean {
    const { entries } = this;
    return (
      regions.length > 0 &&
      regions.length === entries.length &&
      entries.every(
        ({ region, foreign }, i) =>
          foreign !== undefined && sameRegion(region, regions[i] as MemoryRegion),
      )
    );
  }

  /** What identifies the files that are mapped. */
  get files(): string[] {
    return this.entries.flatMap(({ file }) => (file === undefined ? [] : [file]));
  }

  /** The entry that is exactly this region. */
  find(region: MemoryRegion): TableEntry | undefined {
    return this.entries.find(({ region: own }) => samePlace(own, region));
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

function samePlace(a: MemoryRegion, b: MemoryRegion): boolean {
  return a.guestAddr === b.guestAddr && a.userAddr === b.userAddr && a.size === b.size;
}

function sameRegion(a: MemoryRegion, b: MemoryRegion): boolean {
  return (
    samePlace(a, b) &&
    a.mmapOffset === b.mmapOffset &&
    a.xen?.domid === b.xen?.domid &&
    a.xen?.mmapFlags === b.xen?.mmapFlags
  );
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
