import type { AccessHost, AccessSeat, HostedGuest } from '@node-vmm/ioreq-eventfd';
import { VmError } from '@node-vmm/vm-device';
import { DispatchPlace } from './dispatch-place.ts';
import type { DispatchThreadComponents, DispatchThreadOptions } from './dispatch-thread.ts';
import { ThreadSeat } from './thread-seat.ts';

/** Ours: threads of a pool at most; more than a machine has processors are of no use. */
export const MAX_DISPATCH_THREADS = 64;

export interface DispatchPoolOptions extends DispatchThreadOptions {
  /** How many, 1 to {@link MAX_DISPATCH_THREADS}. */
  readonly threads: number;
}

/**
 * Dispatch threads that share guests out among themselves: each guest gets the one that has fewest, and stays
 * there. When a thread ends by itself, another comes in its place, and its guests go on where they were: their vCPUs
 * wait meanwhile. A guest for which threads end too often is given up, as are all when no thread can be had:
 * their owners answer them, and the devices that they had on a thread are gone. To be closed before the process
 * ends, after its guests.
 */
export class DispatchPool implements AccessHost, AsyncDisposable {
  /** Ends when none of the threads is left. */
  readonly ended: Promise<void>;
  readonly #places: DispatchPlace[] = [];

  /**
   * Starts the threads: all, or none is left.
   *
   * @throws {RangeError} for a number of threads that cannot be
   * @throws {VmError} NOT_SUPPORTED when one cannot run
   */
  static async start(
    components: DispatchThreadComponents,
    options: DispatchPoolOptions,
  ): Promise<DispatchPool> {
    const { threads, name = 'dispatch', ...rest } = options;
    if (!Number.isInteger(threads) || threads < 1 || threads > MAX_DISPATCH_THREADS) {
      throw new RangeError(`"threads" expected 1 to ${MAX_DISPATCH_THREADS}, got ${threads}`);
    }
    const started: DispatchPlace[] = [];
    const onLost = (seats: readonly ThreadSeat[]): void => {
      for (const seat of seats) {
        const place = idlest(started);
        if (place === undefined) seat.gone();
        else place.admit(seat);
      }
    };
    const begun = Array.from({ length: threads }, (_, index) =>
      DispatchPlace.start({
        components,
        options: { ...rest, name: `${name}-${index}` },
        onLost,
      }),
    );
    const failures: unknown[] = [];
    for (const outcome of await Promise.allSettled(begun)) {
      if (outcome.status === 'fulfilled') started.push(outcome.value);
      else failures.push(outcome.reason);
    }
    const pool = new DispatchPool(started);
    if (failures.length === 0) return pool;
    pool.close();
    await pool.ended;
    throw failures[0];
  }

  private constructor(places: DispatchPlace[]) {
    this.#places = places;
    this.ended = Promise.all(places.map(({ ended }) => ended)).then(() => undefined);
  }

  /** Guests of each thread that takes any, in the order in which they were started. */
  get guests(): readonly number[] {
    return this.#places.filter(({ live }) => live).map(({ guests }) => guests);
  }

  seat(guest: HostedGuest): AccessSeat {
    const place = idlest(this.#places);
    if (place === undefined) {
      const text = `Cannot serve ${guest.name}: no dispatch thread is left`;
      throw new VmError('CLOSED', text, { vm: guest.name });
    }
    const seat = new ThreadSeat(guest);
    place.admit(seat);
    return seat;
  }

  /** Ends the threads; guests that they have are answered on this one. `ended` tells when they are gone. */
  close(): void {
    for (const place of this.#places) place.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
    await this.ended;
  }
}

function idlest(places: readonly DispatchPlace[]): DispatchPlace | undefined {
  const live = places.filter((place) => place.live);
  return live.reduce<DispatchPlace | undefined>(
    (best, it) => (best === undefined || it.guests < best.guests ? it : best),
    undefined,
  );
}
