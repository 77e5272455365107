import { PAGE_SIZE } from '@node-vmm/vmm-sys-util';
import { rangeText, VmMemoryError } from './errors.ts';
import { type GuestRange, sortRanges } from './guest-range.ts';

/** A range of guest addresses. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** Where guest memory is that is mapped on demand. */
export class DemandSpans {
  readonly #spans: readonly Span[];

  /**
   * @param ranges - whole pages
   * @param others - what else the memory has
   * @throws {VmMemoryError} BAD_REGION, OVERLAP
   */
  constructor(ranges: Iterable<GuestRange>, others: readonly GuestRange[]) {
    const all = sortRanges([...ranges]);
    sortRanges([...all, ...others]);
    this.#spans = all.map(({ guestAddr, length }) => {
      if (guestAddr % BigInt(PAGE_SIZE) !== 0n || BigInt(length) % BigInt(PAGE_SIZE) !== 0n) {
        throw new VmMemoryError(
          'BAD_REGION',
          `Cannot use a region of ${rangeText(guestAddr, length)}: only whole pages of ${PAGE_SIZE} bytes are mapped on demand`,
          { guestAddr, length: BigInt(length) },
        );
      }
      return { start: Number(guestAddr), end: Number(guestAddr) + Number(length) };
    });
  }

  /** The one that an address is in. */
  at(address: number): Span | undefined {
    return this.#spans.find(({ start, end }) => address >= start && address < end);
  }

  /** True when every byte is in one of them. */
  cover(address: number, length: number): boolean {
    if (length === 0) return true;
    if (!(length > 0)) return false;
    let at = address;
    for (const { start, end } of this.#spans) {
      if (at < start) return false;
      if (at < end) at = end;
      if (address + length <= at) return true;
    }
    return false;
  }
}
