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
import type { DeviceDescription, DeviceSink } from './device-source.ts';
import { VhostBridgeError } from './errors.ts';
import { SocketLeases, type SocketProvider } from './socket-provider.ts';
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

interface Guest {
  readonly attached: BridgedVm;
  devices: number;
}

interface DeviceEntry {
  readonly description: DeviceDescription;
  readonly abort: AbortController;
  /** Ends when the device is up or has failed and left nothing behind. */
  readonly up: Promise<() => Promise<void>>;
  readonly progress: Progress;
  /** Ends when it is gone; there is one once somebody wants that. */
  down?: Promise<void>;
}

/** What is known of a device on its way up. */
interface Progress {
  socket?: string;
  device?: BridgedDevice;
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

  constructor(components: BridgeComponents) {
    this.#components = components;
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
      const takeDown = await entry.up.catch(() => undefined);
      await takeDown?.();
    } finally {
      if (this.#devices.get(key) === entry) this.#devices.delete(key);
    }
  }

  /** Takes every device down. */
  async close(): Promise<void> {
    await Promise.all(this.devices.map((key) => this.remove(key)));
    this.#guard.close();
  }

  /** @returns what takes the device down again */
  async #bringUp(
    description: DeviceDescription,
    onPlaced: () => void,
    signal: AbortSignal,
    progress: Progress,
  ): Promise<() => Promise<void>> {
    const { sockets, poller, holdMs = HOLD_MS } = this.#components;
    const { key, guest, socket } = description;
    const type = deviceById(description.deviceId);
    const logger = this.#components.logger.child({ device: key, type: type.name });
    const lease =
      socket === undefined ? sockets.lease(type, key) : this.#ownSockets.lease(socket, type, key);
    progress.socket = lease.path;
    const undo: (() => void)[] = [() => lease.release()];
    const letGo = (): void => {
      for (const step of undo.reverse()) step();
    };
    try {
      const attached = this.#attach(description);
      undo.push(() => this.#detach(guest));
      const guard = this.#guard;
      const components = { guest: attached, poller, logger, guard, holdMs, onPlaced };
      const device = await BridgedDevice.create(components, description, type, lease, signal);
      progress.device = device;
      logger.info({ socket: lease.path, base: hex(description.base) }, 'device up');
      return async () => {
        try {
          await device.close();
        } finally {
          letGo();
        }
        logger.info({}, 'device down');
      };
    } catch (error) {
      letGo();
      throw error;
    }
  }

  #attach({ guest, memory }: DeviceDescription): BridgedVm {
    const known = this.#guests.get(guest);
    if (known !== undefined) {
      known.devices++;
      return known.attached;
    }
    const attached = this.#components.attachVm(guest, memory);
    this.#guests.set(guest, { attached, devices: 1 });
    return attached;
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
