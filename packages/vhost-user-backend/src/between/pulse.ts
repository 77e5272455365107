import type { EventFd } from '@node-vmm/vmm-sys-util';

/**
 * What a worker thread is doing, in memory that the main thread sees at any time: a thread that does
 * not come back from something cannot say so itself.
 */
export const PULSE = {
  /** 1 while modules are being loaded: a process that ends meanwhile would be aborted. */
  LOADING: 0,
  /** Kernel number of the thread, 0 before it runs. */
  TID: 1,
  /** Odd while device code runs, one more at each start and end. */
  DEVICE_TURN: 2,
  /** Id of the device whose code runs. */
  DEVICE: 3,
  /** Index in {@link DEVICE_CALLS}. */
  CALL: 4,
  /** Odd while a front-end's eventfd is written. */
  NOTIFY_TURN: 5,
  /** The `NOTIFY_TURN` that the main thread wants to end. */
  INTERRUPT: 6,
} as const;
const LENGTH = 7;

/** Device code that a worker runs, for messages. */
export const DEVICE_CALLS = [
  'createDevice',
  'process',
  'negotiated',
  'reset',
  'config',
  'writeConfig',
  'queueStopping',
  'queueStopped',
  'a callback of its poller',
  'Symbol.dispose',
] as const;
export type DeviceCall = (typeof DEVICE_CALLS)[number];

/** Memory for one worker; loading is what it does first. */
export function createPulse(): Int32Array<SharedArrayBuffer> {
  const pulse = new Int32Array(new SharedArrayBuffer(4 * LENGTH));
  pulse[PULSE.LOADING] = 1;
  return pulse;
}

/** The worker's side. Plain stores: the main thread looks again and again, and a delay is no harm. */
export class WorkerPulse {
  readonly #pulse: Int32Array;
  #depth = 0;

  /** @param tid - of this thread */
  constructor(pulse: Int32Array, tid: number) {
    this.#pulse = pulse;
    pulse[PULSE.TID] = tid;
  }

  /** Modules are being loaded, or no more. */
  loading(on: boolean): void {
    Atomics.store(this.#pulse, PULSE.LOADING, on ? 1 : 0);
    Atomics.notify(this.#pulse, PULSE.LOADING);
  }

  /** Runs device code. */
  run<T>(device: number, call: DeviceCall, body: () => T): T {
    this.enter(device, call);
    try {
      return body();
    } finally {
      this.leave();
    }
  }

  /** Device code begins; inside of other device code that goes on counting as one. */
  enter(device: number, call: DeviceCall): void {
    if (this.#depth++ > 0) return;
    const pulse = this.#pulse;
    pulse[PULSE.DEVICE] = device;
    pulse[PULSE.CALL] = DEVICE_CALLS.indexOf(call);
    (pulse[PULSE.DEVICE_TURN] as number)++;
  }

  leave(): void {
    if (--this.#depth === 0) (this.#pulse[PULSE.DEVICE_TURN] as number)++;
  }

  /**
   * Signals an eventfd that a front-end shares, who may have made it blocking and filled it.
   *
   * @returns false when the main thread had to end the wait: the descriptor must not be used again
   * @throws {SysError} when the descriptor is no eventfd
   */
  notify(event: EventFd): boolean {
    const pulse = this.#pulse;
    (pulse[PULSE.NOTIFY_TURN] as number)++;
    try {
      return event.signalUnless(this.#interrupted);
    } finally {
      (pulse[PULSE.NOTIFY_TURN] as number)++;
    }
  }

  readonly #interrupted = (): boolean =>
    Atomics.load(this.#pulse, PULSE.INTERRUPT) === this.#pulse[PULSE.NOTIFY_TURN];
}
