import type { MemoryRegion } from '@node-vmm/vhost-user';
import { type Fd, hex } from '@node-vmm/vmm-sys-util';
import { VhostUserBackendError } from '../errors.ts';
import type { DeviceLink, MemorySeat, MemoryWish } from './device-link.ts';
import type { ChunkHolder } from './foreign-chunk.ts';
import type { FrontEndRings } from './front-end-rings.ts';
import type { HeldFiles } from './guest-files.ts';
import { MAX_MEM_SLOTS, MemoryTable, type TableEntry } from './memory-table.ts';
import type { RegionMapper } from './region-mapper.ts';

/**
 * Guest memory of one connection, and the one owner of its mappings: which table holds now, and what
 * still has to stay mapped because a worker, or a request that the device has not finished, uses it.
 */
export class FrontEndMemory {
  readonly #device: DeviceLink;
  readonly #nextGeneration: () => number;
  readonly #files: HeldFiles;
  readonly #mapper: RegionMapper;
  /** Tables that workers may still look at, by generation. */
  readonly #lent = new Map<number, MemoryTable>();
  /** Who borrows chunks of which. */
  readonly #holders = new Map<number, Map<MemorySeat, ChunkHolder>>();
  /** What is to have come to its end before all is unmapped. */
  readonly #work = new Set<Promise<void>>();
  #hasForeign = false;
  #table: MemoryTable = MemoryTable.EMPTY;

  /**
   * @param nextGeneration - numbers that no connection of the device used before
   * @param files - told which are mapped
   * @param mapper - of the device
   */
  constructor(
    device: DeviceLink,
    nextGeneration: () => number,
    files: HeldFiles,
    mapper: RegionMapper,
  ) {
    this.#device = device;
    this.#nextGeneration = nextGeneration;
    this.#files = files;
    this.#mapper = mapper;
  }

  /** What the front-end shares now. */
  get table(): MemoryTable {
    return this.#table;
  }

  /** True once memory of a Xen domain may have been mapped here. */
  get hasForeign(): boolean {
    return this.#hasForeign;
  }

  /**
   * Puts other regions in place of all. The descriptors stay the caller's; where all regions are what they were,
   * and a Xen domain's, those are used that were given with them first.
   */
  async setTable(
    regions: readonly MemoryRegion[],
    fds: readonly Fd[],
    rings: FrontEndRings,
  ): Promise<void> {
    if (this.#table.isForeign(regions)) {
      // Who says again what it has said says that pages behind it are others.
      const domains = new Set(this.#table.foreign.map(({ domain }) => domain));
      await Promise.all([...domains].map((domain) => domain.returned()));
      await rings.moved([]);
      return;
    }
    await this.#exchange([], await this.#map(regions, fds), rings);
  }

  /** Adds a region. The descriptor stays the caller's. */
  async add(region: MemoryRegion, fd: Fd, rings: FrontEndRings): Promise<void> {
    const { entries } = this.#table;
    if (entries.length >= MAX_MEM_SLOTS) {
      throw new VhostUserBackendError(
        'INVALID_MEMORY',
        `Cannot add a memory region: all ${MAX_MEM_SLOTS} slots are in use`,
      );
    }
    await this.#exchange(entries, await this.#map([region], [fd]), rings);
  }

  async remove(region: MemoryRegion, rings: FrontEndRings): Promise<void> {
    const entry = this.#table.find(region);
    if (entry === undefined) {
      throw new VhostUserBackendError(
        'INVALID_MEMORY',
        `Cannot remove the memory region at ${hex(region.guestAddr)}: no such region`,
      );
    }
    const rest = this.#table.entries.filter((other) => other !== entry);
    await this.#exchange(rest, [], rings);
  }

  /** The workers have let go of a generation. */
  released(generation: number): void {
    const table = this.#lent.get(generation);
    if (table === undefined) return;
    this.#lent.delete(generation);
    this.#dropHolders(generation, table);
    this.#track(this.#unmapUnused(table.entries));
  }

  /** An instance needs memory of a table. */
  wanted(wish: MemoryWish): void {
    this.#track(this.#fetch(wish));
  }

  /** An instance has given back a chunk that was to end. */
  idle(memory: number): void {
    for (const table of this.#lent.values()) {
      for (const { domain } of table.foreign) domain.idle(memory);
    }
  }

  /** No thread uses any of it any more. Resolves when what only this one had is unmapped. Idempotent. */
  async unmapAll(): Promise<void> {
    for (const generation of [...this.#lent.keys()]) this.released(generation);
    const { entries, foreign } = this.#table;
    this.#table = MemoryTable.EMPTY;
    this.#files.set([]);
    await Promise.all(this.#work);
    await this.#unmapUnused(entries);
    await Promise.all(foreign.map(({ domain }) => domain.unmapped()));
  }

  #map(regions: readonly MemoryRegion[], fds: readonly Fd[]): Promise<TableEntry[]> {
    // Before: whoever hears of the end of the connection must find nothing mapped.
    if (regions.some(({ xen }) => xen !== undefined)) this.#hasForeign = true;
    return this.#mapper.map(regions, fds);
  }

  #track(work: Promise<void>): void {
    // What cannot be unmapped stays until the process ends.
    const done = work.catch(() => undefined).finally(() => this.#work.delete(done));
    this.#work.add(done);
  }

  async #exchange(
    kept: readonly TableEntry[],
    added: readonly TableEntry[],
    rings: FrontEndRings,
  ): Promise<void> {
    const generation = this.#nextGeneration();
    const old = this.#table;
    let table: MemoryTable;
    try {
      table = new MemoryTable([...kept, ...added]);
      // First: what uses it may need some at once.
      this.#lent.set(generation, table);
      await this.#device.attachMemory(generation, table.mappings, table.onDemand);
    } catch (error) {
      this.#lent.delete(generation);
      await this.#unmapUnused(added);
      throw error;
    }
    this.#table = table;
    this.#files.set(table.files);
    // Who exchanges memory says that it has changed, for all devices of the domain. First: what rings then go
    // to is mapped anew already.
    const domains = new Set([...old.foreign, ...table.foreign].map(({ domain }) => domain));
    const renewals = [...domains].map((domain) => domain.renew());
    const stopped = await this.#device.useMemory(generation, rings.moves());
    this.#track(this.#unmapUnused(old.entries));
    await rings.moved(stopped);
    await Promise.all(renewals);
  }

  async #fetch({ seat, generation, chunks }: MemoryWish): Promise<void> {
    const table = this.#lent.get(generation);
    if (table === undefined) return;
    const holder = this.#holder(seat, generation);
    const alive = (): boolean => this.#lent.get(generation) === table;
    const lent = await Promise.all(
      chunks.map((wanted) => {
        const region = table.foreign.find((foreign) => foreign.has(wanted));
        return region?.lend(wanted, holder, alive);
      }),
    );
    if (!alive()) return;
    const arrived = lent.filter((chunk) => chunk !== undefined);
    // An instance that cannot be asked is gone, and its memory is released.
    await seat.arrived(generation, arrived).catch(() => undefined);
  }

  #holder(seat: MemorySeat, generation: number): ChunkHolder {
    let holders = this.#holders.get(generation);
    if (holders === undefined) {
      holders = new Map();
      this.#holders.set(generation, holders);
    }
    let holder = holders.get(seat);
    if (holder === undefined) {
      holder = { ended: (memories) => seat.ended(generation, memories) };
      holders.set(seat, holder);
    }
    return holder;
  }

  #dropHolders(generation: number, table: MemoryTable): void {
    for (const holder of this.#holders.get(generation)?.values() ?? []) {
      for (const { domain } of table.foreign) domain.drop(holder);
    }
    this.#holders.delete(generation);
  }

  async #unmapUnused(entries: Iterable<TableEntry>): Promise<void> {
    const used = new Set(this.#table.entries);
    for (const table of this.#lent.values()) for (const entry of table.entries) used.add(entry);
    const unused = [...entries].filter((entry) => !used.has(entry));
    await Promise.all(unused.map((entry) => entry.release()));
  }
}
