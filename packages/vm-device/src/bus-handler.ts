import type { Held } from './held.ts';

/**
 * Serves accesses to a window of an address space. Everything in an access is the guest's choice:
 * implementations answer anything and throw nothing; what they throw all the same is answered with
 * all ones.
 */
export interface BusHandler {
  /**
   * While this is not undefined, accesses are held back until it is over: a device that is still being made
   * can claim its window before it can answer. Absent or undefined: accesses are carried out at once.
   */
  readonly ready?: Held | undefined;
  /**
   * @param offset - bytes from the window's base
   * @param size - 1, 2, 4 or, in memory, 8 bytes, wholly within the window
   * @returns the value, in the low `size` bytes
   */
  read(offset: number, size: number): bigint;
  /**
   * @returns what is to be over before the write is answered (the vCPU stands still), or nothing
   */
  write(offset: number, size: number, value: bigint): Held | undefined;
}
