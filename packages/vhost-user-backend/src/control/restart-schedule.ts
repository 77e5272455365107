import { checkInteger } from '@node-vmm/vmm-sys-util';
import type { RestartOptions } from '../device-spec.ts';

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
