import type { AccessHost } from '@node-vmm/ioreq-eventfd';
import type { Kvm } from '@node-vmm/kvm-sys';
import type { NotificationMode } from '@node-vmm/vm-device';
import type { Logger, Poller } from '@node-vmm/vmm-sys-util';

/** What a `KvmMachine` works with. All of it stays the caller's. */
export interface KvmMachineComponents {
  readonly kvm: Kvm;
  /** On Node's own event loop: deferred answers need promises. */
  readonly poller: Poller;
  readonly logger?: Logger;
  /**
   * Serves the accesses that the kernel does not take, on another thread, and interrupts by lines that are
   * irqfds. Default: this thread does, by the poller.
   */
  readonly host?: AccessHost | undefined;
}

/** What a machine is made of. */
export interface KvmMachineOptions {
  /** Bytes, whole pages, 2 MiB at least. */
  readonly memory: number;
  /** Default 1; each has a thread of its own. */
  readonly vcpus?: number;
  /** For messages, and for the memory in /proc; default `kvm`. */
  readonly name?: string;
  /** Makes the memory of huge pages of so many bytes, such as 2 MiB, which have to be reserved. */
  readonly hugePageSize?: number;
  /**
   * Default `auto`: what the kernel cannot do is done in user space. `kernel` is refused where the kernel
   * cannot: for interrupts that are levels.
   */
  readonly notification?: NotificationMode;
  /** Milliseconds that a deferred answer may take. */
  readonly answerLimit?: number;
  /** What threads of vCPUs run, in a program that is bundled. */
  readonly threadModule?: URL;
}
