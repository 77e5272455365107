import { asFd, type Fd } from './brand.ts';
import { EAGAIN, EINTR } from './errno.ts';
import { adoptFd, closeFd, dupFd, setNonBlocking } from './fd.ts';
import { addressOf, check, errno, retry, sys } from './libc.ts';

/** sys/eventfd.h. */
export const EFD_CLOEXEC = 0o2000000;
/** sys/eventfd.h. */
export const EFD_NONBLOCK = 0o4000;
/** sys/eventfd.h. */
export const EFD_SEMAPHORE = 1;

/** uapi/linux/fs.h: fail with EAGAIN where the descriptor's own flags would have the call wait. */
const RWF_NOWAIT = 8;
const CURRENT_POSITION = -1;

/** Signals an eventfd without waiting for long, see `InterruptTimer`. */
export interface SignalGuard {
  /** @returns false when it would have waited, and the counter is as it was */
  signal(event: EventFd): boolean;
}

interface Sharing {
  readonly guard: SignalGuard;
  readonly onStall: () => void;
  /** `struct iovec` of the value. */
  readonly iov: BigUint64Array;
  stalled: boolean;
}

/**
 * An eventfd: the notification primitive between guest, hypervisor, front-end and back-end.
 * Always non-blocking and close-on-exec.
 */
export class EventFd implements Disposable {
  readonly fd: Fd;
  readonly #value = new BigUint64Array(1);
  #sharing: Sharing | undefined;
  #live = true;

  private constructor(fd: Fd) {
    this.fd = fd;
  }

  /** @throws {SysError} */
  static create(initial = 0): EventFd {
    return new EventFd(asFd(check(sys.eventfd(initial, EFD_CLOEXEC | EFD_NONBLOCK), 'eventfd')));
  }

  /**
   * Takes ownership of a descriptor that somebody passed to us, and makes it non-blocking and
   * close-on-exec.
   *
   * @throws {SysError} EBADF; the descriptor stays the caller's
   */
  static fromFd(fd: Fd): EventFd {
    return new EventFd(adoptFd(fd));
  }

  /** A second owner of the same counter. */
  clone(): EventFd {
    return new EventFd(dupFd(this.fd));
  }

  get live(): boolean {
    return this.#live;
  }

  /**
   * Adds 1 to the counter. A full counter is no error: the reader is signalled anyway.
   *
   * @throws {SysError} when the descriptor is no eventfd (a peer may pass anything)
   */
  signal(): void {
    if (this.#sharing !== undefined) {
      this.#signalShared(this.#sharing);
      return;
    }
    for (;;) {
      const n = sys.eventfdWrite(this.fd, 1);
      if (n >= 0) return;
      const error = errno();
      if (error === EAGAIN) return;
      if (error !== EINTR) check(n, 'write', 'eventfd');
    }
  }

  /**
   * Adds 1 to the counter of an eventfd that somebody else has too, who may have made it blocking and
   * filled it: then this call waits, and another thread can end that by a `ThreadInterrupt`.
   *
   * @param giveUp - asked after each interruption: true when it was meant for this call
   * @returns false when it gave up, and the counter is as it was
   * @throws {SysError} when the descriptor is no eventfd
   */
  signalUnless(giveUp: () => boolean): boolean {
    for (;;) {
      const n = sys.eventfdWrite(this.fd, 1);
      if (n >= 0) return true;
      const error = errno();
      if (error === EAGAIN) return true;
      if (error !== EINTR) check(n, 'write', 'eventfd');
      if (giveUp()) return false;
    }
  }

  /**
   * A peer that is not trusted gets this eventfd, and O_NONBLOCK is one flag for all who have it: from
   * now on neither `signal` nor `drain` waits, whatever the peer does.
   *
   * @param onStall - `signal` had to be ended; further signals are dropped until {@link restore}
   */
  share(guard: SignalGuard, onStall: () => void): void {
    const iov = BigUint64Array.of(addressOf(this.#value), 8n);
    this.#sharing = { guard, onStall, iov, stalled: false };
  }

  /** For the next peer: empty, non-blocking, and signalled again. @throws {SysError} */
  restore(): void {
    if (this.#sharing?.stalled !== true) return;
    this.#sharing.stalled = false;
    this.drain();
    setNonBlocking(this.fd, true);
  }

  #signalShared(sharing: Sharing): void {
    if (sharing.stalled || sharing.guard.signal(this)) return;
    sharing.stalled = true;
    sharing.onStall();
  }

  /**
   * Reads and clears the counter.
   *
   * @returns true when it had been signalled
   * @throws {SysError} when the descriptor is no eventfd
   */
  drain(): boolean {
    const iov = this.#sharing?.iov;
    const n = retry(() =>
      iov === undefined
        ? sys.read(this.fd, this.#value, 8)
        : sys.preadv2(this.fd, iov, 1, CURRENT_POSITION, RWF_NOWAIT),
    );
    if (n >= 0) return n === 8;
    if (errno() === EAGAIN) return false;
    check(n, 'read', 'eventfd');
    return false;
  }

  close(): void {
    if (!this.#live) return;
    this.#live = false;
    closeFd(this.fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
