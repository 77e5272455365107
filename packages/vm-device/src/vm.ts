import type { GuestMemory } from '@node-vmm/vm-memory';
import type { EventFd } from '@node-vmm/vmm-sys-util';
import type { IrqLine, IrqOptions, IrqSource } from './irq.ts';
import type { MmioHandler, MmioRange } from './mmio-handler.ts';
import type { Wiring } from './wiring.ts';

/** A guest's write that signals an eventfd instead of reaching a handler; as KVM_IOEVENTFD. */
export interface IoeventfdMatch {
  /** Guest physical address of the register. */
  readonly guestAddr: bigint;
  /** Width of the write in bytes: 1, 2, 4 or 8. */
  readonly length: 1 | 2 | 4 | 8;
  /** Value that must be written; absent for any. */
  readonly datamatch?: bigint;
}

/** How wirings are made: by the kernel where it can, by one of the two alone for tests. */
export type NotificationMode = 'auto' | 'kernel' | 'user';

/**
 * A virtual machine whose devices live in this process: what a front-end needs of any hypervisor.
 * Xen and the simulated VM implement it now, KVM will.
 */
export interface Vm extends Disposable {
  /** For messages: `xen:3`. */
  readonly name: string;
  /** Mapped at the latest when it is first asked for; closed with the VM. */
  readonly memory: GuestMemory;

  /**
   * Claims a window of guest physical address space; the handler serves what no ioeventfd takes.
   *
   * @throws {IoreqError} RANGE_IN_USE, RANGE_IS_MEMORY, RANGE_RESERVED, BAD_RANGE, CLOSED, or
   * HYPERVISOR when it refuses
   */
  mapMmio(range: MmioRange, handler: MmioHandler): Wiring;

  /**
   * Signals `eventfd` when the guest writes a register. The eventfd stays the caller's and must be
   * open until the wiring is closed.
   *
   * @throws {IoreqError} NOT_MAPPED when no claimed window holds the register, IOEVENTFD_IN_USE,
   * NOT_SUPPORTED in mode `kernel` when the kernel cannot
   */
  ioeventfd(match: IoeventfdMatch, eventfd: EventFd): Wiring;

  /**
   * Connects a device to an interrupt. Several devices may be connected to one, unless it is an
   * edge-triggered wire.
   *
   * @throws {IoreqError} BAD_IRQ, IRQ_IN_USE, CLOSED
   */
  connectIrq(irq: IrqLine, options?: IrqOptions): IrqSource;

  /** Gives everything back to the hypervisor, open wirings and sources included. Idempotent. */
  close(): void;
}
