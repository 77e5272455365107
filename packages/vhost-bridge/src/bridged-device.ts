import { setTimeout as delay } from 'node:timers/promises';
import {
  type InflightKeeperOptions,
  type VhostUserFrontend,
  VhostUserMasterError,
} from '@node-vmm/vhost-user-master';
import type { QueueConfig, VirtioDevice } from '@node-vmm/virtio-device';
import type { IrqSource } from '@node-vmm/vm-device';
import { hex, type Logger, type Poller, type SignalGuard } from '@node-vmm/vmm-sys-util';
import { BackendLink } from './backend-link.ts';
import type { DeviceTally } from './bridge-counters.ts';
import type { DeviceRegisters } from './device-registers.ts';
import type { DeviceDescription } from './device-source.ts';
import type { DeviceWindow } from './device-window.ts';
import { DispatchedRegisters } from './dispatched-registers.ts';
import { VhostBridgeError } from './errors.ts';
import { recordsInflight } from './features.ts';
import type { KeptDeviceState, KeptQueues } from './kept-device.ts';
import { LettingGo } from './letting-go.ts';
import { LocalRegisters } from './local-registers.ts';
import { MemoryGiver } from './memory-sharing.ts';
import type { PeerReleases } from './peer-releases.ts';
import { QueueSession } from './queue-session.ts';
import type { DevicePlace } from './queue-wiring.ts';
import { Serial } from './serial.ts';
import type { SocketLease } from './socket-provider.ts';
import type { BridgedDeviceStatus } from './status.ts';
import type { SupportedDevice } from './supported-devices.ts';
import { unlessAborted } from './unless-aborted.ts';

/** "NVMM": the vendor that the guest sees. */
const VENDOR_ID = 0x4d4d564e;
/** vhost-user names a queue by one byte. */
const MAX_QUEUES = 256;
/** A toolstack that wants a guest gone goes on after 10 s: what its devices' queues may take, milliseconds. */
const STOP_MS = 4000;
/** Ours: what a thread may take to say what it has, milliseconds: it is ended after 3 s, of which another needs some. */
const REGISTERS_MS = 6000;
/** Writes to configuration space that wait for the back-end; what a guest could pile up. */
const MAX_CONFIG_WRITES = 64;

/** What a bridged device works with. */
export interface BridgedDeviceComponents {
  /** Claimed; stays the caller's. */
  readonly window: DeviceWindow;
  readonly poller: Poller;
  readonly logger: Logger;
  /** Keeps back-ends from making this process wait. */
  readonly guard: SignalGuard;
  readonly releases: PeerReleases;
  readonly tally: DeviceTally;
}

/**
 * One virtio-mmio device of a guest whose work a vhost-user back-end does. Survives the back-end: when
 * it dies the guest's requests wait until another is there.
 */
export class BridgedDevice implements VirtioDevice {
  readonly deviceId: number;
  readonly vendorId = VENDOR_ID;
  readonly features: bigint;
  readonly queueMaxSizes: readonly number[];
  readonly #registers: DeviceRegisters;
  readonly #irq: IrqSource;
  readonly #type: SupportedDevice;
  readonly #place: DevicePlace;
  readonly #link: BackendLink;
  readonly #guard: SignalGuard;
  readonly #logger: Logger;
  readonly #serial = new Serial();
  readonly #window: DeviceWindow;
  readonly #lettingGo: LettingGo;
  readonly #forgetMemory: () => void;
  /** To be called when it is gone. */
  readonly #gone: () => void;
  #session: QueueSession | undefined;
  /** Of the queues that the driver had when another bridge left them, until they are activated. */
  #kept: KeptQueues | undefined;
  #configWrites = 0;
  #closing = false;

  private constructor(
    components: BridgedDeviceComponents,
    description: DeviceDescription,
    type: SupportedDevice,
    link: BackendLink,
    frontend: VhostUserFrontend,
    irq: IrqSource,
    memory: MemoryGiver,
    lettingGo: LettingGo,
  ) {
    this.deviceId = description.deviceId;
    this.features = frontend.deviceFeatures;
    const queues = Math.min(frontend.queueCount ?? type.queues, MAX_QUEUES);
    this.queueMaxSizes = new Array<number>(queues).fill(type.queueSize);
    this.#type = type;
    this.#place = { vm: components.window.guest.vm, base: description.base };
    this.#irq = irq;
    this.#link = link;
    this.#guard = components.guard;
    this.#window = components.window;
    this.#lettingGo = lettingGo;
    const renewal = components.window.guest.renewal?.add({
      get mapsAll() {
        return memory.habit === 'whole';
      },
      renew: () => link.renewMemory(),
    });
    this.#forgetMemory = renewal ?? (() => undefined);
    this.#logger = components.logger;
    const { logger } = components;
    const events = { onRestored: (problem: string | undefined) => this.#restored(problem) };
    const configSize = link.config.length;
    this.#registers = components.window.seated
      ? new DispatchedRegisters(this, { irq, line: description, configSize, logger, events })
      : new LocalRegisters(this, irq, logger, events);
    this.#gone = components.tally.add(() => this.#registers.counters);
    link.listen({
      onDown: () => this.#session?.backendDown(),
      onUp: () => {
        components.tally.reconnected();
        this.#startQueues();
      },
      onConfigChange: () => this.#registers.configChanged(),
    });
  }

  /**
   * Waits for the back-end, then opens the device's window; the guest's accesses wait meanwhile.
   *
   * @param signal - gives up waiting
   * @param kept - as another bridge left the device
   * @throws {VmError} when the VM refuses the interrupt
   * @throws {VhostUserMasterError} what the back-end cannot do
   */
  static async create(
    components: BridgedDeviceComponents,
    description: DeviceDescription,
    type: SupportedDevice,
    { path, graceMs }: SocketLease,
    signal: AbortSignal,
    kept?: KeptDeviceState,
  ): Promise<BridgedDevice> {
    const { window, poller, logger } = components;
    const { guest } = window;
    const { trigger } = description;
    const line = { kind: 'line', irq: description.irq } as const;
    const irq = guest.vm.connectIrq(trigger === undefined ? line : { ...line, trigger });
    let link: BackendLink | undefined;
    let device: BridgedDevice | undefined;
    try {
      const { configSize } = type;
      const memory = new MemoryGiver({
        memory: await unlessAborted(guest.memory, signal),
        sharing: guest.sharing?.(),
        logger,
      });
      const lettingGo = new LettingGo({
        releases: components.releases,
        sharing: () => guest.sharing?.(),
        leastMapped: () => memory.leastMapped,
        logger,
      });
      link = await BackendLink.open(
        {
          path,
          ...(graceMs === undefined ? {} : { graceMs }),
          memory,
          configSize,
          recordsInflight: recordsInflight(type),
          lettingGo,
          poller,
          logger,
        },
        signal,
      );
      const { frontend } = link;
      if (frontend === undefined)
        throw new VhostBridgeError('ABORTED', 'Cannot start: back-end lost');
      device = new BridgedDevice(
        components,
        description,
        type,
        link,
        frontend,
        irq,
        memory,
        lettingGo,
      );
      if (kept !== undefined) device.#takeUp(kept);
      window.open(device.#registers.handler);
      return device;
    } catch (error) {
      if (device !== undefined) device.#forget();
      link?.close();
      irq.close();
      throw error;
    }
  }

  /** True while a back-end is connected. */
  get backendUp(): boolean {
    return this.#link.frontend !== undefined;
  }

  /** As plain data. */
  status(): BridgedDeviceStatus {
    return {
      backend: this.backendUp ? 'connected' : 'away',
      driverStatus: this.#registers.status,
      features: this.#session && hex(this.#session.features),
      faults: { ...this.#registers.counters },
      queues: this.#session?.status() ?? [],
    };
  }

  readConfig(offset: number, target: Uint8Array): boolean {
    const { config } = this.#link;
    if (offset + target.length > config.length) return false;
    target.set(config.subarray(offset, offset + target.length));
    return true;
  }

  writeConfig(offset: number, source: Uint8Array): undefined {
    if (offset + source.length > this.#link.config.length) return;
    if (this.#configWrites === MAX_CONFIG_WRITES) return;
    this.#configWrites++;
    const data = source.slice();
    void this.#serial.run(() => this.#passConfig(offset, data));
  }

  /** What back-ends record their requests in, if they do. */
  get #inflight(): InflightKeeperOptions | undefined {
    const { stateful = false, queueSize } = this.#type;
    if (!recordsInflight(this.#type)) return undefined;
    return { queues: this.queueMaxSizes.length, queueSize, stateful };
  }

  acceptFeatures(): boolean {
    return true;
  }

  activate(features: bigint, queues: readonly QueueConfig[]): void {
    const components = {
      place: this.#place,
      registers: this.#registers,
      link: this.#link,
      guard: this.#guard,
      inOrder: this.#type.inOrder,
      inflight: this.#inflight,
      kept: this.#kept,
      logger: this.#logger,
    };
    this.#kept = undefined;
    this.#session = new QueueSession(components, features);
    for (const queue of queues) this.#session.wire(queue);
    this.#startQueues();
  }

  startQueue(_features: bigint, queue: QueueConfig): void {
    if (this.#session === undefined) return;
    this.#session.wire(queue);
    this.#startQueues();
  }

  stopQueue(index: number): Promise<void> {
    return this.#serial.run(async () => this.#session?.stop(index));
  }

  notifyQueue(index: number): void {
    this.#session?.notify(index);
  }

  reset(): Promise<void> {
    this.#kept = undefined;
    return this.#serial.run(async () => {
      const session = this.#session;
      this.#session = undefined;
      if (session === undefined) return;
      await session.end();
      await this.#resetBackend();
    });
  }

  /**
   * Takes the device away from the guest and lets go of the back-end, which lets go of the guest's memory, as
   * far as that takes no longer than a toolstack waits. Idempotent.
   *
   * @param onStopped - the back-end is asked for nothing more
   */
  async close(onStopped: () => void = () => undefined): Promise<void> {
    this.#closing = true;
    this.#window.withdraw();
    try {
      await Promise.race([this.reset(), delay(STOP_MS, undefined, { ref: false })]);
    } finally {
      onStopped();
      this.#forget();
      await this.#letGo();
      this.#irq.close();
    }
  }

  #forget(): void {
    this.#forgetMemory();
    this.#gone();
  }

  async #letGo(): Promise<void> {
    const link = this.#link;
    if (this.#window.guest.sharing?.()?.mappings === undefined) link.close();
    else await this.#lettingGo.by(link.peerPid, (timeoutMs) => link.finish(timeoutMs));
  }

  /**
   * As {@link close}, for another bridge that goes on with the device: its driver notices nothing. The
   * guest's accesses wait from before this is called (`GuestKeeper.keep`). Rejects never.
   *
   * @returns undefined when nobody says in time what its registers are: the next bridge begins anew
   */
  async keep(): Promise<KeptDeviceState | undefined> {
    this.#closing = true;
    const queues = await this.#serial.run(async () => {
      const session = this.#session;
      this.#session = undefined;
      return (await session?.keep()) ?? { rings: [] };
    });
    // One that is stuck is ended first: until then nobody knows whether it changes them yet.
    const lost = delay(REGISTERS_MS, undefined, { ref: false });
    const registers = await Promise.race([this.#registers.state(), lost]);
    this.#window.withdraw();
    this.#forget();
    this.#link.close();
    this.#irq.close();
    return registers && { registers, queues };
  }

  #takeUp({ registers, queues }: KeptDeviceState): void {
    this.#kept = queues;
    this.#registers.restore(registers);
  }

  #restored(problem: string | undefined): void {
    if (problem === undefined) {
      this.#logger.info({ status: this.#registers.status }, 'device taken up');
      return;
    }
    this.#kept = undefined;
    this.#logger.warn({ problem }, 'cannot go on with the device, its driver must reset it');
  }

  #startQueues(): void {
    void this.#serial.run(async () => this.#session?.start());
  }

  async #passConfig(offset: number, data: Uint8Array): Promise<void> {
    const { frontend } = this.#link;
    try {
      await this.#link.writeConfig(offset, data);
    } catch (error) {
      this.#logger.warn({ err: error, offset }, 'back-end did not take a write to configuration');
      this.#link.dropIfHanging(frontend, error);
    } finally {
      this.#configWrites--;
      this.#registers.configWritten();
    }
  }

  async #resetBackend(): Promise<void> {
    const { frontend } = this.#link;
    try {
      await frontend?.resetDevice();
    } catch (error) {
      if (VhostUserMasterError.is(error, 'CANNOT_RESET')) {
        // Letting go of it for good does the same.
        if (!this.#closing) this.#link.renew();
        return;
      }
      this.#logger.warn({ err: error }, 'back-end did not reset');
      this.#link.dropIfHanging(frontend, error);
    }
  }
}
