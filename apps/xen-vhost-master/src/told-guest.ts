import type { DeviceDescription, HoldGuest } from '@node-vmm/vhost-bridge';
import type { Logger } from '@node-vmm/vmm-sys-util';
import type { ToldDevice } from './told-device.ts';

/** Building a domain takes this long at most; a longer wait is for something that never comes. */
const BUILD_LIMIT_MS = 60_000;

/** A device of such a guest. */
export interface ToldGuestDevice {
  readonly told: ToldDevice;
  readonly description: DeviceDescription;
  /** Why it failed; undefined while it has not. */
  failed: string | undefined;
}

/** A guest that devices are told of, which stands still until they are in place. */
export class ToldGuest {
  readonly domid: number;
  /** Its devices, by key. */
  readonly devices = new Map<string, ToldGuestDevice>();
  /** True from when its devices are brought up. */
  served = false;
  /** Ends when nothing of it is left; there is one once it goes. */
  left: Promise<void> | undefined;
  readonly #hold: HoldGuest;
  readonly #logger: Logger;
  #release: (() => void) | undefined;
  #waiting = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(domid: number, hold: HoldGuest, logger: Logger) {
    this.domid = domid;
    this.#hold = hold;
    this.#logger = logger;
  }

  get leaving(): boolean {
    return this.left !== undefined;
  }

  /** Whether this is one of its devices. */
  serves(told: ToldDevice): boolean {
    return [...this.devices.values()].some((device) => device.told === told);
  }

  /** Holds the guest until its devices are brought up, but not for ever. */
  holdWhileBuilt(): void {
    this.#release ??= this.#hold(this.domid);
    this.#timer = setTimeout(() => {
      this.#logger.warn(
        { domid: this.domid },
        'guest is not introduced to the xenstore, letting it run',
      );
      this.letGo();
    }, BUILD_LIMIT_MS);
  }

  /** Holds the guest for one more device. @returns what says that the device is in place; idempotent */
  holdForDevice(): () => void {
    clearTimeout(this.#timer);
    if (this.#waiting++ === 0) this.#release ??= this.#hold(this.domid);
    let waiting = true;
    return () => {
      if (!waiting) return;
      waiting = false;
      if (--this.#waiting === 0) this.letGo();
    };
  }

  /** Lets the guest run. Idempotent. */
  letGo(): void {
    clearTimeout(this.#timer);
    this.#release?.();
    this.#release = undefined;
  }
}
