import type { GuestRange } from '@node-vmm/vm-memory';
import {
  errorMessage,
  hex,
  InterruptTimer,
  type Logger,
  type Poller,
  ThreadInterrupt,
} from '@node-vmm/vmm-sys-util';
import { BridgedDevice } from './bridged-device.ts';
import type { BridgedVm } from './bridged-vm.ts';
import type { DeviceDescription, DeviceSink } from './device-source.ts';
import { VhostBridgeError } from './errors.ts';
import type { KeptDevice } from './kept-device.ts';
import { KeptPlaces } from './kept-places.ts';
import { type SocketLease, SocketLeases, type SocketProvider } from './socket-provider.ts';
import type { BridgeStatus, DeviceStatus } from './status.ts';
import { deviceById } from './supported-devices.ts';

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

/** What ends a device. */
interface Ends {
  /** Takes it from its guest. */
  close(): Promise<void>;
  /** Leaves it to another bridge. */
  keep(): Promise<KeptDevice>;
}

interface Guest {
  readonly attached: BridgedVm;
  devices: number;
}

interface DeviceEntry {
  readonly description: DeviceDescription;
  readonly abort: AbortController;
  /** Ends when the device is up or has failed and left nothing behind. */
  readonly up: Promise<Ends>;
  readonly progress: Progress;
  /** Ends when it is gone; there is one once somebody wants that. */
  down?: Promise<void>;
}

/** What is known of a device on its way up. */
interface Progress {
  socket?: string;
  device?: BridgedDevice;
  /** What another bridge left of it. */
  kept?: KeptDevice;
}

/**
 * Keeps the devices of any number of guests connected to their back-ends. Each device comes up, fails
 * and goes away by itself; a guest is attached to while it has a device.
 */
export class Bridge implements DeviceSink {
  readonly #components: BridgeComponents;
  readonly #guests = new Map<number, Guest>();
  readonly #devices = new Map<string, DeviceEntry>();
  // Of the thread that makes the bridge, on which everything here runs.
  readonly #guard = new InterruptTimer(ThreadInterrupt.install());
  // Of sockets that devices name themselves.
  readonly #ownSockets = new SocketLeases();
  readonly #places: KeptPlaces;

  constructor(components: BridgeComponents) {
    this.#components = components;
    const { holdMs = HOLD_MS, logger } = components;
    this.#places = new KeptPlaces(holdMs, ({ description: { key, guest } }, reason) => {
      logger.warn({ device: key, reason }, 'a device that was kept is given up');
      this.#detach(guest);
    });
  }

  /** Keys of the devices that are up, coming up or going down. */
  get devices(): readonly string[] {
    return [...this.#devices.keys()];
  }

  /** Guests attached to. */
  get guests(): readonly number[] {
    return [...this.#guests.keys()];
  }

  /** Guests, devices and the state of their back-ends, as plain data; waits for nobody. */
  status(): BridgeStatus {
    const guests = [...this.#guests].map(([guest, { attached, devices }]) => ({
      guest,
      vm: attached.vm.name,
      devices,
      counters: attached.counters?.() ?? {},
    }));
    return { guests, devices: [...this.#devices.values()].map(deviceStatus) };
  }

  /**
   * Attaches to a guest that another bridge left by {@link keep}, and holds its devices' places until
   * they are added: its accesses wait meanwhile. One that is not added in time is given up.
   *
   * @param devices - all of the guest's
   * @throws what attaching throws, and {VmError}: then nothing of the guest is held
   */
  takeUp(guest: number, devices: readonly KeptDevice[]): void {
    const memory = devices.find(({ description }) => description.memory)?.description.memory;
    const { attached } = this.#attach({ guest, ...(memory === undefined ? {} : { memory }) });
    try {
      // In one turn of the event loop: only then can the guest reach any.
      for (const device of devices) this.#takeUpDevice(device, attached);
    } catch (error) {
      for (const _ of this.#places.leave(guest)) this.#detach(guest);
      throw error;
    } finally {
      this.#detach(guest);
    }
  }

  #takeUpDevice(device: KeptDevice, attached: BridgedVm): void {
    const { description, socket } = device;
    const { key, guest } = description;
    let lost: unknown;
    let lease: SocketLease = { path: '', release: () => undefined };
    try {
      lease = this.#lease(description, socket);
    } catch (error) {
      lost = error;
    }
    const { path, graceMs } = lease;
    if (socket !== undefined && path !== socket && graceMs === undefined && lost === undefined) {
      const text = 'a device that was kept goes on with another socket';
      this.#components.logger.warn({ device: key, socket: path, before: socket }, text);
    }
    this.#places.add(device, attached, lease);
    this.#attach({ guest });
    // Not before: only what is mapped can be taken from the guest.
    if (lost !== undefined) this.#places.giveUp(key, errorMessage(lost));
  }

  #lease(description: DeviceDescription, wanted?: string): SocketLease {
    const { key, socket, deviceId } = description;
    const type = deviceById(deviceId);
    if (socket !== undefined) return this.#ownSockets.lease(socket, type, key);
    return this.#components.sockets.lease(type, key, wanted);
  }

  /** True for a device that another bridge left and that {@link add} goes on with. */
  isKept(description: DeviceDescription): boolean {
    return this.#places.has(description);
  }

  /**
   * As {@link close}, but leaves the devices of guests that can be left (`BridgedVm.keeper`) to another
   * bridge: their drivers notice nothing but that answers take longer. Nothing is announced any more.
   *
   * @param save - is told of each such guest; what it throws costs that guest its devices
   */
  async keep(save: (guest: number, devices: readonly KeptDevice[]) => void): Promise<void> {
    const going = [...this.#devices.values()].map(({ down }) => down);
    await Promise.allSettled(going);
    const guests = [...this.#guests.keys()];
    // Letting go of a guest's memory takes this thread seconds, and others' back-ends are waited for.
    for (const guest of guests) this.#attach({ guest });
    await Promise.all(guests.map((guest) => this.#keepGuest(guest, save)));
    for (const guest of guests) this.#detach(guest);
    await this.close();
  }

  async #keepGuest(
    guest: number,
    save: (guest: number, devices: readonly KeptDevice[]) => void,
  ): Promise<void> {
    const { logger } = this.#components;
    const attached = this.#guests.get(guest)?.attached;
    const keeper = attached?.keeper;
    if (keeper === undefined) return;
    try {
      await keeper.keep();
      const devices = await Promise.all(
        [...this.#devices]
          .filter(([, { description }]) => description.guest === guest)
          .map(([key, entry]) => this.#keepDevice(key, entry)),
      );
      const unclaimed = this.#places.leave(guest);
      for (const _ of unclaimed) this.#detach(guest);
      save(guest, [...devices, ...unclaimed]);
      logger.info({ vm: attached?.vm.name, devices: devices.length }, 'guest kept');
    } catch (error) {
      logger.error({ guest, err: error }, 'guest cannot be kept, it loses its devices');
      keeper.unkeep();
    }
  }

  async #keepDevice(key: string, entry: DeviceEntry): Promise<KeptDevice> {
    entry.abort.abort();
    try {
      const ends = await entry.up;
      return await ends.keep();
    } catch {
      // Its window is claimed before it waits for anything.
      const { kept, socket } = entry.progress;
      if (kept !== undefined) return kept;
      const { description } = entry;
      return socket === undefined ? { description } : { description, socket };
    } finally {
      this.#devices.delete(key);
    }
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

  async remove(key: string): Promise<void> {
    const entry = this.#devices.get(key);
    if (entry === undefined) return;
    entry.down ??= this.#takeDown(key, entry);
    await entry.down;
  }

  async #takeDown(key: string, entry: DeviceEntry): Promise<void> {
    entry.abort.abort();
    try {
      const ends = await entry.up.catch(() => undefined);
      await ends?.close();
    } finally {
      if (this.#devices.get(key) === entry) this.#devices.delete(key);
    }
  }

  /** Takes every device down. */
  async close(): Promise<void> {
    await Promise.all(this.devices.map((key) => this.remove(key)));
    this.#places.close('the bridge ends');
    this.#guard.close();
  }

  async #bringUp(
    description: DeviceDescription,
    onPlaced: () => void,
    signal: AbortSignal,
    progress: Progress,
  ): Promise<Ends> {
    const { poller, holdMs = HOLD_MS } = this.#components;
    const { key, guest } = description;
    const type = deviceById(description.deviceId);
    const logger = this.#components.logger.child({ device: key, type: type.name });
    const place = this.#places.claim(description);
    const lease = place?.lease ?? this.#lease(description);
    progress.socket = lease.path;
    const undo: (() => void)[] = [() => lease.release()];
    // Its own share of the guest.
    if (place !== undefined) undo.push(() => this.#detach(guest));
    if (place !== undefined) progress.kept = place.kept;
    const letGo = (): void => {
      for (const step of undo.reverse()) step();
    };
    try {
      const { attached } = this.#attach(description);
      undo.push(() => this.#detach(guest));
      const guard = this.#guard;
      const components = { guest: attached, poller, logger, guard, holdMs, onPlaced };
      const device = await BridgedDevice.create(
        components,
        description,
        type,
        lease,
        signal,
        place,
      );
      progress.device = device;
      logger.info({ socket: lease.path, base: hex(description.base) }, 'device up');
      return {
        close: async () => {
          try {
            await device.close();
          } finally {
            letGo();
          }
          logger.info({}, 'device down');
        },
        keep: async () => {
          const state = await device.keep();
          letGo();
          return { description, socket: lease.path, state };
        },
      };
    } catch (error) {
      letGo();
      throw error;
    }
  }

  #attach({ guest, memory }: Pick<DeviceDescription, 'guest' | 'memory'>): Guest {
    const known = this.#guests.get(guest);
    if (known !== undefined) {
      known.devices++;
      return known;
    }
    const attached = this.#components.attachVm(guest, memory);
    const made = { attached, devices: 1 };
    this.#guests.set(guest, made);
    return made;
  }

  #detach(guest: number): void {
    const known = this.#guests.get(guest);
    if (known === undefined || --known.devices > 0) return;
    this.#guests.delete(guest);
    known.attached.vm.close();
    this.#components.logger.info({ vm: known.attached.vm.name }, 'guest detached');
  }
}

function deviceStatus({ description, progress, down }: DeviceEntry): DeviceStatus {
  const { key, guest, base, irq, deviceId } = description;
  const { socket, device } = progress;
  const here = device === undefined ? 'coming up' : 'up';
  return {
    device: key,
    guest,
    type: deviceById(deviceId).name,
    base: hex(base),
    irq,
    socket,
    state: down === undefined ? here : 'going down',
    ...device?.status(),
  };
}
