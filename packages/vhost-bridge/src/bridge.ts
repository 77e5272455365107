import type { GuestRange } from '@node-vmm/vm-memory';
import {
  hex,
  InterruptTimer,
  type Logger,
  type Poller,
  ThreadInterrupt,
} from '@node-vmm/vmm-sys-util';
import { BridgeCounters } from './bridge-counters.ts';
import { BridgedDevice } from './bridged-device.ts';
import type { BridgedVm } from './bridged-vm.ts';
import { type DeviceEntry, deviceStatus, type Progress } from './device-entry.ts';
import type { DeviceDescription, DeviceSink, DeviceSite } from './device-source.ts';
import type { DeviceWindow } from './device-window.ts';
import { VhostBridgeError } from './errors.ts';
import { Guests } from './guests.ts';
import { Handover, type SaveKept } from './handover.ts';
import type { KeptDevices } from './kept-device.ts';
import { type KeptPlace, KeptPlaces } from './kept-places.ts';
import { Leases } from './leases.ts';
import { PeerReleases } from './peer-releases.ts';
import { ServedDevice } from './served-device.ts';
import type { SocketProvider } from './socket-provider.ts';
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
  readonly #counters = new BridgeCounters();
  // Of the thread that makes the bridge, on which everything here runs.
  readonly #releases = new PeerReleases();
  readonly #guard = new InterruptTimer(ThreadInterrupt.install());
  readonly #leases: Leases;
  readonly #places: KeptPlaces;
  readonly #handover: Handover;

  constructor(components: BridgeComponents) {
    this.#components = components;
    const { attachVm, logger, holdMs = HOLD_MS } = components;
    this.#guests = new Guests({ attachVm, logger, holdMs, counters: this.#counters });
    this.#leases = new Leases(components.sockets, () =>
      [...this.#devices.values()].flatMap(({ down }) => down ?? []),
    );
    this.#places = new KeptPlaces(holdMs, ({ key }, reason) => {
      logger.warn({ device: key, reason }, 'a device that was kept is given up');
    });
    this.#handover = new Handover({
      guests: this.#guests,
      devices: this.#devices,
      vacant: this.#vacant,
      places: this.#places,
      leases: this.#leases,
      logger,
    });
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
    return {
      guests: this.#guests.status(),
      devices: [...devices, ...this.#vacant.status()],
      totals: this.#counters.totals,
    };
  }

  /**
   * Attaches to a guest that another bridge left by {@link keep}, and holds its devices' places until
   * they are added: its accesses wait meanwhile. Where one had failed the guest finds none. What is
   * neither added nor claimed in time is given up.
   *
   * @param kept - all that was left of the guest
   * @throws what attaching throws, and {VmError}: then nothing of the guest is held
   */
  takeUp(guest: number, kept: KeptDevices): void {
    this.#handover.takeUp(guest, kept);
  }

  isKept(description: DeviceDescription): boolean {
    return this.#places.has(description);
  }

  /**
   * As {@link close}, but leaves the devices of guests that can be left (`BridgedVm.keeper`) to another
   * bridge: their drivers notice nothing but that answers take longer. Nothing is announced any more.
   *
   * @param save - is told of each such guest
   */
  async keep(save: SaveKept): Promise<void> {
    await this.#handover.leave(save);
    await this.close();
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
    const place = this.#places.vacate(site);
    if (place !== undefined) this.#vacant.add({ ...place, site, reason: undefined });
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
      this.#places.giveUp(key, 'it is announced no more');
      return;
    }
    entry.down ??= this.#takeDown(key, entry);
    await entry.down;
  }

  async #takeDown(key: string, entry: DeviceEntry): Promise<void> {
    entry.abort.abort();
    try {
      const device = await entry.up.catch(() => undefined);
      await device?.close();
    } finally {
      if (this.#devices.get(key) === entry) this.#devices.delete(key);
      this.#vacant.remove(key);
    }
  }

  /** Takes every device down. */
  async close(): Promise<void> {
    const vacant = this.#vacant.sites.map(({ key }) => key);
    await Promise.all([...this.devices, ...vacant].map((key) => this.remove(key)));
    this.#places.close('the bridge ends');
    this.#guard.close();
  }

  async #bringUp(
    description: DeviceDescription,
    onPlaced: () => void,
    signal: AbortSignal,
    progress: Progress,
  ): Promise<ServedDevice> {
    const { poller } = this.#components;
    const { key, base } = description;
    const type = deviceById(description.deviceId);
    const tally = this.#counters.devicesOf(type.name);
    const logger = this.#components.logger.child({ device: key, type: type.name });
    const found: Partial<KeptPlace> =
      this.#places.claim(description) ?? this.#vacant.take(description) ?? {};
    const { kept } = found;
    let { window, lease } = found;
    if (kept !== undefined) progress.kept = kept;
    // On its way up nothing more is asked of it; from then on that is for the device to say.
    const stop = (): void => lease?.stop?.();
    signal.addEventListener('abort', stop);
    try {
      // Before the window: without a back-end for it here the device may be another server's.
      lease ??= this.#leases.try(type, description, kept?.socket);
      window ??= this.#guests.openWindow(description);
      onPlaced();
      lease ??= await this.#leases.wait(type, description, signal);
      progress.socket = lease.path;
      const guard = this.#guard;
      const releases = this.#releases;
      const components = { window, poller, logger, guard, releases, tally };
      const device = await BridgedDevice.create(
        components,
        description,
        type,
        lease,
        signal,
        kept?.state,
      );
      progress.device = device;
      logger.info({ socket: lease.path, base: hex(base) }, 'device up');
      return new ServedDevice({ description, device, window, lease, logger });
    } catch (error) {
      if (!signal.aborted) tally.failed();
      lease?.release();
      this.#failed(description, window, found.ours === true || lease !== undefined, error);
      throw error;
    } finally {
      signal.removeEventListener('abort', stop);
    }
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
    return [...sites, ...this.#vacant.sites, ...this.#places.sites].some(
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
