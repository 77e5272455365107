import type { EventFd } from '@node-vmm/vmm-sys-util';
import { DEVICE_CALLS, type DeviceCall, PULSE } from '../between/pulse.ts';

const PROCESS = DEVICE_CALLS.indexOf('process');

/**
 * Says in `PULSE` what this worker is doing. Plain stores: the main thread looks again and again, and a
 * delay is no harm.
 */
export class WorkerPulse {
  readonly #pulse: Int32Array;
  #depth = 0;

  /** @param tid - of this thread */
  constructor(pulse: Int32Array, tid: number) {
    this.#pulse = pulse;
    pulse[PULSE.TID] = tid;
  }

  /** Modules are being loaded, or no more. @param seat - the device whose they are */
  loading(on: boolean, seat?: number): void {
    Atomics.store(this.#pulse, PULSE.LOADING_SEAT, on && seat !== undefined ? seat + 1 : 0);
    Atomics.store(this.#pulse, PULSE.LOADING, on ? 1 : 0);
    Atomics.notify(this.#pulse, PULSE.LOADING);
  }

  /** Runs device code. */
  run<T>(seat: number, call: DeviceCall, body: () => T): T {
    this.enter(seat, call);
    try {
      return body();
    } finally {
      this.leave();
    }
  }

  /** Device code begins; inside of other device code that goes on counting as one. */
  enter(seat: number, call: DeviceCall): void {
    if (this.#depth++ > 0) return;
    const pulse = this.#pulse;
    pulse[PULSE.DEVICE] = seat;
    pulse[PULSE.CALL] = call === 'process' ? PROCESS : DEVICE_CALLS.indexOf(call);
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
