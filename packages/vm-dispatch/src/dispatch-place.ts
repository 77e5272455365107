import { errorMessage, type Logger, silentLogger } from '@node-vmm/vmm-sys-util';
import { DeathLimit } from './death-limit.ts';
import {
  DispatchThread,
  type DispatchThreadComponents,
  type DispatchThreadOptions,
} from './dispatch-thread.ts';
import type { ThreadSeat } from './thread-seat.ts';

/** Ours: threads that may come one after the other within {@link DEATHS_MS}: guests that kill them are gone before. */
const MAX_DEATHS = 8;
/** Ours: milliseconds. */
const DEATHS_MS = 60_000;

/** What a place works with. */
export interface DispatchPlaceParts {
  readonly components: DispatchThreadComponents;
  readonly options: DispatchThreadOptions;
  /** Guests of a place that has no thread any more, nor gets one. */
  readonly onLost: (seats: readonly ThreadSeat[]) => void;
}

/**
 * One thread of a pool, and those that come in its place when it dies. Guests stay at the place, and wait while it
 * has none.
 */
export class DispatchPlace {
  /** Ends when there is no thread, and none comes. */
  readonly ended: Promise<void>;
  readonly #parts: DispatchPlaceParts;
  readonly #logger: Logger;
  readonly #deaths = new DeathLimit(MAX_DEATHS, DEATHS_MS);
  #thread: DispatchThread | undefined;
  #waiting: ThreadSeat[] = [];
  /** Threads that are being started. */
  #coming = 0;
  #live = true;
  #closing = false;
  #end: () => void = () => undefined;

  /** @throws {VmError} NOT_SUPPORTED when a thread cannot run */
  static async start(parts: DispatchPlaceParts): Promise<DispatchPlace> {
    const place = new DispatchPlace(parts);
    place.#give(await place.#startThread());
    return place;
  }

  private constructor(parts: DispatchPlaceParts) {
    this.#parts = parts;
    this.#logger = parts.components.logger ?? silentLogger;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  async #startThread(): Promise<DispatchThread> {
    const { components, options } = this.#parts;
    const onDeath = (seats: readonly ThreadSeat[], culprit: ThreadSeat | undefined): void =>
      this.#died(seats, culprit);
    this.#coming++;
    try {
      const thread = await DispatchThread.start(components, options, onDeath);
      void thread.ended.then(() => {
        if (this.#closing && this.#coming === 0) this.#end();
      });
      return thread;
    } finally {
      this.#coming--;
    }
  }

  /** Whether it takes guests. */
  get live(): boolean {
    return this.#live && !this.#closing;
  }

  /** How many it has. */
  get guests(): number {
    return (this.#thread?.guests ?? 0) + this.#waiting.filter(({ live }) => live).length;
  }

  admit(seat: ThreadSeat): void {
    if (this.#thread?.live === true) this.#thread.admit(seat);
    else this.#waiting.push(seat);
  }

  #died(seats: readonly ThreadSeat[], culprit: ThreadSeat | undefined): void {
    this.#thread = undefined;
    const now = performance.now();
    for (const seat of seats) {
      const suspect = culprit === undefined || culprit === seat;
      if (!suspect || seat.mayGoOn(now)) {
        this.#waiting.push(seat);
        continue;
      }
      const context = { vm: seat.name, seconds: DEATHS_MS / 1000 };
      const text = 'a guest has ended too many dispatch threads, it loses its devices';
      this.#logger.error(context, text);
      seat.gone();
    }
    if (this.#deaths.another(now)) void this.#replace();
    else this.#lose('dispatch threads end again and again');
  }

  async #replace(): Promise<void> {
    let thread: DispatchThread;
    try {
      thread = await this.#startThread();
    } catch (error) {
      this.#lose(errorMessage(error));
      return;
    }
    if (this.#closing) {
      thread.close();
      return;
    }
    this.#give(thread);
    if (this.#thread !== thread) return;
    const { name } = this.#parts.options;
    const { guests } = this;
    this.#logger.info({ thread: name, guests }, 'a dispatch thread goes on for another');
  }

  /** One that has died since it was up has been seen to. */
  #give(thread: DispatchThread): void {
    if (!thread.live) return;
    this.#thread = thread;
    const seats = this.#waiting.splice(0).filter(({ live }) => live);
    for (const seat of seats) thread.admit(seat);
  }

  #lose(reason: string): void {
    const { name: thread } = this.#parts.options;
    if (!this.#closing) {
      this.#logger.error({ thread, reason }, 'a dispatch thread is not replaced');
    }
    this.#live = false;
    this.#end();
    this.#parts.onLost(this.#waiting.splice(0));
  }

  /** Ends the thread; guests that it has are answered on this one. `ended` tells when it is gone. */
  close(): void {
    this.#closing = true;
    this.#thread?.close();
    for (const seat of this.#waiting.splice(0)) seat.gone();
  }
}
