import type { EventFd, SignalGuard } from './eventfd.ts';
import { check, sys } from './libc.ts';
import { bytes, i32, struct, u64 } from './struct.ts';
import { type ThreadInterrupt, threadId } from './thread-interrupt.ts';

const CLOCK_MONOTONIC = 1;
/** asm-generic/siginfo.h: the signal goes to one thread. */
const SIGEV_THREAD_ID = 4;

/** `struct sigevent`, asm-generic/siginfo.h. */
const SIGEVENT = struct(
  'sigevent',
  {
    sigev_value: u64(0),
    sigev_signo: i32(8),
    sigev_notify: i32(12),
    sigev_notify_thread_id: i32(16),
    pad: bytes(20, 44),
  },
  { size: 64 },
);

const NS_PER_MS = 1_000_000n;

/**
 * Ends system calls of the thread that made it when they wait for too long: for a thread that nobody
 * looks after, such as the main thread.
 */
export class InterruptTimer implements SignalGuard, Disposable {
  /** Of the process, which has it until it is deleted, though the thread may have ended. */
  readonly id: bigint;
  readonly #patience: number;
  readonly #armed: BigInt64Array;
  readonly #disarmed = new BigInt64Array(4);
  #live = true;
  #running = false;
  #interruptions = 0;

  /**
   * @param patience - milliseconds that a call may wait, at least 1
   * @throws {SysError} EAGAIN when the user has no timer left
   */
  constructor(interrupt: ThreadInterrupt, patience = 200) {
    this.#patience = patience;
    const ns = BigInt(Math.max(1, Math.ceil(patience))) * NS_PER_MS;
    const [seconds, rest] = [ns / 1_000_000_000n, ns % 1_000_000_000n];
    // Again and again: the first signal may come just before the call that is to be ended.
    this.#armed = BigInt64Array.of(seconds, rest, seconds, rest);
    const event = SIGEVENT.encode({
      sigev_signo: interrupt.signal,
      sigev_notify: SIGEV_THREAD_ID,
      sigev_notify_thread_id: threadId(),
    });
    const id = new BigUint64Array(1);
    check(sys.timerCreate(CLOCK_MONOTONIC, event, id), 'timer_create');
    this.id = id[0] as bigint;
  }

  /**
   * Signals an eventfd that a peer may have made blocking and filled.
   *
   * @returns false when that took longer than the patience, and the counter is as it was; twice as long where
   * the timer is kept running
   * @throws {SysError} when the descriptor is no eventfd
   */
  signal(event: EventFd): boolean {
    if (this.#running) {
      this.#interruptions = 0;
      return event.signalUnless(this.#secondTime);
    }
    const end = performance.now() + this.#patience;
    this.#set(this.#armed);
    try {
      return event.signalUnless(() => performance.now() >= end);
    } finally {
      this.#set(this.#disarmed);
    }
  }

  // The timer runs all the time, so the first one may come at once.
  readonly #secondTime = (): boolean => ++this.#interruptions > 1;

  /**
   * For many signals: saves setting the timer twice for each, two system calls. Until {@link rest} every call of the
   * thread that waits is interrupted once in the patience.
   */
  keepRunning(): void {
    this.#set(this.#armed);
    this.#running = true;
  }

  /** The timer is set for each signal again. */
  rest(): void {
    this.#running = false;
    this.#set(this.#disarmed);
  }

  #set(value: BigInt64Array): void {
    if (this.#live) check(sys.timerSettime(this.id, 0, value, null), 'timer_settime');
  }

  /** For a thread that has ended and could not: deletes its timer, once, for another may have the number then. */
  static delete(id: bigint): void {
    sys.timerDelete(id);
  }

  close(): void {
    if (!this.#live) return;
    this.#live = false;
    InterruptTimer.delete(this.id);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
