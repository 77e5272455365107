/** Time set for one call. */
export interface Timer {
  /** Idempotent. */
  cancel(): void;
}

/** Calls later, in the thread that asks: {@link NodeTimers} on Node's event loop, `LoopTimers` on an `EventLoop`. */
export interface Timers {
  /** @param milliseconds - from now, not negative */
  after(milliseconds: number, callback: () => void): Timer;
  /** Calls in the next turn of the loop. */
  soon(callback: () => void): void;
}

/** Node's own timers; what is set does not keep the process alive. */
export class NodeTimers implements Timers {
  after(milliseconds: number, callback: () => void): Timer {
    const timer = setTimeout(callback, milliseconds);
    timer.unref();
    return { cancel: () => clearTimeout(timer) };
  }

  soon(callback: () => void): void {
    setImmediate(callback);
  }
}
