import type { CpuidEntry, VcpuExit } from '@node-vmm/kvm-sys';
import type { Fd, HostPointer } from '@node-vmm/vmm-sys-util';
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
 * The way by which accesses of a vCPU reach whoever serves them, on whatever thread that is: memory and the numbers
 * of descriptors, all of them the machine's.
 */
export interface AccessChannel {
  /** An ioreq page, or memory of that shape, with a slot for each vCPU of the machine. */
  readonly page: { readonly address: HostPointer; readonly length: number };
  readonly vcpus: number;
  /** Eventfd that the vCPU signals when it has posted an access. */
  readonly requestFd: Fd;
  /** Eventfd that is signalled when it may go on: its access is answered, or it is to stop. */
  readonly answerFd: Fd;
  /** Epoll set with that one in it. */
  readonly waitFd: Fd;
}

/** What the thread of a vCPU says when that has ended by itself. */
export interface VcpuReport {
  /** Why it has left the guest, as kvm-sys says it; plain data. */
  readonly exit: VcpuExit;
}
