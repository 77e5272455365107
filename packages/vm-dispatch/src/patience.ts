/** Ours: milliseconds that a thread has, which serves a register in a hundredth of one, before it is looked at. */
const FIRST_MS = 2000;
/** Ours: what it has more when what it was told has been sent by then, milliseconds. */
const MORE_MS = 1000;

/** What a thread was told, and is waited for by somebody. */
export interface Awaited {
  /** Whether the thread has done it, as far as shared memory says. */
  readonly done: () => boolean;
  /** Sends what may not have been sent for want of room, or of time that this thread had. */
  readonly flush: () => void;
  /** The thread is stuck. */
  readonly onStuck: () => void;
}

/**
 * Has a thread looked at that was told something which it should do at once. Nothing keeps the process alive for it. A
 * main thread that stood still itself gives the thread the rest of its time.
 */
export function expectSoon({ done, flush, onStuck }: Awaited): void {
  const first = (): void => {
    if (done()) return;
    flush();
    setTimeout(second, MORE_MS).unref();
  };
  const second = (): void => {
    if (!done()) onStuck();
  };
  setTimeout(first, FIRST_MS).unref();
}
