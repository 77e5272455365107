import type { DeviceDescription, DeviceSite } from './device-source.ts';
import type { DeviceWindow } from './device-window.ts';
import type { KeptDevice, KeptDevices, KeptVacancy } from './kept-device.ts';
import type { SocketLease } from './socket-provider.ts';

/** A window that another bridge left, for whoever is announced there. */
export interface KeptPlace {
  readonly window: DeviceWindow;
  /** The device cannot be another server's. */
  readonly ours: boolean;
  /** What it goes on with; its guest's accesses wait. Undefined where it is a new one. */
  readonly kept?: KeptDevice;
  /** Its back-end's socket, kept for it; undefined where there was none. */
  readonly lease?: SocketLease;
}

interface TimedPlace extends KeptPlace {
  readonly site: DeviceSite;
  readonly timer: NodeJS.Timeout;
}

/**
 * Windows that another bridge left, of devices and of devices that failed, from when their guest is
 * attached to until they are announced. One that nobody announces is given up after a while: its guest
 * must not wait for ever.
 */
export class KeptPlaces {
  readonly #holdMs: number;
  readonly #onGivenUp: (site: DeviceSite, reason: string) => void;
  // By the device's key.
  readonly #places = new Map<string, TimedPlace>();

  /**
   * @param holdMs - how long a place waits for its device to be announced
   * @param onGivenUp - nothing is left of the device but, maybe, its window; must not throw
   */
  constructor(holdMs: number, onGivenUp: (site: DeviceSite, reason: string) => void) {
    this.#holdMs = holdMs;
    this.#onGivenUp = onGivenUp;
  }

  get sites(): DeviceSite[] {
    return [...this.#places.values()].map(({ site }) => site);
  }

  /** @param window - and `lease` become the place's */
  add(kept: KeptDevice, window: DeviceWindow, lease: SocketLease | undefined): void {
    const place = { window, ours: true, kept };
    this.#add(kept.description, lease === undefined ? place : { ...place, lease });
  }

  /** @param window - becomes the place's; nobody is to find a device there */
  addVacancy({ site, ours }: KeptVacancy, window: DeviceWindow): void {
    window.vacate();
    this.#add(site, { window, ours });
  }

  #add(site: DeviceSite, place: KeptPlace): void {
    const timer = setTimeout(
      () => this.giveUp(site.key, 'nobody announces it any more'),
      this.#holdMs,
    );
    timer.unref();
    this.#places.set(site.key, { ...place, site, timer });
  }

  /** True when {@link claim} would find a device. */
  has(description: DeviceDescription): boolean {
    const kept = this.#places.get(description.key)?.kept;
    return kept !== undefined && sameDevice(kept.description, description);
  }

  /**
   * The place of a device that is announced; the caller's from then on. Of one where another device was
   * there is the window alone: no moment passes in which nobody has claimed it. That of the same device
   * elsewhere is given up.
   */
  claim(description: DeviceDescription): KeptPlace | undefined {
    const { key, guest, base } = description;
    const place = [...this.#places.values()].find(
      ({ site }) => site.guest === guest && site.base === base,
    );
    if (place?.site.key !== key) this.giveUp(key, 'it is announced elsewhere');
    if (place === undefined) return undefined;
    if (place.kept !== undefined && !sameDevice(place.kept.description, description)) {
      return this.#vacate(place, 'another device is announced in its place');
    }
    this.#forget(place);
    return place;
  }

  /**
   * The window of a device that cannot be served any more, the caller's from then on. That of the same device
   * elsewhere is given up.
   */
  vacate({ key, guest, base }: DeviceSite): KeptPlace | undefined {
    const place = this.#places.get(key);
    if (place?.site.guest === guest && place.site.base === base) {
      return this.#vacate(place, 'it cannot be served any more');
    }
    this.giveUp(key, 'it is announced elsewhere');
    return undefined;
  }

  /** Lets go of a guest's places, which are another bridge's: what nobody has announced yet. */
  leave(guest: number): KeptDevices {
    const devices: KeptDevice[] = [];
    const vacancies: KeptVacancy[] = [];
    for (const place of [...this.#places.values()]) {
      const { site, ours, kept } = place;
      if (site.guest !== guest) continue;
      if (kept === undefined) vacancies.push({ site, ours });
      else devices.push(kept);
      this.#close(place);
    }
    return { devices, vacancies };
  }

  /** Gives everything up. */
  close(reason: string): void {
    for (const key of [...this.#places.keys()]) this.giveUp(key, reason);
  }

  /** Takes a place from its guest, if there is one. */
  giveUp(key: string, reason: string): void {
    const place = this.#places.get(key);
    if (place === undefined) return;
    this.#close(place);
    if (place.kept !== undefined) this.#onGivenUp(place.site, reason);
  }

  #vacate(place: TimedPlace, reason: string): KeptPlace {
    const { site, window, ours, kept, lease } = place;
    this.#forget(place);
    lease?.release();
    if (kept !== undefined) this.#onGivenUp(site, reason);
    return { window, ours };
  }

  #forget({ site, timer }: TimedPlace): void {
    clearTimeout(timer);
    this.#places.delete(site.key);
  }

  #close(place: TimedPlace): void {
    this.#forget(place);
    place.window.close();
    place.lease?.release();
  }
}

/** What its driver would notice is the same. */
function sameDevice(a: DeviceDescription, b: DeviceDescription): boolean {
  return (
    a.key === b.key &&
    a.guest === b.guest &&
    a.deviceId === b.deviceId &&
    a.base === b.base &&
    a.irq === b.irq &&
    a.trigger === b.trigger
  );
}
