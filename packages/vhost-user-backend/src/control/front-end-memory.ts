import type { MemoryRegion } from '@node-vmm/vhost-user';
import { type Fd, hex } from '@node-vmm/vmm-sys-util';
import { VhostUserBackendError } from '../errors.ts';
import type { DeviceLink } from './device-link.ts';
import type { FrontEndRings } from './front-end-rings.ts';
import {
  MAX_MEM_SLOTS,
  MemoryTable,
  mapRegion,
  mapRegions,
  type TableEntry,
} from './memory-table.ts';

/**
 * Guest memory of one connection: which table holds now, and what still has to stay mapped because
 * the worker, or a request that the device has not finished, uses it.
 */
export class FrontEndMemory {
  readonly #device: DeviceLink;
  readonly #nextGeneration: () => number;
  /** Tables that the worker may still look at, by generation. */
  readonly #lent = new Map<number, MemoryTable>();
  #table: MemoryTable = MemoryTable.EMPTY;

  /** @param nextGeneration - numbers that no connection of the device used before */
  constructor(device: DeviceLink, nextGeneration: () => number) {
    this.#device = device;
    this.#nextGeneration = nextGeneration;
  }

  /** Regions in use, for status. */
  get regionCount(): number {
    return this.#table.entries.length;
  }

  /** Puts other regions in place of all. The descriptors stay the caller's. */
  async setTable(
    regions: readonly MemoryRegion[],
    fds: readonly Fd[],
    rings: FrontEndRings,
  ): Promise<void> {
    await this.#exchange([], mapRegions(regions, fds), rings);
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
    await this.#exchange(entries, [mapRegion(region, fd)], rings);
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

  /** The worker has let go of a generation. */
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
    this.#unmapUnused(entries);
  }

  async #exchange(
    kept: readonly TableEntry[],
    added: readonly TableEntry[],
    rings: FrontEndRings,
  ): Promise<void> {
    const generation = this.#nextGeneration();
    const old = this.#table;
    try {
      const table = new MemoryTable([...kept, ...added]);
      // Known before the worker may release it.
      this.#lent.set(generation, table);
      const stopped = await this.#device.call('setMemory', {
        generation,
        mappings: table.mappings,
        moves: rings.moves(table),
      });
      this.#table = table;
      this.#unmapUnused(old.entries);
      await rings.moved(table, stopped);
    } catch (error) {
      if (this.#table === old) this.#lent.delete(generation);
      this.#unmapUnused(added);
      throw error;
    }
  }

  #unmapUnused(entries: Iterable<TableEntry>): void {
    const used = new Set(this.#table.entries);
    for (const table of this.#lent.values()) for (const entry of table.entries) used.add(entry);
    for (const entry of entries) if (!used.has(entry)) entry.memory[Symbol.dispose]();
  }
}
