import type { HoldGuest } from '@node-vmm/vhost-bridge';

/** Guests that stand still until their new devices are in place, by device. */
export class DeviceHolds {
  readonly #hold: HoldGuest;
  readonly #held = new Map<string, (() => void) | undefined>();

  constructor(hold: HoldGuest) {
    this.#hold = hold;
  }

  /** Devices that a guest is held for, or would be where that can be done. */
  get keys(): string[] {
    return [...this.#held.keys()];
  }

  /** Holds a guest for a device; once. */
  hold(key: string, domid: number): void {
    if (!this.#held.has(key)) this.#held.set(key, this.#hold(domid));
  }

  /** The device needs its guest held no more. Idempotent. */
  letGo(key: string): void {
    this.#held.get(key)?.();
    this.#held.delete(key);
  }

  /** Lets every guest go: one that is left standing stands for ever. */
  close(): void {
    for (const key of this.keys) this.letGo(key);
  }
}
