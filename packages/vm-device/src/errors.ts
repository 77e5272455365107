import { CodedError } from '@node-vmm/vmm-sys-util/errors';
import type { AddressSpace } from './address-space.ts';

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
 * - `NOT_SUPPORTED`: the machine has no such address space or kind of interrupt, or kernel or
 *   hypervisor cannot do what was asked for
 * - `HYPERVISOR`: the hypervisor refused; `cause` says why
 * - `TIMEOUT`: guest side: nobody answers an access
 * - `CLOSED`: the virtual machine was closed
 */
export type VmErrorCode =
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
  | 'TIMEOUT'
  | 'CLOSED';

/** Values that belong to an error, as far as they are known. */
export interface VmErrorContext {
  /** The machine's name: `xen:3`. */
  readonly vm?: string;
  readonly space?: AddressSpace;
  /** Address in that space, in guest physical memory where none is named. */
  readonly guestAddr?: bigint;
  /** Bytes. */
  readonly length?: number;
  readonly irq?: number;
}

/** An error of a virtual machine's address spaces, wirings and interrupts: `code` says which. */
export class VmError extends CodedError<VmErrorCode, VmErrorContext> {
  static override readonly brand = '@node-vmm/vm-device/VmError';
}
