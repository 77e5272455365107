import type { MemoryRegion } from '@node-vmm/vhost-user';
import { XEN_MMAP_FOREIGN, XEN_MMAP_GRANT } from '@node-vmm/virtio-bindings';
import {
  type FdRegion,
  type GuestAddress,
  type GuestMemory,
  mappingsOf,
} from '@node-vmm/vm-memory';
import { type Fd, hex, MAX_VIEW_LENGTH } from '@node-vmm/vmm-sys-util';
import type { LentMapping } from '../between/worker-calls.ts';
import { VhostUserBackendError } from '../errors.ts';
import type { GuestFiles } from './guest-files.ts';
import type { BudgetShare, MappingCost } from './mapping-budget.ts';
import type { TableEntry } from './memory-table.ts';
import type { OwnedMemory, RetiredMemory } from './retired-memory.ts';
import type { SharedFile, SharedFiles } from './shared-files.ts';

/** A range of another Xen domain's memory, by its frame numbers. */
export interface ForeignRange {
  readonly domid: number;
  /** What the front-end sent: to be found to be privcmd, and to be used; stays the caller's. */
  readonly fd: Fd;
  readonly guestAddr: GuestAddress;
  /** Bytes. */
  readonly length: bigint;
}

/** Memory of a Xen domain, mapped. */
export interface ForeignMemory extends GuestMemory {
  /** Lets go of the domain's pages, while the addresses stay until disposal. Default: both at once. */
  vacate?(): void;
}

/** Maps memory of a Xen domain: `mapForeign` of `@node-vmm/vm-memory/xen`. */
export type MapForeign = (range: ForeignRange) => ForeignMemory;

/** What the mappers of a daemon's devices have in common. */
export interface MappingMeans {
  readonly files: GuestFiles;
  readonly shared: SharedFiles;
  readonly retired: RetiredMemory;
  readonly mapForeign: MapForeign | undefined;
  /** Numbers that no memory had before. */
  readonly nextMemory: () => number;
}

/** Most pieces in which a foreign mapping is made, but for those that are as long as they may be, bytes. */
const FOREIGN_PIECES = 64;
const FOREIGN_PIECE_MAX = 32 * 2 ** 20;

/** Maps the regions of the front-ends of one device, within what they may take up. */
export class RegionMapper {
  readonly #device: string;
  readonly #means: MappingMeans;
  readonly #share: BudgetShare;

  constructor(device: string, means: MappingMeans, share: BudgetShare) {
    this.#device = device;
    this.#means = means;
    this.#share = share;
  }

  /** True where memory of Xen domains can be mapped. */
  get mapsForeign(): boolean {
    return this.#means.mapForeign !== undefined;
  }

  /**
   * Maps regions, all or none. Nothing of them is looked at. The descriptors stay the caller's.
   *
   * @throws {VhostUserBackendError} INVALID_MEMORY, UNSUPPORTED for grants
   */
  async map(regions: readonly MemoryRegion[], fds: readonly Fd[]): Promise<TableEntry[]> {
    const entries: TableEntry[] = [];
    try {
      for (const [i, region] of regions.entries()) {
        entries.push(await this.#mapOne(region, fds[i] as Fd));
      }
      return entries;
    } catch (error) {
      for (const entry of entries) entry.release();
      throw error;
    }
  }

  async #mapOne(region: MemoryRegion, fd: Fd): Promise<TableEntry> {
    const { xen, size } = region;
    const flags = xen?.mmapFlags ?? 0;
    if ((flags & XEN_MMAP_GRANT) !== 0) {
      throw new VhostUserBackendError(
        'UNSUPPORTED',
        'Cannot map guest memory by grants: use foreign mappings (grant_usage=0)',
      );
    }
    const { mapForeign } = this.#means;
    const guestAddr = region.guestAddr as GuestAddress;
    if (xen !== undefined && (flags & XEN_MMAP_FOREIGN) !== 0 && mapForeign !== undefined) {
      const pieces = FOREIGN_PIECES + Math.ceil(Number(size) / FOREIGN_PIECE_MAX);
      const cost = { addresses: Number(size), mappings: pieces };
      await this.#admit(region, cost);
      const range = { domid: xen.domid, fd, guestAddr, length: size };
      return this.#foreign(
        region,
        cost,
        tried(region, () => mapForeign(range)),
      );
    }
    const part: FdRegion = { guestAddr, length: size, fd, fdOffset: region.mmapOffset };
    const { shared } = this.#means;
    const there = tried(region, () => shared.find(part));
    if (there !== undefined) return this.#join(region, there);
    await this.#admit(region, { addresses: Number(size), mappings: 1 });
    const { guard } = this.#means.files;
    return this.#join(
      region,
      tried(region, () => shared.map(part, guard)),
    );
  }

  /** @throws {VhostUserBackendError} INVALID_MEMORY when it would be too much */
  async #admit(region: MemoryRegion, cost: MappingCost): Promise<void> {
    if (this.#share.admits(cost)) return;
    // What earlier front-ends left may be free by now.
    await this.#means.retired.collect();
    if (this.#share.admits(cost)) return;
    const { addresses, mappings } = this.#share.limit;
    throw new VhostUserBackendError(
      'INVALID_MEMORY',
      `Cannot map ${region.size} bytes at ${hex(region.guestAddr)}: front-ends of device ` +
        `${this.#device} may now have ${mappings} mappings and ${addresses} bytes of addresses, with what ` +
        `earlier ones left; the rest is for the process's other guests`,
      { device: this.#device },
    );
  }

  /** One more region in a part of a file. */
  #join(region: MemoryRegion, shared: SharedFile): TableEntry {
    const { mapping, memory, file } = shared;
    const cost = { addresses: mapping.length, mappings: 1 };
    // The first pays for all.
    if (shared.users.length === 0) this.#share.take(cost);
    shared.users.push(this.#share);
    const start = Number(mapping.mapping.pointer) + Number(region.mmapOffset - mapping.fileOffset);
    const mappings: LentMapping[] = [];
    const length = Number(region.size);
    for (let at = 0; at < length; at += MAX_VIEW_LENGTH) {
      mappings.push({
        memory,
        guestAddr: region.guestAddr + BigInt(at),
        length: Math.min(MAX_VIEW_LENGTH, length - at),
        hostAddress: start + at,
        fault: mapping.fault,
      });
    }
    return entry(region, mappings, file, () => this.#leave(shared, cost));
  }

  #leave(shared: SharedFile, cost: MappingCost): void {
    const { users, mapping, memory } = shared;
    const [payer] = users;
    users.splice(users.indexOf(this.#share), 1);
    const [next] = users;
    if (next === undefined) {
      this.#means.shared.forget(shared);
      this.#retire(memory, mapping, cost);
    } else if (payer !== next) {
      payer?.giveBack(cost);
      next.take(cost);
    }
  }

  #foreign(region: MemoryRegion, cost: MappingCost, owned: ForeignMemory): TableEntry {
    const memory = this.#means.nextMemory();
    this.#share.take(cost);
    const mappings = mappingsOf(owned).map((mapping) => ({ ...mapping, memory }));
    return entry(region, mappings, undefined, () => {
      const close = (): void => owned[Symbol.dispose]();
      this.#retire(memory, { vacate: () => owned.vacate?.(), close }, cost);
    });
  }

  #retire(memory: number, owned: OwnedMemory, cost: MappingCost): void {
    this.#means.retired.add(memory, owned, () => this.#share.giveBack(cost));
  }
}

function entry(
  region: MemoryRegion,
  mappings: readonly LentMapping[],
  file: string | undefined,
  release: () => void,
): TableEntry {
  let held = true;
  return {
    region,
    mappings,
    file,
    release: () => {
      if (held) release();
      held = false;
    },
  };
}

/** Does what a region is mapped by. @throws {VhostUserBackendError} INVALID_MEMORY */
function tried<T>(region: MemoryRegion, step: () => T): T {
  try {
    return step();
  } catch (cause) {
    throw new VhostUserBackendError(
      'INVALID_MEMORY',
      `Cannot map the region at ${hex(region.guestAddr)}: ${cause instanceof Error ? cause.message : cause}`,
      {},
      { cause },
    );
  }
}
