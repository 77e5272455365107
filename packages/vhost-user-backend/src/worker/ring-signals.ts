import { asFd, EventFd } from '@node-vmm/vmm-sys-util';

/** Signals an eventfd of the front-end's. @returns false when that must not be tried again */
export type Notify = (event: EventFd) => boolean;

/** Where a ring tells its front-end: that chains are used, and that it cannot be served. */
export class RingSignals {
  readonly #notify: Notify;
  #call: EventFd | undefined;
  #err: EventFd | undefined;

  constructor(notify: Notify) {
    this.#notify = notify;
  }

  /** The descriptors stay the main thread's. */
  set(kind: 'call' | 'err', fd: number | undefined): void {
    const event = fd === undefined ? undefined : EventFd.fromFd(asFd(fd));
    if (kind === 'call') this.#call = event;
    else this.#err = event;
  }

  used(): void {
    if (this.#call !== undefined && !this.#notify(this.#call)) this.#call = undefined;
  }

  fault(): void {
    if (this.#err !== undefined && !this.#notify(this.#err)) this.#err = undefined;
  }

  clear(): void {
    this.#call = undefined;
    this.#err = undefined;
  }
}
