import { errorMessage, type Logger } from '@node-vmm/vmm-sys-util';
import type { XenStoreError } from './errors.ts';

/** A change below a watched path. */
export interface WatchEvent {
  /** The path that changed: the watched one or one below it. May be reported without a change. */
  readonly path: string;
  /**
   * True when more paths changed than are remembered one by one: `path` is the watched one, and
   * everything below it may have changed.
   */
  readonly overflow: boolean;
}

/** Ours: paths that wait for delivery one by one; beyond, one event stands for all. */
export const MAX_PENDING_PATHS = 1024;

/** How events are taken. */
export interface SubscriptionOptions {
  /** Called for each event, one after the other. Without it, iterate over the subscription. */
  readonly onEvent?: ((event: WatchEvent) => void) | undefined;
  /** Called once when the subscription ends, with the reason when the connection was lost. */
  readonly onEnd?: ((error: XenStoreError | undefined) => void) | undefined;
}

/** What ends a subscription at the other side. */
export type Unwatch = () => Promise<void>;

interface Waiter {
  readonly resolve: (result: IteratorResult<WatchEvent, undefined>) => void;
  readonly reject: (error: Error) => void;
}

const DONE: IteratorResult<WatchEvent, undefined> = { done: true, value: undefined };

/**
 * Events of one watch, from a callback or as an async iterator. Events wait in a queue in which each
 * path is at most once, so that a guest that writes in a loop costs no memory. The first event comes
 * without a change, as soon as the watch is set.
 */
export class Subscription implements AsyncIterable<WatchEvent>, Disposable, AsyncDisposable {
  /** The watched path. */
  readonly path: string;
  readonly #options: SubscriptionOptions;
  readonly #logger: Logger;
  readonly #unwatch: Unwatch;
  readonly #pending = new Set<string>();
  #overflow = false;
  #waiter: Waiter | undefined;
  #scheduled = false;
  #ended = false;
  #error: XenStoreError | undefined;
  #unwatching: Promise<void> | undefined;

  /** Made by `XenStore.watch`. */
  constructor(path: string, unwatch: Unwatch, logger: Logger, options: SubscriptionOptions = {}) {
    this.path = path;
    this.#unwatch = unwatch;
    this.#logger = logger;
    this.#options = options;
  }

  /** False after `close` and after the connection was lost. */
  get live(): boolean {
    return !this.#ended;
  }

  /** Events that wait. */
  get pending(): number {
    return this.#overflow ? 1 : this.#pending.size;
  }

  /** An event came. For the owner of the connection. */
  push(path: string): void {
    if (this.#ended || this.#overflow) return;
    this.#pending.add(path);
    if (this.#pending.size > MAX_PENDING_PATHS) {
      this.#pending.clear();
      this.#overflow = true;
    }
    if (this.#options.onEvent !== undefined) this.#schedule();
    else this.#wake();
  }

  /** The connection was lost. For its owner. */
  fail(error: XenStoreError): void {
    this.#error = error;
    this.#end();
  }

  #take(): WatchEvent | undefined {
    if (this.#overflow) {
      this.#overflow = false;
      return { path: this.path, overflow: true };
    }
    for (const path of this.#pending) {
      this.#pending.delete(path);
      return { path, overflow: false };
    }
    return undefined;
  }

  // Callbacks run after what was read has been taken apart: a burst is coalesced first, and a
  // callback that closes the connection finds it in order.
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      // What comes while callbacks run waits for the next turn, so the event loop goes on turning.
      for (let left = this.pending; left > 0 && !this.#ended; left--) this.#deliver();
      if (this.pending > 0 && !this.#ended) this.#schedule();
    });
  }

  #deliver(): void {
    const event = this.#take();
    if (event === undefined) return;
    try {
      this.#options.onEvent?.(event);
    } catch (error) {
      // One watcher's mistake must not take the others down.
      this.#logger.error({ path: event.path, error: errorMessage(error) }, 'watch callback failed');
    }
  }

  #wake(): void {
    const waiter = this.#waiter;
    if (waiter === undefined) return;
    const event = this.#take();
    if (event === undefined) return;
    this.#waiter = undefined;
    waiter.resolve({ done: false, value: event });
  }

  /**
   * Waits for the next event; for one reader at a time.
   *
   * @throws {XenStoreError} DISCONNECTED when the connection is lost and no event waits
   */
  next(): Promise<IteratorResult<WatchEvent, undefined>> {
    const event = this.#take();
    if (event !== undefined) return Promise.resolve({ done: false, value: event });
    if (this.#error !== undefined) return Promise.reject(this.#error);
    if (this.#ended) return Promise.resolve(DONE);
    if (this.#waiter !== undefined) {
      return Promise.reject(new TypeError('a subscription has one reader at a time'));
    }
    return new Promise((resolve, reject) => {
      this.#waiter = { resolve, reject };
    });
  }

  [Symbol.asyncIterator](): AsyncIterator<WatchEvent, undefined> {
    return {
      next: () => this.next(),
      return: async () => {
        this.close();
        return DONE;
      },
    };
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    const waiter = this.#waiter;
    this.#waiter = undefined;
    if (this.#error !== undefined) waiter?.reject(this.#error);
    else waiter?.resolve(DONE);
    this.#options.onEnd?.(this.#error);
  }

  /** Ends the subscription now; xenstored is told in the background. Idempotent. */
  close(): void {
    void this.unwatch();
  }

  /** Ends the subscription, and waits until xenstored knows. Never rejects. */
  unwatch(): Promise<void> {
    if (this.#unwatching === undefined) {
      this.#pending.clear();
      this.#overflow = false;
      const known = this.#ended;
      this.#end();
      this.#unwatching = known ? Promise.resolve() : this.#unwatch().catch(() => undefined);
    }
    return this.#unwatching;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.unwatch();
  }
}
