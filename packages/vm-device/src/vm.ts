import type { GuestMemory } from '@node-vmm/vm-memory';
import type { EventFd } from '@node-vmm/vmm-sys-util';
import type { AddressRange, AddressSpace } from './address-space.ts';
import type { BusHandler } from './bus-handler.ts';
import type { Interrupt, IrqSource } from './irq.ts';
import type { Wiring } from './wiring.ts';

/** A guest's write that signals an eventfd instead of reaching a handler; as KVM_IOEVENTFD. */
export interface IoeventfdMatch {
  /** Default `memory`, as KVM_IOEVENTFD_FLAG_PIO is not set by default. */
  readonly space?: AddressSpace;
  /** Address of the register: guest physical, or its port. */
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
 * Xen and the simulated machine implement it in `ioreq-eventfd`.
 */
export interface Vm extends Disposable {
  /** For messages: `xen:3`. */
  readonly name: string;
  /** Mapped at the latest when it is first asked for; closed with the VM. */
  readonly memory: GuestMemory;

  /**
   * Claims a window of an address space; the handler serves what no ioeventfd takes.
   *
   * @throws {VmError} NOT_SUPPORTED when the machine does not have the address space, RANGE_IN_USE,
   * RANGE_IS_MEMORY, RANGE_RESERVED, BAD_RANGE, CLOSED, or HYPERVISOR when it refuses
   */
  map(range: AddressRange, handler: BusHandler): Wiring;

  /**
   * Signals `eventfd` when the guest writes a register. The eventfd stays the caller's and must be
   * open until the wiring is closed.
   *
   * @throws {VmError} NOT_MAPPED when no claimed window holds the register, IOEVENTFD_IN_USE,
   * NOT_SUPPORTED when the machine does not have the address space, and in mode `kernel` when the
   * kernel cannot
   */
  ioeventfd(match: IoeventfdMatch, eventfd: EventFd): Wiring;

  /**
   * Connects a device to an interrupt. Several devices may be connected to one, unless it is an
   * edge-triggered wire.
   *
   * @throws {VmError} BAD_IRQ, IRQ_IN_USE, NOT_SUPPORTED for a kind that the machine does not have,
   * CLOSED
   */
  connectIrq(interrupt: Interrupt): IrqSource;

  /** Gives everything back to the hypervisor, open wirings and sources included. Idempotent. */
  close(): void;
}
