import { fstatSync } from 'node:fs';
import { type FdRegion, FileMapping } from '@node-vmm/vm-memory';
import {
  F_SEAL_FUTURE_WRITE,
  F_SEAL_WRITE,
  type FaultGuard,
  type Fd,
  fileSeals,
  isReadWrite,
} from '@node-vmm/vmm-sys-util';
import type { BudgetShare } from './mapping-budget.ts';

/** A part of a file that is mapped, for all who were given that file. */
export interface SharedFile {
  /** Its number; see `LentMapping`. */
  readonly memory: number;
  /** What identifies the file; undefined for what is none, which is mapped for one front-end alone. */
  readonly file: string | undefined;
  readonly mapping: FileMapping;
  /** Whose regions are in it, an entry for each region; the first pays for it. */
  readonly users: BudgetShare[];
}

/**
 * The files that front-ends lend, each part mapped once, whoever lends it: as many devices of a guest as
 * there are get the same memory. A file is known by its device and inode, which stay its own for as long as
 * it is mapped.
 */
export class SharedFiles {
  readonly #nextMemory: () => number;
  readonly #files = new Map<string, Set<SharedFile>>();

  constructor(nextMemory: () => number) {
    this.#nextMemory = nextMemory;
  }

  /**
   * What is mapped and has all of a region, undefined when nothing does. `users` is the caller's to keep.
   *
   * @throws {VmMemoryError} as `FileMapping.check`: what is mapped may be longer than its file is by now
   */
  find(region: FdRegion): SharedFile | undefined {
    FileMapping.check(region);
    const { fd, fdOffset, length } = region;
    // Who may not map it like that must not get at what somebody else could.
    if (!isReadWrite(fd) || (fileSeals(fd) & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) !== 0) {
      return undefined;
    }
    const file = identityOf(fd);
    for (const shared of (file === undefined ? undefined : this.#files.get(file)) ?? []) {
      const { mapping } = shared;
      // Where pages were replaced, what the file has since is not seen.
      if (!mapping.faulted && mapping.covers(BigInt(fdOffset), BigInt(length))) return shared;
    }
    return undefined;
  }

  /**
   * Maps a region for its first user.
   *
   * @throws {VmMemoryError} as `FileMapping.create`
   * @throws {FaultGuardError} likewise
   */
  map(region: FdRegion, guard: FaultGuard | undefined): SharedFile {
    // First: what throws must leave nothing mapped.
    const file = identityOf(region.fd);
    const mapping = FileMapping.create(region, guard);
    const shared: SharedFile = { memory: this.#nextMemory(), file, mapping, users: [] };
    if (file === undefined) return shared;
    const parts = this.#files.get(file) ?? new Set();
    this.#files.set(file, parts.add(shared));
    return shared;
  }

  /** Nobody is to find it any more. */
  forget(shared: SharedFile): void {
    const { file } = shared;
    if (file === undefined) return;
    const parts = this.#files.get(file);
    parts?.delete(shared);
    if (parts?.size === 0) this.#files.delete(file);
  }
}

/**
 * Of a regular file. Other descriptors of one device and inode may be of as many memories: two virtual
 * processors, two mappings of /dev/zero. When the file was made belongs to it, where its file system knows
 * that: numbers of memfds begin anew after 2^32.
 */
function identityOf(fd: Fd): string | undefined {
  const stat = fstatSync(fd, { bigint: true });
  if (!stat.isFile()) return undefined;
  return `${stat.dev}:${stat.ino}:${stat.birthtimeNs}`;
}
