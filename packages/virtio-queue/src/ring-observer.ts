/** How a back-end has gone on with a ring, see {@link RingObserver.progress}. */
export type RingProgress = 'none' | 'possible' | 'impossible';

/** In a split ring its used and available index, 16 bits each. */
export interface RingIndices {
  readonly used: number;
  readonly avail: number;
}

/**
 * The view of a ring that the machine of its driver has, which serves nothing itself: where a back-end
 * has to go on, and whether it did. A back-end is told a position, but there are ones that count from
 * 0 again, or on from another ring. What can be seen of that is what the guest sees: requests returned
 * that were not asked for.
 */
export interface RingObserver {
  /**
   * What the ring said when the first observer of it was made. An observer that is to go on for this one,
   * in another process, is made with it.
   */
  readonly origin: RingIndices;

  /** The position that {@link progress} is measured from: a fresh ring's, then what `resume` said. */
  readonly position: number;

  /**
   * Where the next back-end goes on: after the last request that was returned to the guest. Requests
   * taken but not returned by the old one are served again, which is right for devices that serve in
   * order. A ring that nobody has touched since the observer was made begins as a fresh one: what is
   * there may be a boot loader's, which the driver clears before its first kick.
   *
   * @returns undefined when the ring is in a state that no back-end can go on with
   * @throws {VmMemoryError} OUT_OF_RANGE
   */
  resume(): number | undefined;

  /**
   * True when everything that the driver made available has been returned to it, or nobody has touched
   * the ring since the observer was made: then it does not matter in which order requests are returned.
   *
   * @throws {VmMemoryError} OUT_OF_RANGE
   */
  readonly idle: boolean;

  /**
   * How far the back-end got since the ring was given to it: not at all (`none`), to where one can be
   * that began at the position, or to where none can be. The last is to be believed when it is seen
   * twice in a row: with 65,536 requests between two looks the ring may have been lapped.
   *
   * @throws {VmMemoryError} OUT_OF_RANGE
   */
  progress(): RingProgress;

  /**
   * What the ring itself says now, for a log: in a split ring its used and available index.
   *
   * @throws {VmMemoryError} OUT_OF_RANGE
   */
  readonly indices: RingIndices;
}
