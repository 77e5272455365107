import type { Timer, Timers } from '@node-vmm/vmm-sys-util';

/** Timers of one guest: what they call is done for it. */
export class SeatTimers implements Timers {
  readonly #timers: Timers;
  readonly #serve: (action: () => void) => void;

  /** @param timers - of the thread */
  constructor(timers: Timers, serve: (action: () => void) => void) {
    this.#timers = timers;
    this.#serve = serve;
  }

  after(milliseconds: number, callback: () => void): Timer {
    return this.#timers.after(milliseconds, () => this.#serve(callback));
  }

  soon(callback: () => void): void {
    this.#timers.soon(() => this.#serve(callback));
  }
}
