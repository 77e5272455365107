import type { EventFd, InterruptTimer, SignalGuard, Timers } from '@node-vmm/vmm-sys-util';

/** Ours: milliseconds without a signal after which the timer is stopped. */
const IDLE_MS = 100;

/**
 * Signals eventfds that somebody may have made blocking, many times a second: the timer that ends a call which
 * waits is not set for each, but runs from the first signal until there was none for a while.
 */
export class BusySignals implements SignalGuard {
  readonly #timer: Pick<InterruptTimer, 'signal' | 'keepRunning' | 'rest'>;
  readonly #timers: Timers;
  #running = false;
  /** Since the last look. */
  #used = false;

  /** @param timers - of the same thread */
  constructor(timer: Pick<InterruptTimer, 'signal' | 'keepRunning' | 'rest'>, timers: Timers) {
    this.#timer = timer;
    this.#timers = timers;
  }

  signal(event: EventFd): boolean {
    this.#used = true;
    if (!this.#running) {
      this.#timer.keepRunning();
      this.#running = true;
      this.#timers.after(IDLE_MS, this.#look);
    }
    return this.#timer.signal(event);
  }

  readonly #look = (): void => {
    if (this.#used) {
      this.#used = false;
      this.#timers.after(IDLE_MS, this.#look);
      return;
    }
    this.#running = false;
    this.#timer.rest();
  };
}
