import { arch, pid } from 'node:process';
import { check, sys } from './libc.ts';
import { SIG_DFL, SIGACTION } from './sigaction.ts';

/** asm/unistd.h of both architectures. */
const SYS_GETTID = arch === 'x64' ? 186 : 178;
const SYS_TGKILL = arch === 'x64' ? 234 : 131;

/** Real-time signals of libc: below them are those that it keeps for itself. */
const SIGRTMIN = 34;
const SIGRTMAX = 64;

/** Kernel number of the calling thread, for {@link ThreadInterrupt} and {@link threadCpuTime}. */
export function threadId(): number {
  return check(sys.syscall(SYS_GETTID, 0, 0, 0), 'gettid');
}

/** linux/posix-timers.h: the clock of a thread's time on a processor. */
const CPUCLOCK_SCHED = 2;
const CPUCLOCK_PERTHREAD = 4;

/**
 * Time that a thread of this process has spent on a processor.
 *
 * @param tid - from `threadId`
 * @returns milliseconds
 * @throws {SysError} EINVAL when the thread is gone
 */
export function threadCpuTime(tid: number): number {
  const time = new BigInt64Array(2);
  const clock = (~tid << 3) | CPUCLOCK_PERTHREAD | CPUCLOCK_SCHED;
  check(sys.clockGettime(clock, time), 'clock_gettime', `thread ${tid}`);
  return Number(time[0]) * 1000 + Number(time[1]) / 1e6;
}

/**
 * Ends the system call in which another thread of this process waits: the call fails with EINTR.
 * JavaScript never runs in the signal's handler, which is a function of libc that only returns.
 */
export class ThreadInterrupt {
  /** The signal that is used, for messages. */
  readonly signal: number;

  private constructor(signal: number) {
    this.signal = signal;
  }

  /**
   * Takes a real-time signal that nobody handles yet, or the one that was taken before. It stays
   * taken: a signal without a handler would end the process.
   *
   * @throws {SysError}
   * @throws {Error} when every real-time signal has a handler of somebody else
   */
  static install(): ThreadInterrupt {
    // `abs` takes an int, as a handler does, touches nothing and returns.
    const handler = BigInt(sys.dlsym(null, 'abs'));
    const old = new Uint8Array(SIGACTION.SIZE);
    for (let signal = SIGRTMIN + 3; signal <= SIGRTMAX; signal++) {
      check(sys.sigaction(signal, null, old), 'sigaction', `signal ${signal}`);
      const { sa_handler: present } = SIGACTION.decode(old);
      if (present === handler) return new ThreadInterrupt(signal);
      if (present !== SIG_DFL) continue;
      // Without SA_RESTART: the interrupted call is to fail.
      const action = SIGACTION.encode({ sa_handler: handler });
      check(sys.sigaction(signal, action, null), 'sigaction', `signal ${signal}`);
      return new ThreadInterrupt(signal);
    }
    throw new Error('Cannot interrupt threads: every real-time signal is in use');
  }

  /**
   * @param tid - a thread of this process, from `threadId`
   * @returns false when there is no such thread any more
   */
  interrupt(tid: number): boolean {
    return sys.syscall(SYS_TGKILL, pid, tid, this.signal) === 0;
  }
}
