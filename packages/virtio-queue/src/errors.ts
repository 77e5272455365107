import { CodedError } from '@node-vmm/vmm-sys-util/errors';

/**
 * What the driver got wrong:
 * - `BAD_SIZE`: the queue size is no power of two of 1..32768
 * - `MISALIGNED`: a ring is not aligned as §2.7 demands
 * - `RING_NOT_IN_MEMORY`: a ring is not in guest memory, or not in one piece; `cause` says which
 * - `RING_NOT_READY`: a ring is in memory that is not mapped yet: `GuestMemory.whenReady` tells when
 * - `UNSUPPORTED_LAYOUT`: the ring has a layout that is not implemented
 * - `BAD_STATE`: a position that cannot be, or further from the used index than the queue is long
 * - `BAD_AVAIL_INDEX`: `avail.idx` ran further ahead than the queue is long
 * - `BAD_HEAD`: an available entry names a descriptor that does not exist
 * - `BAD_RECORD`: the record of chains in flight cannot be the ring's. The front-end's doing
 */
export type VirtioQueueErrorCode =
  | 'BAD_SIZE'
  | 'MISALIGNED'
  | 'RING_NOT_IN_MEMORY'
  | 'RING_NOT_READY'
  | 'UNSUPPORTED_LAYOUT'
  | 'BAD_STATE'
  | 'BAD_AVAIL_INDEX'
  | 'BAD_HEAD'
  | 'BAD_RECORD';

/** The values that broke the rule. */
export interface VirtioQueueErrorContext {
  readonly size?: number;
  readonly part?: string;
  readonly guestAddr?: bigint;
  /** Index or descriptor number that the driver gave. */
  readonly index?: number;
  readonly position?: number;
  readonly nextAvail?: number;
  readonly nextUsed?: number;
}

/** A queue that cannot be served. The driver's doing: it concerns that queue, not the process. */
export class VirtioQueueError extends CodedError<VirtioQueueErrorCode, VirtioQueueErrorContext> {
  static override readonly brand = '@node-vmm/virtio-queue/VirtioQueueError';
}
