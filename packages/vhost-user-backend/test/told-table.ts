import { readFileSync } from 'node:fs';
import { closeFd, type Fd, memfdCreate, PAGE_SIZE } from '@node-vmm/vmm-sys-util';
import type { Guest, TableRegion } from '../src/testing/index.ts';

/** How often a file in memory is mapped in this process. */
export function timesMapped(name: string): number {
  return readFileSync('/proc/self/maps', 'utf8').split(`/memfd:${name} (deleted)`).length - 1;
}

/**
 * A memory table with a page of a file that no other table has, besides the guest's memory, which is mapped
 * once for all tables: for as long as that page is mapped, somebody has this table.
 */
export class ToldTable implements Disposable {
  readonly regions: readonly TableRegion[];
  readonly fds: readonly Fd[];
  readonly #name: string;
  readonly #own: Fd;

  constructor(guest: Guest, name: string) {
    this.#name = `${name}-${process.pid}`;
    this.#own = memfdCreate(this.#name, PAGE_SIZE);
    const at = 1n << 40n;
    const page = { guestAddr: at, userAddr: at, size: BigInt(PAGE_SIZE), mmapOffset: 0n };
    this.regions = [...guest.regions, page];
    this.fds = [...guest.fds, this.#own];
  }

  get mapped(): boolean {
    return timesMapped(this.#name) > 0;
  }

  [Symbol.dispose](): void {
    closeFd(this.#own);
  }
}
