import { type ThreadInterrupt, threadCpuTime } from '@node-vmm/vmm-sys-util';
import { DEVICE_CALLS, type DeviceCall, PULSE } from '../between/pulse.ts';

/** How often workers are looked at, milliseconds: a stalled one is noticed within two of these. */
export const WATCH_INTERVAL_MS = 200;

/**
 * Processor time that device code may take before it comes back, counted from when it is first seen,
 * milliseconds: with the look that sees it and the one that finds it still there, a second.
 */
const DEVICE_CPU_MS = 600;

/**
 * Processor time that the loading of a device's module may take, milliseconds: a hundred times what a large
 * one takes.
 */
const LOADING_CPU_MS = 5_000;

/** How long device code may wait in one call before that is said, milliseconds. */
const DEVICE_WAIT_WARNING_MS = 600;

/**
 * How long it may at all, milliseconds. A bus may be slow (the kernel's limit for a group of I2C
 * messages comes to half a minute), but a device that never comes back serves nobody.
 */
const DEVICE_WAIT_MS = 60_000;

/** What a look at a worker came to. */
export interface WatchdogEvents {
  /** Device code has been waiting for long; said once. */
  deviceWaits(device: number, call: DeviceCall): void;
  /** Device code does not come back. */
  deviceHangs(device: number, call: DeviceCall): void;
}

/** Looks at one worker from the main thread, which the worker cannot prevent. */
export class WorkerWatchdog {
  readonly #pulse: Int32Array;
  readonly #interrupt: ThreadInterrupt;
  readonly #events: WatchdogEvents;
  #notifyTurn = 0;
  #deviceTurn = 0;
  #since = 0;
  #cpuSince = 0;
  #warned = false;
  #loading = 0;
  #loadingCpuSince = 0;

  constructor(pulse: Int32Array, interrupt: ThreadInterrupt, events: WatchdogEvents) {
    this.#pulse = pulse;
    this.#interrupt = interrupt;
    this.#events = events;
  }

  /** @param now - milliseconds of any clock that never goes back */
  look(now: number): void {
    this.#lookAtNotification();
    this.#lookAtDevice(now);
    this.#lookAtLoading();
  }

  /** Frees the thread from whatever system call it is in. */
  interrupt(): void {
    this.#end(Atomics.load(this.#pulse, PULSE.NOTIFY_TURN));
  }

  #end(notifyTurn: number): void {
    const tid = Atomics.load(this.#pulse, PULSE.TID);
    Atomics.store(this.#pulse, PULSE.INTERRUPT, notifyTurn);
    if (tid > 0) this.#interrupt.interrupt(tid);
  }

  /** Which device it was the worker says itself, once it is free and knows that it waited. */
  #lookAtNotification(): void {
    const turn = Atomics.load(this.#pulse, PULSE.NOTIFY_TURN);
    const same = turn === this.#notifyTurn;
    this.#notifyTurn = turn;
    // The thread may have been preempted between its store and its write: so again until it moves.
    if (same && turn % 2 !== 0) this.#end(turn);
  }

  #lookAtLoading(): void {
    const pulse = this.#pulse;
    const loading = Atomics.load(pulse, PULSE.LOADING_SEAT);
    const same = loading === this.#loading;
    this.#loading = loading;
    if (loading === 0) return;
    const cpu = cpuTime(Atomics.load(pulse, PULSE.TID));
    if (!same) this.#loadingCpuSince = cpu;
    else if (cpu - this.#loadingCpuSince >= LOADING_CPU_MS) {
      this.#events.deviceHangs(loading - 1, 'the top of its module');
    }
  }

  #lookAtDevice(now: number): void {
    const pulse = this.#pulse;
    const turn = Atomics.load(pulse, PULSE.DEVICE_TURN);
    if (turn % 2 === 0) {
      this.#deviceTurn = turn;
      return;
    }
    const cpu = cpuTime(Atomics.load(pulse, PULSE.TID));
    if (turn !== this.#deviceTurn) {
      this.#deviceTurn = turn;
      this.#since = now;
      this.#cpuSince = cpu;
      this.#warned = false;
      return;
    }
    const device = Atomics.load(pulse, PULSE.DEVICE);
    const call = DEVICE_CALLS[Atomics.load(pulse, PULSE.CALL)] ?? 'process';
    // It may have come back, and another device's code begun, since the first look.
    if (Atomics.load(pulse, PULSE.DEVICE_TURN) !== turn) return;
    if (cpu - this.#cpuSince >= DEVICE_CPU_MS || now - this.#since >= DEVICE_WAIT_MS) {
      this.#events.deviceHangs(device, call);
    } else if (now - this.#since >= DEVICE_WAIT_WARNING_MS && !this.#warned) {
      this.#warned = true;
      this.#events.deviceWaits(device, call);
    }
  }
}

function cpuTime(tid: number): number {
  try {
    return threadCpuTime(tid);
  } catch {
    // The thread ends at this moment.
    return 0;
  }
}
