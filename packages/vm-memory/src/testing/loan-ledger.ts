import type { GuestAddress } from './guest-address.ts';
import type { Access, GuestMemory, GuestMemoryRegion, GuestSlice } from './guest-memory.ts';
import type { SegmentTable } from './segment-table.ts';

/**
 * A memory that keeps books on its loans, for tests of borrowers: memory mapped on demand (grants)
 * stays mapped for as long as a loan is out, so every loan must be given back exactly once.
 */
export class LoanLedger implements GuestMemory {
  readonly #memory: GuestMemory;
  readonly #lent = new Map<string, number>();
  #segments = 0;
  #slices = 0;

  constructor(memory: GuestMemory) {
    this.#memory = memory;
  }

  /** Segments that `lend` handed out and nobody gave back. */
  get segmentsOut(): number {
    return this.#segments;
  }

  /** Slices not released. */
  get slicesOut(): number {
    return this.#slices;
  }

  get regions(): readonly GuestMemoryRegion[] {
    return this.#memory.regions;
  }

  contains(guestAddr: GuestAddress, length: number): boolean {
    return this.#memory.contains(guestAddr, length);
  }
  read(guestAddr: GuestAddress, target: Uint8Array): void {
    this.#memory.read(guestAddr, target);
  }
  write(guestAddr: GuestAddress, source: Uint8Array): void {
    this.#memory.write(guestAddr, source);
  }
  readU8(guestAddr: GuestAddress): number {
    return this.#memory.readU8(guestAddr);
  }
  readU16(guestAddr: GuestAddress): number {
    return this.#memory.readU16(guestAddr);
  }
  readU32(guestAddr: GuestAddress): number {
    return this.#memory.readU32(guestAddr);
  }
  readU64(guestAddr: GuestAddress): bigint {
    return this.#memory.readU64(guestAddr);
  }
  writeU8(guestAddr: GuestAddress, value: number): void {
    this.#memory.writeU8(guestAddr, value);
  }
  writeU16(guestAddr: GuestAddress, value: number): void {
    this.#memory.writeU16(guestAddr, value);
  }
  writeU32(guestAddr: GuestAddress, value: number): void {
    this.#memory.writeU32(guestAddr, value);
  }
  writeU64(guestAddr: GuestAddress, value: bigint): void {
    this.#memory.writeU64(guestAddr, value);
  }

  slice(guestAddr: GuestAddress, length: number, access: Access): GuestSlice {
    const slice = this.#memory.slice(guestAddr, length, access);
    this.#slices++;
    let out = true;
    const release = (): void => {
      if (out) this.#slices--;
      out = false;
      slice.release();
    };
    return {
      guestAddr: slice.guestAddr,
      length: slice.length,
      hostAddress: slice.hostAddress,
      get bytes() {
        return slice.bytes;
      },
      get view() {
        return slice.view;
      },
      release,
      [Symbol.dispose]: release,
    };
  }

  lend(
    addrLow: number,
    addrHigh: number,
    length: number,
    access: Access,
    table: SegmentTable,
  ): boolean {
    const first = table.count;
    if (!this.#memory.lend(addrLow, addrHigh, length, access, table)) return false;
    for (let i = first; i < table.count; i++) {
      const key = keyOf(table, i);
      this.#lent.set(key, (this.#lent.get(key) ?? 0) + 1);
      this.#segments++;
    }
    return true;
  }

  /** @throws {Error} for an entry that is not on loan */
  giveBack(table: SegmentTable, first: number, count: number): void {
    for (let i = first; i < first + count; i++) {
      const key = keyOf(table, i);
      const out = this.#lent.get(key) ?? 0;
      if (out === 0) throw new Error(`Cannot give back segment ${key}: it is not on loan`);
      this.#lent.set(key, out - 1);
      this.#segments--;
    }
    this.#memory.giveBack(table, first, count);
  }

  [Symbol.dispose](): void {
    this.#memory[Symbol.dispose]();
  }
}

function keyOf(table: SegmentTable, i: number): string {
  return `${table.regionAt(i).guestAddr}+${table.offsetAt(i)}:${table.lengthAt(i)}`;
}
