const MARK: unique symbol = Symbol.for('@node-vmm/ioreq-eventfd/IoreqError');

/**
 * What went wrong:
 * - `BAD_RANGE`: a window is empty or outside the address space
 * - `RANGE_IN_USE`: a window overlaps one that is claimed already
 * - `RANGE_IS_MEMORY`: the guest has memory where a window is to be
 * - `RANGE_RESERVED`: the hypervisor or the guest's firmware has something else there
 * - `NOT_MAPPED`: no claimed window holds the register
 * - `IOEVENTFD_IN_USE`: an ioeventfd already takes these writes
 * - `BAD_IRQ`: the virtual machine has no such interrupt, or not for devices
 * - `IRQ_IN_USE`: another device has the interrupt, and it cannot be shared
 * - `NOT_SUPPORTED`: kernel or hypervisor cannot do what was asked for
 * - `HYPERVISOR`: the hypervisor refused; `cause` says why
 * - `CLOSED`: the virtual machine was closed
 */
export type IoreqErrorCode =
  | 'BAD_RANGE'
  | 'RANGE_IN_USE'
  | 'RANGE_IS_MEMORY'
  | 'RANGE_RESERVED'
  | 'NOT_MAPPED'
  | 'IOEVENTFD_IN_USE'
  | 'BAD_IRQ'
  | 'IRQ_IN_USE'
  | 'NOT_SUPPORTED'
  | 'HYPERVISOR'
  | 'CLOSED';

/** Values that belong to an error, as far as they are known. */
export interface IoreqErrorContext {
  readonly guestAddr?: bigint;
  /** Bytes. */
  readonly length?: number;
  readonly irq?: number;
  readonly domid?: number;
}

/** An error of a virtual machine's MMIO and notification wiring: `code` says which. */
export class IoreqError extends Error {
  override readonly name = 'IoreqError';
  readonly code: IoreqErrorCode;
  readonly context: IoreqErrorContext;
  readonly [MARK] = true;

  constructor(
    code: IoreqErrorCode,
    message: string,
    context: IoreqErrorContext = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.code = code;
    this.context = context;
  }

  /** True for an `IoreqError` of any copy of this package. */
  static is(error: unknown): error is IoreqError {
    return typeof error === 'object' && error !== null && MARK in error;
  }
}
