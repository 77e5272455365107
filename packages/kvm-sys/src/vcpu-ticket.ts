import type { HostPointer } from '@node-vmm/vmm-sys-util';

/**
 * What a thread needs to run a vCPU: numbers and shared memory, to be sent to a Worker as they are. All of
 * it is lent: descriptor and page are the `VcpuControl`'s, which closes neither before they are given back.
 */
export interface VcpuTicket {
  /** Number of the vCPU. */
  readonly id: number;
  readonly fd: number;
  /** Address of the run page in this process. */
  readonly page: HostPointer;
  /** Bytes of the run page and of what is behind it. */
  readonly pageSize: number;
  /** Who has the vCPU and what is wanted from it, see {@link VCPU_STATE}. */
  readonly state: SharedArrayBuffer;
}

/** Ours: words of `VcpuTicket.state`, an `Int32Array`. */
export const VCPU_STATE = {
  /** One of {@link VCPU_HELD}. */
  HELD: 0,
  /** Kernel's number of the thread that has the vCPU. */
  THREAD: 1,
  /** 1 when it is not to run any more. */
  STOP: 2,
  /** 1 when it is to leave the guest once. */
  KICK: 3,
  /** 1 when the thread that it was lent to last has had it. */
  TAKEN: 4,
  /** Number of words. */
  LENGTH: 5,
} as const;

/** Ours: whether a thread has a vCPU. */
export const VCPU_HELD = { FREE: 0, HELD: 1, CLOSED: 2 } as const;
