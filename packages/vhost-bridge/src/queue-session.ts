import {
  InflightKeeper,
  type InflightKeeperOptions,
  type KeptRing,
  type VhostUserFrontend,
} from '@node-vmm/vhost-user-master';
import type { QueueConfig } from '@node-vmm/virtio-device';
import { guestAddress } from '@node-vmm/vm-memory';
import { errorMessage, type Logger, type SignalGuard } from '@node-vmm/vmm-sys-util';
import type { BackendLink } from './backend-link.ts';
import type { DeviceRegisters } from './device-registers.ts';
import { VhostBridgeError } from './errors.ts';
import { returnsInOrder } from './features.ts';
import type { KeptQueues } from './kept-device.ts';
import { type DevicePlace, QueueWiring } from './queue-wiring.ts';
import type { QueueStatus } from './status.ts';
import type { SupportedDevice } from './supported-devices.ts';

/** What a session works with. */
export interface QueueSessionComponents {
  readonly place: DevicePlace;
  readonly registers: DeviceRegisters;
  readonly link: BackendLink;
  /** Of the device's type. */
  readonly inOrder: SupportedDevice['inOrder'];
  /** Back-ends record their requests in flight. */
  readonly inflight: InflightKeeperOptions | undefined;
  /** Keeps back-ends from making this process wait. */
  readonly guard: SignalGuard;
  /** What another process left of the queues, which are the same. */
  readonly kept?: KeptQueues | undefined;
  readonly logger: Logger;
}

/**
 * The queues of a device from when its driver is ready until that resets the device: wired to the guest,
 * handed to whichever back-end is there, and taken back. `start`, `stop` and `end` take turns: the caller
 * runs one at a time.
 */
export class QueueSession {
  readonly #components: QueueSessionComponents;
  /** That the driver chose. */
  readonly features: bigint;
  readonly #queues = new Map<number, QueueWiring>();
  readonly #inflight: InflightKeeper | undefined;

  /** A back-end that did not stop may still write to what it was given. */
  #torn = false;
  /** Rings that another process had, until they are wired again. */
  readonly #kept: Map<number, KeptRing>;

  /**
   * @param features - that the driver chose
   * @throws {VhostUserMasterError} WRONG_REPLY when what was kept in flight is another device's
   */
  constructor(components: QueueSessionComponents, features: bigint) {
    this.#components = components;
    this.features = features;
    const { inflight, kept } = components;
    this.#inflight =
      inflight === undefined ? undefined : new InflightKeeper(inflight, kept?.inflight);
    this.#kept = new Map(kept?.rings.map(({ index, ...ring }) => [index, ring]));
  }

  /** As plain data. */
  status(): QueueStatus[] {
    return [...this.#queues.values()].map(
      ({ config, started, notificationsAssisted, interruptsAssisted }) => ({
        queue: config.index,
        size: config.size,
        started,
        notificationsAssisted,
        interruptsAssisted,
      }),
    );
  }

  /**
   * Wires a queue to the guest; `start` hands it over.
   *
   * @throws {VmError} when the VM refuses the wiring
   */
  wire(queue: QueueConfig): void {
    const { place, registers, guard, logger } = this.#components;
    this.#queues.get(queue.index)?.close();
    const wiring = new QueueWiring(
      place,
      queue,
      (call) => registers.irqfd(call),
      guard,
      () => this.#stalled(),
      this.#kept.get(queue.index),
    );
    this.#kept.delete(queue.index);
    this.#queues.set(queue.index, wiring);
    this.#tellAssistance();
    const { kernelAssisted, notificationsAssisted, interruptsAssisted } = wiring;
    logger.info(
      {
        queue: queue.index,
        size: queue.size,
        kernelAssisted,
        notificationsAssisted,
        interruptsAssisted,
      },
      'queue wired',
    );
  }

  /** The guest's notification of a queue, where no kernel passes it on. */
  notify(index: number): void {
    this.#queues.get(index)?.kick.signal();
  }

  /** The back-end is gone: none of the queues is served. */
  backendDown(): void {
    for (const wiring of this.#queues.values()) wiring.stopServing();
  }

  /** Hands every queue that is not being served to the back-end, if there is one. Rejects never. */
  async start(): Promise<void> {
    const { link, logger, registers } = this.#components;
    const { frontend } = link;
    if (frontend === undefined) return;
    try {
      if ((this.features & ~frontend.deviceFeatures) !== 0n) {
        throw new VhostBridgeError(
          'BAD_DEVICE',
          'Cannot go on: the new back-end lacks features in use',
        );
      }
      await frontend.setFeatures(this.features);
      await this.#inflight?.handOver(frontend);
      for (const wiring of this.#queues.values()) {
        if (!wiring.started) await this.#start(frontend, wiring);
      }
    } catch (error) {
      if (link.frontend !== frontend) return; // lost meanwhile: its successor starts them
      if (link.dropIfHanging(frontend, error)) return;
      logger.error({ err: error }, 'queues cannot be started, the guest must reset the device');
      registers.needsReset();
    }
  }

  /** Takes one queue back from the back-end and from the guest. */
  async stop(index: number): Promise<void> {
    const wiring = this.#queues.get(index);
    if (wiring === undefined) return;
    await this.#stop(wiring);
    this.#inflight?.forget(index);
    wiring.close();
    this.#queues.delete(index);
    this.#tellAssistance();
  }

  /** InterruptStatus is the device's: it may be any of its queues that the kernel interrupts for. */
  #tellAssistance(): void {
    const assisted = [...this.#queues.values()].some((wiring) => wiring.interruptsAssisted);
    this.#components.registers.setVringInterruptsAssisted(assisted);
  }

  /** Takes all queues back. */
  async end(): Promise<void> {
    for (const wiring of this.#queues.values()) {
      await this.#stop(wiring);
      wiring.close();
    }
    this.#inflight?.close();
  }

  /** As {@link end}, for another process that goes on with the queues. */
  async keep(): Promise<KeptQueues> {
    const rings: (KeptRing & { index: number })[] = [];
    this.#torn = false;
    for (const wiring of this.#queues.values()) {
      const stoppedAt = await this.#stop(wiring);
      const ring = wiring.keep(stoppedAt);
      if (ring !== undefined) rings.push({ index: wiring.config.index, ...ring });
      wiring.close();
    }
    const inflight = this.#inflight?.keep(this.#torn);
    this.#inflight?.close();
    return inflight === undefined ? { rings } : { rings, inflight };
  }

  async #start(frontend: VhostUserFrontend, wiring: QueueWiring): Promise<void> {
    const resume = wiring.handedOver;
    const { index, size, descTable, availRing, usedRing } = wiring.config;
    const inOrder = returnsInOrder(this.#components.inOrder, this.features, index);
    const base = wiring.handOver(this.features, inOrder, this.#inflight?.record);
    await frontend.startVring({
      index,
      size,
      descTable: guestAddress(descTable),
      availRing: guestAddress(availRing),
      usedRing: guestAddress(usedRing),
      base,
      kick: wiring.kick,
      call: wiring.call,
    });
    // Its last reply and its end may come in one turn.
    if (this.#components.link.frontend === frontend) {
      wiring.serve(() => this.#ringImpossible(wiring, base));
    }
    // An interrupt that the old back-end owed is made up for; one too many does no harm.
    if (resume) wiring.call.signal();
  }

  /** @returns where the back-end stopped, undefined when it did not say or had not the ring */
  async #stop(wiring: QueueWiring): Promise<number | undefined> {
    const { link } = this.#components;
    const { frontend } = link;
    if (!wiring.started || frontend === undefined) return undefined;
    wiring.stopServing();
    try {
      return await frontend.stopVring(wiring.config.index);
    } catch (error) {
      // It may still write to the guest's memory; without a connection it has to let go of it.
      if (link.frontend === frontend) {
        this.#torn = true;
        link.drop(`queue ${wiring.config.index} did not stop: ${errorMessage(error)}`);
      }
      return undefined;
    }
  }

  /** O_NONBLOCK of a descriptor that two processes share belongs to both. */
  #stalled(): void {
    const { link } = this.#components;
    link.dropHostile('it made a notification descriptor blocking and filled it');
  }

  /** What the guest gets back is not what it asked for, and nothing here can mend that. */
  #ringImpossible(wiring: QueueWiring, base: number): void {
    const { logger, registers } = this.#components;
    logger.error(
      { queue: wiring.config.index, base, ...wiring.indices },
      'back-end goes on with a queue at an impossible used index, the guest must reset the device',
    );
    registers.needsReset();
  }
}
