import type { RingMemory, RingPlace } from '../ring-layout.ts';
import type { RingIndices, RingObserver, RingProgress } from '../ring-observer.ts';
import {
  distance,
  SPLIT_FRESH_POSITION,
  type SplitIndices,
  splitIndices,
} from './split-indices.ts';

/** {@link RingObserver} of a split ring: all that it looks at are the two indices. */
export class SplitObserver implements RingObserver {
  readonly #memory: RingMemory;
  readonly #place: RingPlace;
  readonly origin: RingIndices;
  /** The used index when the ring was last given to a back-end. */
  #before: number;
  #position = SPLIT_FRESH_POSITION;

  /** @throws {VmMemoryError} OUT_OF_RANGE */
  constructor(memory: RingMemory, place: RingPlace, origin?: RingIndices) {
    this.#memory = memory;
    this.#place = place;
    const { indices } = this;
    this.origin = origin ?? indices;
    this.#before = indices.used;
  }

  get position(): number {
    return this.#position;
  }

  get indices(): SplitIndices {
    return splitIndices(this.#memory, this.#place);
  }

  get idle(): boolean {
    const { used, avail } = this.indices;
    return used === avail || this.#untouched(used, avail);
  }

  resume(): number | undefined {
    const { used, avail } = this.indices;
    this.#before = used;
    const untouched = this.#untouched(used, avail);
    if (!untouched && distance(used, avail) > this.#place.size) return undefined;
    this.#position = untouched ? SPLIT_FRESH_POSITION : used;
    return this.#position;
  }

  progress(): RingProgress {
    const { used, avail } = this.indices;
    const position = this.#position;
    if (used === position || used === this.#before) return 'none';
    const returned = distance(position, used);
    const possible =
      returned <= distance(position, avail) && distance(used, avail) <= this.#place.size;
    return possible ? 'possible' : 'impossible';
  }

  #untouched(used: number, avail: number): boolean {
    return used === this.origin.used && avail === this.origin.avail;
  }
}
