import type { GuestRange } from '@node-vmm/vm-memory';
import {
  hex,
  InterruptTimer,
  type Logger,
  type Poller,
  ThreadInterrupt,
} from '@node-vmm/vmm-sys-util';
import { BridgedDevice } from './bridged-device.ts';
import type { BridgedVm } from './bridged-vm.ts';
import { type DeviceEntry, deviceStatus, type Progress } from './device-entry.ts';
import type { DeviceDescription, DeviceSink, DeviceSite } from './device-source.ts';
import type { DeviceWindow } from './device-window.ts';
import { VhostBridgeError } from './errors.ts';
import { Guests } from './guests.ts';
import { Leases } from './leases.ts';
import type { SocketLease, SocketProvider } from './socket-provider.ts';
import type { BridgeStatus } from './status.ts';
import { deviceById } from './supported-devices.ts';
import { VacantWindows } from './vacant-windows.ts';

/** Below the time after which kernels complain of a processor that stands still. */
const HOLD_MS = 20_000;

/** What the bridge works with. */
export interface BridgeComponents {
  /**
   * Attaches to a guest; called once for a guest's first device.
   *
   * @param memory - where that device's description says that the guest may have RAM
   */
  readonly attachVm: (guest: number, memory?: readonly GuestRange[]) => BridgedVm;
  readonly sockets: SocketProvider;
  /** How long a guest's first accesses to a device wait for its back-end, milliseconds, default 20000. */
  readonly holdMs?: number;
  readonly poller: Poller;
  readonly logger: Logger;
}

/**
 * Keeps the devices of any number of guests connected to their back-ends. Each device comes up, fails
 * and goes away by itself; a guest is attached to while it has a device. The window of one that fails
 * stays claimed until it is removed, and its guest finds no device there.
 */
export class Bridge implements DeviceSink {
  readonly #components: BridgeComponents;
  readonly #guests: Guests;
  readonly #devices = new Map<string, DeviceEntry>();
  readonly #vacant = new VacantWindows();
  // Of the thread that makes the bridge, on which everything here runs.
  readonly #guard = new InterruptTimer(ThreadInterrupt.install());
  readonly #leases: Leases;

  constructor(components: BridgeComponents) {
    this.#components = components;
    const { attachVm, logger, holdMs = HOLD_MS } = components;
    this.#guests = new Guests({ attachVm, logger, holdMs });
    this.#leases = new Leases(components.sockets, () =>
      [...this.#devices.values()].flatMap(({ down }) => down ?? []),
    );
  }

  /** Keys of the devices that are up, coming up or going down. */
  get devices(): readonly string[] {
    return [...this.#devices.keys()];
  }

  /** Guests attached to. */
  get guests(): readonly number[] {
    return this.#guests.ids;
  }

  /** Guests, devices and the state of their back-ends, as plain data; waits for nobody. */
  status(): BridgeStatus {
    const devices = [...this.#devices.values()].map(deviceStatus);
    return { guests: this.#guests.status(), devices: [...devices, ...this.#vacant.status()] };
  }

  /**
   * @throws {VhostBridgeError} BAD_DEVICE when the guest has a device at that place, whoever announced it
   */
  async add(description: DeviceDescription, onPlaced: () => void = () => undefined): Promise<void> {
    this.#refuseTwice(description);
    const abort = new AbortController();
    const progress: Progress = {};
    const up = this.#bringUp(description, onPlaced, abort.signal, progress);
    const entry: DeviceEntry = { description, abort, up, progress };
    this.#devices.set(description.key, entry);
    try {
      await up;
    } catch (error) {
      if (this.#devices.get(description.key) === entry) this.#devices.delete(description.key);
      throw error;
    }
  }

  #refuseTwice({ key, guest, base }: DeviceDescription): void {
    for (const [other, { description }] of this.#devices) {
      const samePlace = description.guest === guest && description.base === base;
      if (other !== key && !samePlace) continue;
      throw new VhostBridgeError(
        'BAD_DEVICE',
        `Cannot serve device ${key}: guest ${guest} has device ${other} at ${hex(description.base)}; announce it once`,
      );
    }
  }

  claim(site: DeviceSite): boolean {
    const { key, guest, base } = site;
    if (this.#devices.has(key)) return true;
    const vacant = this.#vacant.get(key);
    if (vacant?.site.guest === guest && vacant.site.base === base) {
      if (vacant.ours || vacant.window.guest.shared?.() !== true) return true;
      this.#vacant.remove(key);
      return false;
    }
    this.#vacant.remove(key);
    return !this.#isTaken(site) && this.#claimVacant(site, undefined);
  }

  /** @returns whether it did: what may be another server's is left to it */
  #claimVacant(site: DeviceSite | DeviceDescription, reason: unknown): boolean {
    const window = this.#guests.openWindow(site, ({ shared }) => shared?.() !== true);
    if (window === undefined) return false;
    this.#vacant.add({ site, window, ours: false, reason });
    return true;
  }

  async remove(key: string): Promise<void> {
    const entry = this.#devices.get(key);
    if (entry === undefined) {
      this.#vacant.remove(key);
      return;
    }
    entry.down ??= this.#takeDown(key, entry);
    await entry.down;
  }

  async #takeDown(key: string, entry: DeviceEntry): Promise<void> {
    entry.abort.abort();
    try {
      const takeDown = await entry.up.catch(() => undefined);
      await takeDown?.();
    } finally {
      if (this.#devices.get(key) === entry) this.#devices.delete(key);
      this.#vacant.remove(key);
    }
  }

  /** Takes every device down. */
  async close(): Promise<void> {
    const vacant = this.#vacant.sites.map(({ key }) => key);
    await Promise.all([...this.devices, ...vacant].map((key) => this.remove(key)));
    this.#guard.close();
  }

  /** @returns what takes the device down again */
  async #bringUp(
    description: DeviceDescription,
    onPlaced: () => void,
    signal: AbortSignal,
    progress: Progress,
  ): Promise<() => Promise<void>> {
    const { poller } = this.#components;
    const { key, base } = description;
    const type = deviceById(description.deviceId);
    const logger = this.#components.logger.child({ device: key, type: type.name });
    let window = this.#vacant.take(description);
    let lease: SocketLease | undefined;
    try {
      // Before the window: without a back-end for it here the device may be another server's.
      lease = this.#leases.try(type, description);
      window ??= this.#guests.openWindow(description);
      onPlaced();
      lease ??= await this.#leases.wait(type, description, signal);
      progress.socket = lease.path;
      const guard = this.#guard;
      const components = { window, poller, logger, guard };
      const device = await BridgedDevice.create(components, description, type, lease, signal);
      progress.device = device;
      logger.info({ socket: lease.path, base: hex(base) }, 'device up');
      return this.#ending(device, window, lease, logger);
    } catch (error) {
      lease?.release();
      this.#failed(description, window, lease !== undefined, error);
      throw error;
    }
  }

  #ending(
    device: BridgedDevice,
    window: DeviceWindow,
    lease: SocketLease,
    logger: Logger,
  ): () => Promise<void> {
    return async () => {
      try {
        await device.close();
      } finally {
        window.close();
        lease.release();
      }
      logger.info({}, 'device down');
    };
  }

  /** A device that failed leaves a window behind at which its guest finds none. */
  #failed(
    site: DeviceDescription,
    window: DeviceWindow | undefined,
    ours: boolean,
    reason: unknown,
  ): void {
    if (window === undefined) {
      // That of one of ours was refused.
      if (!ours && !this.#isTaken(site)) this.#tryClaim(site, reason);
    } else if (ours || window.guest.shared?.() !== true) {
      this.#vacant.add({ site, window, ours, reason });
    } else {
      window.close();
    }
  }

  /** Whether there is something else of ours at a place. */
  #isTaken({ key, guest, base }: DeviceSite): boolean {
    const sites = [...this.#devices.values()].map(({ description }) => description);
    return [...sites, ...this.#vacant.sites].some(
      (other) => other.key !== key && other.guest === guest && other.base === base,
    );
  }

  #tryClaim(site: DeviceDescription, reason: unknown): void {
    try {
      this.#claimVacant(site, reason);
    } catch (err) {
      const context = { device: site.key, err };
      this.#components.logger.warn(context, 'window of a device that failed not claimed');
    }
  }
}
