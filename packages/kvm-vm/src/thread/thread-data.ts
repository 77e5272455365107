import type { CpuidEntry, VcpuExit } from '@node-vmm/kvm-sys';
import type { EntryState } from '../entry-state.ts';

/** What the thread of a vCPU is given besides its ticket. */
export interface VcpuThreadData {
  readonly nodeVmmThread: 'vcpu';
  readonly channel: AccessChannel;
  readonly cpuid: readonly CpuidEntry[];
  /** Absent for one that waits to be started by another (INIT and SIPI). */
  readonly entry?: EntryState;
}

/**
 * The way by which accesses of vCPUs reach whoever serves them, on whatever thread that is: shared memory and the
 * number of an eventfd.
 */
export interface AccessChannel {
  /** An ioreq page, of as many slots as there are vCPUs. */
  readonly page: SharedArrayBuffer;
  readonly vcpus: number;
  /** A word for each vCPU, which changes when it may go on: its access is answered, or it is to stop. */
  readonly turns: SharedArrayBuffer;
  /** Signalled when a vCPU has posted an access. */
  readonly wakeFd: number;
}

/** What the thread of a vCPU says when that has ended by itself. */
export interface VcpuReport {
  /** Why it has left the guest, as kvm-sys says it; plain data. */
  readonly exit: VcpuExit;
}
