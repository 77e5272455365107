import { errorMessage, hex } from '@node-vmm/vmm-sys-util';
import type { DeviceDescription, DeviceSite } from './device-source.ts';
import type { DeviceWindow } from './device-window.ts';
import type { KeptVacancy } from './kept-device.ts';
import type { DeviceStatus } from './status.ts';
import { deviceById } from './supported-devices.ts';

/** A window at which its guest finds no device. */
export interface Vacant {
  readonly site: DeviceSite | DeviceDescription;
  readonly window: DeviceWindow;
  /** There is a back-end for it here: it cannot be another server's. */
  readonly ours: boolean;
  readonly reason: unknown;
}

/** The windows of devices that failed or cannot be served, by the device's key. */
export class VacantWindows {
  readonly #vacant = new Map<string, Vacant>();

  get sites(): DeviceSite[] {
    return [...this.#vacant.values()].map(({ site }) => site);
  }

  get(key: string): Vacant | undefined {
    return this.#vacant.get(key);
  }

  /** Nobody is to find a device there from now on. */
  add(vacant: Vacant): void {
    vacant.window.vacate();
    this.#vacant.set(vacant.site.key, vacant);
  }

  /**
   * Hands the window at a place over to a device, if there is one: no moment passes in which nobody has
   * claimed it. That of the same device elsewhere is given back.
   */
  take({ key, guest, base }: DeviceSite): Vacant | undefined {
    for (const [other, vacant] of this.#vacant) {
      const { site } = vacant;
      if (site.guest !== guest || site.base !== base) continue;
      this.#vacant.delete(other);
      if (other !== key) this.remove(key);
      return vacant;
    }
    this.remove(key);
    return undefined;
  }

  /** Gives a window back. */
  remove(key: string): void {
    this.#vacant.get(key)?.window.close();
    this.#vacant.delete(key);
  }

  /** Lets go of a guest's windows, which are another bridge's. */
  leave(guest: number): KeptVacancy[] {
    const left: KeptVacancy[] = [];
    for (const { site, ours } of [...this.#vacant.values()]) {
      if (site.guest !== guest) continue;
      const { key, base } = site;
      left.push({ site: { key, guest, base }, ours });
      this.remove(key);
    }
    return left;
  }

  /** As plain data. */
  status(): DeviceStatus[] {
    return [...this.#vacant.values()].map(({ site, reason }) => ({
      device: site.key,
      guest: site.guest,
      type: 'deviceId' in site ? deviceById(site.deviceId).name : undefined,
      base: hex(site.base),
      irq: 'irq' in site ? site.irq : undefined,
      socket: undefined,
      state: 'failed',
      ...(reason === undefined ? {} : { reason: errorMessage(reason) }),
    }));
  }
}
