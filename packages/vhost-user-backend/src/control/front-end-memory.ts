import type { MemoryRegion } from '@node-vmm/vhost-user';
import { type Fd, hex } from '@node-vmm/vmm-sys-util';
import { VhostUserBackendError } from '../errors.ts';
import type { DeviceLink } from './device-link.ts';
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

  /** Puts other regions in place of all. The descriptors stay the caller's. */
  async setTable(
    regions: readonly MemoryRegion[],
    fds: readonly Fd[],
    rings: FrontEndRings,
  ): Promise<void> {
    await this.#exchange([], await this.#mapper.map(regions, fds), rings);
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
    await this.#exchange(entries, await this.#mapper.map([region], [fd]), rings);
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
    this.#unmapUnused(table.entries);
  }

  /** No thread uses any of it any more. Idempotent. */
  unmapAll(): void {
    for (const generation of [...this.#lent.keys()]) this.released(generation);
    const { entries } = this.#table;
    this.#table = MemoryTable.EMPTY;
    this.#files.set([]);
    this.#unmapUnused(entries);
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
      await this.#device.attachMemory(generation, table.mappings);
    } catch (error) {
      this.#unmapUnused(added);
      throw error;
    }
    this.#lent.set(generation, table);
    this.#table = table;
    this.#files.set(table.files);
    const stopped = await this.#device.useMemory(generation, rings.moves());
    this.#unmapUnused(old.entries);
    await rings.moved(stopped);
  }

  #unmapUnused(entries: Iterable<TableEntry>): void {
    const used = new Set(this.#table.entries);
    for (const table of this.#lent.values()) for (const entry of table.entries) used.add(entry);
    for (const entry of entries) if (!used.has(entry)) entry.release();
  }
}
