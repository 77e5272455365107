import type { Fd } from './brand.ts';
import { EventFd } from './eventfd.ts';
import type { Poller, Watch } from './poller.ts';
import { TimerFd } from './timerfd.ts';
import type { Timer, Timers } from './timers.ts';

/** timerfd_settime(2) takes more; nobody waits for longer, and `TimerFd` has no longer time. */
const LONGEST_MS = 0x7fff_ffff;

interface Entry {
  readonly due: number;
  readonly callback: () => void;
}

/** Descriptors of a {@link LoopTimers} that outlive its thread, which may be ended without a chance to close any. */
export interface LoopTimersFds {
  /** A `TimerFd`'s. */
  readonly timer: Fd;
  /** An eventfd. */
  readonly turn: Fd;
}

/** {@link Timers} for a thread that blocks in an `EventLoop`: any number of them by one descriptor. */
export class LoopTimers implements Timers, Disposable {
  readonly #timer: TimerFd;
  readonly #turn: EventFd;
  readonly #owned: boolean;
  readonly #watches: readonly Watch[];
  /** By time, the next one last. */
  readonly #entries: Entry[] = [];
  #soon: (() => void)[] = [];
  #running: (() => void)[] = [];

  /**
   * @param fds - stay the caller's; default: new ones
   * @throws {SysError}
   */
  constructor(poller: Poller, fds?: LoopTimersFds) {
    this.#owned = fds === undefined;
    this.#timer = new TimerFd(fds?.timer);
    this.#turn = fds === undefined ? EventFd.create() : EventFd.fromFd(fds.turn);
    this.#watches = [
      poller.watch(this.#timer.fd, { readable: true }, () => this.#onTime()),
      poller.watch(this.#turn.fd, { readable: true }, () => this.#onTurn()),
    ];
  }

  after(milliseconds: number, callback: () => void): Timer {
    const entry: Entry = { due: performance.now() + milliseconds, callback };
    let low = 0;
    let high = this.#entries.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#entries[middle] as Entry).due > entry.due) low = middle + 1;
      else high = middle;
    }
    this.#entries.splice(low, 0, entry);
    if (low === this.#entries.length - 1) this.#set();
    return { cancel: () => this.#cancel(entry) };
  }

  // The descriptor may fire for one that was cancelled: it is set anew then.
  #cancel(entry: Entry): void {
    const at = this.#entries.indexOf(entry);
    if (at >= 0) this.#entries.splice(at, 1);
  }

  soon(callback: () => void): void {
    this.#soon.push(callback);
    if (this.#soon.length === 1) this.#turn.signal();
  }

  #set(): void {
    const next = this.#entries.at(-1);
    if (next === undefined) return;
    const ms = Math.ceil(next.due - performance.now());
    this.#timer.set(Math.min(Math.max(ms, 1), LONGEST_MS));
  }

  #onTime(): void {
    this.#timer.drain();
    const now = performance.now();
    for (;;) {
      const next = this.#entries.at(-1);
      if (next === undefined || next.due > now) break;
      this.#entries.pop();
      next.callback();
    }
    this.#set();
  }

  #onTurn(): void {
    this.#turn.drain();
    const due = this.#soon;
    this.#soon = this.#running;
    this.#running = due;
    for (const callback of due) callback();
    due.length = 0;
  }

  /** Nothing is called any more. */
  close(): void {
    for (const watch of this.#watches) watch.close();
    if (!this.#owned) return;
    this.#timer.close();
    this.#turn.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
