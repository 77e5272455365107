import type { EventFd, Fd } from '@node-vmm/vmm-sys-util';
import type { SeatMessage } from './protocol.ts';

interface SeatWiring {
  /** The owner's. */
  readonly eventfd: EventFd;
  /** The thread's. */
  readonly lent: EventFd;
  /** What the thread is told of it. */
  readonly message: SeatMessage;
  /** The thread is to let go of it. */
  undone: boolean;
}

/** Eventfds of a guest that its dispatch thread signals or waits for: what it has of them, and is told. */
export class SeatWirings {
  readonly #post: (message: SeatMessage) => void;
  readonly #wirings = new Map<number, SeatWiring>();

  constructor(post: (message: SeatMessage) => void) {
    this.#post = post;
  }

  /** @param message - of the number and the thread's descriptor @returns undoes it */
  add(wiring: number, eventfd: EventFd, message: (fd: Fd) => SeatMessage): () => void {
    // A descriptor of the thread's own: the owner may close the eventfd with the wiring.
    const lent = eventfd.clone();
    const added = { eventfd, lent, message: message(lent.fd), undone: false };
    this.#wirings.set(wiring, added);
    this.#post(added.message);
    return () => {
      if (added.undone) return;
      added.undone = true;
      this.#post({ type: 'unwire', wiring });
    };
  }

  /** The thread has let go of it. */
  unwired(wiring: number): void {
    this.#wirings.get(wiring)?.lent.close();
    this.#wirings.delete(wiring);
  }

  /** Its owner has a guard, and may get rid of whoever does that. */
  stalled(wiring: number): void {
    const { eventfd } = this.#wirings.get(wiring) ?? {};
    if (eventfd?.live === true) eventfd.signal();
  }

  /** Tells a thread that knows of none. */
  tellAll(): void {
    for (const [wiring, { undone, message }] of [...this.#wirings]) {
      if (undone) this.unwired(wiring);
      else this.#post(message);
    }
  }

  /** No thread has any of them. */
  close(): void {
    for (const { lent } of this.#wirings.values()) lent.close();
    this.#wirings.clear();
  }
}
