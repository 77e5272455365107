import type { HeldAccesses } from '@node-vmm/vm-device';

/**
 * What a machine counts of its guest's accesses since it was attached to; never reset. Each machine gives
 * those that it has.
 */
export interface GuestCounters {
  /** Accesses that this process was asked to serve. */
  readonly requests: number;
  readonly reads: number;
  readonly writes: number;
  /** Notifications of a queue that this process passed on. */
  readonly ioeventfds: number;
  /** Those that the kernel passed on, as far as this process saw: several at once may be one. */
  readonly kernelKicks: number;
  /** Interrupts that this process raised; those that the kernel injects are not seen. */
  readonly interrupts: number;
  /** Accesses that were held, or are. */
  readonly deferred: number;
  /** Times that the guest changed its memory. */
  readonly invalidates: number;
  /** Accesses for which there is no address space here. */
  readonly unsupported: number;
  /** Accesses that cannot be. */
  readonly malformed: number;
  /** Accesses where nothing is. */
  readonly unmatched: number;
  /** Held accesses that were answered because the limit had passed. */
  readonly timeouts: number;
  /** Errors of devices, each answered. */
  readonly handlerErrors: number;
  /** Other errors on the way of an access. */
  readonly errors: number;
}

/** Ours: of the counters, those that say that something was wrong. */
export const ACCESS_ERRORS: readonly (keyof GuestCounters)[] = [
  'unsupported',
  'malformed',
  'unmatched',
  'timeouts',
  'handlerErrors',
  'errors',
];

/** What a machine tells of itself. */
export interface GuestActivity {
  readonly counters: Partial<GuestCounters>;
  readonly held?: HeldAccesses;
}
