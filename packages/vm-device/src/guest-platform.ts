import type { GuestMemory } from '@node-vmm/vm-memory';

/** A guest's access to device registers. Calls block until the access is answered, as on a CPU. */
export interface GuestMmio {
  /**
   * @param size - 1, 2, 4 or 8 bytes
   * @throws {VmError} TIMEOUT
   */
  read(guestAddr: bigint, size: number): bigint;
  write(guestAddr: bigint, size: number, value: bigint): void;
}

/** What drivers run on: registers, memory and interrupts of one machine. */
export interface GuestPlatform extends GuestMmio {
  readonly memory: GuestMemory;
  /**
   * Waits for an interrupt; one that came since the last call counts.
   *
   * @param timeout - milliseconds
   * @returns false when none came
   */
  waitInterrupt(irq: number, timeout: number): boolean;
}
