import {
  observeRing,
  type RingMemory,
  type RingObserver,
  type RingProgress,
} from '@node-vmm/virtio-queue';
import type { GuestAddress } from '@node-vmm/vm-memory';
import { VhostUserMasterError } from './errors.ts';

export type { RingMemory, RingProgress } from '@node-vmm/virtio-queue';

/** Where a ring is, see `VringConfig`. */
export interface RingPlace {
  readonly index: number;
  readonly size: number;
  readonly availRing: GuestAddress;
  readonly usedRing: GuestAddress;
  /** Negotiated feature word: it says how the ring is laid out. */
  readonly features: bigint;
}

/**
 * Where in a ring a back-end has to go on, and whether it did. vhost-user tells a back-end the base
 * alone (SET_VRING_BASE); what that does not say it has to read from the ring. There are ones that
 * count from 0 again, or on from another ring: rust-vmm's before vhost-user-backend 0.10.1.
 */
export class RingPosition {
  readonly #place: RingPlace;
  readonly #ring: RingObserver;

  /**
   * To be made before the ring is given to its first back-end.
   *
   * @throws {VmMemoryError} when the guest gave a ring outside its memory
   * @throws {VirtioQueueError} UNSUPPORTED_LAYOUT
   */
  constructor(memory: RingMemory, place: RingPlace) {
    this.#place = place;
    this.#ring = observeRing(memory, place);
  }

  /** The base that {@link progress} is measured from: a fresh ring's, then what {@link resume} said. */
  get base(): number {
    return this.#ring.position;
  }

  /**
   * Where the next back-end goes on: after the last request that was returned to the guest. Requests
   * taken but not returned by the old one are served again, which is right for devices that serve in
   * order.
   *
   * @returns a base for `startVring`
   * @throws {VhostUserMasterError} IMPOSSIBLE_RING when no back-end can go on with the ring
   */
  resume(): number {
    const base = this.#ring.resume();
    if (base !== undefined) return base;
    const { index, size } = this.#place;
    const { used, avail } = this.#ring.indices;
    throw new VhostUserMasterError(
      'IMPOSSIBLE_RING',
      `Cannot go on with vring ${index}: its used index is ${used} and its available index ` +
        `${avail}, with ${size} entries; the driver must reset the device`,
    );
  }

  /** How far the back-end got since the ring was given to it: see `RingObserver.progress`. */
  progress(): RingProgress {
    return this.#ring.progress();
  }

  /** Both indices as they are now, for a log. */
  get indices(): RingObserver['indices'] {
    return this.#ring.indices;
  }
}
