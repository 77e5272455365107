import {
  observeRing,
  type RingIndices,
  type RingMemory,
  type RingObserver,
  type RingProgress,
} from '@node-vmm/virtio-queue';
import type { GuestAddress } from '@node-vmm/vm-memory';
import { VhostUserMasterError } from './errors.ts';
import type { InflightFile } from './inflight-file.ts';

export type { RingIndices, RingMemory, RingProgress } from '@node-vmm/virtio-queue';

/** Where a ring is, see `VringConfig`. */
export interface RingPlace {
  readonly index: number;
  readonly size: number;
  readonly availRing: GuestAddress;
  readonly usedRing: GuestAddress;
  /** Negotiated feature word: it says how the ring is laid out. */
  readonly features: bigint;
}

/** What the next process needs to go on with a ring, as plain data. */
export interface KeptRing {
  /** The ring's indices before its first back-end had it, 16 bits each. */
  readonly origin: RingIndices;
  /** Where the last back-end stopped (`stopVring`), where it said so. */
  readonly stoppedAt?: number;
}

/**
 * Where in a ring a back-end has to go on, and whether it did. vhost-user tells a back-end the base
 * alone (SET_VRING_BASE); what that does not say it has to read from the ring. There are ones that
 * count from 0 again, or on from another ring: rust-vmm's before vhost-user-backend 0.10.1.
 */
export class RingPosition {
  readonly #place: RingPlace;
  readonly #ring: RingObserver;
  /** What the back-end that has the ring records its requests in. */
  #record: InflightFile | undefined;
  /** Where the back-end that had the ring in another process stopped. */
  #stoppedAt: number | undefined;

  /**
   * To be made before the ring is given to its first back-end, or with what was kept of that.
   *
   * @param record - what that records its requests in (`InflightKeeper.record`)
   * @param kept - what another process knew of the ring
   * @throws {VmMemoryError} when the guest gave a ring outside its memory
   * @throws {VirtioQueueError} UNSUPPORTED_LAYOUT
   */
  constructor(memory: RingMemory, place: RingPlace, record?: InflightFile, kept?: KeptRing) {
    this.#place = place;
    this.#record = record;
    this.#stoppedAt = kept?.stoppedAt;
    this.#ring = observeRing(memory, place, kept?.origin);
  }

  /**
   * For a process that goes on with the ring after this one.
   *
   * @param stoppedAt - what `stopVring` said, where it did
   */
  keep(stoppedAt?: number): KeptRing {
    const { origin } = this.#ring;
    return stoppedAt === undefined ? { origin } : { origin, stoppedAt };
  }

  /** The base that {@link progress} is measured from: a fresh ring's, then what {@link resume} said. */
  get base(): number {
    return this.#ring.position;
  }

  /**
   * Where the next back-end goes on: after the last request that was returned to the guest. Requests
   * taken but not returned by the old one are served again, which is right for devices that return them
   * in order. For others only a ring in which nothing is on its way can go on: which of the requests
   * came back is known to their driver alone, unless the old back-end recorded it, and the next one gets
   * that record: it then serves the unfinished ones first and adds them to the base.
   *
   * @param inOrder - VIRTIO_F_IN_ORDER was negotiated, or the device's type returns requests in order
   * @param record - what the next back-end records its requests in (`InflightKeeper.record`)
   * @returns a base for `startVring`
   * @throws {VhostUserMasterError} IMPOSSIBLE_RING when no back-end can go on with the ring,
   * UNKNOWN_ORDER
   */
  resume(inOrder: boolean, record?: InflightFile): number {
    const { index, size } = this.#place;
    const base = this.#ring.resume();
    const { used, avail } = this.#ring.indices;
    if (base === undefined) {
      throw new VhostUserMasterError(
        'IMPOSSIBLE_RING',
        `Cannot go on with vring ${index}: its used index is ${used} and its available index ` +
          `${avail}, with ${size} entries; the driver must reset the device`,
      );
    }
    const recorded = record !== undefined && record === this.#record;
    // Everything that it had taken was returned: what is available by now nobody has taken.
    const settled = this.#stoppedAt === base;
    this.#stoppedAt = undefined;
    if (!inOrder && !recorded && !settled && !this.#ring.idle) {
      throw new VhostUserMasterError(
        'UNKNOWN_ORDER',
        `Cannot go on with vring ${index}: the old back-end left requests unfinished (used index ` +
          `${used}, available index ${avail}) and may have returned later ones before them; the ` +
          'driver must reset the device',
      );
    }
    this.#record = record;
    return base;
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
