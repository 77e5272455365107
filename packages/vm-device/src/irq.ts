import type { EventFd } from '@node-vmm/vmm-sys-util';
import type { Wiring } from './wiring.ts';

/** An interrupt of the guest: a global number of the hypervisor (SPI, ISA line, GSI). */
export type IrqLine = number;

/**
 * How the guest's interrupt controller reads a wire, as the guest's firmware set it up: `level`
 * interrupts for as long as it is high, `edge` once for each rise.
 */
export type IrqTrigger = 'level' | 'edge';

/** A line of the guest's interrupt controller. */
export interface LineInterrupt {
  readonly kind: 'line';
  readonly irq: IrqLine;
  /**
   * Of an ISA line of x86. Default: what the usual firmware makes of that line. Lines that carry
   * messages by nature (an SPI under Xen, a line of a simulated machine) take no notice of it.
   */
  readonly trigger?: IrqTrigger;
}

/** A message-signalled interrupt (MSI): a write that the device does, as the guest programmed it. */
export interface MessageInterrupt {
  readonly kind: 'message';
  /** Guest physical address that is written. */
  readonly address: bigint;
  /** The 32-bit value written. */
  readonly data: number;
}

/**
 * An interrupt, as a device asks for it. A device may have several. Devices of virtio-mmio have
 * lines; messages are for PCI, and a machine without it answers NOT_SUPPORTED.
 */
export type Interrupt = LineInterrupt | MessageInterrupt;

/**
 * A device's end of an interrupt. The device says when something is pending that the driver has not
 * seen, and when nothing is; what the wire does about it is the machine's.
 */
export interface IrqSource extends Disposable {
  /** What the device asked for. */
  readonly interrupt: Interrupt;

  /**
   * Something new is pending: the guest is interrupted once more, whatever was pending already. One
   * interrupt too many may come of it, never one too few.
   *
   * @throws {VmError} CLOSED, HYPERVISOR
   */
  raise(): void;

  /**
   * Nothing is pending: a wire goes low, unless it is shared and another device has something
   * pending. Nothing happens where each interrupt is a message, or after `close`.
   *
   * @throws {VmError} HYPERVISOR
   */
  lower(): void;

  /**
   * Interrupts whenever `eventfd` is signalled. The eventfd stays the caller's and must be open
   * until the wiring is closed, which it is with the source at the latest.
   *
   * @param onSignal - called instead, where the wiring is not kernel-assisted: the device sets its
   * interrupt status and calls `raise` itself. Default: `raise`
   * @throws {VmError} CLOSED, NOT_SUPPORTED in mode `kernel` when the kernel cannot
   */
  irqfd(eventfd: EventFd, onSignal?: () => void): Wiring;

  /** Takes the device off: nothing of it is pending any more. Idempotent. */
  close(): void;
}
