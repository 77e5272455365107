import type { GuestAddress } from '../guest-address.ts';
import type {
  Access,
  GuestMemory,
  GuestMemoryRegion,
  GuestSlice,
  LendResult,
} from '../guest-memory.ts';
import type { SegmentTable } from '../segment-table.ts';

/** Passes every call on to another memory: a base for memories that change one thing. */
export class ForwardingMemory implements GuestMemory {
  readonly #memory: GuestMemory;

  constructor(memory: GuestMemory) {
    this.#memory = memory;
  }

  get regions(): readonly GuestMemoryRegion[] {
    return this.#memory.regions;
  }

  get faulted(): boolean {
    return this.#memory.faulted;
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
    return this.#memory.slice(guestAddr, length, access);
  }
  lend(
    addrLow: number,
    addrHigh: number,
    length: number,
    access: Access,
    table: SegmentTable,
  ): LendResult {
    return this.#memory.lend(addrLow, addrHigh, length, access, table);
  }
  whenReady(retry: () => void): void {
    this.#memory.whenReady(retry);
  }
  giveBack(table: SegmentTable, first: number, count: number): void {
    this.#memory.giveBack(table, first, count);
  }
  [Symbol.dispose](): void {
    this.#memory[Symbol.dispose]();
  }
}
