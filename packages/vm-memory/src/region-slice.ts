import { VmMemoryError } from './errors.ts';
import type { GuestAddress } from './guest-address.ts';
import type { GuestSlice } from './guest-memory.ts';
import type { MappedRegion } from './mapped-region.ts';

/** A {@link GuestSlice} of a region that stays mapped: `release` only ends this loan. */
export class RegionSlice implements GuestSlice {
  readonly guestAddr: GuestAddress;
  readonly length: number;
  readonly hostAddress: number;
  readonly #region: MappedRegion;
  #bytes: Uint8Array | undefined;
  #view: DataView | undefined;

  /** The caller has checked that `[offset, offset + length)` is within the region. */
  constructor(region: MappedRegion, offset: number, length: number) {
    const window = region.windowAt(offset, length);
    const { buffer } = window.bytes;
    const start = window.bytes.byteOffset + offset - window.offset;
    this.guestAddr = (region.guestAddr + BigInt(offset)) as GuestAddress;
    this.length = length;
    this.hostAddress = region.hostAddress + offset;
    this.#region = region;
    this.#bytes = new Uint8Array(buffer, start, length);
    this.#view = new DataView(buffer, start, length);
  }

  get bytes(): Uint8Array {
    return this.#live(this.#bytes);
  }

  get view(): DataView {
    return this.#live(this.#view);
  }

  release(): void {
    this.#bytes = undefined;
    this.#view = undefined;
  }

  [Symbol.dispose](): void {
    this.release();
  }

  #live<T>(value: T | undefined): T {
    if (value === undefined) {
      throw new VmMemoryError('CLOSED', 'Cannot access a slice of guest memory: it is released');
    }
    // Refuses when the memory was closed under the loan.
    this.#region.checkLive();
    return value;
  }
}
