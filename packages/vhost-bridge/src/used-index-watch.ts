import type { RingPosition, RingProgress } from '@node-vmm/vhost-user-master';

const FIRST_LOOK_MS = 20;
const LAST_LOOK_MS = 1000;

/**
 * Looks where a back-end goes on with a ring, until it has. Interrupts may reach the guest without
 * this process running, so there is nothing to wait for but time: looks become rare while the ring is
 * idle.
 */
export class UsedIndexWatch {
  readonly #position: RingPosition;
  readonly #onImpossible: () => void;
  #timer: NodeJS.Timeout | undefined;
  #doubts = 0;

  /** @param onImpossible - called once, when the used index is one that the back-end cannot have come to */
  constructor(position: RingPosition, onImpossible: () => void) {
    this.#position = position;
    this.#onImpossible = onImpossible;
    this.#lookIn(FIRST_LOOK_MS);
  }

  /** Idempotent. */
  close(): void {
    clearTimeout(this.#timer);
  }

  #lookIn(ms: number): void {
    this.#timer = setTimeout(() => this.#look(ms), ms);
    this.#timer.unref();
  }

  #look(ms: number): void {
    const progress = this.#progress();
    if (progress === 'possible') return;
    this.#doubts = progress === 'none' ? 0 : this.#doubts + 1;
    // Once may be a lap between two looks, see `RingPosition`.
    if (this.#doubts === 2) this.#onImpossible();
    else this.#lookIn(this.#doubts > 0 ? FIRST_LOOK_MS : Math.min(2 * ms, LAST_LOOK_MS));
  }

  #progress(): RingProgress {
    try {
      return this.#position.progress();
    } catch {
      // The guest's memory is gone, and with it whoever could be told.
      return 'possible';
    }
  }
}
