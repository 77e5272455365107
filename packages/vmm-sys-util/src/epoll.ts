import { arch } from 'node:process';
import { asFd, type Fd } from './brand.ts';
import { EINTR } from './errno.ts';
import { closeFd } from './fd.ts';
import { addressOf, check, errno, sys } from './libc.ts';
import { struct, u32 } from './struct.ts';

/** linux/eventpoll.h. */
export const EPOLLIN = 0x001;
/** linux/eventpoll.h. */
export const EPOLLOUT = 0x004;
/** linux/eventpoll.h. */
export const EPOLLERR = 0x008;
/** linux/eventpoll.h. */
export const EPOLLHUP = 0x010;
/** linux/eventpoll.h. */
export const EPOLLRDHUP = 0x2000;
/** linux/eventpoll.h. */
export const EPOLLET = 0x80000000;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLL_CTL_MOD = 3;
const EPOLL_CLOEXEC = 0o2000000;

/**
 * `struct epoll_event`, linux/eventpoll.h. Packed on x86_64 alone; `data` holds our token in its
 * low 32 bits.
 */
export const EPOLL_EVENT =
  arch === 'x64'
    ? struct('epoll_event', { events: u32(0), data: u32(4) }, { size: 12 })
    : struct('epoll_event', { events: u32(0), data: u32(8) }, { size: 16 });

const EVENT_WORDS = EPOLL_EVENT.SIZE / 4;
const DATA_WORD = EPOLL_EVENT.OFFSETS.data / 4;

/** A level-triggered epoll set whose members carry 32-bit tokens. */
export class Epoll implements Disposable {
  readonly fd: Fd;
  readonly #control = new Uint32Array(EVENT_WORDS);
  readonly #events: Uint32Array;
  readonly #eventsAddress: number;
  readonly #capacity: number;
  readonly #owned: boolean;
  #live = true;

  /**
   * @param capacity - most events that one `wait` returns
   * @param fd - an epoll set that another thread made and closes; default a new one
   * @throws {SysError}
   */
  constructor(capacity = 64, fd?: Fd) {
    this.#capacity = capacity;
    this.#events = new Uint32Array(EVENT_WORDS * capacity);
    this.#eventsAddress = Number(addressOf(this.#events));
    this.#owned = fd === undefined;
    this.fd = fd ?? asFd(check(sys.epollCreate1(EPOLL_CLOEXEC), 'epoll_create1'));
  }

  /** Adds a descriptor. @throws {SysError} EEXIST, or EPERM for a file that cannot be polled */
  add(fd: Fd, events: number, token: number): void {
    this.#ctl(EPOLL_CTL_ADD, fd, events, token);
  }

  /** Changes what is waited for. @throws {SysError} */
  modify(fd: Fd, events: number, token: number): void {
    this.#ctl(EPOLL_CTL_MOD, fd, events, token);
  }

  /** Removes a descriptor. @throws {SysError} */
  remove(fd: Fd): void {
    this.#ctl(EPOLL_CTL_DEL, fd, 0, 0);
  }

  #ctl(operation: number, fd: Fd, events: number, token: number): void {
    this.#control[0] = events;
    this.#control[DATA_WORD] = token;
    check(sys.epollCtl(this.fd, operation, fd, this.#control), 'epoll_ctl', `fd ${fd}`);
  }

  /**
   * Blocks this thread until a descriptor is ready.
   *
   * @param timeout - milliseconds, -1 for ever
   * @returns how many events there are, read by `tokenAt` and `eventsAt`
   * @throws {SysError}
   */
  wait(timeout: number): number {
    for (;;) {
      const count = sys.epollWaitAt(this.fd, this.#eventsAddress, this.#capacity, timeout);
      if (count >= 0) return count;
      if (errno() !== EINTR) return check(count, 'epoll_wait');
    }
  }

  tokenAt(index: number): number {
    return this.#events[index * EVENT_WORDS + DATA_WORD] as number;
  }

  eventsAt(index: number): number {
    return this.#events[index * EVENT_WORDS] as number;
  }

  close(): void {
    if (!this.#live) return;
    this.#live = false;
    if (this.#owned) closeFd(this.fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
