import { rangeText, VmMemoryError } from '../errors.ts';
import type { GuestAddress } from '../guest-address.ts';
import { type Access, type GuestSlice, LEND_NOT_YET, type LendResult } from '../guest-memory.ts';
import type { SegmentTable } from '../segment-table.ts';
import { ForwardingMemory } from './forwarding-memory.ts';

/**
 * A memory of which parts are not there yet, as pages that are mapped on demand or addresses that
 * wait for an IOMMU's answer: whoever borrows them has to try again after {@link arrive}.
 */
export class TardyMemory extends ForwardingMemory {
  readonly #absent: { readonly start: bigint; readonly end: bigint }[] = [];
  readonly #waiting: (() => void)[] = [];

  /** Loans that touch `[guestAddr, guestAddr + length)` have to wait from now on. */
  delay(guestAddr: GuestAddress, length: number): void {
    this.#absent.push({ start: guestAddr, end: guestAddr + BigInt(length) });
  }

  /** Everything is there: those who wait are told. */
  arrive(): void {
    this.#absent.length = 0;
    for (const retry of this.#waiting.splice(0)) retry();
  }

  /** Borrowers that wait. */
  get waiting(): number {
    return this.#waiting.length;
  }

  override slice(guestAddr: GuestAddress, length: number, access: Access): GuestSlice {
    if (!this.#touches(guestAddr, length)) return super.slice(guestAddr, length, access);
    throw new VmMemoryError(
      'NOT_YET',
      `Cannot borrow ${rangeText(guestAddr, length)}: not mapped yet`,
      { guestAddr, length: BigInt(length) },
    );
  }

  override lend(
    addrLow: number,
    addrHigh: number,
    length: number,
    access: Access,
    table: SegmentTable,
  ): LendResult {
    const start = (BigInt(addrHigh) << 32n) + BigInt(addrLow);
    if (this.#touches(start, length)) return LEND_NOT_YET;
    return super.lend(addrLow, addrHigh, length, access, table);
  }

  override whenReady(retry: () => void): void {
    this.#waiting.push(retry);
  }

  override [Symbol.dispose](): void {
    this.#waiting.length = 0;
    super[Symbol.dispose]();
  }

  #touches(start: bigint, length: number): boolean {
    return this.#absent.some((range) => start < range.end && start + BigInt(length) > range.start);
  }
}
