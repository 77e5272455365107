import { type IoreqCounters, ioreqCounters } from '@node-vmm/ioreq-eventfd';
import { HeldTimes } from '@node-vmm/vm-device';
import { sharedCounters } from './shared-counters.ts';

const RELEASED = 0;
const COUNTERS_OFFSET = 8;
const NAMES = Object.keys(ioreqCounters()) as (keyof IoreqCounters)[];

/** What main and dispatch thread share of a guest. */
export class GuestMemory {
  readonly buffer: SharedArrayBuffer;
  /** Of its dispatcher. */
  readonly counters: IoreqCounters;
  readonly heldTimes: HeldTimes;
  readonly #words: Int32Array;

  /** @param buffer - of the other thread; default: new */
  constructor(buffer?: SharedArrayBuffer) {
    const size =
      COUNTERS_OFFSET + (NAMES.length + HeldTimes.LENGTH) * Float64Array.BYTES_PER_ELEMENT;
    this.buffer = buffer ?? new SharedArrayBuffer(size);
    this.#words = new Int32Array(this.buffer, 0, 1);
    const held = COUNTERS_OFFSET + NAMES.length * Float64Array.BYTES_PER_ELEMENT;
    const values = new Float64Array(this.buffer, held, HeldTimes.LENGTH);
    this.heldTimes = new HeldTimes(undefined, values);
    this.counters = sharedCounters(
      NAMES,
      new Float64Array(this.buffer, COUNTERS_OFFSET, NAMES.length),
    );
  }

  /** Dispatch thread: it has let go of all that it was given of the guest. */
  release(): void {
    Atomics.store(this.#words, RELEASED, 1);
    Atomics.notify(this.#words, RELEASED);
  }

  /**
   * Main thread: waits for that, and stands still meanwhile.
   *
   * @param timeout - milliseconds
   * @returns whether it has
   */
  waitReleased(timeout: number): boolean {
    return Atomics.wait(this.#words, RELEASED, 0, timeout) !== 'timed-out';
  }
}
