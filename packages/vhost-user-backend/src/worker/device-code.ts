import type { EventLoop, Fd, Interest, Poller, Readiness, Watch } from '@node-vmm/vmm-sys-util';
import type { DeviceCall } from '../between/pulse.ts';
import { VhostUserBackendError } from '../errors.ts';
import { HostLinks, type HostLinksEnvironment } from './host-links.ts';
import { isMemoryFault } from './memory-fault.ts';
import { outcomeOf, refusedPromise, refusePromise, rejectionError } from './returned-promise.ts';
import type { WorkerPulse } from './worker-pulse.ts';

/** What the guard of a device's code needs. */
export interface DeviceCodeOptions {
  /** Of the device in this worker. */
  readonly seat: number;
  /** For messages. */
  readonly name: string;
  readonly loop: EventLoop;
  readonly pulse: WorkerPulse;
  readonly connectHost: HostLinksEnvironment['connect'];
  readonly turn: HostLinksEnvironment['turn'];
  /** Device code has failed, and why is not known yet: its rings take nothing more. */
  readonly onFailing: () => void;
  /** Device code threw: called once, and nothing of the device is called afterwards but its disposal. */
  readonly onFailed: (error: unknown) => void;
  /** It came upon guest memory that is not there, which is its front-end's fault and not its own. */
  readonly onMemoryFault: () => void;
}

/**
 * The way into a device author's code, and what that code has of its worker. The main thread sees which
 * call runs; what is thrown ends the device and not its worker.
 */
export class DeviceCode {
  readonly #options: DeviceCodeOptions;
  readonly #watches = new Set<Watch>();
  /** The device's connections to host threads. */
  readonly hosts: HostLinks;
  #failed = false;
  #failing: Promise<void> | undefined;

  constructor(options: DeviceCodeOptions) {
    this.#options = options;
    const { name, connectHost: connect, turn } = options;
    this.hosts = new HostLinks({ name, poller: this.poller, connect, turn });
  }

  /** Watches descriptors for the device, with guarded callbacks, for as long as the device works. */
  readonly poller: Poller = {
    watch: (fd, interest, callback) => this.#watch(fd, interest, callback),
  };

  /** Resolves when `onFailed` has been called, where that is not at once; undefined otherwise. */
  get failing(): Promise<void> | undefined {
    return this.#failing;
  }

  get failed(): boolean {
    return this.#failed;
  }

  /**
   * Runs code whose failure is the caller's to deal with.
   *
   * @throws {VhostUserBackendError} INVALID_DEVICE when it returns a promise
   */
  run<T>(call: DeviceCall, body: () => T): T {
    const { pulse, seat } = this.#options;
    const value = pulse.run(seat, call, body);
    if (value !== undefined) this.checkReturned(call, value);
    return value;
  }

  /** @throws {VhostUserBackendError} INVALID_DEVICE when what device code returned is a promise */
  checkReturned(call: DeviceCall, value: unknown): void {
    refusePromise(this.#options.name, call, value);
  }

  /**
   * Runs code whose failure is the device's.
   *
   * @throws {VhostUserBackendError} DEVICE_FAILED when it has failed before
   * @throws what the code throws, after `onFailed`
   */
  guard<T>(call: DeviceCall, body: () => T): T {
    this.checkAlive();
    try {
      return this.run(call, body);
    } catch (error) {
      this.fail(error);
      throw error;
    }
  }

  /** @throws {VhostUserBackendError} DEVICE_FAILED when the device has failed */
  checkAlive(): void {
    if (!this.#failed) return;
    const { name: device } = this.#options;
    const text = `Cannot use device ${device}: it has failed`;
    throw new VhostUserBackendError('DEVICE_FAILED', text, { device });
  }

  /** What serves the guest has thrown: memory that is not there costs the guest, all else the device. */
  caught(error: unknown): void {
    if (isMemoryFault(error)) this.#options.onMemoryFault();
    else this.fail(error);
  }

  /** Nobody knows the device's state any more, so it serves nothing from now on. */
  fail(error: unknown): void {
    if (this.#failed) return;
    this.#failed = true;
    this.close();
    const promise = refusedPromise(error);
    if (promise === undefined) this.#options.onFailed(error);
    else this.#failByPromise(error, promise);
  }

  /** What its author sees is to have what went wrong behind it, too: that takes a turn of Node's loop. */
  #failByPromise(error: unknown, promise: PromiseLike<unknown>): void {
    const { onFailing, onFailed, turn, pulse, seat } = this.#options;
    onFailing();
    const told = async (): Promise<void> => {
      pulse.enter(seat, 'process');
      const outcome = await outcomeOf(promise).finally(() => pulse.leave());
      onFailed(rejectionError(error, outcome));
    };
    // Not before the worker waits: device code of others may still run in this turn.
    this.#failing = Promise.resolve().then(told);
    turn(this.#failing);
  }

  /** Nothing wakes the device any more. Idempotent. */
  close(): void {
    this.hosts.close();
    for (const watch of this.#watches) watch.close();
    this.#watches.clear();
  }

  #watch(fd: Fd, interest: Interest, callback: (ready: Readiness) => void): Watch {
    const guarded = (ready: Readiness): void => {
      try {
        this.run('a callback of its poller', () => callback(ready));
      } catch (error) {
        this.caught(error);
      }
    };
    const watch = this.#options.loop.watch(fd, interest, guarded);
    this.#watches.add(watch);
    const close = (): void => {
      this.#watches.delete(watch);
      watch.close();
    };
    return { update: (next) => watch.update(next), close, [Symbol.dispose]: close };
  }
}
