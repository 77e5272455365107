import type { GuestAddress } from '../guest-address.ts';
import { type Access, type GuestSlice, LEND_READY, type LendResult } from '../guest-memory.ts';
import type { SegmentTable } from '../segment-table.ts';
import { ForwardingMemory } from './forwarding-memory.ts';

/**
 * A memory that keeps books on its loans, for tests of borrowers: memory mapped on demand (grants)
 * stays mapped for as long as a loan is out, so every loan must be given back exactly once.
 */
export class LoanLedger extends ForwardingMemory {
  readonly #lent = new Map<string, number>();
  #segments = 0;
  #slices = 0;

  /** Segments that `lend` handed out and nobody gave back. */
  get segmentsOut(): number {
    return this.#segments;
  }

  /** Slices not released. */
  get slicesOut(): number {
    return this.#slices;
  }

  override slice(guestAddr: GuestAddress, length: number, access: Access): GuestSlice {
    const slice = super.slice(guestAddr, length, access);
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

  override lend(
    addrLow: number,
    addrHigh: number,
    length: number,
    access: Access,
    table: SegmentTable,
  ): LendResult {
    const first = table.count;
    const answer = super.lend(addrLow, addrHigh, length, access, table);
    if (answer !== LEND_READY) return answer;
    for (let i = first; i < table.count; i++) {
      const key = keyOf(table, i);
      this.#lent.set(key, (this.#lent.get(key) ?? 0) + 1);
      this.#segments++;
    }
    return LEND_READY;
  }

  /** @throws {Error} for an entry that is not on loan */
  override giveBack(table: SegmentTable, first: number, count: number): void {
    for (let i = first; i < first + count; i++) {
      const key = keyOf(table, i);
      const out = this.#lent.get(key) ?? 0;
      if (out === 0) throw new Error(`Cannot give back segment ${key}: it is not on loan`);
      this.#lent.set(key, out - 1);
      this.#segments--;
    }
    super.giveBack(table, first, count);
  }
}

function keyOf(table: SegmentTable, i: number): string {
  return `${table.regionAt(i).guestAddr}+${table.offsetAt(i)}:${table.lengthAt(i)}`;
}
