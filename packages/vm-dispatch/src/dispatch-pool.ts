import type { AccessHost, AccessSeat, HostedGuest } from '@node-vmm/ioreq-eventfd';
import { VmError } from '@node-vmm/vm-device';
import {
  DispatchThread,
  type DispatchThreadComponents,
  type DispatchThreadOptions,
} from './dispatch-thread.ts';

/** Ours: threads of a pool at most; more than a machine has processors are of no use. */
export const MAX_DISPATCH_THREADS = 64;

export interface DispatchPoolOptions extends DispatchThreadOptions {
  /** How many, 1 to {@link MAX_DISPATCH_THREADS}. */
  readonly threads: number;
}

/**
 * Dispatch threads that share guests out among themselves: each guest gets the one that has fewest, and stays
 * there. A thread that has ended is not replaced, and gets no more guests. To be closed before the process
 * ends, after its guests.
 */
export class DispatchPool implements AccessHost, AsyncDisposable {
  /** Ends when none of the threads is left. */
  readonly ended: Promise<void>;
  readonly #threads: readonly DispatchThread[];

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
    const begun = Array.from({ length: threads }, (_, index) =>
      DispatchThread.start(components, { ...rest, name: `${name}-${index}` }),
    );
    const started: DispatchThread[] = [];
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

  private constructor(threads: readonly DispatchThread[]) {
    this.#threads = threads;
    this.ended = Promise.all(threads.map(({ ended }) => ended)).then(() => undefined);
  }

  /** Guests of each thread that takes any, in the order in which they were started. */
  get guests(): readonly number[] {
    return this.#live().map(({ guests }) => guests);
  }

  #live(): DispatchThread[] {
    return this.#threads.filter(({ live }) => live);
  }

  seat(guest: HostedGuest): AccessSeat {
    const [first, ...others] = this.#live();
    if (first === undefined) {
      const text = `Cannot serve ${guest.name}: no dispatch thread is left`;
      throw new VmError('CLOSED', text, { vm: guest.name });
    }
    const idlest = others.reduce((best, it) => (it.guests < best.guests ? it : best), first);
    return idlest.seat(guest);
  }

  /** Ends the threads; guests that they have are answered on this one. `ended` tells when they are gone. */
  close(): void {
    for (const thread of this.#threads) thread.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
    await this.ended;
  }
}
