import { CodedError } from '@node-vmm/vmm-sys-util/errors';

/**
 * What went wrong. Codes are never renumbered or reused:
 * - `NOT_SUPPORTED`: the processor's architecture, or what this KVM lacks
 * - `BAD_OPTION`: the machine cannot be made like that
 * - `BAD_IMAGE`: the guest's image or command line does not fit
 * - `NO_HUGE_PAGES`: there are no huge pages of that size, or not enough of them
 * - `GUEST_SHUTDOWN`: a fault that the guest could not handle (a triple fault)
 * - `GUEST_STUCK`: KVM does not know how to go on, as with an instruction that it cannot emulate
 * - `FAIL_ENTRY`: the processor refuses to enter the guest
 * - `UNKNOWN_EXIT`: a vCPU left the guest for a reason that nobody here knows
 * - `VCPU_FAILED`: the thread of a vCPU ended by an error
 * - `STARTED`: the machine was started before
 */
export type KvmMachineErrorCode =
  | 'NOT_SUPPORTED'
  | 'BAD_OPTION'
  | 'BAD_IMAGE'
  | 'NO_HUGE_PAGES'
  | 'GUEST_SHUTDOWN'
  | 'GUEST_STUCK'
  | 'FAIL_ENTRY'
  | 'UNKNOWN_EXIT'
  | 'VCPU_FAILED'
  | 'STARTED';

/** Values that belong to an error, as far as they are known. */
export interface KvmMachineErrorContext {
  /** Number of the vCPU. */
  readonly vcpu?: number;
  /** `KVM_EXIT_...` of an unknown exit, `KVM_INTERNAL_ERROR_...` of a guest that is stuck. */
  readonly reason?: number;
}

/** A machine that cannot be made, or that ended by itself: `code` says which. */
export class KvmMachineError extends CodedError<KvmMachineErrorCode, KvmMachineErrorContext> {
  static override readonly brand = '@node-vmm/kvm-vm/KvmMachineError';
}
