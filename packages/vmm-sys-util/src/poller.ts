import { setImmediate } from 'node:timers';
import type { Fd } from './brand.ts';
import { EPOLLIN, Epoll } from './epoll.ts';
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

const BROKEN: Readiness = { readable: true, writable: false, disconnected: true };

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

/**
 * koffi holds the callback for as long as the handle polls, and the callback holds this: whoever waits
 * for an event need hold on to neither watch nor poller. (A handle that nothing references is collected
 * and never fires again.)
 */
class MainWatch implements Watch {
  readonly #owner: Map<Fd, MainWatch>;
  readonly #fd: Fd;
  readonly #handle: PollHandle;
  readonly #callback: (ready: Readiness) => void;
  readonly #assertPollable: () => void;
  #event: Readiness | undefined;
  #interest: Interest;
  #closed = false;

  constructor(
    owner: Map<Fd, MainWatch>,
    fd: Fd,
    interest: Interest,
    callback: (ready: Readiness) => void,
    assertPollable: () => void,
  ) {
    this.#assertPollable = assertPollable;
    this.#owner = owner;
    this.#fd = fd;
    this.#interest = interest;
    this.#callback = callback;
    this.#handle = nodePoll(fd, options(interest), this.#onEvent);
    owner.set(fd, this);
  }

  // koffi calls without a callback scope of Node's: what is thrown would come out of the next, unrelated
  // call into koffi, and from Node 26.4 on promises that were resolved would not be continued. An
  // immediate has such a scope and runs in the same turn of the loop, before anything is polled again.
  // koffi's declaration lacks the first argument: a negative errno when polling failed.
  readonly #onEvent = ((status: number, events?: Readiness & { disconnect?: boolean }): void => {
    const waiting = this.#event !== undefined;
    this.#event =
      status < 0 || events === undefined
        ? BROKEN
        : {
            readable: events.readable,
            writable: events.writable,
            disconnected: events.disconnect === true,
          };
    if (!waiting) setImmediate(this.#deliver);
  }) as never;

  readonly #deliver = (): void => {
    const ready = this.#event;
    this.#event = undefined;
    if (ready === undefined) return;
    try {
      this.#callback(ready);
    } finally {
      if (ready === BROKEN && !this.#closed) this.#goOn();
    }
  };

  // libuv takes EPOLLERR for the end and polls no more. It may pass (a FIFO gets a new reader, an eventfd
  // is drained), and until then it is told again, as epoll does.
  #goOn(): void {
    try {
      this.#assertPollable();
    } catch {
      // The descriptor was closed before its watch: libuv aborts the process over that.
      return;
    }
    this.#handle.start(options(this.#interest), this.#onEvent);
  }

  update(interest: Interest): void {
    if (this.#closed) return;
    this.#interest = interest;
    // An event of before answers another question; what is still so is reported again.
    this.#event = undefined;
    this.#handle.start(options(interest), this.#onEvent);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#event = undefined;
    this.#owner.delete(this.#fd);
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
 * plane. A watch keeps the process alive until closed. Each callback runs as an immediate: its promises
 * go on before the next callback, and what it throws is an uncaught exception.
 */
export class MainPoller implements Poller, Disposable {
  readonly #watches = new Map<Fd, MainWatch>();
  /** Kept: who is watched again and again must not need another descriptor for it. */
  #probe: Epoll | undefined;

  /**
   * @param fd - stays the caller's, watched by no other poller of this thread; close the watch first
   * @throws {SysError} EPERM when the descriptor cannot be polled, EBADF, EEXIST when it is watched
   */
  watch(fd: Fd, interest: Interest, callback: (ready: Readiness) => void): Watch {
    this.#assertPollable(fd, this.#watches.has(fd));
    const again = (): void => this.#assertPollable(fd, false);
    return new MainWatch(this.#watches, fd, interest, callback, again);
  }

  /** How many watches are open. */
  get size(): number {
    return this.#watches.size;
  }

  /** Closes every watch, and what it keeps itself. */
  close(): void {
    for (const watch of [...this.#watches.values()]) watch.close();
    this.#probe?.close();
    this.#probe = undefined;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** koffi aborts the process when a descriptor cannot be polled: somebody else is asked first. */
  #assertPollable(fd: Fd, watched: boolean): void {
    this.#probe ??= new Epoll(1);
    this.#probe.add(fd, EPOLLIN, 0);
    try {
      if (watched) this.#probe.add(fd, EPOLLIN, 0);
    } finally {
      this.#probe.remove(fd);
    }
  }
}
