import { asFd, type Fd } from './brand.ts';
import { EAGAIN } from './errno.ts';
import { closeFd } from './fd.ts';
import { checkInteger } from './int.ts';
import { check, errno, retry, sys } from './libc.ts';
import { i64, struct } from './struct.ts';

/** linux/time.h, linux/timerfd.h. */
const CLOCK_MONOTONIC = 1;
const TFD_CLOEXEC = 0o2000000;
const TFD_NONBLOCK = 0o4000;

/** `struct itimerspec`, linux/time_types.h (64-bit time): two `struct timespec` in a row. */
export const ITIMERSPEC = struct(
  'itimerspec',
  {
    it_interval_sec: i64(0),
    it_interval_nsec: i64(8),
    it_value_sec: i64(16),
    it_value_nsec: i64(24),
  },
  { size: 32 },
);

/**
 * A timer that becomes readable: the only kind that works in a thread that blocks in an `EventLoop`,
 * where JavaScript's own timers never fire. Counts monotonic time, fires once.
 */
export class TimerFd implements Disposable {
  readonly fd: Fd;
  readonly #spec = new ArrayBuffer(ITIMERSPEC.SIZE);
  readonly #view = new DataView(this.#spec);
  readonly #value = new BigUint64Array(1);
  readonly #owned: boolean;
  #live = true;

  /**
   * @param fd - a timer that another thread made and closes; default: a new one
   * @throws {SysError}
   */
  constructor(fd?: Fd) {
    this.#owned = fd === undefined;
    this.fd = fd ?? createTimer();
  }

  /**
   * Fires once, `milliseconds` from now; a time set before is forgotten.
   *
   * @param milliseconds - 1..2^31 - 1
   * @throws {RangeError}
   */
  set(milliseconds: number): void {
    checkInteger('milliseconds', milliseconds, 1, 0x7fff_ffff);
    this.#settime(milliseconds);
  }

  /** Does not fire any more. */
  cancel(): void {
    this.#settime(0);
  }

  #settime(milliseconds: number): void {
    ITIMERSPEC.write(this.#view, 0, {
      it_value_sec: BigInt(Math.floor(milliseconds / 1000)),
      it_value_nsec: BigInt((milliseconds % 1000) * 1_000_000),
    });
    check(sys.timerfdSettime(this.fd, 0, this.#spec, null), 'timerfd_settime');
  }

  /**
   * Takes note that the timer fired.
   *
   * @returns true when it had
   */
  drain(): boolean {
    const n = retry(() => sys.read(this.fd, this.#value, 8));
    if (n >= 0) return n === 8;
    if (errno() === EAGAIN) return false;
    check(n, 'read', 'timerfd');
    return false;
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

function createTimer(): Fd {
  const fd = sys.timerfdCreate(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  return asFd(check(fd, 'timerfd_create'));
}
