import type { EventFd } from '@node-vmm/vmm-sys-util';
import type { Wiring } from './wiring.ts';

/** An interrupt of the guest: a global number of the hypervisor (SPI, ISA line, GSI). */
export type IrqLine = number;

/**
 * How the guest's interrupt controller reads a wire, as the guest's firmware set it up: `level`
 * interrupts for as long as it is high, `edge` once for each rise.
 */
export type IrqTrigger = 'level' | 'edge';

/** How a device is connected to an interrupt. */
export interface IrqOptions {
  /**
   * Of an ISA line of x86. Default: what the usual firmware makes of that line. Interrupts that are
   * messages by nature (an SPI under Xen, a line of a simulated machine) take no notice of it.
   */
  readonly trigger?: IrqTrigger;
}

/**
 * A device's end of an interrupt. The device says when something is pending that the driver has not
 * seen, and when nothing is; what the wire does about it is the machine's.
 */
export interface IrqSource extends Disposable {
  readonly irq: IrqLine;

  /**
   * Something new is pending: the guest is interrupted once more, whatever was pending already. One
   * interrupt too many may come of it, never one too few.
   *
   * @throws {IoreqError} CLOSED, HYPERVISOR
   */
  raise(): void;

  /**
   * Nothing is pending: a wire goes low, unless it is shared and another device has something
   * pending. Nothing happens where each interrupt is a message, or after `close`.
   *
   * @throws {IoreqError} HYPERVISOR
   */
  lower(): void;

  /**
   * Interrupts whenever `eventfd` is signalled. The eventfd stays the caller's and must be open
   * until the wiring is closed, which it is with the source at the latest.
   *
   * @param onSignal - called instead, where the wiring is not kernel-assisted: the device sets its
   * interrupt status and calls `raise` itself. Default: `raise`
   * @throws {IoreqError} CLOSED, NOT_SUPPORTED in mode `kernel` when the kernel cannot
   */
  irqfd(eventfd: EventFd, onSignal?: () => void): Wiring;

  /** Takes the device off: nothing of it is pending any more. Idempotent. */
  close(): void;
}
