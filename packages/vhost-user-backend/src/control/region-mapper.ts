import type { MemoryRegion } from '@node-vmm/vhost-user';
import { XEN_MMAP_FOREIGN, XEN_MMAP_GRANT } from '@node-vmm/virtio-bindings';
import type { FdRegion, GuestAddress } from '@node-vmm/vm-memory';
import { type Fd, hex, MAX_VIEW_LENGTH } from '@node-vmm/vmm-sys-util';
import type { LentMapping } from '../between/worker-calls.ts';
import { VhostUserBackendError } from '../errors.ts';
import type { ForeignDomains } from './foreign-domains.ts';
import { type ForeignRange, ForeignRegion, type MapForeign } from './foreign-region.ts';
import type { GuestFiles } from './guest-files.ts';
import type { BudgetShare, MappingCost } from './mapping-budget.ts';
import type { TableEntry } from './memory-table.ts';
import type { OwnedMemory, RetiredMemory } from './retired-memory.ts';
import type { SharedFile, SharedFiles } from './shared-files.ts';

/** What the mappers of a daemon's devices have in common. */
export interface MappingMeans {
  readonly files: GuestFiles;
  readonly shared: SharedFiles;
  readonly retired: RetiredMemory;
  readonly mapForeign: MapForeign | undefined;
  readonly domains: ForeignDomains;
  /** Numbers that no memory had before. */
  readonly nextMemory: () => number;
}

/**
 * What a foreign region may take up with what is mapped of it on demand, and what was before and somebody may
 * still look at.
 */
const FOREIGN_COST: MappingCost = { addresses: 64 * 2 ** 20, mappings: 4 };

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
      await Promise.all(entries.map((entry) => entry.release()));
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
      await this.#admit(region, FOREIGN_COST);
      const range = { domid: xen.domid, fd, guestAddr, length: size };
      return this.#foreign(region, range, mapForeign);
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

  async #foreign(
    region: MemoryRegion,
    range: ForeignRange,
    mapForeign: MapForeign,
  ): Promise<TableEntry> {
    const { domains } = this.#means;
    const foreign = await ForeignRegion.open(region, range, mapForeign, domains).catch((cause) => {
      throw notMapped(region, cause);
    });
    this.#share.take(FOREIGN_COST);
    return entry(
      region,
      [],
      undefined,
      async () => {
        this.#share.giveBack(FOREIGN_COST);
        await foreign.close();
      },
      foreign,
    );
  }

  #retire(memory: number, owned: OwnedMemory, cost: MappingCost): void {
    this.#means.retired.add(memory, owned, () => this.#share.giveBack(cost));
  }
}

function entry(
  region: MemoryRegion,
  mappings: readonly LentMapping[],
  file: string | undefined,
  release: () => void | Promise<void>,
  foreign?: ForeignRegion,
): TableEntry {
  let released: Promise<void> | undefined;
  return {
    region,
    mappings,
    file,
    foreign,
    release: () => {
      released ??= Promise.resolve(release());
      return released;
    },
  };
}

/** Does what a region is mapped by. @throws {VhostUserBackendError} INVALID_MEMORY */
function tried<T>(region: MemoryRegion, step: () => T): T {
  try {
    return step();
  } catch (cause) {
    throw notMapped(region, cause);
  }
}

function notMapped(region: MemoryRegion, cause: unknown): VhostUserBackendError {
  return new VhostUserBackendError(
    'INVALID_MEMORY',
    `Cannot map the region at ${hex(region.guestAddr)}: ${cause instanceof Error ? cause.message : cause}`,
    {},
    { cause },
  );
}
