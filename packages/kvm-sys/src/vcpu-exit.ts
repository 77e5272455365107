/**
 * An access of the guest to an address that is no memory. It is complete when the vCPU is run again: what
 * was read has to be in `data` by then.
 */
export interface MmioExit {
  readonly kind: 'mmio';
  readonly isWrite: boolean;
  /** Guest physical address. An access that straddles comes in pieces, one exit each. */
  readonly address: bigint;
  /** 1 to 8 bytes: what is written, or where the kernel finds what is read. Valid until the next run. */
  readonly data: Uint8Array;
}

/** An access of the guest to a port. It is complete when the vCPU is run again. */
export interface IoExit {
  readonly kind: 'io';
  readonly isWrite: boolean;
  readonly port: number;
  /** Bytes of one access: 1, 2 or 4. */
  readonly size: number;
  /** Several accesses one after the other, of one string instruction. */
  readonly count: number;
  /** `size * count` bytes, as with {@link MmioExit}. */
  readonly data: Uint8Array;
}

/** The guest waits for an interrupt, which nobody in the kernel delivers. */
export interface HltExit {
  readonly kind: 'hlt';
}

/** x86: a fault that the guest could not handle, a triple fault. */
export interface ShutdownExit {
  readonly kind: 'shutdown';
}

/** The guest asks for power: off, reset, crash (`KVM_SYSTEM_EVENT_...`). */
export interface SystemEventExit {
  readonly kind: 'system-event';
  readonly type: number;
  readonly data: readonly bigint[];
}

/** The processor refuses to enter the guest: registers that do not go together. */
export interface FailEntryExit {
  readonly kind: 'fail-entry';
  readonly hardwareReason: bigint;
  readonly cpu: number;
}

/** The kernel does not know how to go on, as with an instruction that it cannot emulate. */
export interface InternalErrorExit {
  readonly kind: 'internal-error';
  /** `KVM_INTERNAL_ERROR_...`. */
  readonly suberror: number;
  readonly data: readonly bigint[];
}

/** A signal, a kick or a request to stop. */
export interface InterruptedExit {
  readonly kind: 'interrupted';
}

/** Whatever else the kernel has to say. */
export interface OtherExit {
  readonly kind: 'other';
  /** `KVM_EXIT_...`. */
  readonly reason: number;
}

/** Why a vCPU has left the guest. The object is made once and is overwritten by the next exit of its kind. */
export type VcpuExit =
  | MmioExit
  | IoExit
  | HltExit
  | ShutdownExit
  | SystemEventExit
  | FailEntryExit
  | InternalErrorExit
  | InterruptedExit
  | OtherExit;
