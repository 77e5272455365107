import type { AddressRange, Held, NotificationMode } from '@node-vmm/vm-device';
import type { GuestMemory } from '@node-vmm/vm-memory';
import type { Logger, Poller } from '@node-vmm/vmm-sys-util';
import type { DomId, XenOps } from '@node-vmm/xen-sys';
import type { AccessHost } from './access-host.ts';
import type { IrqKind } from './xen-interrupts.ts';

/** What a `XenVm` works with. All but the memory stay the caller's and outlive it. */
export interface XenVmComponents<M extends GuestMemory> {
  /** `XenHost.open()`, or the fake of `@node-vmm/xen-sys/testing`. */
  readonly xen: XenOps;
  /** Gets hold of guest memory; called once, when it is first used. Closed with the VM. */
  readonly memory: () => M;
  /** On Node's own event loop: deferred answers need promises. */
  readonly poller: Poller;
  readonly logger?: Logger;
  /** The guest gave pages back: what is mapped may be stale. It waits for what is returned, for a while. */
  readonly invalidate?: () => Held | undefined;
  /** Serves the guest's accesses on another thread; default: this one does, as where the host has ended. */
  readonly host?: AccessHost | undefined;
}

/** What one process left of a guest for the next to take up, as plain data. */
export interface KeptXenVm {
  /** Of the IOREQ server that is there still. */
  readonly server: number;
  readonly vcpus: number;
  /** Windows that it has. */
  readonly windows: readonly AddressRange[];
}

/** How a guest is served. */
export interface XenVmOptions {
  readonly domid: DomId;
  /**
   * Default `auto`: what the kernel cannot do is done in user space, with one log line saying why.
   * `kernel` is refused for ISA lines, which the kernel cannot serve without losing interrupts.
   */
  readonly notification?: NotificationMode;
  /** Which interrupts the guest has, and with them its layout; default by this machine's. */
  readonly irqs?: IrqKind;
  /** Milliseconds that a deferred answer may take. */
  readonly answerLimit?: number;
  /**
   * Takes up what `XenVm.keep` of another process left: its windows are to be mapped again, in one
   * turn of the event loop, and what vCPUs asked for meanwhile is answered after that.
   */
  readonly takeUp?: KeptXenVm;
}
