import { VRING_USED } from '@node-vmm/virtio-bindings';
import { type GuestAddress, guestAddress } from '@node-vmm/vm-memory';
import { VhostUserMasterError } from './errors.ts';

/** The same in both rings. */
const IDX_OFFSET = BigInt(VRING_USED.OFFSETS.idx);
const MASK = 0xffff;

/** What of guest memory is read: `GuestMemory` is one. */
export interface RingMemory {
  readU16(guestAddr: GuestAddress): number;
}

/** Where a split ring is, see `VringConfig`. */
export interface RingPlace {
  readonly index: number;
  readonly size: number;
  readonly availRing: GuestAddress;
  readonly usedRing: GuestAddress;
}

/** How a back-end has gone on with a ring, see {@link RingPosition.progress}. */
export type RingProgress = 'none' | 'possible' | 'impossible';

/**
 * Where in a split ring a back-end has to go on, and whether it did. vhost-user tells a back-end the
 * available index alone (SET_VRING_BASE); the used index it has to read from the ring. There are ones
 * that count from 0 again, or on from another ring: rust-vmm's before vhost-user-backend 0.10.1. What a
 * front-end sees of that is what the guest sees: a used index that does not lie between the base and
 * the available index.
 */
export class RingPosition {
  readonly #memory: RingMemory;
  readonly #place: RingPlace;
  readonly #first: { readonly used: number; readonly avail: number };
  /** The used index when the ring was last given to a back-end. */
  #before: number;
  #base = 0;

  /**
   * To be made before the ring is given to its first back-end.
   *
   * @throws {VmMemoryError} when the guest gave a ring outside its memory
   */
  constructor(memory: RingMemory, place: RingPlace) {
    this.#memory = memory;
    this.#place = place;
    const used = this.#read(place.usedRing);
    this.#first = { used, avail: this.#read(place.availRing) };
    this.#before = used;
  }

  /** The base that {@link progress} is measured from: 0, then what {@link resume} said. */
  get base(): number {
    return this.#base;
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
    const used = this.#read(this.#place.usedRing);
    const avail = this.#read(this.#place.availRing);
    this.#before = used;
    // Nothing was asked for or returned yet: what is there may be a boot loader's, which the driver
    // clears before its first kick.
    const untouched = used === this.#first.used && avail === this.#first.avail;
    const { index, size } = this.#place;
    if (!untouched && distance(used, avail) > size) {
      throw new VhostUserMasterError(
        'IMPOSSIBLE_RING',
        `Cannot go on with vring ${index}: its used index is ${used} and its available index ` +
          `${avail}, with ${size} entries; the driver must reset the device`,
      );
    }
    this.#base = untouched ? 0 : used;
    return this.#base;
  }

  /**
   * How far the back-end got since the ring was given to it: not at all (`none`), to where one can be
   * that began at the base, or to where none can be. The last is to be believed when it is seen twice
   * in a row: after 65,536 requests between two looks the available index may have lapped the base.
   */
  progress(): RingProgress {
    // In this order: what is returned was available before.
    const used = this.#read(this.#place.usedRing);
    const avail = this.#read(this.#place.availRing);
    if (used === this.#base || used === this.#before) return 'none';
    const returned = distance(this.#base, used);
    const possible =
      returned <= distance(this.#base, avail) && distance(used, avail) <= this.#place.size;
    return possible ? 'possible' : 'impossible';
  }

  /** Both indices as they are now, for a log. */
  get indices(): { readonly used: number; readonly avail: number } {
    return { used: this.#read(this.#place.usedRing), avail: this.#read(this.#place.availRing) };
  }

  #read(ring: GuestAddress): number {
    return this.#memory.readU16(guestAddress(ring + IDX_OFFSET));
  }
}

/** Steps from one index to another, upwards. */
function distance(from: number, to: number): number {
  return (to - from) & MASK;
}
