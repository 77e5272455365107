import { errorMessage, type Logger } from '@node-vmm/vmm-sys-util';
import type { BridgedVm, GuestKeeper } from './bridged-vm.ts';
import type { DeviceEntry } from './device-entry.ts';
import type { DeviceWindow } from './device-window.ts';
import type { Guests } from './guests.ts';
import type { KeptDevice, KeptDevices } from './kept-device.ts';
import type { KeptPlaces } from './kept-places.ts';
import type { Leases } from './leases.ts';
import type { SocketLease } from './socket-provider.ts';
import { deviceById } from './supported-devices.ts';
import type { VacantWindows } from './vacant-windows.ts';

/** Is told what is left of a guest; what it throws costs that guest its devices. */
export type SaveKept = (guest: number, kept: KeptDevices) => void;

/** What a bridge has, all of which it shares. */
export interface HandoverComponents {
  readonly guests: Guests;
  readonly devices: Map<string, DeviceEntry>;
  readonly vacant: VacantWindows;
  readonly places: KeptPlaces;
  readonly leases: Leases;
  readonly logger: Logger;
}

/** Guests on their way from one bridge to the next: what a bridge takes up, and what it leaves. */
export class Handover {
  readonly #components: HandoverComponents;

  constructor(components: HandoverComponents) {
    this.#components = components;
  }

  /**
   * Attaches to a guest that another bridge left, and claims its windows.
   *
   * @throws what attaching throws, and {VmError}: then nothing of the guest is held
   */
  takeUp(guest: number, { devices, vacancies }: KeptDevices): void {
    const { guests, places } = this.#components;
    const memory = devices.find(({ description }) => description.memory)?.description.memory;
    const held = guests.hold(guest, memory);
    try {
      // In one turn of the event loop: only then can the guest reach any.
      for (const device of devices)
        this.#takeUpDevice(device, guests.openWindow(device.description));
      for (const vacancy of vacancies) {
        places.addVacancy(vacancy, guests.openWindow(vacancy.site));
      }
    } catch (error) {
      places.leave(guest);
      throw error;
    } finally {
      held.release();
    }
  }

  #takeUpDevice(device: KeptDevice, window: DeviceWindow): void {
    const { leases, logger, places } = this.#components;
    const { description, socket } = device;
    const context = { device: description.key };
    let lease: SocketLease | undefined;
    try {
      lease = leases.try(deviceById(description.deviceId), description, socket);
    } catch (error) {
      // Whoever announces it hears of it again, and what becomes of its window is decided then.
      const text = 'a device that was kept has no back-end any more';
      logger.warn({ ...context, reason: errorMessage(error) }, text);
    }
    places.add(device, window, lease);
    // One that is started for it has a socket of its own.
    if (lease === undefined || socket === undefined || lease.graceMs !== undefined) return;
    if (lease.path === socket) return;
    const text = 'a device that was kept goes on with another socket';
    logger.warn({ ...context, socket: lease.path, before: socket }, text);
  }

  /** Leaves every guest that can be left to another bridge; of those nothing is here any more. */
  async leave(save: SaveKept): Promise<void> {
    const { devices, guests } = this.#components;
    await Promise.allSettled([...devices.values()].map(({ down }) => down));
    // Letting go of a guest's memory takes this thread seconds, and others' back-ends are waited for.
    const held = guests.ids.map((guest) => ({ guest, ...guests.hold(guest) }));
    await Promise.all(held.map(({ guest, attached }) => this.#leaveGuest(guest, attached, save)));
    for (const { release } of held) release();
  }

  async #leaveGuest(guest: number, { vm, keeper }: BridgedVm, save: SaveKept): Promise<void> {
    if (keeper === undefined) return;
    const { logger } = this.#components;
    try {
      const kept = await this.#keepGuest(guest, keeper);
      save(guest, kept);
      const counts = { devices: kept.devices.length, failed: kept.vacancies.length };
      logger.info({ vm: vm.name, ...counts }, 'guest kept');
    } catch (error) {
      logger.error({ guest, err: error }, 'guest cannot be kept, it loses its devices');
      keeper.unkeep();
    }
  }

  async #keepGuest(guest: number, keeper: GuestKeeper): Promise<KeptDevices> {
    const { devices, places, vacant } = this.#components;
    // First: whoever closes a window after that answers nobody, and takes it from no guest.
    await keeper.keep();
    const kept = await Promise.all(
      [...devices]
        .filter(([, { description }]) => description.guest === guest)
        .map(([key, entry]) => this.#keepDevice(key, entry)),
    );
    const unclaimed = places.leave(guest);
    // One that was on its way up has failed by now, and is tried by the next.
    const tried = new Set(kept.map(({ description }) => description.key));
    const vacancies = vacant.leave(guest).filter(({ site }) => !tried.has(site.key));
    return {
      devices: [...kept, ...unclaimed.devices],
      vacancies: [...vacancies, ...unclaimed.vacancies],
    };
  }

  async #keepDevice(key: string, entry: DeviceEntry): Promise<KeptDevice> {
    entry.abort.abort();
    try {
      const device = await entry.up;
      return await device.keep();
    } catch {
      const { kept, socket } = entry.progress;
      if (kept !== undefined) return kept;
      const { description } = entry;
      return socket === undefined ? { description } : { description, socket };
    } finally {
      this.#components.devices.delete(key);
    }
  }
}
