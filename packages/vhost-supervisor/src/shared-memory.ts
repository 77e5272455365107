import { readSync } from 'node:fs';
import type { MemoryRegion } from '@node-vmm/vhost-user';
import { closeFd, closeFds, type Fd } from '@node-vmm/vmm-sys-util';

/** A region that the front-end shares, and its file. */
export interface SharedRegion {
  readonly region: MemoryRegion;
  readonly fd: Fd;
}

/**
 * The guest memory that a front-end shares, as files. It is read and not mapped: a file that shrinks gives
 * fewer bytes, where a mapping would end the process.
 */
export class SharedMemory {
  #regions: SharedRegion[] = [];

  get regions(): readonly SharedRegion[] {
    return this.#regions;
  }

  /** Replaces all regions. @param fds - one for each region; become this object's */
  set(regions: readonly MemoryRegion[], fds: readonly Fd[]): void {
    this.clear();
    this.#regions = regions.map((region, index) => ({ region, fd: fds[index] as Fd }));
  }

  /** @param fd - becomes this object's */
  add(region: MemoryRegion, fd: Fd): void {
    this.#regions.push({ region, fd });
  }

  remove({ guestAddr, userAddr, size }: MemoryRegion): void {
    const index = this.#regions.findIndex(
      ({ region }) =>
        region.guestAddr === guestAddr && region.userAddr === userAddr && region.size === size,
    );
    for (const { fd } of index < 0 ? [] : this.#regions.splice(index, 1)) closeFd(fd);
  }

  clear(): void {
    closeFds(this.#regions.map(({ fd }) => fd));
    this.#regions = [];
  }

  /**
   * Reads a little-endian 16-bit number.
   *
   * @param userAddr - in the front-end's address space
   * @returns undefined where there is no memory
   */
  readU16(userAddr: bigint): number | undefined {
    for (const { region, fd } of this.#regions) {
      const offset = userAddr - region.userAddr;
      if (offset < 0n || offset + 2n > region.size) continue;
      const bytes = new Uint8Array(2);
      const position = region.mmapOffset + offset;
      try {
        if (readSync(fd, bytes, { position, length: 2 }) < 2) return undefined;
      } catch {
        // No regular file, or an offset that no file has: nothing that a ring can be in.
        return undefined;
      }
      return new DataView(bytes.buffer).getUint16(0, true);
    }
    return undefined;
  }
}
