import { syncBuiltinESMExports } from 'node:module';
import timersPromises from 'node:timers/promises';
import { vi } from 'vitest';

/** What a step of the clock is, milliseconds: no deadline is off by more. */
const STEP_MS = 25;
/** Turns of Node's event loop in which sockets have their say, for each step. */
const TURNS = 4;

interface DelayOptions {
  readonly signal?: AbortSignal;
}

/** Deadlines pass when a test says so; sockets and processes go on as ever. */
export class FakeClock implements Disposable {
  /** No time passes while this is true: a process does something that takes it next to none. */
  stands: () => boolean = () => false;
  readonly #delay = timersPromises.setTimeout;

  /** @param intervals - default: they are the test's own, and real */
  constructor(intervals = false) {
    const timers = ['setTimeout', 'clearTimeout', 'performance'] as const;
    vi.useFakeTimers({
      toFake: intervals ? [...timers, 'setInterval', 'clearInterval'] : [...timers],
    });
    // Those of `node:timers/promises` are Node's own, which no fake reaches.
    timersPromises.setTimeout = ((ms: number, value?: unknown, { signal }: DelayOptions = {}) =>
      delay(ms, value, signal)) as typeof timersPromises.setTimeout;
    syncBuiltinESMExports();
  }

  /** Lets what has come be handled, without any time. */
  async turns(count: number = TURNS): Promise<void> {
    for (let i = 0; i < count; i++) await new Promise(setImmediate);
  }

  /**
   * Waits for something that takes no time.
   *
   * @throws {Error} when it does not come
   */
  async untilNow(condition: () => boolean, what: string): Promise<void> {
    for (let turn = 0; turn < 5000; turn++) {
      if (condition()) return;
      await this.turns(1);
    }
    throw new Error(`${what}: it did not come about`);
  }

  /** Lets time pass. */
  async pass(ms: number): Promise<void> {
    for (let at = 0; at < ms; at += STEP_MS) {
      while (this.stands()) await this.turns(1);
      await vi.advanceTimersByTimeAsync(STEP_MS);
      await this.turns();
    }
  }

  /**
   * Lets time pass until something has ended.
   *
   * @param most - milliseconds
   * @returns how long that took, milliseconds; `most` or more when it did not end
   */
  async timeOf(work: Promise<unknown>, most: number): Promise<number> {
    const began = performance.now();
    let ended: number | undefined;
    const settled = (): void => {
      ended = performance.now() - began;
    };
    work.then(settled, settled);
    await this.turns();
    while (ended === undefined && performance.now() - began < most) await this.pass(STEP_MS);
    return ended ?? Number.POSITIVE_INFINITY;
  }

  [Symbol.dispose](): void {
    timersPromises.setTimeout = this.#delay;
    syncBuiltinESMExports();
    vi.useRealTimers();
  }
}

function delay(ms: number, value: unknown, signal: AbortSignal | undefined): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort);
      resolve(value);
    }, ms);
    if (signal?.aborted === true) onAbort();
    else signal?.addEventListener('abort', onAbort, { once: true });
  });
}
