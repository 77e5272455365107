import { type IoreqCounters, ioreqCounters } from '@node-vmm/ioreq-eventfd';
import { type BusCounters, busCounters, HeldTimes } from '@node-vmm/vm-device';
import { countersIn, countersOf } from './shared-counters.ts';

const RELEASED = 0;
const HEARD = 1;
const WORDS = 2;
const COUNTERS_OFFSET = WORDS * Int32Array.BYTES_PER_ELEMENT;
const NAMES = Object.keys(ioreqCounters()) as (keyof IoreqCounters)[];
const BUS_NAMES = Object.keys(busCounters()) as (keyof BusCounters)[];

/** What else a thread counts of a guest. */
interface SeatCounters {
  /** Announcements of requests that were not there. */
  idle: number;
  /** Interrupts that devices here raised. */
  interrupts: number;
}
const SEAT_NAMES: readonly (keyof SeatCounters)[] = ['idle', 'interrupts'];

/** What main and dispatch thread share of a guest. */
export class GuestMemory {
  readonly buffer: SharedArrayBuffer;
  /** Of its dispatcher. */
  readonly counters: IoreqCounters;
  /** Of its bus of memory. */
  readonly bus: BusCounters;
  readonly seat: SeatCounters;
  readonly heldTimes: HeldTimes;
  readonly #words: Int32Array;

  /** @param buffer - of the other thread; default: new */
  constructor(buffer?: SharedArrayBuffer) {
    const values = NAMES.length + BUS_NAMES.length + SEAT_NAMES.length + HeldTimes.LENGTH;
    const size = COUNTERS_OFFSET + values * Float64Array.BYTES_PER_ELEMENT;
    this.buffer = buffer ?? new SharedArrayBuffer(size);
    this.#words = new Int32Array(this.buffer, 0, WORDS);
    let at = COUNTERS_OFFSET;
    const next = (length: number): Float64Array => {
      const part = new Float64Array(this.buffer, at, length);
      at += part.byteLength;
      return part;
    };
    // The thread that is given the memory counts for each access.
    const counters = buffer === undefined ? countersOf : countersIn;
    this.counters = counters(NAMES, next(NAMES.length));
    this.bus = counters(BUS_NAMES, next(BUS_NAMES.length));
    this.seat = counters(SEAT_NAMES, next(SEAT_NAMES.length));
    this.heldTimes = new HeldTimes(undefined, next(HeldTimes.LENGTH));
  }

  /** Dispatch thread: it has done one more of what it was told. */
  hear(): void {
    Atomics.add(this.#words, HEARD, 1);
  }

  /** Main thread: how many of its messages about the guest the thread has done, modulo 2^32. */
  get heard(): number {
    return Atomics.load(this.#words, HEARD) >>> 0;
  }

  /** Main thread: the dispatch thread has died, another is to have the guest. */
  renew(): void {
    this.#words.fill(0);
    // What it held is taken anew.
    this.heldTimes.abandon();
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
