import type { Fd } from './brand.ts';
import { EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP, Epoll } from './epoll.ts';
import type { EventFd } from './eventfd.ts';
import type { Interest, Poller, Readiness, Watch } from './poller.ts';

const DISCONNECTED = EPOLLERR | EPOLLHUP | EPOLLRDHUP;

function mask(interest: Interest): number {
  return (
    (interest.readable === true ? EPOLLIN : 0) |
    (interest.writable === true ? EPOLLOUT : 0) |
    EPOLLRDHUP
  );
}

interface Entry {
  readonly callback: (ready: Readiness) => void;
  closed: boolean;
}

const SIGNALLED: Readiness = { readable: true, writable: false, disconnected: false };

/**
 * An event loop that blocks its thread in `epoll_wait`: about 3 us from signal to callback. For
 * worker threads only. JavaScript's own event loop does not turn while it runs, so timers, promises
 * and `MessagePort` events of that thread do not happen; control messages come by a port that a
 * watched eventfd announces (see `ControlPort`).
 *
 * Nothing outside can interrupt a blocked thread: `stop` must be signalled before the process ends.
 */
export class EventLoop implements Poller, Disposable {
  readonly #epoll: Epoll;
  readonly #entries: (Entry | undefined)[] = [];
  readonly #free: number[] = [];
  // Tokens freed while a batch of events is being dispatched may still be named in that batch.
  readonly #retired: number[] = [];
  readonly #stop: EventFd;
  #stopped = false;

  /**
   * @param stop - ends `run` when signalled, from any thread; stays the caller's
   * @param epollFd - an epoll set that outlives this thread, which may be ended without a chance to
   * close one of its own; stays the caller's
   * @throws {SysError}
   */
  constructor(stop: EventFd, epollFd?: Fd) {
    this.#epoll = new Epoll(undefined, epollFd);
    this.#stop = stop;
    this.watch(stop.fd, { readable: true }, () => {
      this.#stopped = true;
    });
  }

  /** True once the stop eventfd's signal has been seen: for those who `turn` by themselves. */
  get stopped(): boolean {
    return this.#stopped;
  }

  watch(fd: Fd, interest: Interest, callback: (ready: Readiness) => void): Watch {
    return this.#add(fd, mask(interest), callback);
  }

  /**
   * Calls back once for every signal of an eventfd, and at once when it is signalled already. The
   * counter is never read: that saves a system call per signal, and nobody who shares the descriptor
   * can make this thread block in a read by taking the count away.
   *
   * @param fd - an eventfd, stays the caller's
   * @throws {SysError}
   */
  watchSignals(fd: Fd, callback: () => void): Watch {
    return this.#add(fd, EPOLLIN | EPOLLET, callback);
  }

  #add(fd: Fd, events: number, callback: (ready: Readiness) => void): Watch {
    const token = this.#free.pop() ?? this.#entries.length;
    const entry: Entry = { callback, closed: false };
    try {
      this.#epoll.add(fd, events, token);
    } catch (error) {
      this.#free.push(token);
      throw error;
    }
    this.#entries[token] = entry;
    const close = (): void => {
      if (entry.closed) return;
      entry.closed = true;
      this.#entries[token] = undefined;
      this.#retired.push(token);
      this.#epoll.remove(fd);
    };
    return {
      update: (next) => {
        if (!entry.closed) this.#epoll.modify(fd, mask(next), token);
      },
      close,
      [Symbol.dispose]: close,
    };
  }

  /**
   * Dispatches events until the stop eventfd is signalled. An error thrown by a callback ends the
   * loop and is thrown from here.
   */
  run(): void {
    while (!this.#stopped) this.turn(-1);
  }

  /**
   * One turn: waits, then dispatches what is ready.
   *
   * @param timeout - milliseconds, 0 not to wait, -1 for ever
   */
  turn(timeout: number): void {
    const count = this.#epoll.wait(timeout);
    for (let i = 0; i < count; i++) {
      const entry = this.#entries[this.#epoll.tokenAt(i)];
      if (entry === undefined || entry.closed) continue;
      const events = this.#epoll.eventsAt(i);
      if (events === EPOLLIN) {
        entry.callback(SIGNALLED);
        continue;
      }
      entry.callback({
        readable: (events & EPOLLIN) !== 0,
        writable: (events & EPOLLOUT) !== 0,
        disconnected: (events & DISCONNECTED) !== 0,
      });
    }
    while (this.#retired.length > 0) this.#free.push(this.#retired.pop() as number);
  }

  /** Asks `run` to return; from any callback of this loop. Other threads signal the eventfd. */
  stop(): void {
    this.#stop.signal();
  }

  close(): void {
    this.#epoll.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
