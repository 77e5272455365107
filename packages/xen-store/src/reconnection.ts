import type { Transport } from './transport.ts';

const FIRST_DELAY_MS = 50;
const MAX_DELAY_MS = 1000;

/** A connection that is to be had again. */
export interface ReconnectionSteps {
  /** @throws {XenStoreError} while nobody listens */
  readonly open: () => Transport;
  /** Takes the transport and sets up what there was on the last; rejects when it is lost meanwhile. */
  readonly restore: (transport: Transport) => Promise<void>;
  /** Milliseconds until it is given up. */
  readonly limit: number;
}

/** Tries to get a lost connection back, at a pace that slows down, until it is given up. */
export class Reconnection implements Disposable {
  readonly #steps: ReconnectionSteps;
  readonly #end: (restored: boolean) => void;
  readonly #until: number;
  #delay = FIRST_DELAY_MS;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  /** @param end - called once unless this is closed first: whether it is back */
  constructor(steps: ReconnectionSteps, end: (restored: boolean) => void) {
    this.#steps = steps;
    this.#end = end;
    this.#until = performance.now() + steps.limit;
    this.#later();
  }

  #later(): void {
    this.#timer = setTimeout(() => void this.#try(), this.#delay);
    this.#delay = Math.min(this.#delay * 2, MAX_DELAY_MS);
  }

  async #try(): Promise<void> {
    let restored = false;
    try {
      await this.#steps.restore(this.#steps.open());
      restored = true;
    } catch {
      // Nobody listens yet, or went away again.
    }
    if (this.#closed) return;
    if (restored || performance.now() >= this.#until) this.#end(restored);
    else this.#later();
  }

  /** Idempotent. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
