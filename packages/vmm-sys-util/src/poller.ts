import type { Fd } from './brand.ts';
import { nodePoll, type PollHandle } from './libc.ts';

/** What to wait for. Disconnection is always reported. */
export interface Interest {
  readonly readable?: boolean;
  readonly writable?: boolean;
}

/** What is ready. A broken descriptor is reported as both readable and disconnected. */
export interface Readiness {
  readonly readable: boolean;
  readonly writable: boolean;
  readonly disconnected: boolean;
}

/** A descriptor being watched. Closing stops the watching, never the descriptor. */
export interface Watch extends Disposable {
  /** Changes what is waited for. */
  update(interest: Interest): void;
  /** Idempotent. No callback runs after it. */
  close(): void;
}

/**
 * Calls back when descriptors are ready, level-triggered. {@link MainPoller} does it on Node's event
 * loop, `EventLoop` in a worker thread that blocks; users take this interface and run on either.
 */
export interface Poller {
  /**
   * @param fd - stays the caller's; close the watch before the descriptor
   * @throws {SysError} when the descriptor cannot be polled
   */
  watch(fd: Fd, interest: Interest, callback: (ready: Readiness) => void): Watch;
}

// A poll handle that nothing references is collected and never fires again, so open watches are held
// here: whoever waits for an event need not hold on to the poller.
const open = new Set<MainWatch>();

class MainWatch implements Watch {
  readonly #owner: Set<MainWatch>;
  readonly #handle: PollHandle;
  readonly #callback: (ready: Readiness) => void;
  #closed = false;

  constructor(
    owner: Set<MainWatch>,
    fd: Fd,
    interest: Interest,
    callback: (ready: Readiness) => void,
  ) {
    this.#owner = owner;
    this.#callback = callback;
    this.#handle = nodePoll(fd, options(interest), this.#onEvent);
    owner.add(this);
    open.add(this);
  }

  // koffi's declaration lacks the first argument: a negative errno when polling failed.
  readonly #onEvent = ((status: number, events?: Readiness & { disconnect?: boolean }): void => {
    if (this.#closed) return;
    if (status < 0 || events === undefined) {
      this.#callback({ readable: true, writable: false, disconnected: true });
      return;
    }
    this.#callback({
      readable: events.readable,
      writable: events.writable,
      disconnected: events.disconnect === true,
    });
  }) as never;

  update(interest: Interest): void {
    if (!this.#closed) this.#handle.start(options(interest), this.#onEvent);
  }

  ref(on: boolean): void {
    if (on) this.#handle.ref();
    else this.#handle.unref();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#owner.delete(this);
    open.delete(this);
    this.#handle.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function options(interest: Interest): {
  readable: boolean;
  writable: boolean;
  disconnect: boolean;
} {
  return {
    readable: interest.readable === true,
    writable: interest.writable === true,
    disconnect: true,
  };
}

/**
 * Watches descriptors on Node's own event loop, about 23 us from signal to callback: for the control
 * plane. A watch keeps the process alive until closed.
 */
export class MainPoller implements Poller, Disposable {
  readonly #watches = new Set<MainWatch>();

  watch(fd: Fd, interest: Interest, callback: (ready: Readiness) => void): Watch {
    return new MainWatch(this.#watches, fd, interest, callback);
  }

  /** How many watches are open. */
  get size(): number {
    return this.#watches.size;
  }

  /** Closes every watch. */
  close(): void {
    for (const watch of [...this.#watches]) watch.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
