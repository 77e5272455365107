import { type GuestAddress, type GuestMemory, guestAddress } from '@node-vmm/vm-memory';
import { DriverError } from './errors.ts';

/** Gives out a run of guest memory from its start; nothing is taken back. */
export class GuestHeap {
  readonly memory: GuestMemory;
  readonly #end: bigint;
  #next: bigint;

  /**
   * @param start - first address given out, default the first region's start (never address 0,
   * where no ring can be)
   * @param length - bytes, default to the end of the first region
   */
  constructor(memory: GuestMemory, start?: bigint, length?: number) {
    const [region] = memory.regions;
    const base = start ?? region?.guestAddr ?? 0n;
    const regionEnd = region === undefined ? base : region.guestAddr + BigInt(region.length);
    this.memory = memory;
    this.#next = base === 0n ? 4096n : base;
    this.#end = length === undefined ? regionEnd : base + BigInt(length);
  }

  /**
   * @param length - bytes
   * @param alignment - power of two
   * @throws {DriverError} OUT_OF_MEMORY
   */
  allocate(length: number, alignment = 16): GuestAddress {
    const unit = BigInt(alignment);
    const at = ((this.#next + unit - 1n) / unit) * unit;
    if (at + BigInt(length) > this.#end) {
      throw new DriverError(
        'OUT_OF_MEMORY',
        `Cannot allocate ${length} bytes of guest memory: ${this.#end - this.#next} are left`,
      );
    }
    this.#next = at + BigInt(length);
    return guestAddress(at);
  }
}
