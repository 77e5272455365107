import type { HeldAccesses, Vm } from '@node-vmm/vm-device';
import type { GuestMemory, ShareableMemory } from '@node-vmm/vm-memory';
import type { GuestCounters } from './guest-counters.ts';
import type { MemoryRenewal } from './memory-renewal.ts';
import type { MemorySharing } from './memory-sharing.ts';

/** Leaves a guest to another process. */
export interface GuestKeeper {
  /**
   * Takes no more of the guest's accesses, so that its vCPUs wait when they touch a window; what is
   * closed from then on is closed for this process alone. Ends when those that were taken are answered.
   */
  keep(): Promise<void>;
  /** Not after all: what is closed is taken from the guest. */
  unkeep(): void;
}

/** A VM whose memory can be given to back-ends. */
export interface BridgedVm {
  /** There at once, so that devices can be in place before the guest looks for them. */
  readonly vm: Vm;
  /**
   * Ends when it is known where the guest has memory; `vm.memory` is the same from then on. Read for each
   * device: where that has failed it may be tried again.
   */
  readonly memory: Promise<GuestMemory & ShareableMemory>;
  /** How back-ends are given that memory, once it is there; default: all of it, to each. */
  readonly sharing?: () => MemorySharing | undefined;
  /** Where that memory can change: who is to be told. */
  readonly renewal?: MemoryRenewal;
  /** Where the guest can be left, as it is, to another process. */
  readonly keeper?: GuestKeeper;
  /** What was counted of the guest's accesses, for the bridge's status and metrics: read when somebody asks. */
  readonly counters?: () => Partial<GuestCounters>;
  /** How long accesses were held, as {@link counters}. */
  readonly held?: () => HeldAccesses;
  /**
   * Whether somebody else serves devices of this guest, too: windows of devices that cannot be served
   * here are left to them. Default: nobody does.
   */
  readonly shared?: () => boolean;
}
