import { checkInteger } from '@node-vmm/vmm-sys-util';

/** How a device that has failed is made again. */
export interface RestartOptions {
  /** Milliseconds before it is made again, >= 1, default 1000; doubled each time in a row. */
  readonly firstDelay?: number;
  /**
   * The longest delay, milliseconds, default 60000, so that a guest that provokes the failure cannot
   * keep the host busy. A device that has served for so long begins with `firstDelay` again.
   */
  readonly maxDelay?: number;
  /**
   * How many worker threads may end by its doing, default 5: what devices had open in a thread that
   * ended stays open, for as long as the process lives. Afterwards it is not made again.
   */
  readonly maxLostWorkers?: number;
}

const FIRST_DELAY_MS = 1_000;
const MAX_DELAY_MS = 60_000;
const MAX_LOST_WORKERS = 5;
/** Longest timer that JavaScript has. */
const MAX_TIMEOUT_MS = 0x7fff_ffff;

/** When a device is made again. */
export class RestartSchedule {
  readonly #first: number;
  readonly #max: number;
  readonly #maxLostWorkers: number;
  #inRow = 0;
  #lostWorkers = 0;

  /** @throws {RangeError} when an option is out of range */
  constructor(options: RestartOptions) {
    const { firstDelay = FIRST_DELAY_MS, maxDelay = Math.max(MAX_DELAY_MS, firstDelay) } = options;
    const { maxLostWorkers = MAX_LOST_WORKERS } = options;
    checkInteger('firstDelay', firstDelay, 1, MAX_TIMEOUT_MS);
    checkInteger('maxDelay', maxDelay, firstDelay, MAX_TIMEOUT_MS);
    checkInteger('maxLostWorkers', maxLostWorkers, 0, Number.MAX_SAFE_INTEGER);
    this.#first = firstDelay;
    this.#max = maxDelay;
    this.#maxLostWorkers = maxLostWorkers;
  }

  /** False when it has cost too many threads. */
  get open(): boolean {
    return this.#lostWorkers <= this.#maxLostWorkers;
  }

  /** A worker thread ended by the device's doing. */
  workerLost(): void {
    this.#lostWorkers++;
  }

  /**
   * @param served - how long the device has worked, milliseconds
   * @returns milliseconds until it is made again, undefined when it is not
   */
  next(served: number): number | undefined {
    if (!this.open) return undefined;
    if (served >= this.#max) this.#inRow = 0;
    return Math.min(this.#first * 2 ** this.#inRow++, this.#max);
  }
}
